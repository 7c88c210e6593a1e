//! What the shell of a node is told to do. Each script is fixed; what differs from run to run are its arguments, all of
//! types that no shell takes apart. The login shell of the node's user may be any: it sees one line without
//! single quotes inside, `!` and backslashes, which `sh` then reads (POSIX.1-2017, Shell Command Language).

use crate::digest::Digest;
use crate::model::WorkDir;
use crate::wire::PROTOCOL;

/// The exit code of a node without a flowhost of our protocol.
pub(super) const MISSING: i32 = 44;

/// The folders in which flowhost may be, by what was given: the first that can be used is. Leaves them as the
/// script's arguments.
const FOLDERS: &str = r#"case $w in "") set -- "${XDG_CACHE_HOME:-$HOME/.cache}/flowhost" "/var/tmp/flowhost-$(id -u)" "/tmp/flowhost-$(id -u)";; "~"/*) set -- "$HOME/${w#*/}";; *) set -- "$w";; esac"#;

/// Executes the program that is there: one that was put there, which must be this one where a digest is given,
/// or one that somebody installed, in the first folder that it can use. Nobody else may have put it there.
const RUN: &str = r#"for d; do for f in "$d/bin/flowhost-$p-$a-"${n:-*}; do if [ -x "$f" ] && [ -O "$d" ] && [ -O "$f" ]; then exec "$f" worker --stdio --workdir "$d"; fi; done; done; if [ -z "$n" ]; then for f in "$(command -v flowhost)" "$HOME/.local/bin/flowhost" "$HOME/.cargo/bin/flowhost" /usr/local/bin/flowhost; do if [ -x "$f" ]; then for d; do if (umask 077; mkdir -p "$d") 2>/dev/null && [ -O "$d" ] && [ -w "$d" ]; then break; fi; done; exec "$f" worker --stdio --workdir "$d"; fi; done; fi; echo "no flowhost is here" >&2; exit 44"#;

/// Puts the program on the standard input where it belongs, whole or not at all, if it runs there.
///
/// The folder is never empty meanwhile, so that no worker that leaves takes it along.
const PUT: &str = r#"umask 077; t=; u=; o=; gone() { for x in "$t" "$u"; do if [ -n "$x" ]; then rm -rf "$x"; fi; done; }; trap gone 0; trap "exit 1" 1 2 13 15; for d; do e="it belongs to another user"; if if [ -e "$d" ]; then [ -O "$d" ]; fi; then t="$d/bin/.probe-$$"; if e=$(mkdir -p "$t" 2>&1) && e="it belongs to another user" && [ -O "$d" ] && [ -O "$d/bin" ] && e=$(cp /bin/sh "$t/sh" 2>&1); then if "$t/sh" -c : 2>/dev/null; then o=$d; break; fi; e="programs cannot be executed there, as on a file system that is mounted noexec"; fi; rm -rf "$t"; t=; fi; echo "$d: $e" >&2; done; if [ -z "$o" ]; then exit 45; fi; find "$o/bin" -name ".upload-*" -mmin +60 -exec rm -f {} + 2>/dev/null; u="$o/bin/.upload-$$"; true >"$u" || exit 46; rm -rf "$t"; t=; cat >"$u" || exit 46; s=$( (sha256sum || shasum -a 256 || openssl dgst -sha256 -r) 2>/dev/null <"$u"); case $s in "$h"*) ;; *) echo "what arrived has the digest ${s%% *}" >&2; exit 47;; esac; chmod 700 "$u"; if v=$("$u" --version 2>&1); then mv -f "$u" "$o/bin/flowhost-$p-$a-$n" && u= && exit 0; fi; echo "$v" >&2; exit 48"#;

/// Why programs cannot be executed in a folder.
pub(super) const NOEXEC: &str =
    "programs cannot be executed there, as on a file system that is mounted noexec";

/// What a node says when it has said what it is. From then on it answers lines.
pub(super) const READY: &str = "flowhost-ready";

/// Says what the node is: its system, and for each folder how much is free, whether flowhost can be put there, and what
/// is there. Then answers each line that it is sent.
const LOOK: &str = r#"echo "system $(uname -s) $a"; echo "cores $(getconf _NPROCESSORS_ONLN 2>/dev/null)"; for d; do x=$d; until [ -e "${x:-/}" ]; do x=${x%/*}; done; x=${x:-/}; s=fits; q=$(df -Pk "$x" 2>/dev/null | tail -n 1 | tr -s " "); m=$(echo "$q" | cut -d " " -f 6-); z=; if [ -r /proc/mounts ]; then while read -r _ y _ o _; do if [ "$y" = "$m" ]; then z=$o; fi; done </proc/mounts; fi; case ",$z," in *,noexec,*) s=noexec;; esac; [ -w "$x" ] || s=closed; [ -d "$x" ] || s=file; if [ -e "$d" ]; then [ -O "$d" ] || s=foreign; fi; echo "folder $(echo "$q" | cut -d " " -f 4) $s $d"; done; for d; do for f in "$d/bin/flowhost-$p-$a-"*; do if [ -x "$f" ]; then echo "program $f"; fi; done; done; f=$(command -v flowhost) && echo "program $f"; echo flowhost-ready; while read -r l; do echo here; done"#;

/// Why a program was not put where it belongs: the exit codes of [`put`].
pub(super) const NO_FOLDER: i32 = 45;
pub(super) const NOT_WRITTEN: i32 = 46;
pub(super) const NOT_RUNNING: i32 = 48;

/// A script as the command of an ssh connection.
fn command(script: &str, workdir: Option<&WorkDir>, name: &str, digest: &str) -> String {
    let workdir = workdir.map_or("", WorkDir::as_str);
    format!(
        "exec /bin/sh -c 'w=$1; n=$2; h=$3; p={PROTOCOL}; a=$(uname -m); {FOLDERS}; {script}' flowhost '{workdir}' '{name}' '{digest}'"
    )
}

/// Executes a worker: the program of this digest, or whichever is there.
pub(super) fn run(workdir: Option<&WorkDir>, program: Option<&Digest>) -> String {
    command(RUN, workdir, &program.map(name).unwrap_or_default(), "")
}

/// Takes a program from the standard input.
pub(super) fn put(workdir: Option<&WorkDir>, program: &Digest) -> String {
    command(PUT, workdir, &name(program), &program.hex())
}

/// Says what the node is.
pub(super) fn look(workdir: Option<&WorkDir>) -> String {
    command(LOOK, workdir, "", "")
}

/// What a program of this digest is called, behind protocol and machine.
fn name(program: &Digest) -> String {
    program.beginning()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever shell a user has, it passes these on as they are.
    #[test]
    fn scripts_have_nothing_that_a_login_shell_takes_for_something_else() {
        for script in [FOLDERS, RUN, PUT, LOOK] {
            for odd in ['\'', '!', '\\', '\n'] {
                assert!(!script.contains(odd), "{odd:?} in {script}");
            }
        }
        let workdir: WorkDir = "~/a-b.c_d".parse().unwrap();
        let digest = Digest::of(b"");
        let command = put(Some(&workdir), &digest);
        assert!(command.ends_with(&format!("' flowhost '~/a-b.c_d' 'e3b0c44298fc' '{}'", digest.hex())));
        assert!(LOOK.contains(READY) && PUT.contains(NOEXEC));
        assert!(RUN.ends_with(&format!("exit {MISSING}")));
        for code in [NO_FOLDER, NOT_WRITTEN, NOT_RUNNING] {
            assert!(PUT.contains(&format!("exit {code}")), "{code}");
        }
    }
}

//! Attacks on files, through `wasi:filesystem` itself: the standard library would refuse some of
//! them before the host sees them.

use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags, PathFlags};

const CREATE: OpenFlags = OpenFlags::CREATE;

fn granted() -> Descriptor {
    get_directories().into_iter().next().expect("a directory is granted").0
}

/// Notes what should not have succeeded.
struct Notes(Vec<String>);

impl Notes {
    fn must_fail<T>(&mut self, what: impl Into<String>, result: Result<T, ErrorCode>) -> Option<T> {
        if result.is_ok() {
            self.0.push(what.into());
        }
        result.ok()
    }
}

/// Tries to reach `outside`, an absolute path of the host that lies two folders above the granted
/// directory's own name: `GRANTED/../canary` is one way to it.
pub(crate) fn escape(outside: &str) -> Vec<String> {
    let mut notes = Notes(Vec::new());
    let directory = granted();
    let relative = outside.trim_start_matches('/');
    let up = "../".repeat(64);
    // Links that the guest makes itself; making them may be refused, following them must be.
    let targets = ["../canary".to_owned(), outside.to_owned(), format!("{up}{relative}"), "..".to_owned()];
    for (at, target) in targets.iter().enumerate() {
        let made = directory.symlink_at(target, &format!("made-{at}"));
        if at == 1 {
            notes.must_fail("symlink to an absolute path", made);
        }
    }
    let mut paths = vec![
        outside.to_owned(),
        format!("{up}{relative}"),
        "../canary/file".to_owned(),
        "inner/../../canary/file".to_owned(),
        "./.././canary/file".to_owned(),
        "made-0/file".to_owned(),
        "made-1/file".to_owned(),
        "planted".to_owned(),
        "planted-up".to_owned(),
        "made-2/file".to_owned(),
        "made-3/canary/file".to_owned(),
        "planted/file".to_owned(),
        "planted-file".to_owned(),
        "planted-up/canary/file".to_owned(),
        "..".to_owned(),
        "/".to_owned(),
        "//".to_owned(),
        "inner/../..".to_owned(),
        "..\0canary".to_owned(),
        "planted-proc/cwd".to_owned(),
    ];
    let relative = paths.iter().filter(|path| !path.starts_with('/'));
    let detours: Vec<String> = relative.map(|path| format!("inner/../{path}")).collect();
    paths.extend(detours);
    for path in &paths {
        for follow in [PathFlags::empty(), PathFlags::SYMLINK_FOLLOW] {
            for (flags, rights) in [
                (OpenFlags::empty(), DescriptorFlags::READ),
                (OpenFlags::empty(), DescriptorFlags::READ | DescriptorFlags::WRITE),
                (OpenFlags::TRUNCATE, DescriptorFlags::WRITE),
                (CREATE, DescriptorFlags::WRITE),
                (OpenFlags::DIRECTORY, DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY),
            ] {
                let opened = directory.open_at(follow, path, flags, rights);
                notes.must_fail(format!("open {path} {follow:?} {flags:?} {rights:?}"), opened);
            }
        }
        notes.must_fail(format!("stat {path}"), directory.stat_at(PathFlags::SYMLINK_FOLLOW, path));
        notes.must_fail(format!("create {path}"), directory.create_directory_at(&format!("{path}/new")));
        notes.must_fail(format!("unlink {path}"), directory.unlink_file_at(&format!("{path}/file")));
        notes.must_fail(format!("remove {path}"), directory.remove_directory_at(&format!("{path}/folder")));
        notes.must_fail(format!("hash {path}"), directory.metadata_hash_at(PathFlags::SYMLINK_FOLLOW, path));
        let times = directory.set_times_at(
            PathFlags::SYMLINK_FOLLOW,
            path,
            NewTimestamp::NoChange,
            NewTimestamp::Now,
        );
        notes.must_fail(format!("times {path}"), times);
        let out = format!("{path}/taken");
        notes.must_fail(format!("rename to {out}"), directory.rename_at("own", &directory, &out));
        notes.must_fail(
            format!("link to {out}"),
            directory.link_at(PathFlags::empty(), "own", &directory, &out),
        );
        let from = format!("{path}/file");
        notes.must_fail(format!("rename from {from}"), directory.rename_at(&from, &directory, "taken"));
        for follow in [PathFlags::empty(), PathFlags::SYMLINK_FOLLOW] {
            notes.must_fail(
                format!("link from {from}"),
                directory.link_at(follow, &from, &directory, "linked"),
            );
        }
    }
    // A hard link to a link, and then what it leads to.
    if directory.link_at(PathFlags::empty(), "planted-file", &directory, "copied-link").is_ok() {
        let opened = directory.open_at(
            PathFlags::SYMLINK_FOLLOW,
            "copied-link",
            OpenFlags::empty(),
            DescriptorFlags::READ,
        );
        notes.must_fail("open a copied link", opened);
    }
    notes.0
}

/// Tries to change a directory that may only be read: it holds `file`, `inner` and `link` to `file`.
pub(crate) fn deface() -> Vec<String> {
    let mut notes = Notes(Vec::new());
    let directory = granted();
    let none = PathFlags::empty();
    for path in ["file", "link", "new"] {
        for follow in [none, PathFlags::SYMLINK_FOLLOW] {
            for flags in [
                OpenFlags::TRUNCATE,
                CREATE,
                CREATE | OpenFlags::TRUNCATE,
                CREATE | OpenFlags::EXCLUSIVE,
                OpenFlags::empty(),
            ] {
                for rights in [
                    DescriptorFlags::WRITE,
                    DescriptorFlags::READ | DescriptorFlags::WRITE,
                    DescriptorFlags::READ,
                    DescriptorFlags::empty(),
                ] {
                    let harmless = flags == OpenFlags::empty() && !rights.contains(DescriptorFlags::WRITE);
                    let opened = directory.open_at(follow, path, flags, rights);
                    if harmless {
                        if let Ok(file) = opened {
                            notes.must_fail("write", file.write(b"defaced", 0));
                            notes.must_fail("shrink", file.set_size(0));
                            notes.must_fail("stream", file.write_via_stream(0));
                            notes.must_fail("append", file.append_via_stream());
                            let times = file.set_times(NewTimestamp::Now, NewTimestamp::Now);
                            notes.must_fail("times by descriptor", times);
                        }
                    } else {
                        notes.must_fail(format!("open {path} {follow:?} {flags:?} {rights:?}"), opened);
                    }
                }
            }
        }
    }
    notes.must_fail("unlink", directory.unlink_file_at("file"));
    notes.must_fail("create", directory.create_directory_at("made"));
    notes.must_fail("remove", directory.remove_directory_at("inner"));
    notes.must_fail("rename", directory.rename_at("file", &directory, "inner/file"));
    notes.must_fail("link", directory.link_at(none, "file", &directory, "inner/file"));
    notes.must_fail("symlink", directory.symlink_at("file", "made"));
    let times = directory.set_times_at(none, "file", NewTimestamp::Now, NewTimestamp::Now);
    notes.must_fail("times", times);
    notes.must_fail("times of the directory", directory.set_times(NewTimestamp::Now, NewTimestamp::Now));
    let inner = directory.open_at(
        none,
        "inner",
        OpenFlags::DIRECTORY,
        DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY,
    );
    if let Ok(inner) = inner {
        notes.must_fail("create below", inner.create_directory_at("made"));
        let created = inner.open_at(none, "made", CREATE, DescriptorFlags::WRITE);
        notes.must_fail("write below", created);
    }
    notes.0
}

pub(crate) fn open(path: &str, write: bool, follow: bool) -> Result<String, String> {
    let rights = if write { DescriptorFlags::WRITE } else { DescriptorFlags::READ };
    let follow = if follow { PathFlags::SYMLINK_FOLLOW } else { PathFlags::empty() };
    let told = |error: ErrorCode| format!("{error:?}");
    let file = granted().open_at(follow, path, OpenFlags::empty(), rights).map_err(told)?;
    let (bytes, _) = file.read(1, 0).map_err(told)?;
    Ok(format!("{} bytes", bytes.len()))
}

pub(crate) fn fill(path: &str) -> Result<u64, String> {
    let told = |at: u64| move |error: ErrorCode| format!("{error:?} after {at} bytes");
    let file =
        granted().open_at(PathFlags::empty(), path, CREATE, DescriptorFlags::WRITE).map_err(told(0))?;
    let piece = vec![b'x'; 64 << 10];
    let mut at = 0;
    loop {
        at += file.write(&piece, at).map_err(told(at))?;
        file.sync_data().map_err(told(at))?;
    }
}

pub(crate) fn swap_forever(a: &str, b: &str) {
    let directory = granted();
    loop {
        // Whatever becomes of each step, the names are there again after the third.
        let _ = directory.rename_at(a, &directory, "swapped");
        let _ = directory.rename_at(b, &directory, a);
        let _ = directory.rename_at("swapped", &directory, b);
    }
}

pub(crate) fn open_often(path: &str, n: u32) -> u32 {
    let directory = granted();
    let open = || directory.open_at(PathFlags::empty(), path, OpenFlags::empty(), DescriptorFlags::READ);
    (0..n).filter(|_| open().is_ok()).count() as u32
}

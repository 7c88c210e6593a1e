//! Where paths of the file lead: below the root, or nowhere. Looks at the file system to follow
//! symlinks; opens nothing, and what happens between check and use is the business of whoever opens.

use std::io;
use std::path::{Component, Path, PathBuf};

/// The longest path, in bytes.
const LONGEST: usize = 4096;
/// More symlinks on one path are a loop.
const MOST_LINKS: usize = 40;

/// Why a path cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum PathError {
    #[error("the path is empty")]
    Empty,
    #[error("`{0}` holds a NUL byte, which no path may")]
    Nul(String),
    #[error("the path is longer than {LONGEST} bytes")]
    TooLong,
    #[error("`{written}` leads out of the root: to `{}`, which is not below `{}`", leads_to.display(), root.display())]
    Outside { written: String, leads_to: PathBuf, root: PathBuf },
    #[error("`{written}` passes more than {MOST_LINKS} symbolic links")]
    Loop { written: String },
    #[error("`{written}` cannot be looked at: {source}")]
    Unreadable { written: String, source: io::Error },
}

impl PathError {
    pub(super) fn help(&self) -> &'static str {
        match self {
            Self::Outside { .. } => {
                "paths stay below the workflow file's folder; `--root DIR` moves that bound, and a path given with `--input` may lead anywhere"
            }
            Self::Empty => "`.` is the workflow file's folder",
            Self::Nul(_) | Self::TooLong | Self::Loop { .. } | Self::Unreadable { .. } => {
                "give a path below the workflow file's folder"
            }
        }
    }
}

/// The folders that paths start from, all absolute, the first two without symlinks.
#[derive(Clone, Debug)]
pub(super) struct Folders {
    /// The workflow file's.
    pub(super) workflow: PathBuf,
    /// What paths of the file stay below.
    pub(super) root: PathBuf,
    /// What paths of the command line start from.
    pub(super) current: PathBuf,
}

impl Folders {
    /// Where a path of the file leads: absolute, without symlinks as far as it exists, below the root.
    pub(super) fn below_root(&self, written: &str) -> Result<PathBuf, PathError> {
        sound(written)?;
        let leads_to = follow(&self.workflow, written)?;
        if leads_to.starts_with(&self.root) {
            return Ok(leads_to);
        }
        Err(PathError::Outside { written: written.to_owned(), leads_to, root: self.root.clone() })
    }

    /// A path of the command line, absolute.
    pub(super) fn given(&self, written: &str) -> Result<PathBuf, PathError> {
        sound(written)?;
        Ok(self.current.join(written))
    }
}

fn sound(written: &str) -> Result<(), PathError> {
    if written.is_empty() {
        return Err(PathError::Empty);
    }
    if written.contains('\0') {
        return Err(PathError::Nul(written.to_owned()));
    }
    if written.len() > LONGEST {
        return Err(PathError::TooLong);
    }
    Ok(())
}

/// Follows `written` from `from` component by component, as opening it would. What does not exist
/// is taken as it is written: nothing stands there yet that could lead elsewhere.
fn follow(from: &Path, written: &str) -> Result<PathBuf, PathError> {
    let mut at = from.to_owned();
    let mut rest: Vec<PathBuf> = vec![PathBuf::from(written)];
    let mut links = 0;
    while let Some(next) = rest.pop() {
        let mut components = next.components();
        let Some(first) = components.next() else { continue };
        let remainder = components.as_path().to_owned();
        if !remainder.as_os_str().is_empty() {
            rest.push(remainder);
        }
        match first {
            Component::Prefix(_) | Component::RootDir => at = PathBuf::from(first.as_os_str()),
            Component::CurDir => {}
            Component::ParentDir => {
                at.pop();
            }
            Component::Normal(name) => {
                let step = at.join(name);
                match std::fs::symlink_metadata(&step) {
                    Ok(metadata) if metadata.is_symlink() => {
                        links += 1;
                        if links > MOST_LINKS {
                            return Err(PathError::Loop { written: written.to_owned() });
                        }
                        rest.push(std::fs::read_link(&step).map_err(|source| PathError::Unreadable {
                            written: written.to_owned(),
                            source,
                        })?);
                    }
                    Ok(_) => at = step,
                    Err(error)
                        if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
                    {
                        at = step;
                    }
                    Err(source) => {
                        return Err(PathError::Unreadable { written: written.to_owned(), source });
                    }
                }
            }
        }
    }
    Ok(at)
}

/// The folder that a file pattern starts from, and whether the pattern climbs after that.
pub(super) fn pattern_base(pattern: &str) -> (String, bool) {
    let meta = |part: &&str| part.contains(['*', '?', '[', '{', '\\']);
    let parts: Vec<&str> = pattern.split('/').collect();
    let plain = parts.iter().take_while(|part| !meta(part)).count();
    let climbs = parts.iter().skip(plain).any(|part| *part == "..");
    let base = parts.get(..plain).unwrap_or_default().join("/");
    match (base.is_empty(), pattern.starts_with('/')) {
        (true, true) => ("/".to_owned(), climbs),
        (true, false) => (".".to_owned(), climbs),
        (false, _) => (base, climbs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(root: &Path) -> Folders {
        let workflow = root.canonicalize().unwrap();
        Folders { root: workflow.clone(), current: workflow.clone(), workflow }
    }

    #[test]
    fn w3_paths_stay_below_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("in")).unwrap();
        std::os::unix::fs::symlink("..", root.join("up")).unwrap();
        std::os::unix::fs::symlink("/", root.join("in/all")).unwrap();
        std::os::unix::fs::symlink("in", root.join("fine")).unwrap();
        std::os::unix::fs::symlink("loop", root.join("loop")).unwrap();
        std::os::unix::fs::symlink("../missing", root.join("dangling")).unwrap();
        let folders = folders(&root);
        for written in ["in", "./in/x", "in/../in", "fine/x", "new/folder/x", "in/../../root/in", "."] {
            let path = folders.below_root(written).unwrap();
            assert!(path.starts_with(&folders.root), "{written}");
        }
        assert_eq!(folders.below_root("fine/x").unwrap(), folders.root.join("in/x"));
        let inside = folders.root.join("in");
        assert_eq!(folders.below_root(inside.to_str().unwrap()).unwrap(), inside);
        for written in
            ["..", "in/../..", "/", "/etc/passwd", "up", "up/x", "in/all/etc", "dangling", "new/../../x"]
        {
            assert!(matches!(folders.below_root(written), Err(PathError::Outside { .. })), "{written}");
        }
        assert!(matches!(folders.below_root("loop/x"), Err(PathError::Loop { .. })));
        assert!(matches!(folders.below_root(""), Err(PathError::Empty)));
        assert!(matches!(folders.below_root("a\0b"), Err(PathError::Nul(_))));
        assert!(matches!(folders.below_root(&"a".repeat(5000)), Err(PathError::TooLong)));
        assert_eq!(folders.given("../x").unwrap(), folders.current.join("../x"));
    }

    #[test]
    fn patterns_begin_with_a_plain_folder() {
        for (pattern, base, climbs) in [
            ("photos/**/*.jpg", "photos", false),
            ("*.txt", ".", false),
            ("../a/*.txt", "../a", false),
            ("a/*/../../b", "a", true),
            ("/*/x", "/", false),
            ("a/{b,c}/d", "a", false),
            ("a/b", "a/b", false),
        ] {
            assert_eq!(pattern_base(pattern), (base.to_owned(), climbs), "{pattern}");
        }
    }
}

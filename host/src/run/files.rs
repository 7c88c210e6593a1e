//! Files that match a pattern, below the root and in name order.

use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, FileType};
use globset::GlobBuilder;

use super::root::{Root, RootError, here};
use crate::model::Base;

/// Why the files of a pattern could not be listed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilesError {
    #[error(transparent)]
    Pattern(#[from] globset::Error),
    #[error(transparent)]
    Root(#[from] RootError),
    #[error("the folder `{path}`: {source}")]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("the name of `{0}` is not UTF-8, which the item's `path` cannot hold")]
    Name(PathBuf),
}

/// The regular files that match, as paths relative to the workflow file's folder, in the order of
/// their names' bytes. `*` and `?` stay within a name; `**` spans folders; names that begin with a
/// dot match as any other. Links to folders are not followed, links to files are, below the root.
pub(crate) fn matching(root: &Root, pattern: &str, base: Base) -> Result<Vec<PathBuf>, FilesError> {
    let (fixed, rest) = split(pattern);
    let glob = GlobBuilder::new(rest).literal_separator(true).build()?.compile_matcher();
    let depth = if rest.contains("**") { usize::MAX } else { rest.split('/').count() };
    let mut found = Vec::new();
    let mut pending: Vec<_> =
        root.folder(fixed, base)?.map(|start| (start, PathBuf::new())).into_iter().collect();
    while let Some((folder, below)) = pending.pop() {
        let failed = |source| FilesError::Folder { path: fixed.join(&below), source };
        for entry in folder.entries().map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let path = below.join(&name);
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                if path.components().count() < depth {
                    pending.push((folder.open_dir(&name).map_err(failed)?, path));
                }
            } else if glob.is_match(&path) && is_file(&folder, Path::new(&name), kind) {
                let path = fixed.join(path);
                if path.to_str().is_none() {
                    return Err(FilesError::Name(path));
                }
                found.push(path);
            }
        }
    }
    found.sort_unstable_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    Ok(found)
}

/// Whether it is a regular file, or a link to one that stays below the root.
fn is_file(folder: &Dir, name: &Path, kind: FileType) -> bool {
    kind.is_file() || kind.is_symlink() && folder.metadata(name).is_ok_and(|target| target.is_file())
}

/// The leading folders that hold no wildcard, and the rest.
fn split(pattern: &str) -> (&Path, &str) {
    let wild = pattern.find(['*', '?', '[', '{']).unwrap_or(pattern.len());
    let cut = pattern.get(..wild).and_then(|fixed| fixed.rfind('/'));
    match cut.and_then(|cut| Some((pattern.get(..cut)?, pattern.get(cut + 1..)?))) {
        Some((fixed, rest)) => (Path::new(if fixed.is_empty() { "/" } else { fixed }), rest),
        None => (Path::new(""), pattern),
    }
}

impl Root {
    /// Opens a folder; none where there is none.
    fn folder(&self, path: &Path, base: Base) -> Result<Option<Dir>, RootError> {
        let folder = match base {
            Base::Workflow => self.open_folder(&self.inside(path)?),
            Base::CommandLine => {
                Dir::open_ambient_dir(here(path), cap_std::ambient_authority()).map_err(RootError::Io)
            }
        };
        match folder {
            Err(RootError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_below_the_root_in_name_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        for name in ["flow/b.md", "flow/a.md", "flow/deep/er/c.md", "flow/a.txt", "top.md", "flow/.hidden.md"]
        {
            let file = path.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, name).unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", path.join("flow/out.md")).unwrap();
        std::os::unix::fs::symlink("a.md", path.join("flow/link.md")).unwrap();
        std::os::unix::fs::symlink("..", path.join("flow/loop")).unwrap();
        let root = Root::open(&path, &path.join("flow")).unwrap();
        let found = |pattern: &str| {
            let found = matching(&root, pattern, Base::Workflow).unwrap();
            found.iter().map(|path| path.to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(found("*.md"), [".hidden.md", "a.md", "b.md", "link.md"]);
        assert_eq!(found("**/*.md"), [".hidden.md", "a.md", "b.md", "deep/er/c.md", "link.md"]);
        assert_eq!(found("../*.md"), ["../top.md"]);
        assert_eq!(found("deep/**/c.md"), ["deep/er/c.md"]);
        assert_eq!(found("none/*.md"), Vec::<String>::new());
        assert_eq!(found("a.txt"), ["a.txt"]);
        assert!(matching(&root, "../../*.md", Base::Workflow).is_err());
        assert!(matching(&root, "[", Base::Workflow).is_err());
    }
}

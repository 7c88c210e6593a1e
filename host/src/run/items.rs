//! A group's items, made one at a time: a range of ten million costs what a range of one does.

use std::path::PathBuf;
use std::sync::Arc;

use super::evaluate::{EvaluateError, Item, Scope};
use super::root::{Root, RootError};
use crate::digest::Digest;
use crate::model::{Base, Items, Value};

/// Items whose number is known, ready to be made.
#[derive(Clone, Debug)]
pub(crate) enum OpenItems {
    Range(i64, u64),
    List(Arc<[Value]>),
    Bytes(bytes::Bytes),
    Literal(Arc<[serde_json::Value]>),
    Matrix(Arc<[(Arc<str>, Vec<serde_json::Value>)]>),
    Files(Arc<[PathBuf]>),
    Lines(Lines),
    Jsonl(Lines, Arc<PathBuf>),
}

/// A file's lines, without their ends.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    text: Arc<str>,
    /// Where each line starts, and one more for the end.
    starts: Arc<[usize]>,
}

/// Why a group has no items.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ItemsError {
    #[error(transparent)]
    Value(#[from] EvaluateError),
    #[error("`{path}`: {source}")]
    File { path: PathBuf, source: RootError },
    #[error("`{path}` is not UTF-8 text (byte {at})")]
    NotText { path: PathBuf, at: usize },
    #[error("files that match `{pattern}`: {source}")]
    Files { pattern: String, source: super::files::FilesError },
    #[error("{count} branches are more than `max-branches = {bound}`")]
    TooMany { count: u64, bound: u32 },
    #[error("`split` would make a list of {length} items, and {most} are the most", most = crate::model::LONGEST_LIST)]
    TooLong { length: u64 },
}

impl OpenItems {
    /// Finds the items. Reads files, so it may block.
    pub(crate) fn open(items: &Items, scope: &Scope) -> Result<Self, ItemsError> {
        Ok(match items {
            Items::List(expr) => match scope.evaluate(expr)? {
                Value::List(items) => Self::List(items),
                Value::Bytes(bytes) => Self::Bytes(bytes),
                _ => return Err(EvaluateError::Shape.into()),
            },
            Items::Range { start, end } => Self::Range(*start, end.abs_diff(*start)),
            Items::Literal(items) => Self::Literal(items.as_slice().into()),
            Items::Matrix(axes) => Self::Matrix(axes.as_slice().into()),
            Items::Files { pattern, base } => {
                let files = super::files::matching(&scope.root, pattern, *base)
                    .map_err(|source| ItemsError::Files { pattern: pattern.clone(), source })?;
                Self::Files(files.into())
            }
            Items::Lines { path, base } => Self::Lines(Lines::read(&scope.root, path, *base)?),
            Items::Jsonl { path, base } => {
                Self::Jsonl(Lines::read(&scope.root, path, *base)?, Arc::new(path.clone()))
            }
        })
    }

    /// A digest of items that come from outside the workflow file, and so may be others next time.
    pub(crate) fn digest(&self) -> Option<Digest> {
        match self {
            Self::Range(..) | Self::Literal(_) | Self::Matrix(_) => None,
            Self::List(items) => {
                let mut bytes = Vec::new();
                // Any form will do that differs where the items do; values always have this one.
                serde_json::to_writer(&mut bytes, items).ok()?;
                Some(Digest::of(&bytes))
            }
            Self::Bytes(bytes) => Some(Digest::of(bytes)),
            Self::Files(files) => {
                let names = files.iter().flat_map(|path| [path.as_os_str().as_encoded_bytes(), b"\0"]);
                Some(Digest::of(&names.collect::<Vec<_>>().concat()))
            }
            Self::Lines(lines) | Self::Jsonl(lines, _) => Some(Digest::of(lines.text.as_bytes())),
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        match self {
            Self::Range(_, count) => *count,
            Self::List(items) => items.len() as u64,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Literal(items) => items.len() as u64,
            Self::Matrix(axes) => {
                axes.iter().fold(1, |product: u64, (_, values)| product.saturating_mul(values.len() as u64))
            }
            Self::Files(files) => files.len() as u64,
            Self::Lines(lines) | Self::Jsonl(lines, _) => lines.count() as u64,
        }
    }

    /// The item at position `index`, which is below the count.
    pub(crate) fn item(&self, index: u64) -> Result<Item, String> {
        let at = usize::try_from(index).map_err(|_| format!("there is no item {index}"))?;
        let item = match self {
            Self::Range(start, _) => Some(Item::Json(start.saturating_add_unsigned(index).into())),
            Self::List(items) => items.get(at).cloned().map(Item::Value),
            Self::Bytes(bytes) => bytes.get(at).map(|byte| Item::Value(Value::U8(*byte))),
            Self::Literal(items) => items.get(at).cloned().map(Item::Json),
            Self::Matrix(axes) => Some(Item::Json(combination(axes, at))),
            Self::Files(files) => files.get(at).map(|path| Item::Value(file_item(path))),
            Self::Lines(lines) => lines.line(at).map(|line| Item::Value(Value::string(line))),
            Self::Jsonl(lines, path) => match lines.line(at).map(serde_json::from_str) {
                Some(Ok(json)) => Some(Item::Json(json)),
                Some(Err(error)) => {
                    return Err(format!("line {} of `{}` is not JSON: {error}", at + 1, path.display()));
                }
                None => None,
            },
        };
        item.ok_or_else(|| format!("there is no item {index}"))
    }
}

/// The combination at position `at`, the last axis the fastest.
fn combination(axes: &[(Arc<str>, Vec<serde_json::Value>)], at: usize) -> serde_json::Value {
    let mut rest = at;
    let mut chosen: Vec<(String, serde_json::Value)> = Vec::with_capacity(axes.len());
    for (name, values) in axes.iter().rev() {
        if let Some(value) = values.get(rest % values.len().max(1)) {
            chosen.push((name.to_string(), value.clone()));
        }
        rest /= values.len().max(1);
    }
    serde_json::Value::Object(chosen.into_iter().rev().collect())
}

/// A file's item: `path` relative to the workflow file's folder, `name`, and `stem`.
fn file_item(path: &std::path::Path) -> Value {
    let text = |part: Option<&std::ffi::OsStr>| Value::string(&part.unwrap_or_default().to_string_lossy());
    Value::Record(Arc::new([text(Some(path.as_os_str())), text(path.file_name()), text(path.file_stem())]))
}

impl Lines {
    fn read(root: &Root, path: &std::path::Path, base: Base) -> Result<Self, ItemsError> {
        let bytes =
            root.read(path, base).map_err(|source| ItemsError::File { path: path.to_owned(), source })?;
        let text = str::from_utf8(&bytes)
            .map_err(|error| ItemsError::NotText { path: path.to_owned(), at: error.valid_up_to() })?;
        Ok(Self::of(text.into()))
    }

    fn of(text: Arc<str>) -> Self {
        let mut starts = vec![0];
        starts.extend(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1));
        // A last line without an end is a line; an end at the very end starts none.
        if starts.last() != Some(&text.len()) {
            starts.push(text.len());
        }
        Self { text, starts: starts.into() }
    }

    fn count(&self) -> usize {
        self.starts.len() - 1
    }

    fn line(&self, at: usize) -> Option<&str> {
        let line = self.text.get(*self.starts.get(at)?..*self.starts.get(at + 1)?)?;
        let line = line.strip_suffix('\n').unwrap_or(line);
        Some(line.strip_suffix('\r').unwrap_or(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_as_editors_count_them() {
        let lines = |text: &str| {
            let lines = Lines::of(text.into());
            (0..lines.count()).map(|at| lines.line(at).unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(lines(""), Vec::<String>::new());
        assert_eq!(lines("a"), ["a"]);
        assert_eq!(lines("a\n"), ["a"]);
        assert_eq!(lines("a\r\n\nb"), ["a", "", "b"]);
        assert_eq!(lines("\n"), [""]);
    }

    #[test]
    fn a_matrix_has_every_combination_with_the_last_axis_fastest() {
        let axis = |name: &str, values: &[&str]| {
            (Arc::from(name), values.iter().map(|value| (*value).into()).collect::<Vec<serde_json::Value>>())
        };
        let items = OpenItems::Matrix([axis("size", &["s", "l"]), axis("color", &["r", "g", "b"])].into());
        assert_eq!(items.count(), 6);
        let shown: Vec<String> = (0..6)
            .map(|at| match items.item(at).unwrap() {
                Item::Json(json) => json.to_string(),
                Item::Value(value) => panic!("{value:?}"),
            })
            .collect();
        assert_eq!(shown[0], r#"{"size":"s","color":"r"}"#);
        assert_eq!(shown[2], r#"{"size":"s","color":"b"}"#);
        assert_eq!(shown[3], r#"{"size":"l","color":"r"}"#);
    }
}

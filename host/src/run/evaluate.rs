//! Makes values of expressions. Types were checked when the workflow was resolved; what can still
//! go wrong here is the world: files, environment, and JSON that was not known before the run.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::items::{ItemsError, OpenItems};
use super::root::Root;
use super::secrets::Secrets;
use crate::digest::Digest;
use crate::interface::{JsonError, from_json, to_text};
use crate::journal::FileRead;
use crate::model::{Base, Expr, Items, LONGEST_LIST, Part, Source, Type, Value};

/// What expressions may refer to.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// The values of nodes by position; none for those that have none, or not yet.
    pub(crate) values: Arc<Vec<Option<Value>>>,
    /// The branch's item, in a for-each group.
    pub(crate) item: Option<Item>,
    /// The branch's position.
    pub(crate) index: u32,
    /// Where files are.
    pub(crate) root: Arc<Root>,
    /// What the environment holds.
    pub(crate) secrets: Secrets,
    /// Takes down which files are read, where anybody wants to know.
    pub(crate) read: Option<Arc<Mutex<Vec<FileRead>>>>,
}

/// A branch's item.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// Of a list, a file or a line.
    Value(Value),
    /// Of a literal list, a range, a matrix or JSON lines.
    Json(serde_json::Value),
}

/// Why an expression has no value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EvaluateError {
    #[error("`{path}`: {source}")]
    File { path: PathBuf, source: super::root::RootError },
    #[error("`{path}` is not UTF-8 text (byte {at}); a `list<u8>` parameter takes any bytes")]
    NotText { path: PathBuf, at: usize },
    #[error("the item does not fit: {0}")]
    Item(#[from] JsonError),
    #[error("the item's `{0}` is no string, number or bool, and cannot stand inside text")]
    NotScalar(String),
    #[error("the item has no `{0}`")]
    MissingInItem(Arc<str>),
    #[error(transparent)]
    Items(#[from] Box<ItemsError>),
    #[error("{0}")]
    NoItem(String),
    #[error("the environment variable `{0}` is not set")]
    MissingSecret(Arc<str>),
    #[error("list position {position} is out of bounds: the list has {length} elements")]
    OutOfBounds { position: u32, length: usize },
    #[error("nothing gave this argument")]
    NotGiven,
    #[error("a value does not have the shape that the workflow was checked for; please report this")]
    Shape,
}

impl Scope {
    /// The expression's value.
    pub(crate) fn evaluate(&self, expr: &Expr) -> Result<Value, EvaluateError> {
        let boxed = |expr: &Expr| self.evaluate(expr).map(|value| Some(Arc::new(value)));
        Ok(match expr {
            Expr::Literal(value) => value.clone(),
            Expr::Reference { source, path } => self.reference(*source, path)?,
            Expr::Item { path, ty } => from_json(self.json(path)?, ty)?,
            Expr::Given => return Err(EvaluateError::NotGiven),
            Expr::Items { items, ty } => self.items(items, ty)?,
            Expr::Text(parts) => Value::String(self.text(parts)?.into()),
            Expr::Bytes(expr) => match self.evaluate(expr)? {
                Value::String(text) => Value::Bytes(Bytes::copy_from_slice(text.as_bytes())),
                _ => return Err(EvaluateError::Shape),
            },
            Expr::File { path, base, text } => self.file(path, *base, *text)?,
            Expr::Secret { name } => self.secret(name)?,
            Expr::List(items) => Value::List(self.all(items)?),
            Expr::Tuple(items) => Value::Tuple(self.all(items)?),
            Expr::Record(items) => Value::Record(self.all(items)?),
            Expr::Some(expr) => Value::Option(boxed(expr)?),
            Expr::Variant(case, expr) => Value::Variant(*case, boxed(expr)?),
            Expr::Result(Ok(expr)) => Value::Result(Ok(boxed(expr)?)),
            Expr::Result(Err(expr)) => Value::Result(Err(boxed(expr)?)),
        })
    }

    /// The values of all arguments, in order, where some are given from elsewhere.
    pub(crate) fn arguments(
        &self,
        exprs: &[Expr],
        given: Option<&[Option<Value>]>,
    ) -> Result<Vec<Value>, EvaluateError> {
        let Some(given) = given else { return self.all(exprs) };
        let given = given.iter().chain(std::iter::repeat(&None));
        let argument = |(expr, given): (&Expr, &Option<Value>)| match given {
            Some(value) => Ok(value.clone()),
            None => self.evaluate(expr),
        };
        exprs.iter().zip(given).map(argument).collect()
    }

    /// The values of all `exprs`, in order.
    pub(crate) fn all<C: FromIterator<Value>>(&self, exprs: &[Expr]) -> Result<C, EvaluateError> {
        exprs.iter().map(|expr| self.evaluate(expr)).collect()
    }

    fn reference(&self, source: Source, path: &[u32]) -> Result<Value, EvaluateError> {
        let whole = match source {
            Source::Node(node) => self.values.get(node.index()).and_then(Option::as_ref),
            Source::Item => match &self.item {
                Some(Item::Value(value)) => Some(value),
                Some(Item::Json(_)) | None => None,
            },
            Source::Index => return Ok(Value::U64(u64::from(self.index))),
        };
        path.iter()
            .try_fold(whole.ok_or(EvaluateError::Shape)?, |value, position| part(value, *position))
            .cloned()
            .or_else(|error| byte(whole, path).ok_or(error))
    }

    fn json(&self, path: &[Arc<str>]) -> Result<&serde_json::Value, EvaluateError> {
        let Some(Item::Json(item)) = &self.item else { return Err(EvaluateError::Shape) };
        path.iter().try_fold(item, |json, step| {
            let part = match json {
                serde_json::Value::Array(items) => step.parse().ok().and_then(|at: usize| items.get(at)),
                other => other.get(&**step),
            };
            part.ok_or_else(|| EvaluateError::MissingInItem(Arc::clone(step)))
        })
    }

    /// All items as one list of `ty`.
    fn items(&self, items: &Items, ty: &Type) -> Result<Value, EvaluateError> {
        let open = OpenItems::open(items, self).map_err(Box::new)?;
        let count = open.count();
        if count > LONGEST_LIST {
            return Err(Box::new(ItemsError::TooLong { length: count }).into());
        }
        let mut values = Vec::new();
        for at in 0..count {
            values.push(match open.item(at).map_err(EvaluateError::NoItem)? {
                Item::Value(value) => value,
                Item::Json(json) => from_json(&json, ty)?,
            });
        }
        super::join::list(values, *ty == Type::U8).ok_or(EvaluateError::Shape)
    }

    fn text(&self, parts: &[Part]) -> Result<String, EvaluateError> {
        let mut text = String::new();
        for part in parts {
            match part {
                Part::Text(piece) => text.push_str(piece),
                Part::Value(expr) => {
                    let value = self.evaluate(expr)?;
                    text.push_str(&scalar_text(&value).ok_or(EvaluateError::Shape)?);
                }
                Part::Item { path } => text.push_str(&json_text(self.json(path)?, path)?),
            }
        }
        Ok(text)
    }

    fn file(&self, path: &Expr, base: Base, text: bool) -> Result<Value, EvaluateError> {
        let Value::String(path) = self.evaluate(path)? else { return Err(EvaluateError::Shape) };
        let path = PathBuf::from(&*path);
        let bytes = match self.root.read(&path, base) {
            Ok(bytes) => bytes,
            Err(source) => return Err(EvaluateError::File { path, source }),
        };
        if let Some(read) = &self.read {
            let (path, given) = (path.to_string_lossy().into_owned(), base == Base::CommandLine);
            let file = FileRead { path, given, digest: Digest::of(&bytes) };
            read.lock().unwrap_or_else(PoisonError::into_inner).push(file);
        }
        if !text {
            return Ok(Value::Bytes(bytes));
        }
        match str::from_utf8(&bytes) {
            Ok(text) => Ok(Value::string(text)),
            Err(error) => Err(EvaluateError::NotText { path, at: error.valid_up_to() }),
        }
    }

    fn secret(&self, name: &Arc<str>) -> Result<Value, EvaluateError> {
        let value = self.secrets.get(name).ok_or_else(|| EvaluateError::MissingSecret(Arc::clone(name)))?;
        Ok(Value::String(Arc::clone(value)))
    }
}

/// The field or element at `position`.
fn part(value: &Value, position: u32) -> Result<&Value, EvaluateError> {
    match value {
        Value::Record(parts) | Value::Tuple(parts) => {
            parts.get(position as usize).ok_or(EvaluateError::Shape)
        }
        Value::List(parts) => {
            parts.get(position as usize).ok_or(EvaluateError::OutOfBounds { position, length: parts.len() })
        }
        Value::Bytes(bytes) => Err(EvaluateError::OutOfBounds { position, length: bytes.len() }),
        _ => Err(EvaluateError::Shape),
    }
}

/// The byte that a path ends at, since bytes are no values of their own.
fn byte(whole: Option<&Value>, path: &[u32]) -> Option<Value> {
    let (last, front) = path.split_last()?;
    let list = front.iter().try_fold(whole?, |value, position| part(value, *position).ok())?;
    let Value::Bytes(bytes) = list else { return None };
    bytes.get(*last as usize).map(|byte| Value::U8(*byte))
}

/// A scalar as text stands for it.
fn scalar_text(value: &Value) -> Option<String> {
    let ty = match value {
        Value::Bool(_) => Type::Bool,
        Value::S8(_) => Type::S8,
        Value::U8(_) => Type::U8,
        Value::S16(_) => Type::S16,
        Value::U16(_) => Type::U16,
        Value::S32(_) => Type::S32,
        Value::U32(_) => Type::U32,
        Value::S64(_) => Type::S64,
        Value::U64(_) => Type::U64,
        Value::F32(_) => Type::F32,
        Value::F64(_) => Type::F64,
        Value::Char(_) => Type::Char,
        Value::String(_) => Type::String,
        Value::Bytes(_)
        | Value::List(_)
        | Value::Option(_)
        | Value::Result(_)
        | Value::Tuple(_)
        | Value::Record(_)
        | Value::Variant(..)
        | Value::Enum(_)
        | Value::Flags(_) => return None,
    };
    to_text(value, &ty)
}

/// A JSON scalar as text stands for it.
fn json_text(json: &serde_json::Value, path: &[Arc<str>]) -> Result<String, EvaluateError> {
    match json {
        serde_json::Value::String(text) => Ok(text.clone()),
        serde_json::Value::Number(_) | serde_json::Value::Bool(_) => Ok(json.to_string()),
        serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
            Err(EvaluateError::NotScalar(path.join(".")))
        }
    }
}

//! What runs: one export of a component, and where its arguments come from.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Parameter, Policy, Type, Value};
use crate::id::NodeId;

/// A named call of one export of a component.
#[derive(Clone, PartialEq, Debug)]
pub struct Task {
    /// The task's name in the workflow file.
    pub name: Arc<str>,
    /// Position in [`Workflow::components`](super::Workflow).
    pub component: usize,
    /// What is called.
    pub entry: Entry,
    /// The entry's parameters and result.
    pub signature: Arc<Signature>,
    /// One for each parameter, in order.
    pub arguments: Vec<Expr>,
    /// How its attempts run.
    pub policy: Policy,
    /// What it may ask of the run.
    pub flow: Flow,
}

impl Task {
    /// Its parameters, and whether the file has a value for each.
    #[must_use]
    pub fn parameters(&self) -> Vec<Parameter> {
        let each = self.signature.parameters.iter().zip(&self.arguments);
        let parameter = |((name, ty), expr): (&(Arc<str>, Type), &Expr)| Parameter {
            name: Arc::clone(name),
            ty: ty.clone(),
            known: *expr != Expr::Given,
        };
        each.map(parameter).collect()
    }
}

/// What a task may ask of the run. The default is nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flow {
    /// Tasks that it may start, each a [`Kind::Started`](super::Kind).
    pub may_start: Vec<NodeId>,
    /// So often a branch of it may run, the first time included. Not 0.
    pub max_iterations: u32,
    /// Whether it may end the run.
    pub may_end: bool,
}

impl Default for Flow {
    fn default() -> Self {
        Self { may_start: Vec::new(), max_iterations: 1, may_end: false }
    }
}

impl Flow {
    /// Whether it may ask for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What an attempt calls.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Entry {
    /// An exported function.
    Function {
        /// The exported interface that holds it, with its version as the component writes it; none
        /// for a function of the world itself.
        interface: Option<Arc<str>>,
        /// The function's name.
        name: Arc<str>,
    },
    /// The component's `wasi:cli/run`. Its parameters are `args: list<string>`, `stdin: list<u8>`
    /// and `env: list<tuple<string, string>>`; its value is what it writes to stdout.
    Command {
        /// Whether the value is `list<u8>`; else it is `string`.
        bytes: bool,
    },
}

/// Parameters and result of an entry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Signature {
    /// Names and types in order.
    pub parameters: Vec<(Arc<str>, Type)>,
    /// What the export returns, a `result<T, E>` included; [`Type::unit`] where it returns nothing.
    pub result: Type,
}

impl Signature {
    /// The parameters and result of a `wasi:cli/run` command.
    #[must_use]
    pub fn command(bytes: bool) -> Self {
        let pair = Type::Tuple(Arc::new([Type::String, Type::String]));
        Self {
            parameters: vec![
                (Arc::from("args"), Type::list(Type::String)),
                (Arc::from("stdin"), Type::bytes()),
                (Arc::from("env"), Type::list(pair)),
            ],
            result: if bytes { Type::bytes() } else { Type::String },
        }
    }
}

/// Where a value comes from. Its type was checked when the workflow was resolved.
#[derive(Clone, PartialEq, Debug)]
pub enum Expr {
    /// A value written in the file, or given by an input.
    Literal(Value),
    /// `${source.path}`: a value of another node or of the item, or a part of it.
    Reference {
        /// What is referred to.
        source: Source,
        /// Positions of record fields and tuple or list elements, outermost first.
        path: Vec<u32>,
    },
    /// `${item.path}` where the items are JSON: a literal list, a range, a matrix, JSON lines.
    Item {
        /// Keys of objects and positions in arrays, outermost first.
        path: Vec<Arc<str>>,
        /// The type that the JSON is read as.
        ty: Type,
    },
    /// Text with values inside.
    Text(Vec<Part>),
    /// The UTF-8 bytes of a string: `list<u8>`.
    Bytes(Box<Expr>),
    /// A file's bytes, read when the branch starts.
    File {
        /// The path.
        path: Box<Expr>,
        /// Where a relative path starts and what bounds it.
        base: Base,
        /// Whether the value is `string`, and the file must be UTF-8; else it is `list<u8>`.
        text: bool,
    },
    /// A variable of flowhost's environment: a secret string.
    Secret {
        /// The variable's name.
        name: Arc<str>,
    },
    /// What the task is started or run again with. Nothing in the file.
    Given,
    /// All of a group's items as one list, for the task that splits them.
    Items {
        /// What they are made of; never [`Items::List`].
        items: Box<Items>,
        /// The type of each, which JSON is read as.
        ty: Type,
    },
    /// A list other than `list<u8>`, of expressions.
    List(Vec<Expr>),
    /// A tuple of expressions.
    Tuple(Vec<Expr>),
    /// A record of expressions, in the type's order.
    Record(Vec<Expr>),
    /// `option<T>` that holds a value.
    Some(Box<Expr>),
    /// A variant's case with a payload.
    Variant(u32, Box<Expr>),
    /// A `result` with a payload.
    Result(Result<Box<Expr>, Box<Expr>>),
}

impl Expr {
    /// Visits the expression and all inside it, outermost first.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Self)) {
        visit(self);
        match self {
            Self::Literal(_)
            | Self::Reference { .. }
            | Self::Item { .. }
            | Self::Items { .. }
            | Self::Given
            | Self::Secret { .. } => {}
            Self::Text(parts) => {
                for part in parts {
                    match part {
                        Part::Text(_) | Part::Item { .. } => {}
                        Part::Value(expr) => expr.walk(visit),
                    }
                }
            }
            Self::File { path: expr, .. }
            | Self::Bytes(expr)
            | Self::Some(expr)
            | Self::Variant(_, expr)
            | Self::Result(Ok(expr) | Err(expr)) => expr.walk(visit),
            Self::List(items) | Self::Tuple(items) | Self::Record(items) => {
                for item in items {
                    item.walk(visit);
                }
            }
        }
    }

    /// Whether making the value reads files or makes all items at once, and so may block.
    #[must_use]
    pub fn reads_files(&self) -> bool {
        let mut found = false;
        self.walk(&mut |expr| found |= matches!(expr, Self::File { .. } | Self::Items { .. }));
        found
    }
}

/// What a reference refers to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// The value of a task or group.
    Node(NodeId),
    /// The branch's item, of a list that another node made, of files, or of lines.
    Item,
    /// The branch's position in the group, a `u64`.
    Index,
}

/// A piece of text.
#[derive(Clone, PartialEq, Debug)]
pub enum Part {
    /// As it stands.
    Text(Arc<str>),
    /// A string, number, char or bool, written as JSON writes it, without quotes.
    Value(Expr),
    /// `${item.path}` where the items are JSON: a string, number or bool, written likewise. Its
    /// type is what the item has.
    Item {
        /// Keys of objects and positions in arrays, outermost first.
        path: Vec<Arc<str>>,
    },
}

/// What bounds a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Base {
    /// Relative to the workflow file's folder, and below the root.
    Workflow,
    /// Given on the command line: relative to the current folder, and allowed wherever it leads.
    CommandLine,
}

/// Where a branch's items come from.
#[derive(Clone, PartialEq, Debug)]
pub enum Items {
    /// A `list<T>`; each item is a `T`.
    List(Expr),
    /// Files that match a pattern: each item is a record of `path`, `name`, `stem`, in name order.
    Files {
        /// The pattern as written.
        pattern: String,
        /// Where a relative pattern starts and what bounds it.
        base: Base,
    },
    /// The lines of a file, without their ends. Each item is a `string`.
    Lines {
        /// The path as written.
        path: PathBuf,
        /// Where a relative path starts and what bounds it.
        base: Base,
    },
    /// The lines of a file, each a JSON value.
    Jsonl {
        /// The path as written.
        path: PathBuf,
        /// Where a relative path starts and what bounds it.
        base: Base,
    },
    /// Integers from `start` up to and without `end`.
    Range {
        /// The first.
        start: i64,
        /// One past the last. At least `start`.
        end: i64,
    },
    /// JSON values written in the file.
    Literal(Vec<serde_json::Value>),
    /// Every combination of the axes' values, the last axis the fastest. Each item is an object.
    Matrix(Vec<(Arc<str>, Vec<serde_json::Value>)>),
}

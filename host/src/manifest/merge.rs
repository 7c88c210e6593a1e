//! `merge` and `split`: how they are written, and the types that they make. What a group runs, and
//! whether the tasks that they name exist, is the business of `resolve`.

use super::diagnostics::Findings;
use super::fields::{Fields, Keys, string, word, wrong_kind};
use super::span::{At, Span};
use super::suggest::{self, brief};
use super::tree::{Data, Tree};
use crate::model::{self, MAX_BRANCHES, Type};

/// How a group's values become one.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Merge<'t> {
    Collect,
    FirstSuccess,
    Concat,
    Results,
    /// The field whose largest value decides.
    Best(At<&'t str>),
    /// The task that takes the list.
    Task(At<&'t str>),
}

/// How a group's items become those of its branches.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Split<'t> {
    Item,
    Chunk(u32),
    RoundRobin(u32),
    /// The task that makes the items.
    Task(At<&'t str>),
}

pub(super) const MERGE: Keys = Keys { known: &["best", "task"], elsewhere: &[] };
const MERGE_HELP: &str = "`merge` takes \"collect\", \"first-success\", \"concat\", \"results\", { best = \"field\" } or { task = \"name\" }";
pub(super) const SPLIT: Keys = Keys { known: &["chunk", "round-robin", "task"], elsewhere: &[] };
const SPLIT_HELP: &str =
    "`split` takes \"item\", { chunk = 100 }, { round-robin = 8 } or { task = \"name\" }";

impl<'t> Merge<'t> {
    /// Reads `merge`; none where there was a problem.
    pub(super) fn read(tree: &'t Tree, findings: &'t Findings) -> Option<At<Self>> {
        let merge = match &tree.data {
            Data::String(text) if ["best", "task"].contains(&text.as_str()) => {
                let example = if text == "best" { "{ best = \"field\" }" } else { "{ task = \"name\" }" };
                findings.at_with_help(
                    tree.span,
                    format!("`merge = \"{text}\"` says too little"),
                    format!("write {example}"),
                );
                return None;
            }
            Data::String(text) => {
                let words = [
                    ("collect", Self::Collect),
                    ("first-success", Self::FirstSuccess),
                    ("concat", Self::Concat),
                    ("results", Self::Results),
                ];
                word(At::new(tree.span, text), "`merge`", &words, findings)?
            }
            Data::Table(_) => {
                let (key, value) = one(tree, "`merge`", &MERGE, MERGE_HELP, findings)?;
                match key {
                    "best" => Self::Best(string(value, "`best`", findings)?),
                    _ => Self::Task(string(value, "`task`", findings)?),
                }
            }
            _ => return wrong_kind(tree, "`merge`", "a word or a table with one key", findings),
        };
        Some(At::new(tree.span, merge))
    }

    /// The task that it names.
    pub(super) fn task(self) -> Option<At<&'t str>> {
        match self {
            Self::Task(name) => Some(name),
            Self::Collect | Self::FirstSuccess | Self::Concat | Self::Results | Self::Best(_) => None,
        }
    }

    /// How the branches' values are joined before a last section takes them.
    pub(super) fn joined(self) -> model::Merge {
        match self {
            Self::Collect => model::Merge::Collect,
            Self::FirstSuccess => model::Merge::FirstSuccess,
            Self::Concat => model::Merge::Concat,
            Self::Results => model::Merge::Results,
            Self::Best(_) | Self::Task(_) => model::Merge::List,
        }
    }

    /// As the file names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Collect => "collect",
            Self::FirstSuccess => "first-success",
            Self::Concat => "concat",
            Self::Results => "results",
            Self::Best(_) => "best",
            Self::Task(_) => "task",
        }
    }
}

impl<'t> Split<'t> {
    /// Reads `split`; none where there was a problem.
    pub(super) fn read(tree: &'t Tree, findings: &'t Findings) -> Option<Self> {
        match &tree.data {
            Data::String(text) if ["chunk", "round-robin", "task"].contains(&text.as_str()) => {
                let message = format!("`split = \"{text}\"` says too little");
                findings.at_with_help(tree.span, message, SPLIT_HELP);
                None
            }
            Data::String(text) => {
                word(At::new(tree.span, text), "`split`", &[("item", Self::Item)], findings)
            }
            Data::Table(entries) => {
                let (key, value) = one(tree, "`split`", &SPLIT, SPLIT_HELP, findings)?;
                let fields = Fields::new(entries, "`split`", tree.span, &SPLIT, findings);
                match key {
                    "chunk" => fields.integer(key, 1, MAX_BRANCHES).map(Self::Chunk),
                    "round-robin" => fields.integer(key, 1, MAX_BRANCHES).map(Self::RoundRobin),
                    _ => Some(Self::Task(string(value, "`task`", findings)?)),
                }
            }
            _ => wrong_kind(tree, "`split`", "a word or a table with one key", findings),
        }
    }

    /// The task that it names.
    pub(super) fn task(self) -> Option<At<&'t str>> {
        match self {
            Self::Task(name) => Some(name),
            Self::Item | Self::Chunk(_) | Self::RoundRobin(_) => None,
        }
    }

    /// What becomes of the items that the branches' section opens with: each that a task made is one
    /// branch's.
    pub(super) fn of_items(self) -> model::Split {
        match self {
            Self::Item | Self::Task(_) => model::Split::Item,
            Self::Chunk(length) => model::Split::Chunk(length),
            Self::RoundRobin(parts) => model::Split::RoundRobin(parts),
        }
    }

    /// How many branches so many items make, as far as that is known, and how long the longest list of
    /// items is.
    pub(super) fn counts(self, items: u64) -> (u64, u64) {
        match self {
            Self::Task(_) => (items.min(1), items),
            Self::Item | Self::Chunk(_) | Self::RoundRobin(_) => self.of_items().counts(items),
        }
    }

    /// Whether each branch's item is a list of items, and how many are in it at most.
    pub(super) fn lists(self) -> Option<u64> {
        match self {
            Self::Item | Self::Task(_) => None,
            Self::Chunk(length) => Some(length.into()),
            Self::RoundRobin(_) => Some(u64::MAX),
        }
    }
}

/// The one key of a table, and its value. Unknown keys are reported.
fn one<'t>(
    tree: &'t Tree,
    what: &str,
    keys: &Keys,
    help: &str,
    findings: &'t Findings,
) -> Option<(&'t str, &'t Tree)> {
    let Data::Table(entries) = &tree.data else { return None };
    Fields::new(entries, what, tree.span, keys, findings);
    match entries.as_slice() {
        [entry] if keys.known.contains(&entry.key.as_str()) => Some((&entry.key, &entry.value)),
        // It is unknown, which was reported.
        [_] => None,
        _ => {
            findings.at_with_help(tree.span, format!("{what} takes a table with one key"), help);
            None
        }
    }
}

/// What is wrong with the types of a group.
pub(super) struct Unfit {
    pub(super) span: Span,
    pub(super) message: String,
    pub(super) help: String,
}

impl Unfit {
    pub(super) fn report(self, findings: &Findings) {
        findings.at_with_help(self.span, self.message, self.help);
    }
}

/// The type that values of one type are joined to.
pub(super) fn joined(merge: At<Merge<'_>>, value: &Type) -> Result<Type, Unfit> {
    match merge.value {
        Merge::Collect | Merge::Best(_) | Merge::Task(_) => Ok(Type::list(value.clone())),
        Merge::FirstSuccess => Ok(value.clone()),
        Merge::Results => {
            let ok = Some(value.clone()).filter(|value| *value != Type::unit());
            let (ok, err) = (ok.map(Into::into), Some(Type::String.into()));
            Ok(Type::list(Type::Result { ok, err }))
        }
        Merge::Concat => match value {
            Type::List(_) | Type::String => Ok(value.clone()),
            _ => Err(Unfit {
                span: merge.span,
                message: format!(
                    "`concat` joins lists, strings and bytes, and each branch's value is `{}`",
                    brief(value)
                ),
                help: "`collect` makes a list of them".to_owned(),
            }),
        },
    }
}

/// The position of the field that decides which value is the best.
pub(super) fn best(field: At<&str>, value: &Type) -> Result<u32, Unfit> {
    let At { span, value: name } = field;
    let Type::Record(record) = value else {
        return Err(Unfit {
            span,
            message: format!(
                "`best` compares a field of records, and each branch's value is `{}`",
                brief(value)
            ),
            help: "let the task return a record with a field to compare".to_owned(),
        });
    };
    let numeric = record.members.iter().filter(|field| is_number(&field.ty)).map(|field| &*field.name);
    let numbers = || match suggest::list(numeric.clone()) {
        Some(list) => format!("its numbers are {list}"),
        None => "it has no field that is a number".to_owned(),
    };
    let found = (0..).zip(&record.members).find(|(_, field)| *field.name == *name);
    match found {
        Some((position, field)) if is_number(&field.ty) => Ok(position),
        Some((_, field)) => Err(Unfit {
            span,
            message: format!("`best` compares numbers, and `{name}` is `{}`", brief(&field.ty)),
            help: numbers(),
        }),
        None => Err(Unfit {
            span,
            message: format!("`{}` has no field `{name}`", brief(value)),
            help: match suggest::closest(name, numeric.clone()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => numbers(),
            },
        }),
    }
}

fn is_number(ty: &Type) -> bool {
    match ty {
        Type::S8
        | Type::U8
        | Type::S16
        | Type::U16
        | Type::S32
        | Type::U32
        | Type::S64
        | Type::U64
        | Type::F32
        | Type::F64 => true,
        Type::Bool
        | Type::Char
        | Type::String
        | Type::List(_)
        | Type::Option(_)
        | Type::Result { .. }
        | Type::Tuple(_)
        | Type::Record(_)
        | Type::Variant(_)
        | Type::Enum(_)
        | Type::Flags(_) => false,
    }
}

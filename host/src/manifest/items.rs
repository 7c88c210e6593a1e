//! What a group runs over: the forms of `for-each`, and whether items that are written in the file
//! fit each place that uses them. Expands nothing.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value as Json;

use super::item_uses::{Axis, JsonItems, Known};
use super::paths::pattern_base;
use super::raw::Group;
use super::scope::{Item, Meaning, Scope};
use super::span::Span;
use super::suggest::{self, brief};
use super::template::Piece;
use super::tree::{Data, Entry, Tree};
use crate::interface;
use crate::model::{Base, Expr, Items, LONGEST_LIST, Type, Value, file_item_type};

/// A group's items.
pub(super) struct Read {
    pub(super) items: Items,
    /// What `${item}` is: a type, or JSON.
    pub(super) kind: ItemKind,
}

pub(super) enum ItemKind {
    Typed { ty: Type, given: bool },
    Json(JsonItems),
}

impl ItemKind {
    /// The kind of lists of items, where they are split into such, of at most so many.
    fn split(self, lists: Option<u64>) -> Self {
        let Some(most) = lists else { return self };
        match self {
            Self::Typed { ty, given } => Self::Typed { ty: Type::list(ty), given },
            Self::Json(items) => Self::Json(items.lists(most)),
        }
    }

    pub(super) fn item(&self) -> Item<'_> {
        match self {
            Self::Typed { ty, given } => Item::Typed { ty: ty.clone(), given: *given },
            Self::Json(items) => Item::Json(items),
        }
    }
}

pub(super) const FORMS: [&str; 5] = ["files", "lines", "jsonl", "range", "matrix"];
const HELP: &str = "`for-each` takes \"${list}\", an array, or one of { files = … }, { lines = … }, { jsonl = … }, { range = [0, 10] }, { matrix = { … } }";

/// 24 axes of two values each have more items than any group may.
const MOST_AXES: usize = 100;

impl Scope<'_> {
    /// Reads `for-each`, and what `split` makes of it.
    pub(super) fn items(&self, tree: &Tree, group: &Group<'_>) -> Option<Read> {
        let Read { items, kind } = self.singles(tree, group)?;
        Some(Read { items, kind: kind.split(group.split.lists()) })
    }

    fn singles(&self, tree: &Tree, group: &Group<'_>) -> Option<Read> {
        match &tree.data {
            Data::String(text) => self.listed(text, tree.span, group),
            Data::Array(array) => {
                self.count(tree.span, u64::try_from(array.len()).ok(), group)?;
                let items = self.json_all(array)?;
                let samples = items.iter().cloned().zip(array.iter().map(|item| item.span)).collect();
                Some(Read { items: Items::Literal(items), kind: json(Known::Items(samples)) })
            }
            Data::Table(entries) => match entries.as_slice() {
                [Entry { key, value, .. }] if key == "files" => self.files(value),
                [Entry { key, value, .. }] if key == "lines" => {
                    let (path, base) = self.source(value, "`lines`")?;
                    let kind = ItemKind::Typed { ty: Type::String, given: false };
                    Some(Read { items: Items::Lines { path, base }, kind })
                }
                [Entry { key, value, .. }] if key == "jsonl" => {
                    let (path, base) = self.source(value, "`jsonl`")?;
                    Some(Read { items: Items::Jsonl { path, base }, kind: json(Known::Lines) })
                }
                [Entry { key, value, .. }] if key == "range" => self.range(value, group),
                [Entry { key, value, .. }] if key == "matrix" => self.matrix(value, group),
                [Entry { key, span, .. }] => {
                    let help = match suggest::closest(key, FORMS) {
                        Some(meant) => format!("did you mean `{meant}`?"),
                        None => HELP.to_owned(),
                    };
                    self.findings.at_with_help(*span, format!("`for-each` has no form `{key}`"), help);
                    None
                }
                _ => {
                    self.findings.at_with_help(tree.span, "`for-each` takes a table with one key", HELP);
                    None
                }
            },
            Data::Refused => None,
            _ => {
                self.findings.at_with_help(tree.span, format!("`for-each` cannot be {}", tree.kind()), HELP);
                None
            }
        }
    }

    /// Refuses a count that is known and makes no sense.
    fn count(&self, span: Span, count: Option<u64>, group: &Group<'_>) -> Option<()> {
        let name = group.name.value;
        let most = group.max_branches;
        let counts = count.map(|items| group.split.counts(items));
        if let Some((_, length)) = counts.filter(|(_, length)| *length > LONGEST_LIST) {
            self.findings.at_with_help(
                span,
                format!(
                    "group `{name}` would have a list of {length} items, and {LONGEST_LIST} are the most"
                ),
                "split them into more lists",
            );
            return None;
        }
        match counts.map(|(branches, _)| branches) {
            Some(0) => {
                self.findings.at_with_help(
                    span,
                    format!("group `{name}` has no items"),
                    "give it at least one",
                );
                None
            }
            Some(count) if count <= u64::from(most) => Some(()),
            count => {
                let count = count.map_or_else(|| "more than 2^64".to_owned(), |count| count.to_string());
                let help = match most {
                    crate::model::MAX_BRANCHES => {
                        "let each branch do more of the work, so that there are fewer; `max-branches` cannot be raised further"
                    }
                    _ => "raise `max-branches`, or let each branch do more of the work",
                };
                self.findings.at_with_help(
                    span,
                    format!("group `{name}` would have {count} branches, and at most {most} are allowed"),
                    help,
                );
                None
            }
        }
    }

    /// A list of another node, or of an input.
    fn listed(&self, text: &str, span: Span, group: &Group<'_>) -> Option<Read> {
        let pieces = self.pieces(text, span)?;
        let [Piece::Reference(reference)] = pieces.as_slice() else {
            self.findings.at_with_help(span, "`for-each` cannot be text", HELP);
            return None;
        };
        let span = self.span_of(span, text, reference);
        let (expr, ty) = match self.look_up(reference, span)? {
            Meaning::Input(given) => (Expr::Literal(given.value), given.ty),
            Meaning::Part { source, path, ty } => (Expr::Reference { source, path }, ty),
            Meaning::Json { .. } => return None,
        };
        let element = match &ty {
            // A branch takes no single byte, but it takes some of them.
            Type::List(element) if !ty.is_bytes() || group.split.lists().is_some() => (**element).clone(),
            _ => {
                self.findings.at_with_help(
                    span,
                    format!("`for-each` runs over a list, and this is `{}`", brief(&ty)),
                    match &ty {
                        Type::List(_) => "split the bytes into pieces: split = { chunk = 1000000 }",
                        Type::Record(_) => "name the field that holds the list: \"${name.field}\"",
                        _ => "refer to a task that returns a list",
                    },
                );
                return None;
            }
        };
        match &expr {
            Expr::Literal(Value::List(values)) => {
                self.count(span, u64::try_from(values.len()).ok(), group)?;
            }
            Expr::Literal(Value::Bytes(bytes)) => {
                self.count(span, u64::try_from(bytes.len()).ok(), group)?;
            }
            _ => {}
        }
        Some(Read { items: Items::List(expr), kind: ItemKind::Typed { ty: element, given: false } })
    }

    /// A path that is read before the group's first branch.
    fn source(&self, tree: &Tree, what: &str) -> Option<(PathBuf, Base)> {
        let path = self.fixed_text(tree, what)?;
        if self.is_given(tree) {
            return Some((PathBuf::from(path), Base::CommandLine));
        }
        self.below_root(&path, tree.span)?;
        Some((PathBuf::from(path), Base::Workflow))
    }

    fn files(&self, tree: &Tree) -> Option<Read> {
        let pattern = self.fixed_text(tree, "`files`")?;
        let glob = globset::GlobBuilder::new(&pattern).literal_separator(true).build();
        if let Err(error) = glob {
            self.findings.at_with_help(
                tree.span,
                format!("`{pattern}` is not a pattern: {}", error.kind()),
                "a pattern has `*`, `**`, `?`, `[a-z]` and `{a,b}`, such as \"photos/**/*.jpg\"",
            );
            return None;
        }
        let given = self.is_given(tree);
        let (folder, climbs) = pattern_base(&pattern);
        if climbs {
            self.findings.at_with_help(
                tree.span,
                format!("`{pattern}` climbs with `..` after a wildcard"),
                "begin the pattern with the folder that it looks in",
            );
            return None;
        }
        if !given {
            self.below_root(&folder, tree.span)?;
        }
        let base = if given { Base::CommandLine } else { Base::Workflow };
        let kind = ItemKind::Typed { ty: file_item_type(), given };
        Some(Read { items: Items::Files { pattern, base }, kind })
    }

    fn range(&self, tree: &Tree, group: &Group<'_>) -> Option<Read> {
        let ends = match &tree.data {
            Data::Array(ends) => ends.as_slice(),
            _ => &[],
        };
        let [Tree { data: Data::Integer(start), span: first }, Tree { data: Data::Integer(end), span: last }] =
            ends
        else {
            self.findings.at_with_help(
                tree.span,
                "`range` takes two integers",
                "{ range = [0, 10] } is 0 to 9: the first, and one past the last",
            );
            return None;
        };
        if end < start {
            self.findings.at_with_help(
                tree.span,
                format!("the range ends at {end}, before it starts at {start}"),
                "the smaller end comes first",
            );
            return None;
        }
        self.count(tree.span, Some(end.abs_diff(*start)), group)?;
        // Every integer type that holds both ends holds what lies between.
        let ends = Box::new([(Json::from(*start), *first), (Json::from(end - 1), *last)]);
        Some(Read { items: Items::Range { start: *start, end: *end }, kind: json(Known::Ends(ends)) })
    }

    fn matrix(&self, tree: &Tree, group: &Group<'_>) -> Option<Read> {
        let axes = match &tree.data {
            Data::Table(axes) if !axes.is_empty() => axes,
            _ => {
                self.findings.at_with_help(
                    tree.span,
                    "`matrix` takes a table of arrays",
                    "{ matrix = { size = [1, 2], color = [\"r\", \"g\"] } } makes four items",
                );
                return None;
            }
        };
        if axes.len() > MOST_AXES {
            let help = "what has only one value can stand in the task";
            self.findings.at_with_help(tree.span, format!("the matrix has more than {MOST_AXES} axes"), help);
            return None;
        }
        let mut whole = true;
        let mut product = Some(1_u64);
        let mut read = Vec::with_capacity(axes.len());
        for axis in axes {
            let values = match &axis.value.data {
                Data::Array(values) => values,
                _ => {
                    let message = format!("axis `{}` takes an array, not {}", axis.key, axis.value.kind());
                    self.findings.at(axis.value.span, message);
                    whole = false;
                    continue;
                }
            };
            let count = u64::try_from(values.len()).ok();
            product = product.zip(count).and_then(|(product, count)| product.checked_mul(count));
            match self.json_all(values) {
                Some(json) => read.push((axis, values, json)),
                None => whole = false,
            }
        }
        if !whole {
            return None;
        }
        self.count(tree.span, product, group)?;
        let known = read.iter().map(|(axis, values, json)| Axis {
            name: axis.key.clone(),
            values: json.iter().cloned().zip(values.iter().map(|value| value.span)).collect(),
        });
        let known = Known::Axes(known.collect());
        let axes = read.into_iter().map(|(axis, _, json)| (Arc::from(axis.key.as_str()), json)).collect();
        Some(Read { items: Items::Matrix(axes), kind: json(known) })
    }

    fn json_all(&self, trees: &[Tree]) -> Option<Vec<Json>> {
        let mut all = Vec::with_capacity(trees.len());
        for tree in trees {
            all.push(self.json(tree));
        }
        all.into_iter().collect()
    }

    /// A literal as JSON. Only inputs can be referred to.
    fn json(&self, tree: &Tree) -> Option<Json> {
        Some(match &tree.data {
            Data::Refused => return None,
            Data::String(text) => {
                let pieces = self.pieces(text, tree.span)?;
                if let [Piece::Reference(reference)] = pieces.as_slice()
                    && reference.name == "inputs"
                {
                    let span = self.span_of(tree.span, text, reference);
                    let Meaning::Input(given) = self.look_up(reference, span)? else { return None };
                    return Some(interface::to_json(&given.value, &given.ty));
                }
                Json::String(self.fixed_text(tree, "an item")?)
            }
            Data::Integer(number) => Json::from(*number),
            Data::Float(number) => match serde_json::Number::from_f64(*number) {
                Some(number) => Json::Number(number),
                None if number.is_nan() => Json::from("nan"),
                None if *number > 0.0 => Json::from("inf"),
                None => Json::from("-inf"),
            },
            Data::Bool(value) => Json::Bool(*value),
            Data::Array(items) => Json::Array(self.json_all(items)?),
            Data::Table(entries) => {
                let pairs = entries.iter().map(|entry| Some((entry.key.clone(), self.json(&entry.value)?)));
                Json::Object(pairs.collect::<Option<_>>()?)
            }
        })
    }
}

fn json(known: Known) -> ItemKind {
    ItemKind::Json(JsonItems::new(known))
}

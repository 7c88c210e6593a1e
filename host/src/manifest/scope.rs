//! What a name means at one place of the file, and what was named there. Looks names up and walks
//! into types; how a value is written is the business of `expr`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::diagnostics::Findings;
use super::flow::Started;
use super::item_uses::JsonItems;
use super::paths::Folders;
use super::span::{Inside, Span};
use super::suggest;
use super::template::Reference;
use super::trust::Trust;
use crate::id::NodeId;
use crate::model::{Source, Type, Value};

/// All names of a workflow.
#[derive(Default)]
pub(super) struct Names<'t> {
    pub(super) nodes: HashMap<&'t str, NodeId>,
    /// The type of each node's value; none where a problem keeps it unknown.
    pub(super) types: Vec<Option<Type>>,
    /// Tasks that run only when others start them, with those.
    pub(super) started: Started<'t>,
    /// Tasks and groups that groups name, with whether it is a group and those groups.
    pub(super) grouped: HashMap<&'t str, (bool, Vec<&'t str>)>,
    /// None where a problem keeps an input's value unknown.
    pub(super) inputs: HashMap<&'t str, Option<Given>>,
}

/// An input's value.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) value: Value,
    pub(super) ty: Type,
    /// Whether it was given on the command line; else it is the file's default.
    pub(super) on_command_line: bool,
}

/// What `${item}` is.
pub(super) enum Item<'a> {
    /// There is none, and why.
    None(&'static str),
    /// A value of this type. `given` says that its paths come from the command line.
    Typed { ty: Type, given: bool },
    /// JSON.
    Json(&'a JsonItems),
    /// A problem keeps it unknown.
    Unknown,
}

/// What a reference means.
pub(super) enum Meaning {
    Input(Given),
    Part { source: Source, path: Vec<u32>, ty: Type },
    Json { path: Vec<Arc<str>> },
}

/// One place of the file where values stand: a task, a group, the outputs.
pub(super) struct Scope<'a> {
    pub(super) names: &'a Names<'a>,
    pub(super) folders: &'a Folders,
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
    pub(super) trust: &'a Trust,
    pub(super) findings: &'a Findings,
    pub(super) source: &'a str,
    pub(super) item: Item<'a>,
    /// Nodes that were referred to, and where first.
    pub(super) needs: RefCell<BTreeMap<NodeId, Span>>,
    /// Secrets that were named.
    pub(super) secrets: RefCell<BTreeSet<Arc<str>>>,
}

impl<'a> Scope<'a> {
    /// The same place with another `${item}`, and nothing named yet.
    pub(super) fn with_item(&self, item: Item<'a>) -> Self {
        Self { item, needs: RefCell::default(), secrets: RefCell::default(), ..*self }
    }

    /// Where a reference stands in the file.
    pub(super) fn span_of(&self, string: Span, text: &str, reference: &Reference) -> Span {
        Inside::new(self.source, string, text).at(&reference.range)
    }

    /// What `reference` means. Problems are reported at `span`.
    pub(super) fn look_up(&self, reference: &Reference, span: Span) -> Option<Meaning> {
        match reference.name.as_str() {
            "inputs" => self.input(&reference.path, span),
            "item" => self.item(&reference.path, span),
            "index" => self.index(&reference.path, span),
            name => self.node(name, &reference.path, span),
        }
    }

    fn input(&self, path: &[String], span: Span) -> Option<Meaning> {
        let Some((name, rest)) = path.split_first() else {
            self.findings.at_with_help(
                span,
                "`${inputs}` is not a value",
                "name one input: `${inputs.name}`",
            );
            return None;
        };
        let Some(given) = self.names.inputs.get(name.as_str()) else {
            if self.findings.full() {
                return None;
            }
            let names = self.names.inputs.keys().copied();
            let help = suggest::or_list(
                name,
                sorted(names),
                &format!("declare it: [inputs] {name} = {{ type = \"string\" }}"),
            );
            self.findings.at_with_help(span, format!("there is no input `{name}`"), help);
            return None;
        };
        let given = given.as_ref()?;
        let (positions, ty) = self.walk(&given.ty, rest, span)?;
        let mut value = given.value.clone();
        for position in positions {
            let Some(part) = part(&value, position) else {
                self.findings.at(span, format!("the input's value has no element {position}"));
                return None;
            };
            value = part;
        }
        Some(Meaning::Input(Given { value, ty, on_command_line: given.on_command_line }))
    }

    fn item(&self, path: &[String], span: Span) -> Option<Meaning> {
        match &self.item {
            Item::None(reason) => {
                self.findings.at_with_help(
                    span,
                    "there is no item here",
                    format!("{reason}; `${{item}}` stands only in a task that a group runs with `for-each`"),
                );
                None
            }
            Item::Typed { ty, .. } => {
                let (path, ty) = self.walk(ty, path, span)?;
                Some(Meaning::Part { source: Source::Item, path, ty })
            }
            Item::Json(_) => {
                Some(Meaning::Json { path: path.iter().map(|key| Arc::from(key.as_str())).collect() })
            }
            Item::Unknown => None,
        }
    }

    fn index(&self, path: &[String], span: Span) -> Option<Meaning> {
        if let Item::None(reason) = &self.item {
            self.findings.at_with_help(
                span,
                "there is no index here",
                format!("{reason}; `${{index}}` stands only in a task that a group runs with `for-each`"),
            );
            return None;
        }
        let (path, ty) = self.walk(&Type::U64, path, span)?;
        Some(Meaning::Part { source: Source::Index, path, ty })
    }

    fn node(&self, name: &str, path: &[String], span: Span) -> Option<Meaning> {
        let id = self.find_node(name, span)?;
        self.needs.borrow_mut().entry(id).or_insert(span);
        let ty = self.names.types.get(id.index())?.as_ref()?;
        let (path, ty) = self.walk(ty, path, span)?;
        Some(Meaning::Part { source: Source::Node(id), path, ty })
    }

    /// The lone task or group called `name`.
    pub(super) fn find_node(&self, name: &str, span: Span) -> Option<NodeId> {
        if let Some(id) = self.names.nodes.get(name) {
            return Some(*id);
        }
        if let Some((is_group, groups)) = self.names.grouped.get(name) {
            let what = if *is_group { "group" } else { "task" };
            let groups = suggest::list(groups.iter().copied()).unwrap_or_default();
            self.findings.at_with_help(
                span,
                format!("{what} `{name}` runs only in a group, so it has no value of its own"),
                format!("refer to the group that runs it: {groups}"),
            );
            return None;
        }
        if self.findings.full() {
            return None;
        }
        let help = if self.names.inputs.contains_key(name) {
            format!("an input is `${{inputs.{name}}}`")
        } else {
            let names = sorted(self.names.nodes.keys().copied());
            suggest::or_list(name, names, "the file has no tasks or groups")
        };
        self.findings.at_with_help(span, format!("there is no task or group `{name}`"), help);
        None
    }

    /// Walks into a type: the positions of the path's fields and elements, and the type there.
    fn walk(&self, ty: &Type, path: &[String], span: Span) -> Option<(Vec<u32>, Type)> {
        let mut ty = ty.clone();
        let mut positions = Vec::with_capacity(path.len());
        for segment in path {
            match step(&ty, segment) {
                Ok((position, next)) => {
                    positions.push(position);
                    ty = next;
                }
                Err(StepError { message, help }) => {
                    self.findings.at_with_help(span, message, help);
                    return None;
                }
            }
        }
        Some((positions, ty))
    }
}

fn sorted<'n>(names: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names
}

struct StepError {
    message: String,
    help: String,
}

/// One step into a type.
fn step(ty: &Type, segment: &str) -> Result<(u32, Type), StepError> {
    let position = segment.parse::<u32>().ok();
    let error = |message: String, help: &str| StepError { message, help: help.to_owned() };
    match ty {
        Type::Record(record) => {
            let found = record.members.iter().position(|field| *field.name == *segment);
            match found.and_then(|at| Some((u32::try_from(at).ok()?, record.members.get(at)?))) {
                Some((position, field)) => Ok((position, field.ty.clone())),
                None => Err(StepError {
                    message: format!("`{ty}` has no field `{segment}`"),
                    help: suggest::or_list(
                        segment,
                        record.members.iter().map(|field| &*field.name),
                        "it has no fields",
                    ),
                }),
            }
        }
        Type::Tuple(types) => {
            let found = position.and_then(|position| Some((position, types.get(position as usize)?.clone())));
            found.ok_or_else(|| {
                let help = match types.len() {
                    0 => "it is empty".to_owned(),
                    count => format!("its elements are 0 to {}", count - 1),
                };
                StepError { message: format!("`{ty}` has no element `{segment}`"), help }
            })
        }
        Type::List(_) if ty.is_bytes() => Err(error(
            format!("`{ty}` is bytes, of which no single one can be named"),
            "pass it on as a whole",
        )),
        Type::List(element) => match position {
            Some(position) => Ok((position, (**element).clone())),
            None => Err(error(
                format!("`{segment}` is no element of `{ty}`"),
                "elements of a list are named by position: `${name.0}` is the first",
            )),
        },
        Type::Option(_) => Err(error(
            format!("`{segment}` is inside of `{ty}`, which may be none"),
            "pass the option on as a whole, and let the task look inside",
        )),
        Type::Result { .. } | Type::Variant(_) => Err(error(
            format!("`{segment}` is inside of `{ty}`, which may be another case"),
            "pass it on as a whole, and let the task look inside",
        )),
        _ => Err(error(format!("`{ty}` has no parts, so no `{segment}`"), "leave the path out")),
    }
}

/// The element of a record, tuple or list.
fn part(value: &Value, position: u32) -> Option<Value> {
    match value {
        Value::Record(parts) | Value::Tuple(parts) | Value::List(parts) => {
            parts.get(position as usize).cloned()
        }
        _ => None,
    }
}

//! What a group hands to the tasks that split its items and merge its values: which parameter takes
//! it, and whether it fits. Knows one task at a time.

use super::calls::Called;
use super::expr::{described, some};
use super::item_uses::JsonItems;
use super::items::{FORMS, ItemKind, Read};
use super::raw;
use super::scope::{Meaning, Scope};
use super::span::{At, Span};
use super::suggest::{self, brief};
use super::template::Piece;
use super::tree::{Data, Tree};
use crate::id::NodeId;
use crate::model::{Entry, Expr, Source, Type};

/// The position of a parameter, and what it gets; none where that is unknown.
pub(super) type Handed = (usize, Option<Expr>);

/// A task that a group's `split` or `merge` names, and what it calls.
pub(super) struct Named<'n, 't> {
    /// Where the group names it.
    pub(super) span: Span,
    /// As in "task `t` merges group `g`".
    pub(super) does: &'static str,
    pub(super) group: At<&'t str>,
    pub(super) task: &'n raw::Task<'t>,
    pub(super) called: &'n Called,
}

impl Named<'_, '_> {
    /// The one parameter that `with` does not give. Where several are left, it is the only one without
    /// which the function cannot be called, or else the only one that what is handed fits.
    fn parameter(&self, has: Option<&Type>, scope: &Scope<'_>) -> Option<usize> {
        let task = self.task.name.value;
        let beginning = format!("task `{task}` {} group `{}`", self.does, self.group.value);
        match self.called.entry {
            Entry::Function { .. } => {}
            Entry::Command { .. } => {
                scope.findings.at_with_help(
                    self.span,
                    format!("{beginning}, and it is a command"),
                    "name a task that calls a function with a parameter for the list",
                );
                return None;
            }
        }
        let given = |name: &str| self.task.with.iter().any(|entry| entry.key == name);
        let parameters = self.called.signature.parameters.iter().enumerate();
        let open: Vec<_> = parameters.filter(|(_, (name, _))| !given(name)).collect();
        let optional = |ty: &Type| matches!(ty, Type::Option(_));
        let wanted: Vec<_> = open.iter().filter(|(_, (_, ty))| !optional(ty)).collect();
        let left = if wanted.is_empty() { open.iter().collect() } else { wanted };
        let fits = |ty: &Type| has.is_some_and(|has| options(ty, has).is_some());
        let fitting: Vec<_> = left.iter().filter(|(_, (_, ty))| fits(ty)).collect();
        match (left.as_slice(), fitting.as_slice()) {
            ([(position, _)], _) | (_, [(position, _)]) => Some(*position),
            ([], _) => {
                let help = match self.called.signature.parameters.is_empty() {
                    true => "name a task whose function takes the list",
                    false => "take the parameter that the list is for out of the task's `with`",
                };
                scope.findings.at_with_help(
                    self.span,
                    format!("{beginning}, and has no parameter left for what the group hands it"),
                    help,
                );
                None
            }
            (left, _) => {
                let names = left.iter().map(|(_, (name, _))| &**name);
                scope.findings.at_with_help(
                    self.span,
                    format!(
                        "{beginning}, and it is not clear which parameter takes what the group hands it: {}",
                        suggest::list(names).unwrap_or_default()
                    ),
                    "give all others in the task's `with`",
                );
                None
            }
        }
    }

    /// Says that what is handed does not fit. The task's other arguments can be read all the same.
    fn unlike(&self, position: usize, has: &Type, scope: &Scope<'_>) -> Option<Handed> {
        let (name, ty) = self.called.signature.parameters.get(position)?;
        scope.findings.at_with_help(
            self.span,
            format!(
                "task `{}` {} group `{}`, which hands it `{}`, but its parameter `{name}` is `{}`",
                self.task.name.value,
                self.does,
                self.group.value,
                brief(has),
                described(ty, has)
            ),
            "name a task whose parameter has that type",
        );
        Some((position, None))
    }

    fn wanted(&self, position: usize) -> Option<&Type> {
        self.called.signature.parameters.get(position).map(|(_, ty)| ty)
    }

    /// Hands over the value of the group's section before, which is of type `has`, if that is known.
    pub(super) fn value_of(&self, node: NodeId, has: Option<&Type>, scope: &Scope<'_>) -> Option<Handed> {
        let position = self.parameter(has, scope)?;
        let Some(has) = has else { return Some((position, None)) };
        let Some(depth) = options(self.wanted(position)?, has) else {
            return self.unlike(position, has, scope);
        };
        let value = Expr::Reference { source: Source::Node(node), path: Vec::new() };
        Some((position, Some((0..depth).fold(value, |expr, _| some(expr)))))
    }

    /// Hands over what `for-each` says.
    pub(super) fn items(
        &self,
        tree: &Tree,
        group: &raw::Group<'_>,
        outside: &Scope<'_>,
        scope: &Scope<'_>,
    ) -> Option<Handed> {
        if let Data::Table(entries) = &tree.data
            && let [entry] = entries.as_slice()
            && FORMS.contains(&entry.key.as_str())
        {
            let Some(Read { items, kind }) = outside.items(tree, group) else {
                return Some((self.parameter(None, scope)?, None));
            };
            let has = match &kind {
                ItemKind::Typed { ty, .. } => Some(Type::list(ty.clone())),
                ItemKind::Json(_) => None,
            };
            let position = self.parameter(has.as_ref(), scope)?;
            let (ty, depth) = match (kind, has) {
                (ItemKind::Typed { ty, .. }, Some(has)) => match options(self.wanted(position)?, &has) {
                    Some(depth) => (ty, depth),
                    None => return self.unlike(position, &has, scope),
                },
                (ItemKind::Json(items), _) => match self.json(position, &items, tree.span, scope) {
                    Some(read) => read,
                    None => return Some((position, None)),
                },
                (ItemKind::Typed { .. }, None) => return None,
            };
            let all = Expr::Items { items: Box::new(items), ty };
            return Some((position, Some((0..depth).fold(all, |expr, _| some(expr)))));
        }
        let has = self.reference(tree, outside);
        let position = self.parameter(has.as_ref(), scope)?;
        let wanted = self.wanted(position)?;
        if let Some(has) = has
            && options(wanted, &has).is_none()
        {
            return self.unlike(position, &has, scope);
        }
        Some((position, outside.typed(tree, wanted)))
    }

    /// What JSON items are read as, and how many options the list of them stands in.
    fn json(
        &self,
        position: usize,
        items: &JsonItems,
        span: Span,
        scope: &Scope<'_>,
    ) -> Option<(Type, usize)> {
        let (mut wanted, mut depth) = (self.wanted(position)?, 0);
        while let Type::Option(inner) = wanted {
            (wanted, depth) = (inner, depth + 1);
        }
        let Type::List(element) = wanted else {
            let (name, ty) = self.called.signature.parameters.get(position)?;
            scope.findings.at_with_help(
                self.span,
                format!(
                    "task `{}` {} group `{}`, which hands it a list, but its parameter `{name}` is `{}`",
                    self.task.name.value,
                    self.does,
                    self.group.value,
                    brief(ty)
                ),
                "name a task whose parameter is a list",
            );
            return None;
        };
        items.check(&[], element, span, scope.findings).then(|| ((**element).clone(), depth))
    }

    /// The type of what `tree` refers to, if it is a reference and that is known.
    fn reference(&self, tree: &Tree, scope: &Scope<'_>) -> Option<Type> {
        let Data::String(text) = &tree.data else { return None };
        let pieces = super::template::parse(text).ok()?;
        let [Piece::Reference(reference)] = pieces.as_slice() else { return None };
        match scope.look_up(reference, scope.span_of(tree.span, text, reference))? {
            Meaning::Input(given) => Some(given.ty),
            Meaning::Part { ty, .. } => Some(ty),
            Meaning::Json { .. } => None,
        }
    }
}

/// How many options `wanted` puts around `has`; none where it is another type.
fn options(wanted: &Type, has: &Type) -> Option<usize> {
    let (mut wanted, mut depth) = (wanted, 0);
    while wanted != has {
        let Type::Option(inner) = wanted else { return None };
        (wanted, depth) = (inner, depth + 1);
    }
    Some(depth)
}

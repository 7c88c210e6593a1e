//! One task: what it calls, its arguments, and the policy that defaults, task and group make
//! together. Knows one task at a time; who runs it is told.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::asks::Asks;
use super::components::Components;
use super::diagnostics::Findings;
use super::executors::Executors;
use super::expr::utf8;
use super::flow;
use super::grants::Protected;
use super::handed::Handed;
use super::raw;
use super::scope::{Meaning, Scope};
use super::settings::Settings;
use super::span::At;
use super::suggest::{self, brief};
use super::template::Piece;
use super::tree::{Data, Tree};
use crate::interface::FindError;
use crate::model::{Entry, EnvironmentValue, Expr, Grants, Policy, Signature, Task, Type, Value};

/// What a task calls.
pub(super) struct Called {
    component: usize,
    pub(super) entry: Entry,
    pub(super) signature: Arc<Signature>,
}

/// Follows `run`.
pub(super) fn find(task: &raw::Task<'_>, components: &Components<'_>, findings: &Findings) -> Option<Called> {
    let run = task.run?;
    let parts = run.value.split_once('#').filter(|(_, function)| !function.is_empty());
    let Some((alias, function)) = parts else {
        let alias = run.value.trim_end_matches('#');
        let help = match components.aliases.contains_key(alias) {
            true => format!("name the function too: \"{alias}#function\""),
            false => "write \"component#function\"".to_owned(),
        };
        findings.at_with_help(
            run.span,
            "`run` names a component and its function with `#` between them",
            help,
        );
        return None;
    };
    let Some(position) = components.aliases.get(alias) else {
        if findings.full() {
            return None;
        }
        let mut names: Vec<&str> = components.aliases.keys().copied().collect();
        names.sort_unstable();
        let help = suggest::or_list(alias, names, "declare it: [components] NAME = \"path.wasm\"");
        findings.at_with_help(run.span, format!("there is no component `{alias}`"), help);
        return None;
    };
    let component = (*position)?;
    let (_, interface) = components.read.get(component)?;
    match interface.find(function) {
        Ok(found) => {
            let bytes = match (&found.entry, task.stdout) {
                (Entry::Command { .. }, stdout) => stdout.is_some_and(|stdout| stdout.value),
                (Entry::Function { .. }, None) => false,
                (Entry::Function { .. }, Some(stdout)) => {
                    findings.at_with_help(
                        stdout.span,
                        "`stdout` is for commands, and this task calls a function",
                        format!("leave it out: the task's value is what `{function}` returns"),
                    );
                    false
                }
            };
            Some(match found.entry {
                Entry::Command { .. } => Called {
                    component,
                    entry: Entry::Command { bytes },
                    signature: Arc::new(Signature::command(bytes)),
                },
                entry @ Entry::Function { .. } => Called { component, entry, signature: found.signature },
            })
        }
        Err(FindError::Unknown { known, .. }) => {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let short = known.iter().copied().map(bare);
            let help = match suggest::closest(function, short.clone().chain(known.iter().copied())) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => match suggest::list(short) {
                    Some(list) => format!("it exports {list}"),
                    None => "it exports no function at all".to_owned(),
                },
            };
            let message = format!("component `{alias}` exports no function `{function}`");
            findings.at_with_help(run.span, message, help);
            None
        }
        Err(error) => {
            findings.at(run.span, error.to_string());
            None
        }
    }
}

/// A function's name without its interface.
fn bare(full: &str) -> &str {
    full.rsplit('.').next().unwrap_or(full)
}

/// Reads tasks.
pub(super) struct Reader<'r, 't> {
    pub(super) defaults: &'r Settings<'t>,
    pub(super) components: &'r Components<'t>,
    pub(super) protected: &'r Protected,
    pub(super) executors: &'r Executors<'r, 't>,
    pub(super) asks: RefCell<Asks>,
    /// What was read of `grants`, by where they start, since many tasks share the defaults'.
    pub(super) grants: RefCell<HashMap<usize, Option<Grants>>>,
}

impl<'t> Reader<'_, 't> {
    /// Checks grants wherever they stand, also where a nearer one replaces them.
    pub(super) fn check_grants(&self, file: &raw::File<'_>, scope: &Scope<'_>) {
        let tasks = file.tasks.iter().map(|task| &task.settings);
        let groups = file.groups.iter().map(|group| &group.settings);
        for settings in [&file.defaults].into_iter().chain(tasks).chain(groups) {
            if let Some(grants) = settings.grants {
                self.grants(grants, scope);
            }
        }
    }

    fn grants(&self, tree: &Tree, scope: &Scope<'_>) -> Option<Grants> {
        let mut known = self.grants.borrow_mut();
        known.entry(tree.span.start).or_insert_with(|| scope.grants(tree, self.protected)).clone()
    }

    /// The task as `group` runs it, or alone; with what it is handed besides its `with`.
    pub(super) fn task(
        &self,
        task: &raw::Task<'t>,
        called: &Called,
        group: Option<&raw::Group<'t>>,
        handed: Option<Handed>,
        scope: &Scope<'_>,
    ) -> Option<Task> {
        let arguments = arguments(task, called, handed, scope);
        let settings = self.settings(task, group, scope);
        let grants = match settings.grants {
            None => Some(Grants::default()),
            Some(tree) => self.grants(tree, scope),
        };
        let deterministic = settings.deterministic.unwrap_or(false);
        if deterministic {
            self.check_deterministic(task, called, &settings, grants.as_ref(), scope);
        }
        let flow = flow::allowed(task, deterministic, scope);
        let cache = settings.cache.unwrap_or(false);
        let given = arguments.as_deref().unwrap_or_default();
        if cache && holds_secret(given, grants.as_ref()) {
            refuse_cached_secret(task, scope);
        }
        let secret = || holds_secret(given, grants.as_ref());
        self.executors.used_by(task.name, settings.executor.as_ref(), secret, scope);
        let (arguments, grants) = (arguments?, grants?);
        let name: Arc<str> = Arc::from(task.name.value);
        self.asks.borrow_mut().add(&name, &grants, scope.secrets.borrow().iter());
        Some(Task {
            name,
            component: called.component,
            entry: called.entry.clone(),
            signature: Arc::clone(&called.signature),
            arguments,
            policy: Policy {
                executor: settings.executor.map(|chosen| chosen.executor).unwrap_or_default(),
                retry: settings.retry.filled(),
                limits: settings.limits.filled(),
                grants,
                deterministic,
                cache,
            },
            flow,
        })
    }

    /// What defaults, task and group say together of a task's attempts. What makes no sense whatever it
    /// calls is reported, so that a wrong argument hides nothing.
    pub(super) fn settings(
        &self,
        task: &raw::Task<'t>,
        group: Option<&raw::Group<'t>>,
        scope: &Scope<'_>,
    ) -> Settings<'t> {
        let settings = self.defaults.overlaid(&task.settings);
        let settings = group.map_or(settings.clone(), |group| settings.overlaid(&group.settings));
        settings.retry.check(scope.findings);
        if settings.cache.unwrap_or(false) && !settings.deterministic.unwrap_or(false) {
            let At { value: name, span } = task.name;
            scope.findings.at_with_help(
                span,
                format!("task `{name}` has `cache` and is not deterministic, so its outcome may differ from run to run"),
                "add `deterministic = true`, or take `cache` away",
            );
        }
        settings
    }

    fn check_deterministic(
        &self,
        task: &raw::Task<'_>,
        called: &Called,
        settings: &Settings<'_>,
        grants: Option<&Grants>,
        scope: &Scope<'_>,
    ) {
        let name = task.name.value;
        if let (Some(tree), Some(grants)) = (settings.grants, grants)
            && !grants.directories.is_empty()
        {
            scope.findings.at_with_help(
                tree.span,
                format!("task `{name}` is deterministic, so it cannot reach directories, which may change"),
                "hand it the files as arguments, { file = \"path\" }, or take `deterministic` away",
            );
        }
        if let (Some(tree), Some(grants)) = (settings.grants, grants)
            && !(grants.net.is_empty() && grants.http.is_empty())
        {
            scope.findings.at_with_help(
                tree.span,
                format!("task `{name}` is deterministic, so it cannot reach the network, which may change"),
                "let another task fetch what it needs and hand it on, or take `deterministic` away",
            );
        }
        let Some((_, interface)) = self.components.read.get(called.component) else { return };
        for import in interface.nondeterministic() {
            scope.findings.at_with_help(
                task.name.span,
                format!("task `{name}` is deterministic, and its component imports `{}`", import.name),
                "take `deterministic` away, or build the component without that import",
            );
        }
    }
}

/// Whether a task is given a secret.
fn holds_secret(arguments: &[Expr], grants: Option<&Grants>) -> bool {
    let mut environment = grants.into_iter().flat_map(|grants| &grants.environment);
    let mut secret = environment.any(|(_, value)| matches!(value, EnvironmentValue::Secret { .. }));
    for argument in arguments {
        argument.walk(&mut |expr| secret |= matches!(expr, Expr::Secret { .. }));
    }
    secret
}

/// What is kept must not give secrets away.
fn refuse_cached_secret(task: &raw::Task<'_>, scope: &Scope<'_>) {
    let At { value: name, span } = task.name;
    scope.findings.at_with_help(
        span,
        format!("task `{name}` has `cache` and is given a secret, which its kept outcome could give away"),
        "take `cache` away, or keep the secret out of this task",
    );
}

/// One expression for each parameter.
fn arguments(
    task: &raw::Task<'_>,
    called: &Called,
    handed: Option<Handed>,
    scope: &Scope<'_>,
) -> Option<Vec<Expr>> {
    let parameters = &called.signature.parameters;
    let command = matches!(called.entry, Entry::Command { .. });
    let function = task.run.map_or("", |run| run.value);
    let mut whole = true;
    let mut meant = Vec::new();
    for entry in task.with {
        let mut names = parameters.iter().map(|(name, _)| &**name);
        if !names.clone().any(|name| name == entry.key) {
            whole = false;
            if scope.findings.full() {
                break;
            }
            let message = match names.next() {
                Some(_) => format!("`{function}` has no parameter `{}`", entry.key),
                None => format!("`{function}` has no parameters"),
            };
            // What is given already was not meant.
            let given = |name: &str| task.with.iter().any(|entry| entry.key == name);
            let names = parameters.iter().map(|(name, _)| &**name);
            let open = names.clone().filter(|name| !given(name));
            meant.extend(suggest::closest(&entry.key, open.clone()));
            let help = match parameters.is_empty() {
                true => "leave `with` out".to_owned(),
                false => {
                    suggest::or_list(&entry.key, open, "leave it out: all parameters have their arguments")
                }
            };
            scope.findings.at_with_help(entry.span, message, help);
        }
    }
    let mut arguments = Vec::with_capacity(parameters.len());
    for (position, (name, ty)) in parameters.iter().enumerate() {
        if let Some((_, value)) = handed.as_ref().filter(|(taker, _)| *taker == position) {
            arguments.extend(value.clone());
            whole &= value.is_some();
            continue;
        }
        let given = task.with.iter().find(|entry| *entry.key == **name);
        let argument = match (given, ty) {
            (Some(entry), _) if command && &**name == "stdin" => stdin(&entry.value, ty, scope),
            (Some(entry), _) => scope.typed(&entry.value, ty),
            (None, Type::Option(_)) => Some(Expr::Literal(Value::Option(None))),
            (None, _) if command => Some(Expr::Literal(match ty.is_bytes() {
                true => Value::Bytes(Bytes::new()),
                false => Value::List(Arc::new([])),
            })),
            (None, _) if scope.names.started.contains_key(task.name.value) => Some(Expr::Given),
            // It is there, under a name that was reported.
            (None, _) if meant.contains(&&**name) => None,
            (None, _) => {
                scope.findings.at_with_help(
                    task.name.span,
                    format!("task `{}` has no argument for `{name}` of `{function}`", task.name.value),
                    format!("add it: with = {{ {name} = … }}; it is `{}`", brief(ty)),
                );
                None
            }
        };
        match argument {
            Some(argument) => arguments.push(argument),
            None => whole = false,
        }
    }
    whole.then_some(arguments)
}

/// A command's standard input: bytes, or a string for its bytes.
fn stdin(tree: &Tree, bytes: &Type, scope: &Scope<'_>) -> Option<Expr> {
    let Data::String(text) = &tree.data else { return scope.typed(tree, bytes) };
    let pieces = scope.pieces(text, tree.span)?;
    if let [Piece::Reference(reference)] = pieces.as_slice() {
        let span = scope.span_of(tree.span, text, reference);
        let meaning = scope.look_up(reference, span)?;
        let is_bytes = match &meaning {
            Meaning::Input(given) => given.ty.is_bytes(),
            Meaning::Part { ty, .. } => ty.is_bytes(),
            Meaning::Json { .. } => false,
        };
        return match is_bytes {
            true => scope.fit(meaning, bytes, span),
            false => scope.fit(meaning, &Type::String, span).map(utf8),
        };
    }
    scope.typed(tree, &Type::String).map(utf8)
}

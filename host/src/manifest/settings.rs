//! The keys that defaults, tasks and groups share, and how the nearer wins over the farther, key by
//! key. Knows nothing of names; grants are kept as they stand in the file.

use std::time::Duration;

use super::diagnostics::{Findings, Place};
use super::executors;
use super::fields::{Fields, Keys, string, wrong_kind};
use super::raw::File;
use super::span::At;
use super::suggest;
use super::tree::{Data, Tree};
use super::units::{self, UnitError};
use crate::model::{Executor, Limits, Retry, RetryOn};

/// An executor, and where it is named.
#[derive(Clone)]
pub(super) struct Chosen {
    pub(super) executor: Executor,
    pub(super) place: Place,
}

/// What one table says; none where it says nothing.
#[derive(Clone, Default)]
pub(super) struct Settings<'t> {
    /// None is also what `auto` says: whatever is farther decides.
    pub(super) executor: Option<Chosen>,
    pub(super) retry: RetryKeys,
    pub(super) limits: LimitKeys,
    pub(super) grants: Option<&'t Tree>,
    pub(super) deterministic: Option<bool>,
    pub(super) cache: Option<bool>,
}

#[derive(Clone, Copy, Default)]
pub(super) struct RetryKeys {
    max_attempts: Option<u32>,
    delay: Option<At<Duration>>,
    factor: Option<f64>,
    max_delay: Option<At<Duration>>,
    jitter: Option<f64>,
    on: Option<RetryOn>,
}

/// Inner options: none is unbounded.
#[derive(Clone, Copy, Default)]
pub(super) struct LimitKeys {
    memory: Option<u64>,
    timeout: Option<Option<Duration>>,
    fuel: Option<Option<u64>>,
    output: Option<u64>,
    log: Option<u64>,
}

pub(super) const RETRY: Keys =
    Keys { known: &["max-attempts", "delay", "factor", "max-delay", "jitter", "on"], elsewhere: &[] };
pub(super) const LIMITS: Keys =
    Keys { known: &["memory", "timeout", "fuel", "output", "log"], elsewhere: &[] };

/// More attempts than this are a mistake.
const MOST_ATTEMPTS: u32 = 1_000_000;

impl<'t> Settings<'t> {
    /// Reads the shared keys of a table. `named` are the executors of the file.
    pub(super) fn read(fields: &Fields<'t>, named: &[&str], findings: &'t Findings) -> Self {
        Self {
            executor: fields.string("executor").and_then(|name| match executor(name.value, named) {
                Ok(executor) => executor.map(|executor| Chosen { executor, place: Place::At(name.span) }),
                Err(UnknownExecutor { message, help }) => {
                    findings.at_with_help(name.span, message, help);
                    None
                }
            }),
            retry: RetryKeys::read(fields, findings),
            limits: LimitKeys::read(fields, findings),
            grants: fields.tree("grants"),
            deterministic: fields.boolean("deterministic"),
            cache: fields.boolean("cache"),
        }
    }

    /// `nearer` where it says something, else `self`.
    pub(super) fn overlaid(&self, nearer: &Self) -> Self {
        Self {
            executor: nearer.executor.as_ref().or(self.executor.as_ref()).cloned(),
            retry: RetryKeys {
                max_attempts: nearer.retry.max_attempts.or(self.retry.max_attempts),
                delay: nearer.retry.delay.or(self.retry.delay),
                factor: nearer.retry.factor.or(self.retry.factor),
                max_delay: nearer.retry.max_delay.or(self.retry.max_delay),
                jitter: nearer.retry.jitter.or(self.retry.jitter),
                on: nearer.retry.on.or(self.retry.on),
            },
            limits: LimitKeys {
                memory: nearer.limits.memory.or(self.limits.memory),
                timeout: nearer.limits.timeout.or(self.limits.timeout),
                fuel: nearer.limits.fuel.or(self.limits.fuel),
                output: nearer.limits.output.or(self.limits.output),
                log: nearer.limits.log.or(self.limits.log),
            },
            grants: nearer.grants.or(self.grants),
            deterministic: nearer.deterministic.or(self.deterministic),
            cache: nearer.cache.or(self.cache),
        }
    }
}

impl RetryKeys {
    fn read(fields: &Fields<'_>, findings: &Findings) -> Self {
        let Some(retry) = fields.get("retry") else { return Self::default() };
        let Some(entries) = fields.table("retry") else { return Self::default() };
        let fields = Fields::new(entries, "`retry`", retry.span, &RETRY, findings);
        let length = |key| {
            let tree = fields.tree(key)?;
            duration(tree, key, findings).map(|length| At::new(tree.span, length))
        };
        Self {
            max_attempts: fields.integer("max-attempts", 1, MOST_ATTEMPTS),
            delay: length("delay"),
            factor: fields.number("factor", 1.0, 1000.0),
            max_delay: length("max-delay"),
            jitter: fields.number("jitter", 0.0, 1.0),
            on: fields.tree("on").and_then(|tree| retry_on(tree, findings)),
        }
    }

    /// Reports a first delay that the longest would cut.
    pub(super) fn check(&self, findings: &Findings) {
        let Some(delay) = self.delay else {
            let Some(longest) = self.max_delay.filter(|longest| longest.value < Retry::default().delay)
            else {
                return;
            };
            findings.at_with_help(
                longest.span,
                format!(
                    "`max-delay` is shorter than the first delay, which is {:?} where none is given",
                    Retry::default().delay
                ),
                "give a `delay` that is no longer",
            );
            return;
        };
        let longest = self.max_delay.map(|longest| longest.value);
        let most = longest.unwrap_or(Retry::default().max_delay);
        if delay.value > most {
            let unless = if longest.is_some() { "" } else { " unless it is given" };
            findings.at_with_help(
                delay.span,
                format!(
                    "the first `delay` is {:?}, and no delay is longer than `max-delay`, which is {most:?}{unless}",
                    delay.value
                ),
                "raise `max-delay`, or shorten `delay`",
            );
        }
    }

    pub(super) fn filled(self) -> Retry {
        let default = Retry::default();
        Retry {
            max_attempts: self.max_attempts.unwrap_or(default.max_attempts),
            delay: self.delay.map_or(default.delay, |delay| delay.value),
            factor: self.factor.unwrap_or(default.factor),
            max_delay: self.max_delay.map_or(default.max_delay, |longest| longest.value),
            jitter: self.jitter.unwrap_or(default.jitter),
            on: self.on.unwrap_or(default.on),
        }
    }
}

impl LimitKeys {
    fn read(fields: &Fields<'_>, findings: &Findings) -> Self {
        let Some(limits) = fields.get("limits") else { return Self::default() };
        let Some(entries) = fields.table("limits") else { return Self::default() };
        let fields = Fields::new(entries, "`limits`", limits.span, &LIMITS, findings);
        let size = |key, least| fields.tree(key).and_then(|tree| size(tree, key, least, findings));
        Self {
            // A page of linear memory, without which no guest has any.
            memory: size("memory", 65_536),
            timeout: fields.tree("timeout").and_then(|tree| timeout(tree, findings)),
            fuel: fields.tree("fuel").and_then(|tree| fuel(tree, findings)),
            output: size("output", 1),
            log: size("log", 0),
        }
    }

    pub(super) fn filled(self) -> Limits {
        let default = Limits::default();
        Limits {
            memory: self.memory.unwrap_or(default.memory),
            timeout: self.timeout.unwrap_or(default.timeout),
            fuel: self.fuel.unwrap_or(default.fuel),
            output: self.output.unwrap_or(default.output),
            log: self.log.unwrap_or(default.log),
        }
    }
}

/// Lets executors of the command line win over those of the file.
pub(super) fn override_executors(
    file: &mut File<'_>,
    executors: &[(Option<String>, String)],
    findings: &Findings,
) {
    let named: Vec<&str> = file.executors.iter().map(|section| section.name.value).collect();
    // Those for all come first, so that those for one can win over them.
    let for_all = executors.iter().filter(|(node, _)| node.is_none());
    let for_one = executors.iter().filter(|(node, _)| node.is_some());
    for (node, name) in for_all.chain(for_one) {
        let place = || match node {
            None => Place::CommandLine(format!("--executor {name}")),
            Some(node) => Place::CommandLine(format!("--executor {node}={name}")),
        };
        let executor = match executor(name, &named) {
            // `auto` leaves it to the file.
            Ok(None) => continue,
            Ok(Some(executor)) => executor,
            Err(UnknownExecutor { message, help }) => {
                findings.add(place(), message, Some(help));
                continue;
            }
        };
        let mut found = false;
        let tasks = file.tasks.iter_mut().map(|task| (task.name.value, &mut task.settings));
        let groups = file.groups.iter_mut().map(|group| (group.name.value, &mut group.settings));
        for (name, settings) in tasks.chain(groups) {
            if node.as_ref().is_none_or(|node| node == name) {
                settings.executor = Some(Chosen { executor: executor.clone(), place: place() });
                found = true;
            }
        }
        if let (Some(node), false) = (node, found) {
            let names = file.groups.iter().map(|group| group.name.value);
            let names: Vec<&str> = names.chain(file.tasks.iter().map(|task| task.name.value)).collect();
            let help = suggest::or_list(node, names, "the file has no tasks or groups");
            findings.add(place(), format!("there is no task or group `{node}`"), Some(help));
        }
    }
}

/// Why a name is no executor, and what to do.
struct UnknownExecutor {
    message: String,
    help: String,
}

/// The executor of a name; none for `auto`. `named` are those that the file has sections of.
fn executor(name: &str, named: &[&str]) -> Result<Option<Executor>, UnknownExecutor> {
    let own = || executors::KINDS.into_iter().chain(named.iter().copied());
    match Executor::from(name) {
        Executor::Named(_) if name == "auto" => Ok(None),
        Executor::Named(_) if !own().any(|known| known == name) => {
            let here = Executor::HERE.iter().map(Executor::name);
            let known = std::iter::once("auto").chain(here).chain(own());
            Err(UnknownExecutor {
                message: format!("there is no executor `{name}`"),
                help: suggest::or_list(name, known, ""),
            })
        }
        executor => Ok(Some(executor)),
    }
}

fn retry_on(tree: &Tree, findings: &Findings) -> Option<RetryOn> {
    let Data::Array(items) = &tree.data else {
        return wrong_kind(tree, "`on`", "an array of outcomes", findings);
    };
    let mut on = RetryOn { failed: false, trapped: false, timed_out: false };
    for item in items {
        let At { span, value } = string(item, "each outcome in `on`", findings)?;
        let reason = match value {
            "failed" => {
                on.failed = true;
                continue;
            }
            "trapped" => {
                on.trapped = true;
                continue;
            }
            "timed-out" => {
                on.timed_out = true;
                continue;
            }
            "lost" => "lost attempts run again in any case",
            "cancelled" | "rejected" | "succeeded" => "such an outcome is never retried",
            _ => {
                let names = ["failed", "trapped", "timed-out"];
                let help = suggest::or_list(value, names, "");
                findings.at_with_help(span, format!("there is no outcome `{value}`"), help);
                continue;
            }
        };
        let help = "`on` takes `failed`, `trapped` and `timed-out`";
        findings.at_with_help(span, format!("`{value}` has no place in `on`: {reason}"), help);
    }
    Some(on)
}

fn unit<T>(result: Result<T, UnitError>, tree: &Tree, key: &str, findings: &Findings) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            findings.at(tree.span, format!("`{key}`: {error}"));
            None
        }
    }
}

/// Reads a duration that is the value of `key`.
pub(super) fn duration(tree: &Tree, key: &str, findings: &Findings) -> Option<Duration> {
    match &tree.data {
        Data::String(text) => unit(units::duration(text), tree, key, findings),
        Data::Integer(number) => unit(Err(UnitError::Duration(number.to_string())), tree, key, findings),
        _ => wrong_kind(tree, &format!("`{key}`"), "a duration such as \"200ms\"", findings),
    }
}

/// Reads a timeout; the inner none is "none".
pub(super) fn timeout(tree: &Tree, findings: &Findings) -> Option<Option<Duration>> {
    if tree.data == Data::String("none".to_owned()) {
        return Some(None);
    }
    let timeout = duration(tree, "timeout", findings)?;
    if timeout.is_zero() {
        findings.at_with_help(tree.span, "`timeout` is zero, so nothing could run", "\"none\" is no timeout");
        return None;
    }
    Some(Some(timeout))
}

fn size(tree: &Tree, key: &str, least: u64, findings: &Findings) -> Option<u64> {
    let size = match &tree.data {
        Data::String(text) => unit(units::size(text), tree, key, findings)?,
        Data::Integer(number) => return unit(Err(UnitError::Size(number.to_string())), tree, key, findings),
        _ => return wrong_kind(tree, &format!("`{key}`"), "a size such as \"128MiB\"", findings),
    };
    if size < least {
        findings.at(tree.span, format!("`{key}` is at least {least} bytes"));
        return None;
    }
    Some(size)
}

fn fuel(tree: &Tree, findings: &Findings) -> Option<Option<u64>> {
    match &tree.data {
        Data::String(text) if text == "none" => Some(None),
        Data::Integer(units) if *units >= 1 => u64::try_from(*units).ok().map(Some),
        Data::Integer(units) => {
            findings.at_with_help(
                tree.span,
                format!("`fuel` is at least 1, not {units}"),
                "\"none\" is no limit",
            );
            None
        }
        _ => wrong_kind(tree, "`fuel`", "an integer (about one unit an instruction) or \"none\"", findings),
    }
}

//! The keys that govern a group as a whole: how they are read, and whether they make sense with what
//! the group runs. Knows the group as typed, not the branches it will have.

use std::collections::BTreeSet;
use std::time::Duration;

use super::diagnostics::Findings;
use super::fields::{Fields, Keys, string, wrong_kind};
use super::merge::Merge;
use super::raw::{Form, Group};
use super::settings;
use super::span::{At, Span};
use super::suggest;
use super::tree::{Data, Entry, Tree};
use super::units;
use crate::model::{self, Breaker, Executor, GroupPolicy, Items, MAX_BRANCHES, RateLimit};

/// The keys that govern a group as a whole.
pub(super) struct Policies<'t> {
    /// None where a problem was reported.
    require: Option<Require<'t>>,
    /// Where it stands, if it does.
    require_span: Option<Span>,
    timeout: Option<Duration>,
    breaker: Option<Breaker>,
    rate_limit: Option<RateLimit>,
    fallback: Option<Executor>,
}

enum Require<'t> {
    All,
    Any,
    AtLeast(At<u32>),
    Critical(Vec<At<&'t str>>),
}

pub(super) const BREAKER: Keys = Keys { known: &["failures", "cooldown"], elsewhere: &[] };
const REQUIRE: Keys = Keys { known: &["at-least", "critical"], elsewhere: &[] };

/// More failures in a row than this are no failures.
const MOST_FAILURES: u32 = 1_000_000;

const REQUIRE_HELP: &str = "`require` takes \"all\", \"any\", { at-least = 3 }, or { critical = [\"name\"] } in a group with `tasks`";

impl<'t> Policies<'t> {
    pub(super) fn read(fields: &Fields<'t>, findings: &'t Findings) -> Self {
        let tree = fields.tree("require");
        Self {
            require: tree.map_or(Some(Require::All), |tree| require(tree, findings)),
            require_span: tree.map(|tree| tree.span),
            timeout: fields.tree("timeout").and_then(|tree| settings::timeout(tree, findings)).flatten(),
            breaker: fields.get("breaker").and_then(|entry| breaker(entry, fields, findings)),
            rate_limit: fields.tree("rate-limit").and_then(|tree| rate_limit(tree, findings)),
            fallback: fields.string("fallback").and_then(|name| fallback(name, findings)),
        }
    }

    /// What they say of a group that runs and merges so; none where a problem keeps it unknown. Names
    /// that are no members are left to [`Policies::check`].
    pub(super) fn resolved(&self, form: &Form<'_>, merge: Merge<'_>) -> Option<GroupPolicy> {
        let require = match self.require.as_ref()? {
            Require::All if merge.joined().takes_first() => model::Require::Any,
            Require::All => model::Require::All,
            Require::Any => model::Require::Any,
            Require::AtLeast(least) => model::Require::AtLeast(least.value),
            Require::Critical(names) => {
                let position = |name: &At<&str>| members(form).iter().position(|at| at.value == name.value);
                let positions = names.iter().filter_map(position).filter_map(|at| u32::try_from(at).ok());
                model::Require::Critical(positions.collect::<BTreeSet<_>>().into_iter().collect())
            }
        };
        let Self { timeout, breaker, rate_limit, .. } = *self;
        let fallback = self.fallback.clone();
        Some(GroupPolicy { require, timeout, breaker, rate_limit, fallback })
    }

    /// Reports what makes no sense together with what the group runs. `items` are those of a for-each
    /// group, where they are known. Returns whether all does.
    pub(super) fn check(&self, group: &Group<'_>, items: Option<&Items>, findings: &Findings) -> bool {
        let name = group.name.value;
        let Some(form) = &group.form else { return false };
        let any_fits = match &self.require {
            Some(Require::Any) | None => true,
            Some(Require::All | Require::AtLeast(_) | Require::Critical(_)) => false,
        };
        let takes_first = group.merge.is_some_and(|merge| merge.value.joined().takes_first());
        if let (Some(span), true, false) = (self.require_span, takes_first, any_fits) {
            findings.at_with_help(
                span,
                format!("group `{name}` takes the first success, so no other `require` than \"any\" fits"),
                "leave `require` out, or `merge`",
            );
            return false;
        }
        match &self.require {
            Some(Require::AtLeast(least)) => {
                let known = match form {
                    Form::Tasks(members) => u64::try_from(members.len()).ok(),
                    Form::ForEach { .. } => {
                        items.and_then(known_count).map(|items| group.split.of_items().counts(items).0)
                    }
                };
                if let Some(known) = known.filter(|known| u64::from(least.value) > *known) {
                    let branches =
                        if known == 1 { "1 branch".to_owned() } else { format!("{known} branches") };
                    findings.at_with_help(
                        least.span,
                        format!("group `{name}` has {branches}, so {} cannot succeed", least.value),
                        "require fewer, or \"all\"",
                    );
                    return false;
                }
                true
            }
            Some(Require::Critical(names)) => match form {
                Form::Tasks(members) => critical(names, members, name, findings),
                Form::ForEach { .. } => {
                    findings.at_with_help(
                        self.require_span.unwrap_or_default(),
                        format!("group `{name}` has items, and none of them has a name to be critical by"),
                        "`critical` is for groups with `tasks`; here \"all\", \"any\" or { at-least = 3 } fit",
                    );
                    false
                }
            },
            Some(Require::All | Require::Any) => true,
            None => false,
        }
    }
}

fn members<'f, 't>(form: &'f Form<'t>) -> &'f [At<&'t str>] {
    match form {
        Form::Tasks(members) => members,
        Form::ForEach { .. } => &[],
    }
}

/// How many items there are, where the file says so.
fn known_count(items: &Items) -> Option<u64> {
    match items {
        Items::List(_) | Items::Files { .. } | Items::Lines { .. } | Items::Jsonl { .. } => None,
        Items::Range { start, end } => Some(end.abs_diff(*start)),
        Items::Literal(items) => u64::try_from(items.len()).ok(),
        Items::Matrix(axes) => {
            axes.iter().try_fold(1_u64, |count, (_, values)| count.checked_mul(values.len().try_into().ok()?))
        }
    }
}

fn critical(names: &[At<&str>], members: &[At<&str>], group: &str, findings: &Findings) -> bool {
    let mut whole = true;
    for (at, name) in names.iter().enumerate() {
        let known = || members.iter().map(|member| member.value);
        if !known().any(|member| member == name.value) {
            let help = suggest::or_list(name.value, known(), "the group has no members");
            let message = format!("`{}` is critical, but no member of group `{group}`", name.value);
            findings.at_with_help(name.span, message, help);
            whole = false;
        } else if names.iter().take(at).any(|before| before.value == name.value) {
            findings.at_with_help(name.span, format!("`{}` is named twice", name.value), "once is enough");
            whole = false;
        }
    }
    whole
}

fn require<'t>(tree: &'t Tree, findings: &'t Findings) -> Option<Require<'t>> {
    let entries = match &tree.data {
        Data::String(_) => {
            let text = string(tree, "`require`", findings)?;
            return match text.value {
                "all" => Some(Require::All),
                "any" => Some(Require::Any),
                other => {
                    findings.at_with_help(text.span, format!("`require` cannot be `{other}`"), REQUIRE_HELP);
                    None
                }
            };
        }
        Data::Table(entries) => entries,
        _ => return wrong_kind(tree, "`require`", "\"all\", \"any\" or a table", findings),
    };
    let fields = Fields::new(entries, "`require`", tree.span, &REQUIRE, findings);
    match (fields.tree("at-least"), fields.tree("critical")) {
        (Some(tree), None) => {
            let least = fields.integer("at-least", 1, MAX_BRANCHES)?;
            Some(Require::AtLeast(At::new(tree.span, least)))
        }
        (None, Some(tree)) => {
            let names = fields.strings("critical");
            match &tree.data {
                Data::Array(items) if items.is_empty() => {
                    let help = "name the members that have to succeed; with none, nothing would be required";
                    findings.at_with_help(tree.span, "`critical` is empty", help);
                    None
                }
                Data::Array(items) if items.len() == names.len() => Some(Require::Critical(names)),
                // Reported with the names.
                _ => None,
            }
        }
        (Some(_), Some(_)) => {
            findings.at_with_help(
                tree.span,
                "`require` has `at-least` and `critical`",
                "one of them decides",
            );
            None
        }
        (None, None) => {
            if !fields.meant(REQUIRE.known) {
                findings.at_with_help(tree.span, "`require` requires nothing", REQUIRE_HELP);
            }
            None
        }
    }
}

fn fallback(name: At<&str>, findings: &Findings) -> Option<Executor> {
    if name.value == Executor::InProcess.name() {
        return Some(Executor::InProcess);
    }
    findings.at_with_help(
        name.span,
        format!("a group cannot fall back to `{}`", name.value),
        "`fallback` takes \"in-process\", which can always be reached",
    );
    None
}

fn breaker(entry: &Entry, fields: &Fields<'_>, findings: &Findings) -> Option<Breaker> {
    let fields = Fields::new(fields.table("breaker")?, "`breaker`", entry.span, &BREAKER, findings);
    if fields.get("failures").is_none() {
        fields.missing(
            "failures",
            "`failures` is how many in a row open it: { failures = 5, cooldown = \"30s\" }",
        );
    }
    if fields.get("cooldown").is_none() {
        fields.missing(
            "cooldown",
            "`cooldown` is the pause before a probe: { failures = 5, cooldown = \"30s\" }",
        );
    }
    let failures = fields.integer("failures", 1, MOST_FAILURES);
    let tree = fields.tree("cooldown")?;
    let cooldown = settings::duration(tree, "cooldown", findings)?;
    if cooldown.is_zero() {
        let help = "without a pause a breaker would only delay the end; leave it out instead";
        findings.at_with_help(tree.span, "`cooldown` is zero", help);
        return None;
    }
    Some(Breaker { failures: failures?, cooldown })
}

fn rate_limit(tree: &Tree, findings: &Findings) -> Option<RateLimit> {
    match &tree.data {
        Data::String(text) => match units::rate(text) {
            Ok((attempts, per)) => Some(RateLimit { attempts, per }),
            Err(error) => {
                findings.at(tree.span, format!("`rate-limit`: {error}"));
                None
            }
        },
        _ => wrong_kind(tree, "`rate-limit`", "a rate such as \"50/s\"", findings),
    }
}

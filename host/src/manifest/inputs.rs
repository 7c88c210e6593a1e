//! The values of `[inputs]`: from the command line, else the file's defaults. Reads values by their
//! types; knows nothing of who refers to them.

use std::collections::HashMap;

use super::components::Components;
use super::diagnostics::{Findings, Place};
use super::raw;
use super::scope::{Given, Scope};
use super::span::At;
use super::suggest::{self, brief};
use super::template::{self, Piece};
use super::tree::{Data, Tree};
use crate::interface::{self, TypeTextError};
use crate::model::{Expr, Type, Value};

/// The type of each input; none where a problem keeps it unknown.
pub(super) fn types<'t>(
    inputs: &[raw::Input<'t>],
    components: &Components<'t>,
    findings: &Findings,
) -> HashMap<&'t str, Option<Type>> {
    let read = |input: &raw::Input<'t>| (input.name.value, read_type(input.ty, components, findings));
    inputs.iter().map(read).collect()
}

fn read_type(text: At<&str>, components: &Components<'_>, findings: &Findings) -> Option<Type> {
    let problem = std::cell::RefCell::new(None);
    let unknown = std::cell::Cell::new(false);
    let named = |full: &str| {
        let (alias, name) = full.split_once('#')?;
        match components.aliases.get(alias) {
            Some(Some(position)) => match components.read.get(*position)?.1.named_type(name) {
                Ok(ty) => Some(ty),
                Err(error) => {
                    *problem.borrow_mut() = Some((format!("`{full}`: {error}"), None));
                    None
                }
            },
            // What is wrong with the component was reported.
            Some(None) => {
                unknown.set(true);
                None
            }
            None if findings.full() => {
                unknown.set(true);
                None
            }
            None => {
                let help =
                    suggest::or_list(alias, sorted(components.aliases.keys()), "the file has no components");
                *problem.borrow_mut() = Some((format!("there is no component `{alias}`"), Some(help)));
                None
            }
        }
    };
    let error: TypeTextError = match interface::parse_type(text.value, &named) {
        Ok(ty) => return Some(ty),
        Err(_) if unknown.get() => return None,
        Err(error) => error,
    };
    let (message, help) = problem.take().unwrap_or_else(|| (error.to_string(), None));
    findings.add(Place::At(text.span), message, help);
    None
}

fn sorted<'n>(names: impl Iterator<Item = &'n &'n str>) -> Vec<&'n str> {
    let mut names: Vec<&str> = names.copied().collect();
    names.sort_unstable();
    names
}

/// The value of each input. `scope` knows no inputs yet.
pub(super) fn values<'t>(
    inputs: &[raw::Input<'t>],
    types: &HashMap<&'t str, Option<Type>>,
    given: &[(String, String)],
    scope: &Scope<'_>,
) -> HashMap<&'t str, Option<Given>> {
    let findings = scope.findings;
    let mut texts: HashMap<&str, &str> = HashMap::new();
    for (name, text) in given {
        let place = Place::CommandLine(format!("--input {name}"));
        if !inputs.iter().any(|input| input.name.value == name) {
            let help =
                suggest::or_list(name, inputs.iter().map(|input| input.name.value), "the file has no inputs");
            findings.add(place, format!("there is no input `{name}`"), Some(help));
        } else if texts.insert(name, text).is_some() {
            findings.add(place, "it is given twice", Some("give it once".to_owned()));
        }
    }
    let value = |input: &raw::Input<'t>| {
        let ty = types.get(input.name.value)?.as_ref()?;
        // A default is checked even where it is not used.
        let default = input.default.map(|default| {
            if !refers(default)
                && let Expr::Literal(value) = scope.typed(default, ty)?
            {
                return Some(value);
            }
            findings.at_with_help(
                default.span,
                "a default is a value that stands in the file itself",
                "write the value; or leave `default` out, and give the input with --input",
            );
            None
        });
        let (value, on_command_line) = match (texts.get(input.name.value), default) {
            (Some(text), _) => (given_value(input.name.value, text, ty, findings), true),
            (None, Some(default)) => (default, false),
            (None, None) if matches!(ty, Type::Option(_)) => (Some(Value::Option(None)), false),
            (None, None) => {
                findings.at_with_help(
                    input.name.span,
                    format!("input `{}` has no value", input.name.value),
                    format!(
                        "give it with --input {}={}, or give it a `default`",
                        input.name.value,
                        example(ty)
                    ),
                );
                (None, false)
            }
        };
        Some(Given { value: value?, ty: ty.clone(), on_command_line })
    };
    inputs.iter().map(|input| (input.name.value, value(input))).collect()
}

/// Whether there are references in `tree`.
fn refers(tree: &Tree) -> bool {
    match &tree.data {
        Data::String(text) => template::parse(text)
            .is_ok_and(|pieces| pieces.iter().any(|piece| matches!(piece, Piece::Reference(_)))),
        Data::Array(items) => items.iter().any(refers),
        Data::Table(entries) => entries.iter().any(|entry| refers(&entry.value)),
        Data::Integer(_) | Data::Float(_) | Data::Bool(_) | Data::Refused => false,
    }
}

fn example(ty: &Type) -> &'static str {
    if *ty == Type::String { "TEXT" } else { "JSON" }
}

/// A string is the text itself, all else is JSON. What is no JSON may still be a word, such as an
/// enum's case without its quotes.
fn given_value(name: &str, text: &str, ty: &Type, findings: &Findings) -> Option<Value> {
    if *ty == Type::String {
        return Some(Value::string(text));
    }
    let place = || Place::CommandLine(format!("--input {name}"));
    let json = match serde_json::from_str::<serde_json::Value>(text) {
        Ok(json) => json,
        Err(error) => {
            let word = serde_json::Value::String(text.to_owned());
            if let Ok(value) = interface::from_json(&word, ty) {
                return Some(value);
            }
            let help =
                format!("`{}` is written as JSON; mind your shell's quotes: --input '{name}=…'", brief(ty));
            findings.add(place(), format!("the value is not JSON: {error}"), Some(help));
            return None;
        }
    };
    match interface::from_json(&json, ty) {
        Ok(value) => Some(value),
        Err(error) => {
            findings.add(place(), error.to_string(), Some(format!("the input is `{}`", brief(ty))));
            None
        }
    }
}

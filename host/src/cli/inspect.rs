//! `flowhost inspect`: what a component offers and what it could use.

use std::path::PathBuf;

use serde_json::json;

use super::beneath;
use super::exit::Exit;
use super::output::{error, say, told};
use crate::digest::Digest;
use crate::interface::{self, ImportKind, Interface};
use crate::model::{Signature, Type, imports};
use crate::report::{harmless, harmless_json};

#[derive(clap::Args, Debug)]
pub(super) struct Inspect {
    /// The component
    #[arg(required_unless_present = "host")]
    component: Option<PathBuf>,
    /// Show what this machine has beneath the sandbox of tasks with `executor = "process"`, instead
    #[arg(long, env = "FLOWHOST_HOST", value_parser = clap::builder::FalseyValueParser::new())]
    host: bool,
    /// Print one JSON object instead of text
    #[arg(long, env = "FLOWHOST_JSON", value_parser = clap::builder::FalseyValueParser::new())]
    json: bool,
}

impl Inspect {
    pub(super) fn execute(self) -> Exit {
        let component = match (&self.component, self.host) {
            (Some(component), false) => component,
            (None, true) => return self.beneath(),
            (Some(_), true) => {
                say("error: --host is about this machine and takes no component");
                return Exit::Usage;
            }
            (None, false) => {
                say("error: name a component, or ask about this machine with --host");
                return Exit::Usage;
            }
        };
        let path = component.display();
        let bytes = match interface::read_file(component) {
            Ok(bytes) => bytes,
            Err(failure) => {
                say(&format!("error: `{path}`: {failure}"));
                return Exit::Usage;
            }
        };
        let interface = match interface::read(&bytes) {
            Ok(interface) => interface,
            Err(failure) => {
                say(&format!("error: `{path}`: {failure}"));
                return Exit::Usage;
            }
        };
        let digest = Digest::of(&bytes);
        let shown = if self.json {
            harmless_json(&as_json(digest, &interface))
        } else {
            harmless(&as_text(digest, &interface)).into_owned()
        };
        told(&shown)
    }

    fn beneath(&self) -> Exit {
        match beneath::found() {
            Ok(found) if self.json => told(&harmless_json(&beneath::as_json(&found))),
            Ok(found) => told(&harmless(&beneath::as_text(&found))),
            Err(failure) => {
                error(&failure);
                Exit::Unreachable
            }
        }
    }
}

/// `count-words: func(path: string, text: string) -> counts`
fn function_text(name: &str, signature: &Signature) -> String {
    let parameters: Vec<String> =
        signature.parameters.iter().map(|(name, ty)| format!("{name}: {ty}")).collect();
    let result =
        if signature.result == Type::unit() { String::new() } else { format!(" -> {}", signature.result) };
    format!("{name}: func({}){result}", parameters.join(", "))
}

/// What stands for an import: that nothing provides it, the grant without which it reaches nothing, or
/// what it is for.
fn import_note(interface: &Interface, name: &str) -> &'static str {
    if interface.unprovided().iter().any(|unprovided| &*unprovided.name == name) {
        return "not provided: no task can run";
    }
    let Some(provided) = imports::find(name) else { return "" };
    match provided.needs {
        Some("env") => "the environment, with an `env` grant",
        Some("net") => "the network by address, with a `net` grant",
        Some("http") => "requests over HTTP, with an `http` grant",
        Some(_) => "directories, with a `read` or `write` grant",
        None => provided.purpose.unwrap_or_default(),
    }
}

fn as_text(digest: Digest, interface: &Interface) -> String {
    let mut lines = vec![format!("digest   {digest}")];
    for export in &interface.exports {
        lines.push(format!("task     {}", function_text(&export.full_name(), &export.signature)));
    }
    if let Some(command) = &interface.command {
        lines.push(format!("command  run ({command}): with args, stdin, env"));
    }
    for export in &interface.unsupported {
        let name = match &export.interface {
            Some(interface) => format!("{interface}.{}", export.name),
            None => export.name.to_string(),
        };
        lines.push(format!("no task  {name}: {}", export.reason));
    }
    for named in &interface.types {
        // Types of imported interfaces are the host's business; their users see them in signatures.
        if let Ok(ty) = &named.ty
            && (named.exported || named.interface.is_none())
        {
            lines.push(format!("type     {} = {}", named.name, ty.definition()));
        }
    }
    let needed = interface.imports.iter().filter(|import| import.kind != ImportKind::Types);
    for import in needed {
        let note = import_note(interface, &import.name);
        let dash = if note.is_empty() { "" } else { "  -- " };
        lines.push(format!("import   {}{dash}{note}", import.name));
    }
    lines.join("\n")
}

fn as_json(digest: Digest, interface: &Interface) -> serde_json::Value {
    let parameters = |signature: &Signature| -> Vec<serde_json::Value> {
        let one = |(name, ty): &(_, Type)| json!({ "name": name, "type": ty.to_string() });
        signature.parameters.iter().map(one).collect()
    };
    json!({
        "digest": digest,
        "tasks": interface.exports.iter().map(|export| json!({
            "interface": export.interface,
            "name": export.name,
            "parameters": parameters(&export.signature),
            "result": export.signature.result.to_string(),
        })).collect::<Vec<_>>(),
        "command": interface.command,
        "not-tasks": interface.unsupported.iter().map(|export| json!({
            "interface": export.interface,
            "name": export.name,
            "reason": export.reason.to_string(),
        })).collect::<Vec<_>>(),
        "types": interface.types.iter().filter_map(|named| {
            let ty = named.ty.as_ref().ok()?;
            Some(json!({ "interface": named.interface, "name": named.name, "type": ty.definition() }))
        }).collect::<Vec<_>>(),
        "imports": interface.imports.iter().map(|import| json!({
            "name": import.name,
            "provided": !interface.unprovided().iter().any(|unprovided| unprovided.name == import.name),
            "grant": imports::find(&import.name).and_then(|provided| provided.needs),
            "purpose": imports::find(&import.name).and_then(|provided| provided.purpose),
            "deterministic": import.provided().is_none_or(|provided| provided.deterministic),
        })).collect::<Vec<_>>(),
    })
}

//! Values as the file writes them, read by the type that their place wants: literals, references,
//! text with references inside, files, bytes and secrets.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::fields::{string, wrong_kind};
use super::scope::{Given, Item, Meaning, Scope};
use super::span::{Inside, Span};
use super::suggest;
use super::template::{self, Piece};
use super::tree::{Data, Entry, Tree};
use super::trust::is_variable;
use crate::interface;
use crate::model::{Base, Expr, Part, Source, Type, Value};

/// The tables that say where bytes or text come from.
const FORMS: [&str; 4] = ["file", "text", "base64", "env"];

impl Scope<'_> {
    /// Reads `tree` as a value of type `ty`. None where there was a problem, which was reported.
    pub(super) fn typed(&self, tree: &Tree, ty: &Type) -> Option<Expr> {
        match &tree.data {
            Data::Refused => None,
            Data::String(text) => self.string(text, tree.span, ty),
            data => match ty {
                Type::Option(inner) => self.typed(tree, inner).map(some),
                Type::String if matches!(data, Data::Table(_)) => self.form(tree, false),
                _ if ty.is_bytes() && matches!(data, Data::Table(_)) => self.form(tree, true),
                _ => self.literal(tree, ty),
            },
        }
    }

    /// A string, which may be a reference, or text with references.
    fn string(&self, text: &str, span: Span, ty: &Type) -> Option<Expr> {
        let pieces = self.pieces(text, span)?;
        if let [Piece::Reference(reference)] = pieces.as_slice() {
            let span = self.span_of(span, text, reference);
            return self.fit(self.look_up(reference, span)?, ty, span);
        }
        if let [Piece::Text(text)] = pieces.as_slice() {
            return self.word(text, span, ty);
        }
        let mut wanted = ty;
        let mut options = 0;
        while let Type::Option(inner) = wanted {
            wanted = inner;
            options += 1;
        }
        if *wanted != Type::String {
            let help = match wanted.is_bytes() {
                true => "write { text = \"…\" } for its bytes",
                false => "a value that is not text is one reference and nothing beside it: \"${name}\"",
            };
            self.findings.at_with_help(span, format!("text where `{ty}` is wanted"), help);
            return None;
        }
        let text = self.text(text, span, pieces)?;
        Some((0..options).fold(text, |expr, _| some(expr)))
    }

    /// A string's pieces.
    pub(super) fn pieces(&self, text: &str, span: Span) -> Option<Vec<Piece>> {
        match template::parse(text) {
            Ok(pieces) => Some(pieces),
            Err(errors) => {
                let inside = Inside::new(self.source, span, text);
                for error in errors {
                    self.findings.at_with_help(inside.at(&error.range()), error.to_string(), template::HELP);
                }
                None
            }
        }
    }

    /// Text with references inside. What is known already becomes part of the text.
    fn text(&self, text: &str, span: Span, pieces: Vec<Piece>) -> Option<Expr> {
        let mut parts: Vec<Part> = Vec::new();
        let mut plain = String::new();
        let mut whole = true;
        let inside = Inside::new(self.source, span, text);
        for piece in pieces {
            let reference = match piece {
                Piece::Text(text) => {
                    plain.push_str(&text);
                    continue;
                }
                Piece::Reference(reference) => reference,
            };
            let span = inside.at(&reference.range);
            let part = match self.look_up(&reference, span) {
                None => None,
                Some(Meaning::Input(Given { value, ty, .. })) => match interface::to_text(&value, &ty) {
                    Some(text) => {
                        plain.push_str(&text);
                        continue;
                    }
                    None => self.no_text(&ty, span),
                },
                Some(Meaning::Part { source, path, ty }) if ty.is_scalar() => {
                    Some(Part::Value(Expr::Reference { source, path }))
                }
                Some(Meaning::Part { ty, .. }) => self.no_text(&ty, span),
                Some(Meaning::Json { path }) => {
                    let Item::Json(items) = &self.item else { return None };
                    items.check_text(&path, span, self.findings).then_some(Part::Item { path })
                }
            };
            let Some(part) = part else {
                whole = false;
                continue;
            };
            if !plain.is_empty() {
                parts.push(Part::Text(Arc::from(std::mem::take(&mut plain))));
            }
            parts.push(part);
        }
        if !whole {
            return None;
        }
        if parts.is_empty() {
            return Some(Expr::Literal(Value::string(&plain)));
        }
        if !plain.is_empty() {
            parts.push(Part::Text(Arc::from(plain)));
        }
        Some(Expr::Text(parts))
    }

    fn no_text<T>(&self, ty: &Type, span: Span) -> Option<T> {
        self.findings.at_with_help(
            span,
            format!("`{ty}` cannot stand inside text"),
            "only strings, numbers and booleans can; name a field of it, or pass it on as a whole",
        );
        None
    }

    /// What a reference means, as a value of type `ty`.
    pub(super) fn fit(&self, meaning: Meaning, ty: &Type, span: Span) -> Option<Expr> {
        let (expr, has) = match meaning {
            Meaning::Input(Given { value, ty, .. }) => (Expr::Literal(value), ty),
            Meaning::Part { source, path, ty } => (Expr::Reference { source, path }, ty),
            Meaning::Json { path } => {
                let Item::Json(items) = &self.item else { return None };
                let fits = items.check(&path, ty, span, self.findings);
                return fits.then(|| Expr::Item { path, ty: ty.clone() });
            }
        };
        let mut wanted = ty;
        let mut options = 0;
        while *wanted != has {
            let Type::Option(inner) = wanted else {
                return self.unlike(&expr, &has, ty, span);
            };
            wanted = inner;
            options += 1;
        }
        Some((0..options).fold(expr, |expr, _| some(expr)))
    }

    fn unlike<T>(&self, expr: &Expr, has: &Type, wanted: &Type, span: Span) -> Option<T> {
        let help = if wanted.is_bytes() && *has == Type::String {
            Some("write { text = \"${…}\" } for its bytes".to_owned())
        } else if *wanted == Type::String && has.is_scalar() {
            Some("text around it makes it a string, as in \"number ${…}\"".to_owned())
        } else if let (Expr::Reference { source: Source::Index, .. }, true) = (expr, wanted.is_scalar()) {
            Some("`for-each = { range = [0, 10] }` makes items that fit any integer type".to_owned())
        } else if let (Expr::Reference { source: Source::Item, .. }, Type::List(_)) = (expr, has) {
            Some("name one of its elements by position: `${item.0}` is the first".to_owned())
        } else if matches!(has, Type::List(element) if **element == *wanted) {
            Some("to run once for each element, put the task in a group with `for-each`".to_owned())
        } else {
            None
        };
        let place = super::diagnostics::Place::At(span);
        self.findings.add(
            place,
            format!("this is `{has}`, but `{}` is wanted", described(wanted, has)),
            help,
        );
        None
    }

    /// `{ file = … }`, `{ text = … }`, `{ base64 = … }`, `{ env = … }`.
    fn form(&self, tree: &Tree, bytes: bool) -> Option<Expr> {
        let Data::Table(entries) = &tree.data else { return None };
        let wanted = if bytes { "list<u8>" } else { "string" };
        let usage = if bytes {
            "write { file = \"path\" }, { text = \"…\" } or { base64 = \"…\" }"
        } else {
            "write \"text\", { file = \"path\" } or { env = \"NAME\" }"
        };
        let [Entry { key, span, value }] = entries.as_slice() else {
            self.findings.at_with_help(tree.span, format!("a table where `{wanted}` is wanted"), usage);
            return None;
        };
        match (key.as_str(), bytes) {
            ("file", _) => self.file(value, !bytes),
            ("text", true) => self.typed(value, &Type::String).map(utf8),
            ("base64", true) => self.base64(value),
            ("env", false) => self.secret(value),
            (key, _) => {
                let help = match FORMS.contains(&key) {
                    true => usage.to_owned(),
                    false => suggest::closest(key, FORMS)
                        .map_or_else(|| usage.to_owned(), |meant| format!("did you mean `{meant}`?")),
                };
                self.findings.at_with_help(*span, format!("{{ {key} = … }} does not give `{wanted}`"), help);
                None
            }
        }
    }

    /// A file's bytes or text.
    fn file(&self, tree: &Tree, text: bool) -> Option<Expr> {
        let path = self.typed(tree, &Type::String)?;
        let base = match (&path, self.is_given(tree)) {
            (_, true) => Base::CommandLine,
            (Expr::Literal(Value::String(path)), false) => {
                self.below_root(path, tree.span)?;
                Base::Workflow
            }
            _ => Base::Workflow,
        };
        Some(Expr::File { path: Box::new(path), base, text })
    }

    /// Whether the command line gave the path that `tree` is: all of it, or the folder that it begins
    /// with, below which the rest stays. What else the file adds could lead anywhere.
    pub(super) fn is_given(&self, tree: &Tree) -> bool {
        let Data::String(text) = &tree.data else { return false };
        let Ok(pieces) = template::parse(text) else { return false };
        let Some((Piece::Reference(first), rest)) = pieces.split_first() else { return false };
        let stays_below = match rest {
            [] => true,
            [Piece::Text(rest)] => rest.starts_with('/') && !rest.split('/').any(|part| part == ".."),
            _ => false,
        };
        match (first.name.as_str(), first.path.split_first()) {
            ("inputs", Some((name, _))) => {
                let given = self.names.inputs.get(name.as_str()).and_then(Option::as_ref);
                stays_below && given.is_some_and(|given| given.on_command_line)
            }
            ("item", _) => rest.is_empty() && matches!(self.item, Item::Typed { given: true, .. }),
            _ => false,
        }
    }

    /// Where a path of the file leads, below the root.
    pub(super) fn below_root(&self, path: &str, span: Span) -> Option<std::path::PathBuf> {
        match self.folders.below_root(path) {
            Ok(path) => Some(path),
            Err(error) => {
                self.findings.at_with_help(span, error.to_string(), error.help());
                None
            }
        }
    }

    fn base64(&self, tree: &Tree) -> Option<Expr> {
        let text = string(tree, "`base64`", self.findings)?;
        let digits: String = text.value.split_ascii_whitespace().collect();
        match STANDARD.decode(digits) {
            Ok(bytes) => Some(Expr::Literal(Value::Bytes(Bytes::from(bytes)))),
            Err(error) => {
                self.findings.at_with_help(
                    tree.span,
                    format!("this is not base64: {}", error.to_string().to_lowercase().trim_end_matches('.')),
                    "base64 is A-Z, a-z, 0-9, + and /, padded with = to a multiple of four (RFC 4648)",
                );
                None
            }
        }
    }

    fn secret(&self, tree: &Tree) -> Option<Expr> {
        self.variable(tree).map(|name| Expr::Secret { name })
    }

    /// The name of a variable of flowhost's own environment, which must be set.
    pub(super) fn variable(&self, tree: &Tree) -> Option<Arc<str>> {
        let name = string(tree, "`env`", self.findings)?.value;
        if !is_variable(name) {
            self.findings.at(tree.span, format!("`{name}` cannot be the name of an environment variable"));
            return None;
        }
        if !self.may_read(name, tree.span) {
            return None;
        }
        if (self.environment)(name).is_none() {
            self.findings.at_with_help(
                tree.span,
                format!("the environment variable `{name}` is not set"),
                format!("set it where you start flowhost: export {name}=…"),
            );
            return None;
        }
        let name: Arc<str> = Arc::from(name);
        self.secrets.borrow_mut().insert(Arc::clone(&name));
        Some(name)
    }

    /// Text in which only inputs may stand, for places that are read before anything runs.
    pub(super) fn fixed_text(&self, tree: &Tree, what: &str) -> Option<String> {
        let text = string(tree, what, self.findings)?;
        for piece in self.pieces(text.value, tree.span)? {
            if let Piece::Reference(reference) = &piece
                && reference.name != "inputs"
            {
                let span = self.span_of(tree.span, text.value, reference);
                self.findings.at_with_help(
                    span,
                    format!(
                        "{what} is read before anything runs, so it cannot hold `${{{}}}`",
                        reference.name
                    ),
                    "only `${inputs.…}` can stand here",
                );
                return None;
            }
        }
        match self.typed(tree, &Type::String)? {
            Expr::Literal(Value::String(text)) => Some(text.to_string()),
            _ => wrong_kind(tree, what, "text", self.findings),
        }
    }
}

/// The type in question; where two types share a name, their structure, which is what differs.
pub(super) fn described(wanted: &Type, has: &Type) -> String {
    let (wanted_text, has_text) = (wanted.to_string(), has.to_string());
    if wanted_text == has_text {
        return format!("another type of that name, {wanted_text}");
    }
    wanted_text
}

/// `option<T>` that holds a value.
pub(super) fn some(expr: Expr) -> Expr {
    match expr {
        Expr::Literal(value) => Expr::Literal(Value::Option(Some(Arc::new(value)))),
        expr => Expr::Some(Box::new(expr)),
    }
}

/// The bytes of text.
pub(super) fn utf8(expr: Expr) -> Expr {
    match expr {
        Expr::Literal(Value::String(text)) => {
            Expr::Literal(Value::Bytes(Bytes::copy_from_slice(text.as_bytes())))
        }
        Expr::File { path, base, .. } => Expr::File { path, base, text: false },
        expr => Expr::Bytes(Box::new(expr)),
    }
}

//! Literals of TOML read as values of a WIT type. References may stand anywhere inside; what a
//! string means is the business of `expr`.

use std::sync::Arc;

use bytes::Bytes;

use super::expr::some;
use super::scope::Scope;
use super::span::Span;
use super::suggest::{self, brief};
use super::tree::{Data, Entry, Tree};
use crate::model::{Case, Expr, Field, Named, Type, Value};

impl Scope<'_> {
    /// A number, boolean, array or table as a value of type `ty`, which is no option.
    pub(super) fn literal(&self, tree: &Tree, ty: &Type) -> Option<Expr> {
        match (&tree.data, ty) {
            (Data::Bool(value), Type::Bool) => Some(Expr::Literal(Value::Bool(*value))),
            (Data::Integer(number), _) => self.integer(*number, tree, ty),
            (Data::Float(number), Type::F32 | Type::F64) => self.float(*number, tree, ty),
            (Data::Array(items), Type::List(element)) => self.list(items, element),
            (Data::Array(items), Type::Tuple(types)) => self.tuple(items, tree, types, ty),
            (Data::Array(items), Type::Flags(flags)) => self.flags(items, flags),
            (Data::Table(entries), Type::Record(record)) => self.record(entries, tree, record, ty),
            (Data::Table(entries), Type::Variant(variant)) => self.variant(entries, tree, variant, ty),
            (Data::Table(entries), Type::Result { ok, err }) => {
                self.result(entries, tree, (ok.as_deref(), err.as_deref()), ty)
            }
            (Data::Table(entries), Type::List(element)) => match pair(element) {
                Some(value) => self.pairs(entries, value),
                None => self.mismatch(tree, ty),
            },
            _ => self.mismatch(tree, ty),
        }
    }

    fn mismatch<T>(&self, tree: &Tree, ty: &Type) -> Option<T> {
        let message = format!("{} where `{}` is wanted", tree.kind(), brief(ty));
        match usage(ty) {
            Some(help) => self.findings.at_with_help(tree.span, message, help),
            None => self.findings.at(tree.span, message),
        }
        None
    }

    fn integer(&self, number: i64, tree: &Tree, ty: &Type) -> Option<Expr> {
        let (value, bounds) = match ty {
            Type::S8 => (number.try_into().ok().map(Value::S8), (i8::MIN.into(), i8::MAX as u64)),
            Type::U8 => (number.try_into().ok().map(Value::U8), (0, u8::MAX.into())),
            Type::S16 => (number.try_into().ok().map(Value::S16), (i16::MIN.into(), i16::MAX as u64)),
            Type::U16 => (number.try_into().ok().map(Value::U16), (0, u16::MAX.into())),
            Type::S32 => (number.try_into().ok().map(Value::S32), (i32::MIN.into(), i32::MAX as u64)),
            Type::U32 => (number.try_into().ok().map(Value::U32), (0, u32::MAX.into())),
            Type::S64 => (Some(Value::S64(number)), (i64::MIN, i64::MAX as u64)),
            Type::U64 => (number.try_into().ok().map(Value::U64), (0, u64::MAX)),
            Type::F32 | Type::F64 => return self.whole(number, number as f64, tree, ty),
            _ => return self.mismatch(tree, ty),
        };
        if value.is_none() {
            let (least, most) = bounds;
            self.findings
                .at(tree.span, format!("{number} is out of range: `{ty}` is from {least} to {most}"));
        }
        value.map(Expr::Literal)
    }

    /// An integer where a float is wanted, if it is the same number.
    fn whole(&self, number: i64, float: f64, tree: &Tree, ty: &Type) -> Option<Expr> {
        let digits = if *ty == Type::F32 { f32::MANTISSA_DIGITS } else { f64::MANTISSA_DIGITS };
        let magnitude = number.unsigned_abs();
        let needed = u64::BITS - magnitude.leading_zeros() - magnitude.trailing_zeros().min(63);
        if magnitude != 0 && needed > digits {
            self.findings.at_with_help(
                tree.span,
                format!("`{ty}` cannot hold {number} exactly"),
                format!("write {number}.0 if a nearby number will do"),
            );
            return None;
        }
        self.float(float, tree, ty)
    }

    fn float(&self, number: f64, tree: &Tree, ty: &Type) -> Option<Expr> {
        if *ty == Type::F64 {
            return Some(Expr::Literal(Value::F64(number)));
        }
        let short = number as f32;
        if short.is_infinite() && number.is_finite() {
            self.findings.at(tree.span, format!("{number} is out of range: `f32` ends at {}", f32::MAX));
            return None;
        }
        Some(Expr::Literal(Value::F32(short)))
    }

    /// All of `items`, or none with every problem in them reported.
    fn each(&self, items: impl Iterator<Item = Option<Expr>>) -> Option<Vec<Expr>> {
        let mut whole = true;
        let mut exprs = Vec::new();
        for item in items {
            match item {
                Some(expr) if whole => exprs.push(expr),
                Some(_) => {}
                None => whole = false,
            }
        }
        whole.then_some(exprs)
    }

    fn list(&self, items: &[Tree], element: &Type) -> Option<Expr> {
        let exprs = self.each(items.iter().map(|item| self.typed(item, element)))?;
        if *element != Type::U8 {
            return Some(gather(exprs, Value::List, Expr::List));
        }
        let mut bytes = Vec::with_capacity(exprs.len());
        for (expr, item) in exprs.iter().zip(items) {
            let Expr::Literal(Value::U8(byte)) = expr else {
                self.findings.at_with_help(
                    item.span,
                    "a list of bytes cannot be put together from references",
                    "let a task make the bytes, and refer to those: \"${name}\"",
                );
                return None;
            };
            bytes.push(*byte);
        }
        Some(Expr::Literal(Value::Bytes(Bytes::from(bytes))))
    }

    fn tuple(&self, items: &[Tree], tree: &Tree, types: &[Type], ty: &Type) -> Option<Expr> {
        if items.len() != types.len() {
            let (has, wants) = (items.len(), types.len());
            self.findings.at(tree.span, format!("{has} elements where `{}` has {wants}", brief(ty)));
            return None;
        }
        let exprs = self.each(items.iter().zip(types).map(|(item, ty)| self.typed(item, ty)))?;
        Some(gather(exprs, Value::Tuple, Expr::Tuple))
    }

    fn flags(&self, items: &[Tree], flags: &Named<Arc<str>>) -> Option<Expr> {
        let mut words = vec![0_u32; flags.members.len().div_ceil(32)];
        let mut whole = true;
        for item in items {
            let Data::String(name) = &item.data else {
                self.findings.at(item.span, format!("each flag is a string, not {}", item.kind()));
                whole = false;
                continue;
            };
            match self.member(name, item.span, flags.members.iter().map(|flag| &**flag), "flag") {
                Some(position) => {
                    if let Some(word) = words.get_mut(position / 32) {
                        *word |= 1 << (position % 32);
                    }
                }
                None => whole = false,
            }
        }
        whole.then(|| Expr::Literal(Value::Flags(words.into())))
    }

    fn record(&self, entries: &[Entry], tree: &Tree, record: &Named<Field>, ty: &Type) -> Option<Expr> {
        let mut whole = true;
        for entry in entries {
            let names = record.members.iter().map(|field| &*field.name);
            if !names.clone().any(|name| name == entry.key) {
                whole = false;
                if self.findings.full() {
                    break;
                }
                let help = suggest::or_list(&entry.key, names, "it has no fields");
                let message = format!("`{}` has no field `{}`", brief(ty), entry.key);
                self.findings.at_with_help(entry.span, message, help);
            }
        }
        let fields = self.each(record.members.iter().map(|field| {
            if let Some(entry) = entries.iter().find(|entry| *entry.key == *field.name) {
                return self.typed(&entry.value, &field.ty);
            }
            if let Type::Option(_) = field.ty {
                return Some(Expr::Literal(Value::Option(None)));
            }
            let message = format!("`{}` of `{}` is missing", field.name, brief(ty));
            self.findings.at_with_help(tree.span, message, format!("it is `{}`", brief(&field.ty)));
            None
        }))?;
        whole.then(|| gather(fields, Value::Record, Expr::Record))
    }

    fn variant(&self, entries: &[Entry], tree: &Tree, variant: &Named<Case>, ty: &Type) -> Option<Expr> {
        let [entry] = entries else { return self.mismatch(tree, ty) };
        let names = variant.members.iter().map(|case| &*case.name);
        let position = self.member(&entry.key, entry.span, names, "case")?;
        let case = variant.members.get(position)?;
        let Some(payload) = &case.ty else {
            let (message, help) =
                (format!("case `{}` holds nothing", case.name), format!("write \"{}\"", case.name));
            self.findings.at_with_help(entry.value.span, message, help);
            return None;
        };
        let position = u32::try_from(position).ok()?;
        Some(match self.typed(&entry.value, payload)? {
            Expr::Literal(value) => Expr::Literal(Value::Variant(position, Some(Arc::new(value)))),
            expr => Expr::Variant(position, Box::new(expr)),
        })
    }

    fn result(
        &self,
        entries: &[Entry],
        tree: &Tree,
        sides: (Option<&Type>, Option<&Type>),
        ty: &Type,
    ) -> Option<Expr> {
        let [entry] = entries else { return self.mismatch(tree, ty) };
        let (ok, payload) = match entry.key.as_str() {
            "ok" => (true, sides.0),
            "err" => (false, sides.1),
            _ => return self.mismatch(tree, ty),
        };
        let Some(payload) = payload else {
            let message = format!("`{}` of `{}` holds nothing", entry.key, brief(ty));
            self.findings.at_with_help(entry.value.span, message, format!("write \"{}\"", entry.key));
            return None;
        };
        Some(match (self.typed(&entry.value, payload)?, ok) {
            (Expr::Literal(value), true) => Expr::Literal(Value::Result(Ok(Some(Arc::new(value))))),
            (Expr::Literal(value), false) => Expr::Literal(Value::Result(Err(Some(Arc::new(value))))),
            (expr, true) => Expr::Result(Ok(Box::new(expr))),
            (expr, false) => Expr::Result(Err(Box::new(expr))),
        })
    }

    /// A table as a list of pairs of key and value, such as a command's `env`.
    fn pairs(&self, entries: &[Entry], value: &Type) -> Option<Expr> {
        let pairs = self.each(entries.iter().map(|entry| {
            let pair = vec![Expr::Literal(Value::string(&entry.key)), self.typed(&entry.value, value)?];
            Some(gather(pair, Value::Tuple, Expr::Tuple))
        }))?;
        Some(gather(pairs, Value::List, Expr::List))
    }

    /// A string without references as a value of type `ty`.
    pub(super) fn word(&self, text: &str, span: Span, ty: &Type) -> Option<Expr> {
        let value = match ty {
            Type::String => Value::string(text),
            Type::Option(inner) => return self.word(text, span, inner).map(some),
            Type::Char => {
                let mut chars = text.chars();
                let (Some(char), None) = (chars.next(), chars.next()) else {
                    let count = text.chars().count();
                    self.findings
                        .at(span, format!("{count} characters where `char` is wanted, which is one"));
                    return None;
                };
                Value::Char(char)
            }
            Type::U64 if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                let Ok(number) = text.parse() else {
                    self.findings
                        .at(span, format!("{text} is out of range: `u64` is from 0 to {}", u64::MAX));
                    return None;
                };
                Value::U64(number)
            }
            Type::Enum(cases) => {
                let position = self.member(text, span, cases.members.iter().map(|case| &**case), "case")?;
                Value::Enum(u32::try_from(position).ok()?)
            }
            Type::Variant(variant) => {
                let names = variant.members.iter().map(|case| &*case.name);
                let position = self.member(text, span, names, "case")?;
                if let Some(payload) = variant.members.get(position).and_then(|case| case.ty.as_ref()) {
                    let message = format!("case `{text}` holds `{}`", brief(payload));
                    self.findings.at_with_help(span, message, format!("write {{ {text} = … }}"));
                    return None;
                }
                Value::Variant(u32::try_from(position).ok()?, None)
            }
            Type::Result { ok: None, .. } if text == "ok" => Value::Result(Ok(None)),
            Type::Result { err: None, .. } if text == "err" => Value::Result(Err(None)),
            _ => {
                let unquoted = match ty {
                    Type::Bool => text.parse::<bool>().is_ok(),
                    _ => ty.is_scalar() && text.parse::<f64>().is_ok(),
                };
                let help = if unquoted { Some("write it without quotes".to_owned()) } else { usage(ty) };
                let place = super::diagnostics::Place::At(span);
                self.findings.add(place, format!("a string where `{}` is wanted", brief(ty)), help);
                return None;
            }
        };
        Some(Expr::Literal(value))
    }

    fn member<'n>(
        &self,
        name: &str,
        span: Span,
        names: impl Iterator<Item = &'n str> + Clone,
        what: &str,
    ) -> Option<usize> {
        let position = names.clone().position(|known| known == name);
        if position.is_none() && !self.findings.full() {
            let help = suggest::or_list(name, names, "there is none");
            self.findings.at_with_help(span, format!("there is no {what} `{name}`"), help);
        }
        position
    }
}

/// The type of the second half of `tuple<string, T>`.
fn pair(element: &Type) -> Option<&Type> {
    match element {
        Type::Tuple(types) => match &**types {
            [Type::String, value] => Some(value),
            _ => None,
        },
        _ => None,
    }
}

/// A value where all parts are known, else an expression.
fn gather(parts: Vec<Expr>, value: fn(Arc<[Value]>) -> Value, expr: fn(Vec<Expr>) -> Expr) -> Expr {
    if !parts.iter().all(|part| matches!(part, Expr::Literal(_))) {
        return expr(parts);
    }
    let values = parts.into_iter().filter_map(|part| match part {
        Expr::Literal(value) => Some(value),
        _ => None,
    });
    Expr::Literal(value(values.collect()))
}

/// How a value of a type is written, where a newcomer could not guess.
fn usage(ty: &Type) -> Option<String> {
    let text = match ty {
        Type::List(_) if ty.is_bytes() => {
            "write { text = \"…\" }, { base64 = \"…\" }, { file = \"path\" } or \"${name}\""
        }
        Type::List(_) => "write an array, [ … ], or \"${name}\"",
        Type::Tuple(_) => "write an array with one item for each element, or \"${name}\"",
        Type::Flags(_) => "write an array with the names of the flags that are set",
        Type::Record(_) => "write a table, { field = … }, or \"${name}\"",
        Type::Variant(_) => "write \"case\", or { case = … } for a case that holds a value",
        Type::Enum(_) => "write the name of a case in quotes",
        Type::Result { .. } => "write { ok = … } or { err = … }; \"ok\" or \"err\" where it holds nothing",
        Type::String => "write it in quotes",
        Type::Char => "write one character in quotes",
        _ => return None,
    };
    Some(text.to_owned())
}

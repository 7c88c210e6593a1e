//! What a task may reach over the network: addresses in `net`, origins in `http`. Reads what is
//! written; looks no name up.

use super::fields::{Fields, wrong_kind};
use super::scope::Scope;
use super::span::Span;
use super::tree::Data;
use crate::model::{AddressRange, Origin};

/// Each is compared with what a guest asks for; more are a mistake.
const MOST: usize = 1000;

impl Scope<'_> {
    /// The ranges of `net`.
    pub(super) fn net(&self, fields: &Fields<'_>) -> Option<Vec<AddressRange>> {
        let read = |text: &str, span| match text.parse() {
            Ok(range) => self.may_connect(&range, span).then_some(range),
            Err(error) => {
                let error: crate::model::AddressError = error;
                self.findings.at_with_help(span, error.to_string(), error.help());
                None
            }
        };
        self.entries(fields, "net", "an array of addresses with ports", read)
    }

    /// The origins of `http`.
    pub(super) fn http(&self, fields: &Fields<'_>) -> Option<Vec<Origin>> {
        let read = |text: &str, span| match text.parse() {
            Ok(origin) => self.may_request(&origin, span).then_some(origin),
            Err(error) => {
                let error: crate::model::OriginError = error;
                self.findings.at_with_help(span, error.to_string(), error.help());
                None
            }
        };
        self.entries(fields, "http", "an array of origins", read)
    }

    /// Every text of an array, read; none where one of them is wrong.
    fn entries<T>(
        &self,
        fields: &Fields<'_>,
        key: &str,
        wanted: &str,
        read: impl Fn(&str, Span) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Some(tree) = fields.tree(key) else { return Some(Vec::new()) };
        let Data::Array(items) = &tree.data else {
            return wrong_kind(tree, &format!("`{key}`"), wanted, self.findings);
        };
        if items.len() > MOST {
            let help = match key {
                "net" => "grant ranges that hold them: \"10.0.0.0/8:1024-2048\"",
                _ => "leave out what the task does not need",
            };
            self.findings.at_with_help(tree.span, format!("`{key}` has more than {MOST} entries"), help);
            return None;
        }
        // All are read, so that every problem is reported.
        let what = format!("each entry of `{key}`");
        let entries: Vec<Option<T>> = items
            .iter()
            .map(|item| self.fixed_text(item, &what).and_then(|text| read(&text, item.span)))
            .collect();
        entries.into_iter().collect()
    }
}

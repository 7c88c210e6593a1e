//! "Did you mean": the known name that a mistyped one most resembles.

/// Names longer than this, in bytes, are not compared: comparing takes time in the square of it.
const MAX_LENGTH: usize = 128;
/// At most so many known names are compared.
const MAX_KNOWN: usize = 10_000;

/// The name in `known` that `name` was most likely meant to be, if any is near enough: at most one
/// edit for every three characters. Knows nothing of case and takes `_` for `-`.
pub fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > MAX_LENGTH {
        return None;
    }
    let plain = |name: &str| name.to_lowercase().replace('_', "-");
    let wanted = plain(name);
    let allowed = (name.chars().count() / 3).max(1);
    known
        .into_iter()
        .take(MAX_KNOWN)
        .filter(|known| known.len() <= MAX_LENGTH)
        .map(|known| (strsim::osa_distance(&wanted, &plain(known)), known))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// ", did you mean `…`?" or nothing, to end a message with.
pub(super) fn hint(suggestion: Option<&str>) -> String {
    suggestion.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

/// Names for a message: each in backticks, the first 20 of them.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 20;
    let mut names = names.into_iter();
    let mut text = names.by_ref().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let more = names.count();
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// At most 40 characters of `text`, with control characters escaped, for a message.
pub(super) fn shorten(text: &str) -> String {
    const SHOWN: usize = 40;
    let mut short: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_only_what_is_near() {
        let known = ["count-words", "count", "merge"];
        assert_eq!(suggest("cuont", known), Some("count"));
        assert_eq!(suggest("count_words", known), Some("count-words"));
        assert_eq!(suggest("Merge", known), Some("merge"));
        assert_eq!(suggest("split", known), None);
        assert_eq!(suggest("", known), None);
        assert_eq!(suggest(&"x".repeat(1 << 20), known), None);
    }

    #[test]
    fn lists_and_shortens() {
        let names: Vec<_> = (0..30).map(|number| format!("n{number}")).collect();
        let text = listed(names.iter().map(String::as_str));
        assert!(text.starts_with("`n0`, `n1`") && text.ends_with("`n19` and 10 more"), "{text}");
        assert_eq!(shorten("a\u{1b}[31m"), "a\\u{1b}[31m");
        assert_eq!(shorten(&"é".repeat(41)), format!("{}…", "é".repeat(40)));
    }
}

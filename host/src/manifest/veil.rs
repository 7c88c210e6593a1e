//! Hides users and passwords of URLs in what is shown of a workflow file. Knows nothing of what a URL is
//! for.

/// `source` with `*` for what is secret in its URLs. What stands elsewhere stays where it is.
pub(super) fn veiled(source: &str) -> String {
    let mut hidden = Vec::new();
    for (at, _) in source.match_indices("://") {
        hide(source, at + "://".len(), &mut hidden);
    }
    // What was meant for a URL and is none may hold a password all the same.
    for (at, key) in source.match_indices("url") {
        let rest = source.get(at + key.len()..).unwrap_or_default();
        let value = rest.trim_start_matches(['"', '\'']).trim_start_matches([' ', '\t']);
        let Some(value) = value.strip_prefix('=') else { continue };
        let value = value.trim_start_matches([' ', '\t']).trim_start_matches(['"', '\'']);
        let (start, line) = (source.len() - value.len(), value.split(END).next().unwrap_or_default());
        if !line.contains("://") {
            hide(source, start, &mut hidden);
        }
    }
    let mut shown = source.as_bytes().to_vec();
    for byte in hidden.into_iter().flat_map(|(start, end)| start..end) {
        if let Some(byte) = shown.get_mut(byte) {
            *byte = b'*';
        }
    }
    // Stretches begin and end at ASCII, so characters are hidden whole.
    String::from_utf8(shown).unwrap_or_default()
}

/// A string ends with any of these.
const END: [char; 4] = ['"', '\'', '\n', '\r'];

/// Finds what is secret of what stands at `start`, behind the scheme: all before the last `@`, and all
/// behind a `?`.
fn hide(source: &str, start: usize, hidden: &mut Vec<(usize, usize)>) {
    let Some(text) = source.get(start..).and_then(|rest| rest.split(END).next()) else { return };
    let address = text.rfind('@').map_or(0, |at| {
        hidden.push((start, start + at));
        at
    });
    if let Some(query) = text.get(address..).and_then(|rest| rest.find('?')) {
        hidden.push((start + address + query + 1, start + text.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_passwords_are_hidden_and_all_else_stays_in_its_place() {
        for (written, shown) in [
            ("url = \"redis://me:hush@host/1\"", "url = \"redis://*******@host/1\""),
            ("url = \"redis://:h@u sh@host\" # é", "url = \"redis://*******@host\" # é"),
            ("url='unix:///run/s?pass=hush'", "url='unix:///run/s?*********'"),
            ("x = {\"url\" = \":hush@host:1\"}", "x = {\"url\" = \"*****@host:1\"}"),
            ("http = [\"https://example.com/a\"]", "http = [\"https://example.com/a\"]"),
            ("mail = \"me@host\"\nurl = { env = \"A\" }", "mail = \"me@host\"\nurl = { env = \"A\" }"),
        ] {
            assert_eq!(veiled(written), shown);
        }
        assert_eq!(veiled("redis://é:é@x").len(), "redis://é:é@x".len());
    }
}

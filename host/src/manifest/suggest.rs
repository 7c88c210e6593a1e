//! What somebody may have meant by a name that does not exist. Knows names, not what they name.

use std::fmt::Write as _;

use crate::interface;
use crate::model::Type;

/// The candidate that looks most like `name`, if one does.
pub(super) fn closest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    interface::suggest(name, candidates)
}

/// A type for a message. Types without a name may be as long as a component is.
pub(super) fn brief(ty: &Type) -> String {
    struct Room(String);
    impl std::fmt::Write for Room {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            const MOST: usize = 100;
            let room = MOST.saturating_sub(self.0.len());
            self.0.push_str(text.get(..text.floor_char_boundary(room)).unwrap_or_default());
            if text.len() > room { Err(std::fmt::Error) } else { Ok(()) }
        }
    }
    let mut text = Room(String::new());
    if write!(text, "{ty}").is_err() {
        text.0.push('…');
    }
    text.0
}

/// "did you mean …?", else what there is to choose from, else `nothing`.
pub(super) fn or_list<'c, I>(name: &str, candidates: I, nothing: &str) -> String
where
    I: IntoIterator<Item = &'c str>,
    I::IntoIter: Clone,
{
    let candidates = candidates.into_iter();
    if let Some(meant) = closest(name, candidates.clone()) {
        return format!("did you mean `{meant}`?");
    }
    match list(candidates) {
        Some(list) => format!("known: {list}"),
        None => nothing.to_owned(),
    }
}

/// "`a`, `b`, `c`", cut after twelve; none for nothing.
pub(super) fn list<'c>(names: impl IntoIterator<Item = &'c str>) -> Option<String> {
    const SHOWN: usize = 12;
    let mut names = names.into_iter();
    let shown: Vec<String> = names.by_ref().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = names.count();
    let text = shown.join(", ");
    match (shown.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(text),
        (false, more) => Some(format!("{text} and {more} more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_kept_short() {
        assert_eq!(brief(&Type::list(Type::U8)), "list<u8>");
        let doubling = (0..60).fold(Type::U8, |ty, _| Type::Tuple([ty.clone(), ty].into()));
        assert!(brief(&doubling).len() < 110);
    }

    #[test]
    fn lists_are_cut() {
        assert_eq!(list([]), None);
        assert_eq!(list(["a"]).unwrap(), "`a`");
        assert_eq!(list(["a", "b"]).unwrap(), "`a`, `b`");
        assert!(list(["x"; 20]).unwrap().ends_with("`x` and 8 more"));
    }
}

//! The guest's exports: what the world promises, and nothing of how words are counted.

mod count;

wit_bindgen::generate!({
    world: "text",
    additional_derives: [PartialEq],
});

use exports::example::text::counting::{Counts, Guest, Word};

struct Component;

impl Guest for Component {
    fn count_words(path: String, text: String) -> Counts {
        count::count(path, &text)
    }

    fn merge_counts(parts: Vec<Counts>) -> Counts {
        count::merge(parts)
    }

    fn top_words(counts: Counts, limit: u32) -> Vec<Word> {
        count::top(counts.frequencies, limit as usize)
    }
}

export!(Component);

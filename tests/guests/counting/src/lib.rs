//! Reports a figure and reaches nothing else of the host, so that it may be deterministic.

wit_bindgen::generate!({ world: "counting" });

struct Component;

impl Guest for Component {
    fn count(text: String) -> u32 {
        let words = text.split_whitespace().count() as u32;
        flowhost_guest::metrics::add("words", f64::from(words)).expect("a number is finite");
        words
    }
}

export!(Component);

//! Uses one function of the guest crate, whose interfaces its own WIT does not mention.

wit_bindgen::generate!({ world: "sparing" });

struct Component;

impl Guest for Component {
    fn double(number: u32) -> u64 {
        flowhost_guest::info!("doubling {number}");
        u64::from(number) * 2
    }
}

export!(Component);

//! What a component offers and asks for, read from its bytes without compiling it, and the JSON
//! form of values by their type. Knows the component format and WIT, and nothing of workflows or of
//! how components run.
//!
//! # Values as JSON
//! JSON is read and written by type, and loses nothing but the payload of a NaN.
//!
//! | WIT | JSON |
//! |---|---|
//! | `bool` | `true`, `false` |
//! | integers | number; a `u64` is also read from a string of digits |
//! | `f32`, `f64` | number, or `"nan"`, `"inf"`, `"-inf"` |
//! | `char`, `string` | string |
//! | `list<u8>` | base64 string (RFC 4648, padded); also read from an array of numbers |
//! | `list`, `tuple` | array |
//! | `option` | `null` or the value; `{"some": v}` where the value itself could be `null` |
//! | `result` | `{"ok": v}` or `{"err": e}`, `null` where there is no payload |
//! | `record` | object; a missing field of option type is none |
//! | `variant` | `"case"` or `{"case": v}` |
//! | `enum` | string |
//! | `flags` | array of strings |
//! | no result at all | `null` |
//!
//! A number with a fraction or exponent is read as the nearest float; a whole number is read as a
//! float only where the float holds it exactly, and a float is never read as an integer.

mod component;
mod features;
mod file;
mod find;
mod given;
mod json;
mod lift;
mod read;
mod suggest;
mod type_text;

pub use component::{Export, Import, ImportKind, Interface, NamedType, Unprovided, UnsupportedExport};
pub use features::FEATURES;
pub use file::{LARGEST_COMPONENT, open_regular, read_file};
pub use find::{FindError, FindTypeError, Found};
pub use given::{GivenError, given};
pub use json::{JsonError, JsonProblem, encoded_size, from_json, skeleton, to_json, to_text, write_json};
pub use lift::{MAX_TYPE_DEPTH, MAX_TYPE_NODES, Unsupported};
pub use read::{InterfaceError, read};
pub use suggest::suggest;
pub use type_text::{MAX_TYPE_TEXT, TypeTextError, parse_type};

#[cfg(test)]
mod json_tests;
#[cfg(test)]
mod read_tests;
#[cfg(test)]
mod testing;

//! What a component offers and asks for, read from its bytes without compiling it, and the JSON
//! form of values by their type. Knows the component format and WIT, and nothing of workflows or of
//! how components run.

mod component;
mod features;
mod find;
mod json;
mod lift;
mod read;
mod suggest;
mod type_text;

pub use component::{Export, Import, ImportKind, Interface, NamedType, Unprovided, UnsupportedExport};
pub use features::FEATURES;
pub use find::{FindError, FindTypeError, Found};
pub use json::{JsonError, JsonProblem, encoded_size, from_json, skeleton, to_json, to_text};
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

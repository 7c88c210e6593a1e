//! Values as JSON, directed by their type and lossless but for the payload of a NaN.
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
//! float only where the float holds it exactly, and a float is never read as an integer. Knows
//! nothing of where JSON comes from.

mod error;
mod reading;
mod size;
mod skeleton;
mod writing;

pub use error::{JsonError, JsonProblem};
pub use reading::from_json;
pub use size::encoded_size;
pub use skeleton::skeleton;
pub use writing::{to_json, to_text};

use crate::model::Type;

/// The key of an option's value where the value itself could be `null`.
const SOME: &str = "some";
/// The keys of a result.
const OK: &str = "ok";
const ERR: &str = "err";
/// What JSON has no numbers for.
const NAN: &str = "nan";
const INFINITY: &str = "inf";
const NEGATIVE_INFINITY: &str = "-inf";

/// Whether some value of the type is `null` in JSON.
fn is_nullable(ty: &Type) -> bool {
    match ty {
        Type::Option(_) => true,
        Type::Tuple(types) => types.is_empty(),
        _ => false,
    }
}

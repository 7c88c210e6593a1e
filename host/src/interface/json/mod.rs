//! Values as JSON, directed by their type and lossless but for the payload of a NaN. The floor's own
//! documentation has the table. Knows nothing of where JSON comes from.

mod error;
mod reading;
mod size;
mod skeleton;
mod text;
mod writing;

pub use error::{JsonError, JsonProblem};
pub use reading::from_json;
pub use size::encoded_size;
pub use skeleton::skeleton;
pub use text::write_json;
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

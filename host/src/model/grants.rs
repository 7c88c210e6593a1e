//! What one attempt may reach. Nothing is granted by default.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{AddressRange, Origin};

/// What one attempt may reach.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Grants {
    /// Directories, those that may be written among them.
    pub directories: Vec<Directory>,
    /// Environment variables: name and value.
    pub environment: Vec<(Arc<str>, EnvironmentValue)>,
    /// Addresses that may be connected to by TCP and sent to by UDP.
    pub net: Vec<AddressRange>,
    /// Origins that may be sent requests.
    pub http: Vec<Origin>,
}

/// A granted directory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Directory {
    /// Where it is, relative to the run's root. Never leads out of it.
    pub path: PathBuf,
    /// The absolute path under which the guest sees it, such as `data` or `/data`.
    pub guest: Arc<str>,
    /// Whether the guest may write, create and remove in it. Reading is always included.
    pub write: bool,
}

/// Where an environment variable's value comes from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum EnvironmentValue {
    /// Written in the workflow file.
    Literal(Arc<str>),
    /// A variable of flowhost's own environment: a secret, redacted wherever it would be shown.
    Secret {
        /// The variable's name in flowhost's environment.
        name: Arc<str>,
    },
}

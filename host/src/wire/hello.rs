//! Who stands at either end of a connection: one JSON object each, so that two that do not understand
//! each other can still say who they are.

use serde::{Deserialize, Serialize};

use super::PROTOCOL;

/// What one side says of itself. Keys that are not known are ignored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// The protocol's number: equality of it alone admits.
    pub protocol: u32,
    /// flowhost's version. For people, like the next two.
    #[serde(default = "unknown")]
    pub flowhost: String,
    /// What executes guests, with its version.
    #[serde(default = "unknown")]
    pub engine: String,
    /// The target triple that the program was built for.
    #[serde(default = "unknown")]
    pub target: String,
    /// Of a worker: how many attempts it executes at once, and how many may wait with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<(u32, u32)>,
    /// Of a worker: the most that it grants; none where it has no bounds of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ceiling: Option<CeilingSaid>,
    /// Of a client: what it wants to be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wants: Option<Wants>,
    /// Of a child of the client's own: what stands beneath its sandbox, as it found it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beneath: Vec<Layer>,
}

/// Something that stands between a worker's guests and its machine beneath their sandbox. For people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Layer {
    /// What it is called.
    pub name: String,
    /// Whether it is there.
    pub state: LayerState,
    /// What it comes to here: what it does, or why it does not.
    pub detail: String,
    /// What it means where it is missing.
    pub without: String,
}

/// Whether a layer is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerState {
    /// It is.
    There,
    /// Some of it.
    Partly,
    /// It is not.
    Missing,
}

impl LayerState {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::There => "there",
            Self::Partly => "partly",
            Self::Missing => "missing",
        }
    }
}

/// A worker's ceiling, in words for people. The worker alone holds attempts to it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CeilingSaid {
    /// Names of the directories that can be granted, for writing where `rw ` stands before them.
    pub directories: Vec<String>,
    /// Addresses that can be granted.
    pub net: Vec<String>,
    /// Origins that can be granted.
    pub http: Vec<String>,
    /// Environment variables that can be granted.
    pub env: Vec<String>,
    /// Bytes of memory at most.
    pub memory: u64,
    /// Milliseconds that an attempt may take at most.
    pub timeout: u64,
}

/// What a client wants: what it is told besides how attempts ended, and how its worker behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Wants {
    /// Starts of attempts.
    pub starts: bool,
    /// Every line, and not only the last ones of attempts that do not succeed.
    pub logs: bool,
    /// Progress.
    pub progress: bool,
    /// That no more attempts than this execute at once; none leaves it to the worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// That the worker removes what it put on its machine's disk when it ends.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cleanup: bool,
    /// That the worker's program is one of the things that were put there.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deployed: bool,
}

/// Two that do not fit each other. Trying again does not help.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the two flowhosts do not speak the same protocol: here is {}, there is {}; install the same version on both",
    describe(ours),
    describe(theirs)
)]
pub struct Refusal {
    /// Who we are.
    pub ours: Hello,
    /// Who they are.
    pub theirs: Hello,
}

/// In place of what the other side does not say of itself.
fn unknown() -> String {
    "?".to_owned()
}

fn describe(hello: &Hello) -> String {
    let Hello { protocol, flowhost, engine, target, .. } = hello;
    let short = |text: &str| text.chars().filter(|letter| !letter.is_control()).take(80).collect::<String>();
    format!("flowhost {} with {} on {} (protocol {protocol})", short(flowhost), short(engine), short(target))
}

impl Hello {
    /// Of this program, with this engine, and nothing that only one side says.
    #[must_use]
    pub fn of(engine: &str) -> Self {
        Self {
            protocol: PROTOCOL,
            flowhost: env!("CARGO_PKG_VERSION").to_owned(),
            engine: engine.to_owned(),
            target: target(),
            capacity: None,
            ceiling: None,
            wants: None,
            beneath: Vec::new(),
        }
    }

    /// Whether the two can work together.
    pub(super) fn meet(&self, theirs: &Self) -> Result<(), Box<Refusal>> {
        if self.protocol == theirs.protocol {
            return Ok(());
        }
        Err(Box::new(Refusal { ours: self.clone(), theirs: theirs.clone() }))
    }
}

/// The target triple of this program, as far as it knows.
fn target() -> String {
    let environment = if cfg!(target_env = "gnu") {
        "-gnu"
    } else if cfg!(target_env = "musl") {
        "-musl"
    } else {
        ""
    };
    format!("{}-unknown-{}{environment}", std::env::consts::ARCH, std::env::consts::OS)
}

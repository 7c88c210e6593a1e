//! What client and worker say to each other once they know each other. Values, and texts that guests
//! wrote, are payloads; all else is in the head.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Payload, ValueError, WireError, codec, values};
use crate::compact::CompactError;
use crate::digest::Digest;
use crate::id::AttemptId;
use crate::model::{
    Call, Cause, ChannelAnswer, ChannelAsk, ChannelError, Level, Outcome, Stream, Type, Usage, Warning,
};

/// What a client says. The order of the cases is part of the protocol.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum ToWorker {
    /// What attempts that name this number share. Comes before the first of them.
    Call {
        /// Not in use by another call.
        number: u32,
        /// The call.
        call: Arc<Call>,
    },
    /// No attempt will name these calls again; the numbers may be used anew.
    Forget {
        /// Their numbers.
        calls: Vec<u32>,
    },
    /// Attempts to execute, in this order where the worker executes one at a time.
    Start {
        /// Which.
        attempts: Vec<Start>,
    },
    /// End these attempts, as [`Said::Returned`] or as cancelled.
    Cancel {
        /// Which. Those that are unknown have ended, and are ignored.
        ids: Vec<AttemptId>,
        /// Why.
        cause: Cause,
    },
    /// The run was asked to stop: guests that ask are told, what has not begun is returned.
    Drain,
    /// The answer to [`FromWorker::Ask`].
    Answer {
        /// The question's number.
        number: u64,
        /// What the channel said.
        answer: Result<ChannelAnswer, ChannelError>,
    },
    /// The answer to [`FromWorker::NeedComponent`].
    Component {
        /// Its digest, which the worker compares.
        component: Digest,
        /// Its bytes, or what zstd (RFC 8878) makes of them.
        wasm: Payload,
        /// How many bytes they are, where zstd made something else of them.
        packed: Option<u64>,
    },
    /// A component, or its code under some settings, that was asked for is not to be had: attempts that
    /// need it are rejected.
    Refused {
        /// Its digest.
        component: Digest,
        /// As asked for; none where the component itself was.
        settings: Option<Arc<str>>,
        /// Why.
        reason: String,
    },
    /// Return those of these attempts that have not begun. The others go on.
    GiveBack {
        /// Which. Those that are unknown have ended, and are ignored.
        ids: Vec<AttemptId>,
    },
    /// No attempt will name these shared parts again.
    ForgetShared {
        /// Their numbers.
        numbers: Vec<u32>,
    },
}

/// One attempt.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Start {
    /// Its id.
    pub id: AttemptId,
    /// The number of its call.
    pub call: u32,
    /// Which run of its task this branch is at, from 1.
    pub iteration: u32,
    /// The arguments, by the types of the call's parameters, without the shared parts that are not here.
    pub arguments: Payload,
    /// Parts of the arguments that other attempts have as well, in order.
    pub shared: Vec<Shared>,
}

/// A part of an attempt's arguments that the worker keeps, so that it is sent once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Shared {
    /// Where it begins in the whole arguments.
    pub at: u64,
    /// Its bytes.
    pub length: u64,
    /// What it is called from here on.
    pub number: u32,
    /// Whether it is here, to be kept; else it was kept before, and is to be put in.
    pub here: bool,
}

/// What a worker says. The order of the cases is part of the protocol.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum FromWorker {
    /// It lacks a component.
    NeedComponent {
        /// Its digest.
        component: Digest,
    },
    /// A child of the client's own lacks compiled code. The answer is a descriptor beside the connection.
    NeedCode {
        /// The component's digest.
        component: Digest,
        /// What the code is compiled for.
        settings: Arc<str>,
    },
    /// What there is to say of attempts, in order.
    Said(Vec<Said>),
    /// A guest's question to the run's channel.
    Ask {
        /// Not in use by another question.
        number: u64,
        /// The attempt whose guest asks.
        from: AttemptId,
        /// The question.
        ask: ChannelAsk,
    },
}

/// What a worker says of an attempt.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Said {
    /// It began to execute.
    Started {
        /// Which.
        id: AttemptId,
    },
    /// Its guest wrote a line.
    Log {
        /// Which.
        id: AttemptId,
        /// How much it matters.
        level: Level,
        /// Where the guest wrote it.
        stream: Stream,
        /// The line in UTF-8, without its end.
        message: Payload,
        /// Whether this marks that lines were cut.
        cut: bool,
    },
    /// Its guest said how far it has come.
    Progress {
        /// Which.
        id: AttemptId,
        /// Units done.
        done: u64,
        /// Of so many, where that is known.
        total: Option<u64>,
        /// What is being done, in UTF-8.
        message: Option<Payload>,
    },
    /// It was cancelled before it began, or never begins because the run stops.
    Returned {
        /// Which.
        id: AttemptId,
    },
    /// It ended.
    Finished {
        /// Which.
        id: AttemptId,
        /// How.
        ended: Ended,
        /// What it used.
        usage: Usage,
    },
    /// Something that people should know of.
    Warning {
        /// What kind.
        kind: Warning,
        /// In words.
        message: String,
    },
}

/// An outcome.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Ended {
    /// With this value, by the type of the task's value.
    Succeeded(Payload),
    /// The guest said that it failed.
    Failed {
        /// In UTF-8.
        message: Payload,
        /// Whether another attempt would fail the same way.
        permanent: bool,
    },
    /// The guest trapped.
    Trapped {
        /// In UTF-8.
        message: Payload,
    },
    /// The timeout passed.
    TimedOut {
        /// The timeout.
        after: Duration,
    },
    /// It was cancelled.
    Cancelled {
        /// Why.
        cause: Cause,
    },
    /// It was refused before it ran.
    Rejected {
        /// Why.
        reason: String,
    },
    /// The worker itself failed.
    Lost {
        /// What is known of how.
        reason: String,
    },
}

impl Ended {
    /// Of an outcome whose value is of type `ty`.
    ///
    /// # Errors
    /// Fails when it is not.
    pub fn of(outcome: Outcome, ty: &Type) -> Result<Self, ValueError> {
        Ok(match outcome {
            Outcome::Succeeded(value) => Self::Succeeded(values::encode(&[value], [ty])?),
            Outcome::Failed { message, permanent } => {
                Self::Failed { message: Payload::text(message), permanent }
            }
            Outcome::Trapped { message } => Self::Trapped { message: Payload::text(message) },
            Outcome::TimedOut { after } => Self::TimedOut { after },
            Outcome::Cancelled { cause } => Self::Cancelled { cause },
            Outcome::Rejected { reason } => Self::Rejected { reason },
            Outcome::Lost { reason, .. } => Self::Lost { reason },
        })
    }

    /// The outcome whose value is of type `ty`.
    ///
    /// # Errors
    /// Fails when the bytes are no such value.
    pub fn into_outcome(self, ty: &Type) -> Result<Outcome, ValueError> {
        Ok(match self {
            Self::Succeeded(value) => {
                let mut values = values::decode(&value.into_bytes(), [ty])?;
                let value = values.pop().ok_or(ValueError::Bytes(CompactError::Short))?;
                Outcome::Succeeded(value)
            }
            Self::Failed { message, permanent } => {
                Outcome::Failed { message: message.into_text(), permanent }
            }
            Self::Trapped { message } => Outcome::Trapped { message: message.into_text() },
            Self::TimedOut { after } => Outcome::TimedOut { after },
            Self::Cancelled { cause } => Outcome::Cancelled { cause },
            Self::Rejected { reason } => Outcome::Rejected { reason },
            Self::Lost { reason } => Outcome::Lost { reason, exhausted: false },
        })
    }

    /// Bytes of its value or message.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Succeeded(payload)
            | Self::Failed { message: payload, .. }
            | Self::Trapped { message: payload } => payload.length(),
            Self::TimedOut { .. } | Self::Cancelled { .. } | Self::Rejected { .. } | Self::Lost { .. } => 0,
        }
    }

    fn payload(&mut self) -> Option<&mut Payload> {
        match self {
            Self::Succeeded(payload)
            | Self::Failed { message: payload, .. }
            | Self::Trapped { message: payload } => Some(payload),
            Self::TimedOut { .. } | Self::Cancelled { .. } | Self::Rejected { .. } | Self::Lost { .. } => {
                None
            }
        }
    }
}

impl Said {
    fn payload(&mut self) -> Option<&mut Payload> {
        match self {
            Self::Log { message, .. } => Some(message),
            Self::Progress { message, .. } => message.as_mut(),
            Self::Finished { ended, .. } => ended.payload(),
            Self::Started { .. } | Self::Returned { .. } | Self::Warning { .. } => None,
        }
    }
}

/// A message of one of the two directions.
pub(super) trait Message: Serialize + DeserializeOwned {
    /// Its payloads, in the order of the head.
    fn payloads(&mut self) -> Vec<&mut Payload>;
}

impl Message for ToWorker {
    fn payloads(&mut self) -> Vec<&mut Payload> {
        match self {
            Self::Start { attempts } => attempts.iter_mut().map(|start| &mut start.arguments).collect(),
            Self::Component { wasm, .. } => vec![wasm],
            Self::Call { .. }
            | Self::Forget { .. }
            | Self::Cancel { .. }
            | Self::Drain
            | Self::GiveBack { .. }
            | Self::ForgetShared { .. }
            | Self::Answer { .. }
            | Self::Refused { .. } => Vec::new(),
        }
    }
}

impl Message for FromWorker {
    fn payloads(&mut self) -> Vec<&mut Payload> {
        match self {
            Self::Said(said) => said.iter_mut().filter_map(Said::payload).collect(),
            Self::NeedComponent { .. } | Self::NeedCode { .. } | Self::Ask { .. } => Vec::new(),
        }
    }
}

/// A message for whom frames do not part: its bytes where it lies somewhere whole.
macro_rules! packed {
    ($message:ty) => {
        impl $message {
            /// Its bytes, all together.
            ///
            /// # Errors
            /// Fails when it is too large.
            pub fn pack(mut self) -> Result<Vec<u8>, WireError> {
                pack(&mut self)
            }

            /// The message that these bytes are.
            ///
            /// # Errors
            /// Fails when they are none.
            pub fn unpack(bytes: bytes::Bytes) -> Result<Self, WireError> {
                read(bytes)
            }
        }
    };
}

packed!(ToWorker);
packed!(FromWorker);

fn pack<M: Message>(message: &mut M) -> Result<Vec<u8>, WireError> {
    let mut bytes = vec![0; HEAD_LENGTH];
    codec::encode(message, &mut bytes)?;
    let length = u32::try_from(bytes.len() - HEAD_LENGTH).unwrap_or(u32::MAX);
    if length as usize > super::HEAD {
        return Err(WireError::MessageTooLarge(length.into()));
    }
    if let Some(space) = bytes.get_mut(..HEAD_LENGTH) {
        space.copy_from_slice(&length.to_le_bytes());
    }
    for payload in message.payloads() {
        payload.pieces().for_each(|piece| bytes.extend_from_slice(piece));
    }
    Ok(bytes)
}

/// Bytes before a message's head: the head's length, little-endian.
pub(super) const HEAD_LENGTH: usize = 4;

/// Reads a whole message.
pub(super) fn read<M: Message>(mut message: bytes::Bytes) -> Result<M, WireError> {
    let mut length = [0; HEAD_LENGTH];
    length.copy_from_slice(message.get(..HEAD_LENGTH).ok_or(CompactError::Short)?);
    let mut rest = message.split_off(HEAD_LENGTH);
    let length = u32::from_le_bytes(length) as usize;
    let head = rest.get(..length).ok_or(CompactError::Short)?;
    let mut read: M = codec::decode(head)?;
    let mut tail = rest.split_off(length);
    for payload in read.payloads() {
        if !payload.fill(&mut tail) {
            return Err(CompactError::Short.into());
        }
    }
    if tail.is_empty() { Ok(read) } else { Err(CompactError::Trailing(tail.len()).into()) }
}

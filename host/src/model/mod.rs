//! What flowhost talks about, as plain data: no I/O, no async, no engine.

mod address_range;
mod attempt;
mod channel;
mod event;
mod executor;
mod flow;
mod grants;
mod group;
mod group_policy;
pub mod imports;
mod limits;
mod metrics;
mod node_address;
mod origin;
mod outcome;
mod policy;
mod ssh;
mod ssh_option;
mod ssh_refusal;
mod task;
mod trace;
mod type_bytes;
mod types;
mod value;
mod workflow;

pub use address_range::{AddressError, AddressRange};
pub use attempt::{Attempt, Call};
pub use channel::{
    CHANNEL_BYTES, CHANNEL_KEY, CHANNEL_KEYS, CHANNEL_PAGE, CHANNEL_TIME_TO_LIVE, CHANNEL_VALUE,
    ChannelAnswer, ChannelAsk, ChannelChange, ChannelError, ChannelWrite,
};
pub use event::{Counts, Event, Fact, Level, Place, RunStarted, Status, Stream, Warning};
pub use executor::{Executor, ExecutorKind, NamedExecutor, RedisSettings, shown_url};
pub use flow::{Allowed, MOST_REQUESTS, Parameter, REQUESTS_TEXT, Requests, Start, Startable, Then};
pub use grants::{Directory, EnvironmentValue, Grants};
pub use group::{
    Best, Form, Group, LONGEST_LIST, MAX_BRANCHES, Member, Merge, OnFailure, Runs, Split, file_item_type,
};
pub use group_policy::{Breaker, GroupPolicy, MOST_PROBES, RateLimit, Require};
pub use limits::{Limits, MIB};
pub use metrics::{MetricError, Metrics, Totals};
pub use node_address::{NodeAddress, NodeAddressError, NodeUser};
pub use origin::{Host, Origin, OriginError, Scheme};
pub use outcome::{Cause, Ending, Outcome, Usage};
pub use policy::{LOST_BUDGET, Policy, Retry, RetryOn};
pub use ssh::{Deploy, SshNode, SshSettings, WorkDir, WorkDirError};
pub use ssh_option::{SshOption, SshOptionError};
pub use ssh_refusal::SshOptionRefusal;
pub use task::{Base, Entry, Expr, Flow, Items, Part, Signature, Source, Task};
pub use trace::{InvalidTraceId, InvalidTraceParent, SpanId, Trace, TraceId, TraceParent};
pub use types::{Case, Field, Named, Type};
pub use value::Value;
pub use workflow::{Component, Input, Kind, Node, Output, Section, Workflow};

//! Clock and randomness of deterministic tasks: both follow from the seed, the component, the
//! export and the arguments alone, so that another host gives the same.

use sha2::{Digest as _, Sha256};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

use super::super::sandbox::{RANDOM_BYTES, State};
use crate::digest::Digest;
use crate::model::{Call, Entry, Value};

/// What each reading advances the clock by, in nanoseconds, and its resolution.
const STEP: u64 = 1_000;

/// When the wall clock starts, in seconds since 1970: 2000-01-01T00:00:00Z.
const EPOCH: u64 = 946_684_800;

const SECOND: u64 = 1_000_000_000;

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    monotonic_clock::add_to_linker::<_, VirtualHost>(linker, view)?;
    wall_clock::add_to_linker::<_, VirtualHost>(linker, view)?;
    random::add_to_linker::<_, VirtualHost>(linker, view)?;
    insecure::add_to_linker::<_, VirtualHost>(linker, view)?;
    insecure_seed::add_to_linker::<_, VirtualHost>(linker, view)
}

fn view(state: &mut State) -> View<'_> {
    View { host: state.virtual_host.get_or_insert_default(), table: &mut state.table }
}

struct VirtualHost;

impl HasData for VirtualHost {
    type Data<'a> = View<'a>;
}

struct View<'a> {
    host: &'a mut Virtual,
    table: &'a mut ResourceTable,
}

/// One attempt's clock and randomness.
#[derive(Default)]
pub(in super::super) struct Virtual {
    nanoseconds: u64,
    origin: Option<Origin>,
    key: Option<[u8; 32]>,
    secure: Randomness,
    insecure: Randomness,
}

/// What randomness follows from. Hashed when first needed: arguments may be large.
struct Origin {
    seed: u64,
    component: Digest,
    entry: Entry,
    arguments: Vec<Value>,
}

impl Virtual {
    pub(in super::super) fn new(seed: u64, call: &Call, arguments: Vec<Value>) -> Self {
        let origin = Origin { seed, component: call.component, entry: call.entry.clone(), arguments };
        Self { origin: Some(origin), ..Self::default() }
    }

    fn now(&mut self) -> u64 {
        self.nanoseconds = self.nanoseconds.saturating_add(STEP);
        self.nanoseconds
    }

    fn key(&mut self) -> [u8; 32] {
        let origin = &self.origin;
        *self.key.get_or_insert_with(|| origin.as_ref().map(Origin::key).unwrap_or_default())
    }

    fn secure(&mut self, into: &mut [u8]) {
        let key = self.key();
        self.secure.fill(&key, b"secure", into);
    }

    fn insecure(&mut self, into: &mut [u8]) {
        let key = self.key();
        self.insecure.fill(&key, b"insecure", into);
    }
}

impl Origin {
    fn key(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(b"flowhost deterministic 1\0");
        hasher.update(self.seed.to_le_bytes());
        hasher.update(self.component.as_bytes());
        match &self.entry {
            Entry::Function { interface, name } => {
                hasher.update([0]);
                sized(&mut hasher, interface.as_deref().unwrap_or_default().as_bytes());
                sized(&mut hasher, name.as_bytes());
            }
            // Whether its output is read as text or bytes is no matter of the guest's.
            Entry::Command { bytes: _ } => hasher.update([1]),
        }
        all(&mut hasher, &self.arguments);
        hasher.finalize().into()
    }
}

/// Blocks of SHA-256 over a key and a counter.
#[derive(Default)]
struct Randomness {
    counter: u64,
    block: Vec<u8>,
}

impl Randomness {
    fn fill(&mut self, key: &[u8; 32], domain: &[u8], into: &mut [u8]) {
        for byte in into {
            if self.block.is_empty() {
                let mut hasher = Sha256::new();
                hasher.update(key);
                hasher.update(domain);
                hasher.update(self.counter.to_le_bytes());
                self.block.extend_from_slice(&hasher.finalize());
                self.counter = self.counter.wrapping_add(1);
            }
            *byte = self.block.pop().unwrap_or_default();
        }
    }
}

fn sized(hasher: &mut Sha256, bytes: &[u8]) {
    hasher.update((bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

fn all(hasher: &mut Sha256, values: &[Value]) {
    hasher.update((values.len() as u64).to_le_bytes());
    for value in values {
        absorb(hasher, value);
    }
}

/// Hashes `value` so that different values of one type never look the same.
fn absorb(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Bool(value) => hasher.update([u8::from(*value)]),
        Value::S8(value) => hasher.update(value.to_le_bytes()),
        Value::U8(value) => hasher.update(value.to_le_bytes()),
        Value::S16(value) => hasher.update(value.to_le_bytes()),
        Value::U16(value) => hasher.update(value.to_le_bytes()),
        Value::S32(value) => hasher.update(value.to_le_bytes()),
        Value::U32(value) | Value::Enum(value) => hasher.update(value.to_le_bytes()),
        Value::S64(value) => hasher.update(value.to_le_bytes()),
        Value::U64(value) => hasher.update(value.to_le_bytes()),
        Value::F32(value) => hasher.update(value.to_bits().to_le_bytes()),
        Value::F64(value) => hasher.update(value.to_bits().to_le_bytes()),
        Value::Char(value) => hasher.update(u32::from(*value).to_le_bytes()),
        Value::String(text) => sized(hasher, text.as_bytes()),
        Value::Bytes(bytes) => sized(hasher, bytes),
        Value::List(values) | Value::Tuple(values) | Value::Record(values) => all(hasher, values),
        Value::Option(value) => payload(hasher, value.as_deref()),
        Value::Result(Ok(value)) => {
            hasher.update([0]);
            payload(hasher, value.as_deref());
        }
        Value::Result(Err(value)) => {
            hasher.update([1]);
            payload(hasher, value.as_deref());
        }
        Value::Variant(case, value) => {
            hasher.update(case.to_le_bytes());
            payload(hasher, value.as_deref());
        }
        Value::Flags(words) => {
            for word in words.iter() {
                hasher.update(word.to_le_bytes());
            }
        }
    }
}

fn payload(hasher: &mut Sha256, value: Option<&Value>) {
    hasher.update([u8::from(value.is_some())]);
    if let Some(value) = value {
        absorb(hasher, value);
    }
}

/// A sleep that is over.
struct Over;

#[async_trait]
impl Pollable for Over {
    async fn ready(&mut self) {}
}

impl View<'_> {
    fn sleep_until(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.host.nanoseconds = self.host.nanoseconds.max(when);
        let over = self.table.push(Over)?;
        subscribe(self.table, over)
    }

    fn bytes(&self, count: u64) -> wasmtime::Result<Vec<u8>> {
        wasmtime::ensure!(
            count <= RANDOM_BYTES,
            "asked for {count} random bytes; at most {RANDOM_BYTES} at once"
        );
        Ok(vec![0; usize::try_from(count)?])
    }
}

impl monotonic_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.host.now())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(STEP)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.sleep_until(when)
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.sleep_until(self.host.nanoseconds.saturating_add(duration))
    }
}

impl wall_clock::Host for View<'_> {
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let now = self.host.now();
        Ok(wall_clock::Datetime {
            seconds: EPOCH.saturating_add(now / SECOND),
            nanoseconds: u32::try_from(now % SECOND)?,
        })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: u32::try_from(STEP)? })
    }
}

impl random::Host for View<'_> {
    fn get_random_bytes(&mut self, count: u64) -> wasmtime::Result<Vec<u8>> {
        let mut bytes = self.bytes(count)?;
        self.host.secure(&mut bytes);
        Ok(bytes)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        let mut bytes = [0; 8];
        self.host.secure(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }
}

impl insecure::Host for View<'_> {
    fn get_insecure_random_bytes(&mut self, count: u64) -> wasmtime::Result<Vec<u8>> {
        let mut bytes = self.bytes(count)?;
        self.host.insecure(&mut bytes);
        Ok(bytes)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        let mut bytes = [0; 8];
        self.host.insecure(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }
}

impl insecure_seed::Host for View<'_> {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        let mut seeds = [0; 2];
        for seed in &mut seeds {
            let mut bytes = [0; 8];
            self.host.insecure(&mut bytes);
            *seed = u64::from_le_bytes(bytes);
        }
        Ok(seeds.into())
    }
}

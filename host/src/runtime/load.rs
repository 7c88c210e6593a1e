//! Components ready to be instantiated: read and checked against their digest, compiled once, loaded
//! and linked once for each flavour. Knows nothing of exports and calls.

use std::collections::HashMap;
use std::fs::File;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::{fmt, io};

use bytes::Bytes;
use tokio::sync::{Notify, OnceCell, Semaphore};
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre, Linker};

use super::code_cache::{CacheError, CodeCache, Entry, Place};
use super::compile::{CompileError, Compiler};
use super::engine::{self, Engines, Flavour};
use super::epoch::Ticker;
use super::sandbox::State;
use super::space::Space;
use super::{host, lock};
use crate::digest::Digest;
use crate::interface;
use crate::model::Warning;

/// Why a component does not load.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Its file cannot be read.
    #[error("cannot read the component `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The bytes are not those that were checked.
    #[error(
        "the component is not the one that was checked: its digest is {found} instead of {wanted}; start again to use the new one"
    )]
    Digest {
        /// What was checked.
        wanted: Digest,
        /// What is there.
        found: Digest,
    },
    /// The bytes are no component.
    #[error("not a WebAssembly component: {0}")]
    NoComponent(&'static str),
    /// It was not compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// There is no place for its code.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Fresh code for it does not load.
    #[error(
        "the compiled component does not load: see whether the folder for compiled code is on a file system that allows programs"
    )]
    Unusable,
    /// It imports what the host does not provide.
    #[error("the component cannot be linked: {0}")]
    Link(String),
    /// Who compiles for this process does not hand the code over.
    #[error("{0}")]
    NoCode(String),
    /// Settings that no engine of ours has.
    #[error("there is no engine `{0}`: the worker is another flowhost than this one")]
    Settings(String),
    /// wasmtime cannot be set up on this machine.
    #[error("cannot set up wasmtime: {0}")]
    Engine(String),
    /// The work was cut short because the process ends.
    #[error("flowhost is shutting down")]
    Shutdown,
}

/// Where a component is.
#[derive(Clone, Debug)]
pub enum Source {
    /// Its bytes are in a file.
    File(PathBuf),
    /// Its bytes are here.
    Bytes(Bytes),
    /// Its code comes from whoever started this process and compiles for it.
    Code(Arc<dyn CodeSource>),
}

impl Source {
    /// Reads a component and checks that it is the one.
    pub(crate) fn read(&self, digest: Digest) -> Result<Bytes, LoadError> {
        let wasm = match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::File(path) => interface::read_file(path)
                .map(Bytes::from)
                .map_err(|source| LoadError::Read { path: path.clone(), source })?,
            // Its bytes are elsewhere; the code was made of the right ones.
            Self::Code(_) => return Err(LoadError::NoComponent("only its code is to be had here")),
        };
        let found = Digest::of(&wasm);
        if found != digest {
            return Err(LoadError::Digest { wanted: digest, found });
        }
        match wasm.get(..8) {
            // The layer, in the upper half of the version, tells components from core modules.
            Some([0, b'a', b's', b'm', _, _, 1, 0]) => Ok(wasm),
            Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => Err(LoadError::NoComponent(
                "this is a core module; build for wasm32-wasip2, or make a component of it with \
                 `wasm-tools component new`",
            )),
            _ => Err(LoadError::NoComponent("its first bytes are not those of one")),
        }
    }
}

/// Hands over compiled code. It is run as it comes: whoever is asked must be as trusted as this process.
pub trait CodeSource: fmt::Debug + Send + Sync {
    /// The code of a component, compiled for `settings`, which [`Runtime::code`](super::Runtime::code)
    /// of the other process understands. Fails with the reason.
    fn code(
        &self,
        component: Digest,
        settings: &str,
    ) -> Pin<Box<dyn Future<Output = Result<File, String>> + Send + '_>>;
}

impl Source {
    /// The file's name, where it is one.
    fn name(&self) -> Option<String> {
        match self {
            Self::File(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()),
            Self::Bytes(_) | Self::Code(_) => None,
        }
    }
}

type Loading = Arc<OnceCell<InstancePre<State>>>;

/// Components that are kept loaded for calls to come: a worker sees many in its time. Calls that are prepared
/// keep theirs.
const LOADED: usize = 256;

/// Components that are loaded, or about to be, and when each was last asked for.
#[derive(Default)]
struct Loaded {
    known: HashMap<(Digest, Flavour), (Loading, u64)>,
    asked: u64,
}

impl Loaded {
    fn get(&mut self, digest: Digest, flavour: Flavour) -> Loading {
        self.asked += 1;
        let asked = self.asked;
        if self.known.len() >= LOADED && !self.known.contains_key(&(digest, flavour)) {
            let oldest = self.known.iter().min_by_key(|(_, (_, asked))| *asked).map(|(name, _)| *name);
            oldest.and_then(|oldest| self.known.remove(&oldest));
        }
        let (loading, last) = self.known.entry((digest, flavour)).or_default();
        *last = asked;
        Arc::clone(loading)
    }
}

/// All components of a runtime.
pub(super) struct Components {
    compiler: Compiler,
    /// Compilers use all cores and much memory: one at a time.
    compiling: Semaphore,
    place: Place,
    cache: OnceCell<Arc<CodeCache>>,
    slots: usize,
    ticker: Ticker,
    hosts: Mutex<HashMap<Flavour, Arc<Host>>>,
    loaded: Mutex<Loaded>,
    warnings: Mutex<Vec<(Warning, Arc<str>)>>,
    /// Wakes who waits for warnings.
    warned: Notify,
}

/// The engines of one flavour with their linkers.
struct Host {
    engines: Engines,
    pooled: Option<Linker<State>>,
    on_demand: Linker<State>,
}

impl Components {
    /// Of which `slots` execute at once.
    pub(super) fn new(compiler: Compiler, place: Place, slots: usize, ticker: Ticker) -> Self {
        Self {
            compiler,
            compiling: Semaphore::new(1),
            place,
            cache: OnceCell::new(),
            slots,
            ticker,
            hosts: Mutex::default(),
            loaded: Mutex::default(),
            warnings: Mutex::default(),
            warned: Notify::new(),
        }
    }

    /// Makes the engines for ordinary calls.
    pub(super) fn make_engine(&self) -> Result<(), LoadError> {
        self.host(Flavour::Ordinary).map(drop)
    }

    /// Starts the clock, where that was put off.
    pub(super) fn start_ticker(&self) -> io::Result<()> {
        self.ticker.run()
    }

    /// The program that compiles.
    pub(super) fn program(&self) -> Result<PathBuf, CompileError> {
        self.compiler.program()
    }

    /// What people should know of, since the last time this was asked.
    pub(super) fn take_warnings(&self) -> Vec<(Warning, Arc<str>)> {
        std::mem::take(&mut *lock(&self.warnings))
    }

    /// Waits until there may be a warning. One who waits is woken for each.
    pub(super) async fn warned(&self) {
        self.warned.notified().await;
    }

    fn warn(&self, kind: Warning, message: String) {
        lock(&self.warnings).push((kind, message.into()));
        self.warned.notify_one();
    }

    /// Opens the folder for compiled code, if that was not done yet.
    pub(super) async fn open_cache(&self) -> Result<&Arc<CodeCache>, CacheError> {
        self.cache.get_or_try_init(|| async { CodeCache::open(&self.place).map(Arc::new) }).await
    }

    /// Removes what was compiled here from the folder.
    pub(super) fn remove_compiled(&self) {
        if let Some(cache) = self.cache.get() {
            cache.remove_made();
        }
    }

    /// The component of `digest`, ready for `flavour`. Loaded once; who asks meanwhile waits. After
    /// an error the next one who asks tries again.
    pub(super) async fn get(
        self: &Arc<Self>,
        digest: Digest,
        flavour: Flavour,
        source: &Source,
    ) -> Result<InstancePre<State>, LoadError> {
        let loading = lock(&self.loaded).get(digest, flavour);
        loading.get_or_try_init(|| self.load(digest, flavour, source)).await.cloned()
    }

    async fn load(
        self: &Arc<Self>,
        digest: Digest,
        flavour: Flavour,
        source: &Source,
    ) -> Result<InstancePre<State>, LoadError> {
        let this = Arc::clone(self);
        if let Source::Code(source) = source {
            let host = aside(move || this.host(flavour)).await?;
            let file = source.code(digest, &settings(flavour, host.engines.space)).await;
            let entry = Entry::handed(file.map_err(LoadError::NoCode)?);
            let this = Arc::clone(self);
            return aside(move || this.link(&host, digest, &entry)?.ok_or(LoadError::Unusable)).await;
        }
        let from = source.clone();
        let (host, wasm) = aside(move || Ok((this.host(flavour)?, from.read(digest)?))).await?;
        self.open_cache().await?;
        if let Some(loaded) = self.link_cached(&host, digest).await? {
            return Ok(loaded);
        }
        let engine = &host.engines.on_demand;
        let entry = self.compile(&wasm, digest, source, (flavour, host.engines.space), engine).await?;
        let this = Arc::clone(self);
        aside(move || this.link(&host, digest, &entry)?.ok_or(LoadError::Unusable)).await
    }

    /// The code of a component, compiled if need be, for another process of ours whose engines have these
    /// settings.
    pub(super) async fn code(
        &self,
        digest: Digest,
        wanted: &str,
        source: &Source,
    ) -> Result<File, LoadError> {
        let of = |flavour: Flavour| Space::ALL.map(|space| (flavour, space));
        let mut known = Flavour::ALL.into_iter().flat_map(of);
        let unknown = || LoadError::Settings(wanted.to_owned());
        let (flavour, space) =
            known.find(|(flavour, space)| settings(*flavour, *space) == wanted).ok_or_else(unknown)?;
        let from = source.clone();
        let (engine, wasm) = aside(move || {
            let engine =
                engine::on_demand(flavour, space).map_err(|error| LoadError::Engine(format!("{error:#}")))?;
            Ok((engine, from.read(digest)?))
        })
        .await?;
        if let Some(entry) = self.find(digest, &engine).await? {
            return Ok(entry.into_file());
        }
        Ok(self.compile(&wasm, digest, source, (flavour, space), &engine).await?.into_file())
    }

    /// Compiles a component into the code cache. `engine` is one of the settings that it is compiled for.
    async fn compile(
        &self,
        wasm: &[u8],
        digest: Digest,
        source: &Source,
        (flavour, space): (Flavour, Space),
        engine: &Engine,
    ) -> Result<Entry, LoadError> {
        let _turn = self.compiling.acquire().await.map_err(|_| LoadError::Shutdown)?;
        // Who had the turn before may have compiled the same for another process.
        if let Some(entry) = self.find(digest, engine).await? {
            return Ok(entry);
        }
        let name = source.name().unwrap_or_else(|| digest.to_string());
        let message = format!("component `{name}` is being compiled; the code is kept for later runs");
        self.warn(Warning::Compiling, message);
        let cache = Arc::clone(self.open_cache().await?);
        let drafts = Arc::clone(&cache);
        let (draft, writer) = aside(move || {
            let draft = drafts.draft()?;
            let writer = draft.writer().map_err(CompileError::Io)?;
            Ok((draft, writer))
        })
        .await?;
        self.compiler.compile(wasm, flavour, space, writer).await?;
        let engine = engine.clone();
        // A disk may take seconds to make it durable.
        aside(move || Ok(cache.keep(draft, &digest, &engine)?)).await
    }

    /// The code of a component from the code cache, if it is there and sound.
    async fn find(&self, digest: Digest, engine: &Engine) -> Result<Option<Entry>, LoadError> {
        let (cache, engine) = (Arc::clone(self.open_cache().await?), engine.clone());
        aside(move || Ok(cache.find(&digest, &engine))).await
    }

    /// The component from the code cache, linked; none where there is no code that loads.
    async fn link_cached(
        self: &Arc<Self>,
        host: &Arc<Host>,
        digest: Digest,
    ) -> Result<Option<InstancePre<State>>, LoadError> {
        let (this, host) = (Arc::clone(self), Arc::clone(host));
        aside(move || {
            let engine = &host.engines.on_demand;
            let Some(cache) = this.cache.get() else { return Ok(None) };
            let Some(entry) = cache.find(&digest, engine) else { return Ok(None) };
            let linked = this.link(&host, digest, &entry)?;
            if linked.is_none() {
                cache.remove(&digest, engine);
            }
            Ok(linked)
        })
        .await
    }

    /// The component of `entry`, linked; none where its code does not load.
    fn link(
        &self,
        host: &Host,
        digest: Digest,
        entry: &Entry,
    ) -> Result<Option<InstancePre<State>>, LoadError> {
        let engines = &host.engines;
        let Ok(twin) = entry.load(&engines.on_demand) else { return Ok(None) };
        if let (Some(engine), Some(linker)) = (&engines.pooled, &host.pooled) {
            // The twin loads, so the code is sound: what fails now is the pool.
            match entry.load(engine) {
                Ok(component) => return link(linker, &component).map(Some),
                Err(error) => self.warn_of_pool(digest, &error),
            }
        }
        link(&host.on_demand, &twin).map(Some)
    }

    fn warn_of_pool(&self, digest: Digest, error: &wasmtime::Error) {
        let message =
            format!("component {digest} does not fit the pool of instances and starts slower: {error:#}");
        self.warn(Warning::PoolTooSmall, message);
    }

    /// The engines of `flavour`, made now if need be.
    fn host(&self, flavour: Flavour) -> Result<Arc<Host>, LoadError> {
        let mut hosts = lock(&self.hosts);
        if let Some(host) = hosts.get(&flavour) {
            return Ok(Arc::clone(host));
        }
        let failed = |error: wasmtime::Error| LoadError::Engine(format!("{error:#}"));
        let engines = Engines::new(flavour, self.slots, &self.ticker).map_err(failed)?;
        if let Some(warning) = &engines.warning {
            self.warn(Warning::PoolTooSmall, warning.clone());
        }
        let pooled = engines.pooled.as_ref().map(|engine| host::linker(engine, flavour));
        let host = Arc::new(Host {
            pooled: pooled.transpose().map_err(failed)?,
            on_demand: host::linker(&engines.on_demand, flavour).map_err(failed)?,
            engines,
        });
        hosts.insert(flavour, Arc::clone(&host));
        Ok(host)
    }
}

/// What code is compiled for, in words that another process of ours understands.
fn settings(flavour: Flavour, space: Space) -> String {
    format!("{} {}", flavour.name(), space.name())
}

fn link(linker: &Linker<State>, component: &Component) -> Result<InstancePre<State>, LoadError> {
    linker.instantiate_pre(component).map_err(|error| LoadError::Link(format!("{error:#}")))
}

/// Runs what may block on a thread for that.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    // An error means that the tokio runtime is going down, or that the work panicked.
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(LoadError::Shutdown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_were_asked_for_last_stay_loaded() {
        let mut loaded = Loaded::default();
        let digest = |number: usize| Digest::of(&number.to_le_bytes());
        let first = loaded.get(digest(0), Flavour::Ordinary);
        for number in 1..=LOADED {
            loaded.get(digest(number), Flavour::Ordinary);
            // Asked for all the time.
            assert!(Arc::ptr_eq(&first, &loaded.get(digest(0), Flavour::Ordinary)));
        }
        assert_eq!(loaded.known.len(), LOADED);
        assert!(!loaded.known.contains_key(&(digest(1), Flavour::Ordinary)));
        assert!(loaded.known.contains_key(&(digest(2), Flavour::Ordinary)));
    }
}

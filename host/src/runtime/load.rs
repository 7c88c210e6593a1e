//! Components ready to be instantiated: read and checked against their digest, compiled once, loaded
//! and linked once for each flavour. Knows nothing of exports and calls.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::{Notify, OnceCell, Semaphore};
use wasmtime::component::{Component, InstancePre, Linker};

use super::code_cache::{CacheError, CodeCache, Place};
use super::compile::{CompileError, Compiler};
use super::engine::{Engines, Flavour};
use super::epoch::Ticker;
use super::sandbox::State;
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
    /// wasmtime cannot be set up on this machine.
    #[error("cannot set up wasmtime: {0}")]
    Engine(String),
    /// The work was cut short because the process ends.
    #[error("flowhost is shutting down")]
    Shutdown,
}

/// Where a component's bytes are.
#[derive(Clone, Debug)]
pub enum Source {
    /// In a file.
    File(PathBuf),
    /// Here.
    Bytes(Bytes),
}

impl Source {
    /// The file's name, where it is one.
    fn name(&self) -> Option<String> {
        match self {
            Self::File(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()),
            Self::Bytes(_) => None,
        }
    }
}

type Loading = Arc<OnceCell<InstancePre<State>>>;

/// All components of a runtime.
pub(super) struct Components {
    compiler: Compiler,
    /// Compilers use all cores and much memory: one at a time.
    compiling: Semaphore,
    place: Place,
    cache: OnceCell<CodeCache>,
    slots: usize,
    ticker: Ticker,
    hosts: Mutex<HashMap<Flavour, Arc<Host>>>,
    loaded: Mutex<HashMap<(Digest, Flavour), Loading>>,
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
    pub(super) async fn open_cache(&self) -> Result<&CodeCache, CacheError> {
        self.cache.get_or_try_init(|| async { CodeCache::open(&self.place) }).await
    }

    /// The component of `digest`, ready for `flavour`. Loaded once; who asks meanwhile waits. After
    /// an error the next one who asks tries again.
    pub(super) async fn get(
        self: &Arc<Self>,
        digest: Digest,
        flavour: Flavour,
        source: &Source,
    ) -> Result<InstancePre<State>, LoadError> {
        let loading = Arc::clone(lock(&self.loaded).entry((digest, flavour)).or_default());
        loading.get_or_try_init(|| self.load(digest, flavour, source)).await.cloned()
    }

    async fn load(
        self: &Arc<Self>,
        digest: Digest,
        flavour: Flavour,
        source: &Source,
    ) -> Result<InstancePre<State>, LoadError> {
        let (this, from) = (Arc::clone(self), source.clone());
        let (host, wasm) = aside(move || Ok((this.host(flavour)?, read(&from, digest)?))).await?;
        let cache = self.open_cache().await?;
        if let Some(loaded) = self.link_cached(&host, digest).await? {
            return Ok(loaded);
        }
        let _turn = self.compiling.acquire().await.map_err(|_| LoadError::Shutdown)?;
        let name = source.name().unwrap_or_else(|| digest.to_string());
        let message = format!("component `{name}` is being compiled; the code is kept for later runs");
        self.warn(Warning::Compiling, message);
        let draft = cache.draft()?;
        let writer = draft.writer().map_err(CompileError::Io)?;
        self.compiler.compile(&wasm, flavour, host.engines.space, writer).await?;
        // A moment of disk work, once for each component: not worth a thread.
        cache.keep(draft, &digest, &host.engines.on_demand)?;
        self.link_cached(&host, digest).await?.ok_or(LoadError::Unusable)
    }

    /// The component from the code cache, linked; none where there is no code that loads.
    async fn link_cached(
        self: &Arc<Self>,
        host: &Arc<Host>,
        digest: Digest,
    ) -> Result<Option<InstancePre<State>>, LoadError> {
        let (this, host) = (Arc::clone(self), Arc::clone(host));
        aside(move || {
            let engines = &host.engines;
            let Some(cache) = this.cache.get() else { return Ok(None) };
            let Some(entry) = cache.find(&digest, &engines.on_demand) else { return Ok(None) };
            let Ok(twin) = entry.load(&engines.on_demand) else {
                cache.remove(&digest, &engines.on_demand);
                return Ok(None);
            };
            if let (Some(engine), Some(linker)) = (&engines.pooled, &host.pooled) {
                // The twin loads, so the code is sound: what fails now is the pool.
                match entry.load(engine) {
                    Ok(component) => return link(linker, &component).map(Some),
                    Err(error) => this.warn_of_pool(digest, &error),
                }
            }
            link(&host.on_demand, &twin).map(Some)
        })
        .await
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

/// Reads a component and checks that it is the one.
fn read(source: &Source, digest: Digest) -> Result<Bytes, LoadError> {
    let wasm = match source {
        Source::Bytes(bytes) => bytes.clone(),
        Source::File(path) => interface::read_file(path)
            .map(Bytes::from)
            .map_err(|source| LoadError::Read { path: path.clone(), source })?,
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

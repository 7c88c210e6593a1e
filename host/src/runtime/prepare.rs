//! What all attempts of one call share, made once: the export looked up, its shape chosen, the
//! granted directories opened. Knows nothing of single attempts.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmtime::component::{ComponentExportIndex, InstancePre, types};
use wasmtime_wasi::filesystem::WasiFilesystemCtx;
use wasmtime_wasi::{FsPerms, WasiCtx};

use super::engine::Flavour;
use super::limiter::PAGE;
use super::sandbox::State;
use super::typed::{self, Shape};
use super::values;
use crate::folder::by_descriptor;
use crate::model::{Call, Entry, MIB, Signature, Type};

/// What wasmtime's dynamic values take for one element of a list, in bytes.
pub(super) const DYNAMIC_COST: u64 = 40;

/// The most that the dynamic form of one call's arguments, or of its result, may take, in bytes.
pub(super) const DYNAMIC_LIMIT: u64 = 1 << 30;

/// Bytes of a process beside what its attempts need.
const BESIDE: u64 = 64 << 20;

/// What a guest may always hand to the host at once, in bytes, however little it may return: the
/// channel's largest value, and the one that it is compared with, with room for a value that is too large
/// to be told so.
const HANDED: u64 = 4 * MIB;

/// Where the directories are that calls name.
#[derive(Clone, Debug)]
pub enum Folders {
    /// All of them below this folder.
    Below(PathBuf),
    /// Each in the folder of the longest name that it begins with.
    Named(Arc<[NamedFolder]>),
}

/// A folder and the name that calls have for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedFolder {
    /// The name, a relative path.
    pub name: PathBuf,
    /// Where it is.
    pub folder: PathBuf,
}

impl Folders {
    /// The folder that a directory must not lead out of, and where below it the directory is.
    fn find<'a>(&'a self, directory: &'a Path) -> Option<(&'a Path, &'a Path)> {
        match self {
            Self::Below(root) => Some((root, directory)),
            Self::Named(folders) => {
                let inside = folders.iter().filter_map(|named| {
                    let below = directory.strip_prefix(&named.name).ok()?;
                    Some((named, below))
                });
                let (named, below) = inside.max_by_key(|(named, _)| named.name.components().count())?;
                Some((&named.folder, below))
            }
        }
    }

    /// Opens a directory. One that a link leads out of its folder is refused.
    pub(crate) fn open(&self, directory: &Path) -> Result<cap_std::fs::Dir, PrepareError> {
        let failed = |source| self.failed(directory, source);
        let unknown = || failed(io::Error::other("none of them has that name"));
        let (root, below) = self.find(directory).ok_or_else(unknown)?;
        let opened = cap_std::fs::Dir::open_ambient_dir(root, cap_std::ambient_authority());
        let opened = opened.map_err(failed)?;
        // A folder below itself is itself, under any name that is not empty.
        let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
        opened.open_dir(below).map_err(failed)
    }

    fn failed(&self, directory: &Path, source: io::Error) -> PrepareError {
        let root = self.find(directory).map_or(Path::new("the worker's folders"), |(root, _)| root);
        PrepareError::Directory { directory: directory.to_owned(), root: root.to_owned(), source }
    }
}

impl<P: AsRef<Path> + ?Sized> From<&P> for Folders {
    fn from(root: &P) -> Self {
        Self::Below(root.as_ref().to_owned())
    }
}

/// Why a call cannot be made. Its attempts are rejected.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The component does not load.
    #[error(transparent)]
    Load(#[from] super::LoadError),
    /// The component has no such export.
    #[error("the component exports no {0}: `flowhost inspect` lists what it exports")]
    NoExport(String),
    /// The export is not what the workflow was checked against.
    #[error("{export} does not have the type that was checked: {reason}")]
    Mismatch {
        /// Which.
        export: String,
        /// How it differs.
        reason: String,
    },
    /// A granted directory cannot be opened.
    #[error("cannot open the granted directory `{}` below `{}`: {source}", directory.display(), root.display())]
    Directory {
        /// The directory as granted.
        directory: PathBuf,
        /// The root that it must not lead out of.
        root: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How the export is called.
#[derive(Clone)]
pub(super) enum Way {
    /// With Rust types.
    Typed(Arc<dyn Shape>),
    /// With wasmtime's dynamic values.
    Dynamic,
    /// As a `wasi:cli/run`.
    Command,
}

/// What all attempts of one call share. Cheap to clone; whoever runs many attempts on one thread
/// keeps a clone of its own there, so that threads do not fight over its counters.
#[derive(Clone)]
pub struct Prepared {
    pub(super) call: Arc<Call>,
    pub(super) flavour: Flavour,
    pub(super) component: InstancePre<State>,
    pub(super) export: ComponentExportIndex,
    pub(super) way: Way,
    pub(super) filesystem: WasiFilesystemCtx,
    pub(super) hostcall_fuel: usize,
    /// Bytes of the largest memory that there is from the start.
    pub(super) first_memory: u64,
}

impl Prepared {
    /// The call that this was made for.
    #[must_use]
    pub fn call(&self) -> &Arc<Call> {
        &self.call
    }

    pub(super) fn new(
        call: Arc<Call>,
        component: InstancePre<State>,
        folders: &Folders,
    ) -> Result<Self, PrepareError> {
        let export = export(&component, &call)?;
        let (way, fuel) = (way(&call), handed(&call));
        Ok(Self {
            flavour: Flavour::of(&call),
            filesystem: directories(&call, folders)?,
            hostcall_fuel: usize::try_from(fuel).unwrap_or(usize::MAX),
            first_memory: first_memory(&component),
            component,
            export,
            way,
            call,
        })
    }
}

/// Bytes of the largest memory that instances of `component` have from the start. 0 where that is not known.
fn first_memory(component: &InstancePre<State>) -> u64 {
    let resources = component.component().resources_required();
    let pages = resources.and_then(|resources| resources.max_initial_memory_size);
    pages.map_or(0, |pages| pages.saturating_mul(PAGE))
}

/// How values pass between `call`'s guest and the host.
fn way(call: &Call) -> Way {
    match &call.entry {
        Entry::Command { .. } => Way::Command,
        Entry::Function { .. } => typed::shape(&call.signature).map_or(Way::Dynamic, Way::Typed),
    }
}

/// Bytes that a guest of `call` may hand to the host at once.
fn handed(call: &Call) -> u64 {
    match way(call) {
        Way::Dynamic if expands(&call.signature.result) => {
            call.limits.output.saturating_mul(DYNAMIC_COST).clamp(HANDED, DYNAMIC_LIMIT)
        }
        Way::Typed(_) | Way::Command | Way::Dynamic => call.limits.output.max(HANDED),
    }
}

/// Bytes that an attempt of `call` may make its process allocate: the guest's memory, arguments that fill
/// it, the result as the host has it and as it travels, and what the process needs for itself.
#[must_use]
pub fn appetite(call: &Call) -> u64 {
    let guest = call.limits.memory.saturating_mul(2);
    guest.saturating_add(handed(call).saturating_mul(2)).saturating_add(BESIDE)
}

/// Whether a value of type `ty` can take many times its size in wasmtime's dynamic form.
fn expands(ty: &Type) -> bool {
    match ty {
        Type::List(_) => true,
        Type::Option(some) => expands(some),
        Type::Result { ok, err } => [ok, err].into_iter().flatten().any(|ty| expands(ty)),
        Type::Tuple(types) => types.iter().any(expands),
        Type::Record(record) => record.members.iter().any(|field| expands(&field.ty)),
        Type::Variant(variant) => variant.members.iter().filter_map(|case| case.ty.as_ref()).any(expands),
        Type::Enum(_) | Type::Flags(_) => false,
        scalar => !scalar.is_scalar(),
    }
}

/// The entry as people write it.
fn name(entry: &Entry) -> String {
    match entry {
        Entry::Function { interface: Some(interface), name } => {
            format!("function `{name}` in `{interface}`")
        }
        Entry::Function { interface: None, name } => format!("function `{name}`"),
        Entry::Command { .. } => "`wasi:cli/run`".to_owned(),
    }
}

fn export(component: &InstancePre<State>, call: &Call) -> Result<ComponentExportIndex, PrepareError> {
    let missing = || PrepareError::NoExport(name(&call.entry));
    let component = component.component();
    let (item, index) = match &call.entry {
        Entry::Function { interface: None, name } => component.get_export(None, &**name),
        Entry::Function { interface: Some(interface), name } => {
            let interface = component.get_export_index(None, &**interface).ok_or_else(missing)?;
            component.get_export(Some(&interface), &**name)
        }
        Entry::Command { .. } => {
            let kind = component.component_type();
            let mut names = kind.exports(component.engine()).map(|(name, _)| name);
            let run = names.find(|name| *name == "wasi:cli/run" || name.starts_with("wasi:cli/run@0.2."));
            let run = run.and_then(|name| component.get_export_index(None, name)).ok_or_else(missing)?;
            component.get_export(Some(&run), "run")
        }
    }
    .ok_or_else(missing)?;
    let types::ComponentItem::ComponentFunc(function) = item else { return Err(missing()) };
    if let Entry::Function { .. } = &call.entry {
        fits(&call.signature, &function)
            .map_err(|reason| PrepareError::Mismatch { export: name(&call.entry), reason })?;
    }
    Ok(index)
}

/// Whether `function` has `signature`; in words where it has not.
fn fits(signature: &Signature, function: &types::ComponentFunc) -> Result<(), String> {
    let theirs = function.params();
    if theirs.len() != signature.parameters.len() {
        return Err(format!("it takes {} parameters, not {}", theirs.len(), signature.parameters.len()));
    }
    for ((name, ours), (_, theirs)) in signature.parameters.iter().zip(theirs) {
        if !values::same(ours, &theirs) {
            return Err(format!("its parameter `{name}` is no {ours}"));
        }
    }
    let mut results = function.results();
    let same = match results.next() {
        None => signature.result == Type::unit(),
        Some(theirs) => values::same(&signature.result, &theirs) && results.next().is_none(),
    };
    if same { Ok(()) } else { Err(format!("it does not return {}", signature.result)) }
}

/// The granted directories, opened. A link that leads out of the folder that they lie in is refused.
fn directories(call: &Call, folders: &Folders) -> Result<WasiFilesystemCtx, PrepareError> {
    let mut builder = WasiCtx::builder();
    for granted in &call.directories {
        let directory = folders.open(&granted.path)?;
        let permissions = if granted.write { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
        builder
            .preopened_dir(by_descriptor(&directory), &*granted.guest, permissions)
            .map_err(|error| folders.failed(&granted.path, io::Error::other(error)))?;
    }
    Ok(builder.build().filesystem().clone())
}

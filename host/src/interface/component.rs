//! What a component offers and asks for, as data. Knows what the host provides, and nothing of the
//! bytes that it was read from.

use std::sync::Arc;

use super::Unsupported;
use crate::model::imports::{self, Provided};
use crate::model::{Entry, Signature, Type};

/// What a component exports and imports, in the component's order.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Interface {
    /// The functions that can be tasks.
    pub exports: Vec<Export>,
    /// The functions that cannot, and why.
    pub unsupported: Vec<UnsupportedExport>,
    /// The name and version of the exported `wasi:cli/run`, if the component is a command. It is not
    /// among the exports.
    pub command: Option<Arc<str>>,
    /// What it wants from the host.
    pub imports: Vec<Import>,
    /// The types that its author named, those of imported interfaces included.
    pub types: Vec<NamedType>,
}

/// An exported function that can be a task.
#[derive(Clone, PartialEq, Debug)]
pub struct Export {
    /// The exported interface that holds it, with its version; none for a function of the world.
    pub interface: Option<Arc<str>>,
    /// The function's name.
    pub name: Arc<str>,
    /// Its parameters and result.
    pub signature: Arc<Signature>,
}

/// An exported function that cannot be a task.
#[derive(Clone, PartialEq, Debug)]
pub struct UnsupportedExport {
    /// The exported interface that holds it, with its version; none for a function of the world.
    pub interface: Option<Arc<str>>,
    /// The function's name.
    pub name: Arc<str>,
    /// Why not.
    pub reason: Unsupported,
}

/// Something that the component imports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Import {
    /// Its name as the component writes it, such as `wasi:cli/exit@0.2.3`.
    pub name: Arc<str>,
    /// What it is.
    pub kind: ImportKind,
}

/// What is imported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ImportKind {
    /// An interface with functions or resources.
    Interface {
        /// The names of the functions.
        functions: Vec<Arc<str>>,
    },
    /// Only value types, of an interface or alone: they need nothing from the host.
    Types,
    /// A function of the world itself.
    Function,
    /// A resource type, a module, a component or a value.
    Other,
}

/// A type with the name that its author gave it.
#[derive(Clone, PartialEq, Debug)]
pub struct NamedType {
    /// The interface that holds it, with its version; none for a type of the world itself.
    pub interface: Option<Arc<str>>,
    /// Its name.
    pub name: Arc<str>,
    /// Whether the component exports it: it is then its author's, and not the host's.
    pub exported: bool,
    /// What it is, or why no value can have it.
    pub ty: Result<Type, Unsupported>,
}

/// An import that the host does not provide.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the component imports {what} `{name}`, which flowhost does not provide{}", .other_version.map(|version| format!(" in that version: it provides {version}")).unwrap_or_default())]
pub struct Unprovided {
    /// What it is: an interface, a function and so on.
    pub what: &'static str,
    /// Its name as the component writes it.
    pub name: Arc<str>,
    /// The version that the host does provide, where the version is all that is wrong.
    pub other_version: Option<&'static str>,
}

impl Interface {
    /// The imports that the host does not provide. A component with any of them cannot run.
    #[must_use]
    pub fn unprovided(&self) -> Vec<Unprovided> {
        self.imports.iter().filter_map(Import::unprovided).collect()
    }

    /// The grants without which some of the imports reach nothing, such as `env`, each once and in
    /// the order of [`imports::PROVIDED`].
    #[must_use]
    pub fn needs(&self) -> Vec<&'static str> {
        let mut needs = Vec::new();
        for provided in imports::PROVIDED {
            let Some(need) = provided.needs else { continue };
            let imported = || {
                self.imports.iter().filter_map(Import::provided).any(|import| import.name == provided.name)
            };
            if !needs.contains(&need) && imported() {
                needs.push(need);
            }
        }
        needs
    }

    /// The imports that a deterministic task may not have, among those that the host provides.
    #[must_use]
    pub fn nondeterministic(&self) -> Vec<&Import> {
        self.imports
            .iter()
            .filter(|import| import.provided().is_some_and(|provided| !provided.deterministic))
            .collect()
    }
}

impl Export {
    /// What an attempt calls.
    #[must_use]
    pub fn entry(&self) -> Entry {
        Entry::Function { interface: self.interface.clone(), name: Arc::clone(&self.name) }
    }

    /// The full name under which a workflow can call it, such as `ns:pkg/iface@0.1.0.function`.
    #[must_use]
    pub fn full_name(&self) -> String {
        full_name(self.interface.as_deref(), &self.name)
    }
}

impl Import {
    /// The host's interface that serves it, if the host has one and this import needs one.
    #[must_use]
    pub fn provided(&self) -> Option<&'static Provided> {
        match &self.kind {
            ImportKind::Interface { .. } => imports::find(&self.name),
            ImportKind::Types | ImportKind::Function | ImportKind::Other => None,
        }
    }

    fn unprovided(&self) -> Option<Unprovided> {
        let what = match &self.kind {
            ImportKind::Types => return None,
            ImportKind::Interface { .. } if imports::find(&self.name).is_some() => return None,
            ImportKind::Interface { .. } => "the interface",
            ImportKind::Function => "the function",
            ImportKind::Other => "the item",
        };
        let bare = self.name.split('@').next().unwrap_or_default();
        let other_version = match &self.kind {
            ImportKind::Interface { .. } => imports::find(bare).map(|provided| provided.version),
            ImportKind::Types | ImportKind::Function | ImportKind::Other => None,
        };
        Some(Unprovided { what, name: Arc::clone(&self.name), other_version })
    }
}

/// An item's full name: `interface.name`, or `name` alone for an item of the world itself.
pub(super) fn full_name(interface: Option<&str>, name: &str) -> String {
    match interface {
        Some(interface) => format!("{interface}.{name}"),
        None => name.to_owned(),
    }
}

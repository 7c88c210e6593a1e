//! A component's bytes to its [`Interface`]. Everything is validated first, as the engine would, so
//! that what is read here also compiles; hostile bytes get an error and never a panic.

use std::sync::Arc;

use wasmparser::component_types::{ComponentAnyTypeId, ComponentEntityType, ComponentItem};
use wasmparser::types::{Types, TypesRef};
use wasmparser::{Chunk, FuncValidatorAllocations, Parser, Payload, ValidPayload, Validator, WasmFeatures};

use super::lift::{Lift, TooManyTypes, Unsupported};
use super::suggest::shorten;
use super::{Export, FEATURES, Import, ImportKind, Interface, NamedType, UnsupportedExport, features};
use crate::model::{Signature, Type};

/// Why bytes are no component that can run.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InterfaceError {
    /// Nothing at all.
    #[error("it is empty; build the component again")]
    Empty,
    /// Something else entirely.
    #[error("it is not WebAssembly: it begins with `{0}`; {BUILD}")]
    NotWasm(String),
    /// WebAssembly in its text format.
    #[error("it is WebAssembly text; turn it into a component with `wasm-tools parse`")]
    Text,
    /// A core module.
    #[error("it is a core module, not a component; {BUILD}, or wrap it with `wasm-tools component new`")]
    CoreModule,
    /// A WIT package in its binary form, which holds no code.
    #[error("it is a WIT package without code; {BUILD}")]
    WitPackage,
    /// The end is missing.
    #[error("it ends in the middle, after {0} bytes; copy or build it again")]
    Truncated(usize),
    /// Async functions, streams or futures.
    #[error(
        "it needs async functions, streams or futures of WASI 0.3, which are still experimental \
         (offset {offset:#x}: {reason}); build it for WASI 0.2, as `cargo build --target wasm32-wasip2` does"
    )]
    Async {
        /// What the validator says.
        reason: String,
        /// Bytes from the start.
        offset: usize,
    },
    /// A proposal that is switched off.
    #[error(
        "it needs the WebAssembly feature {feature}, which flowhost does not run (offset {offset:#x}: \
         {reason}); build it without"
    )]
    Feature {
        /// The proposal's name.
        feature: String,
        /// What the validator says.
        reason: String,
        /// Bytes from the start.
        offset: usize,
    },
    /// Breaks the rules of the format.
    #[error("it is not a valid component (offset {offset:#x}: {reason}); build it again")]
    Invalid {
        /// What the validator says.
        reason: String,
        /// Bytes from the start.
        offset: usize,
    },
    /// Describes more types than can be read.
    #[error("its types have too many parts altogether; export fewer or smaller types")]
    TooManyTypes,
}

const BUILD: &str = "build a component with `cargo build --target wasm32-wasip2`";
const MAGIC: &[u8] = b"\0asm";
/// The four bytes after the magic number that announce a core module of version 1.
const CORE_MODULE: &[u8] = &[1, 0, 0, 0];

/// Reads what a component exports and imports, without compiling it. Takes time and memory in
/// proportion to the size of `bytes`.
///
/// # Errors
/// Fails when the bytes are no valid component under [`FEATURES`], and says what they are instead.
pub fn read(bytes: &[u8]) -> Result<Interface, InterfaceError> {
    check_header(bytes)?;
    let Outline { types, imports, exports } = validate(bytes)?;
    let types = types.as_ref();
    let imports = items(imports, |name| types.component_item_for_import(name));
    let exports = items(exports, |name| types.component_item_for_export(name));
    if is_wit_package(&imports, &exports) {
        return Err(InterfaceError::WitPackage);
    }

    let mut reader =
        Reader { types, lift: Lift::new(types), interface: Interface::default(), named: Vec::new() };
    // Exports first: their names for types are those that the component's author sees.
    for (name, item) in &exports {
        reader.note_names(name, item, true);
    }
    for (name, item) in &imports {
        reader.note_names(name, item, false);
    }
    for (name, item) in &exports {
        reader.export(name, item);
    }
    for (name, item) in &imports {
        reader.import(name, item);
    }
    reader.finish().map_err(|TooManyTypes| InterfaceError::TooManyTypes)
}

fn check_header(bytes: &[u8]) -> Result<(), InterfaceError> {
    if bytes.is_empty() {
        return Err(InterfaceError::Empty);
    }
    let Some((magic, rest)) = bytes.split_at_checked(MAGIC.len()) else {
        let start = MAGIC.starts_with(bytes);
        return Err(if start { InterfaceError::Truncated(bytes.len()) } else { not_wasm(bytes) });
    };
    if magic != MAGIC {
        return Err(not_wasm(bytes));
    }
    if rest.starts_with(CORE_MODULE) {
        return Err(InterfaceError::CoreModule);
    }
    Ok(())
}

fn not_wasm(bytes: &[u8]) -> InterfaceError {
    let start = bytes.trim_ascii_start();
    if start.starts_with(b"(component") || start.starts_with(b"(module") || start.starts_with(b";;") {
        return InterfaceError::Text;
    }
    let start = bytes.get(..16).unwrap_or(bytes);
    InterfaceError::NotWasm(shorten(&String::from_utf8_lossy(start)))
}

/// What the validator knows of a component, and the names of what it imports and exports in order.
struct Outline<'a> {
    types: Types,
    imports: Vec<&'a str>,
    exports: Vec<&'a str>,
}

fn validate(bytes: &[u8]) -> Result<Outline<'_>, InterfaceError> {
    let mut validator = Validator::new_with_features(FEATURES);
    let mut parser = Parser::new(0);
    parser.set_features(FEATURES);
    let mut outer = Vec::new();
    let mut allocations = FuncValidatorAllocations::default();
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut rest = bytes;
    loop {
        // What is nested was checked to lie within the bytes, so only the outermost level can lack
        // its end; and that level may end wherever a section does.
        let complete = !outer.is_empty() || rest.is_empty();
        let (payload, consumed) = match parser.parse(rest, complete)? {
            Chunk::Parsed { payload, consumed } => (payload, consumed),
            Chunk::NeedMoreData(_) => return Err(InterfaceError::Truncated(bytes.len())),
        };
        rest = rest.get(consumed..).unwrap_or_default();
        let types = match validator.payload(&payload)? {
            ValidPayload::Ok | ValidPayload::Parser(_) => None,
            ValidPayload::Func(function, body) => {
                let mut function = function.into_validator(allocations);
                function.validate(&body)?;
                allocations = function.into_allocations();
                None
            }
            ValidPayload::End(types) => Some(types),
        };
        match payload {
            Payload::ComponentImportSection(section) if outer.is_empty() => {
                for import in section {
                    imports.push(import?.name.name);
                }
            }
            Payload::ComponentExportSection(section) if outer.is_empty() => {
                for export in section {
                    exports.push(export?.name.name);
                }
            }
            Payload::ModuleSection { parser: inner, unchecked_range }
            | Payload::ComponentSection { parser: inner, unchecked_range } => {
                if unchecked_range.end > bytes.len() {
                    return Err(InterfaceError::Truncated(bytes.len()));
                }
                outer.push(std::mem::replace(&mut parser, inner));
            }
            Payload::End(_) => match (outer.pop(), types) {
                (Some(outside), _) => parser = outside,
                (None, Some(types)) => return Ok(Outline { types, imports, exports }),
                (None, None) => return Err(InterfaceError::Truncated(bytes.len())),
            },
            _ => {}
        }
    }
}

impl From<wasmparser::Error> for InterfaceError {
    fn from(error: wasmparser::Error) -> Self {
        let reason = error.message().lines().map(str::trim).collect::<Vec<_>>().join(": ");
        let reason: String = reason.chars().take(300).flat_map(char::escape_debug).collect();
        let offset = error.offset();
        match error.missing_wasm_feature() {
            Some(missing) if features::is_async(missing) => Self::Async { reason, offset },
            Some(missing) => Self::Feature { feature: features::name(missing), reason, offset },
            // The one feature that the validator does not name.
            None if reason == "multiple memories" => {
                Self::Feature { feature: features::name(WasmFeatures::MULTI_MEMORY), reason, offset }
            }
            None => Self::Invalid { reason, offset },
        }
    }
}

type Items<'a> = Vec<(Arc<str>, &'a ComponentItem)>;

fn items<'a>(names: Vec<&str>, item: impl Fn(&str) -> Option<&'a ComponentItem>) -> Items<'a> {
    names.into_iter().filter_map(|name| Some((Arc::from(name), item(name)?))).collect()
}

/// A WIT package's binary form imports nothing and exports nothing but component types.
fn is_wit_package(imports: &Items<'_>, exports: &Items<'_>) -> bool {
    let component_type = |item: &ComponentItem| {
        matches!(item.ty, ComponentEntityType::Type { created: ComponentAnyTypeId::Component(_), .. })
    };
    imports.is_empty() && !exports.is_empty() && exports.iter().all(|(_, item)| component_type(item))
}

struct Reader<'a> {
    types: TypesRef<'a>,
    lift: Lift<'a>,
    interface: Interface,
    /// The types to list, found while their names were noted.
    named: Vec<Noted>,
}

/// A type that the author named, before it is lifted.
struct Noted {
    interface: Option<Arc<str>>,
    name: Arc<str>,
    exported: bool,
    id: ComponentAnyTypeId,
}

impl<'a> Reader<'a> {
    /// The items of an instance type, in order.
    fn members(
        &self,
        item: &ComponentItem,
    ) -> Option<impl Iterator<Item = (&'a str, &'a ComponentItem)> + 'a> {
        let ComponentEntityType::Instance(id) = item.ty else { return None };
        let instance = self.types.get(id)?;
        Some(instance.exports.iter().map(|(name, item)| (name.as_str(), item)))
    }

    fn note_names(&mut self, name: &Arc<str>, item: &ComponentItem, exported: bool) {
        match item.ty {
            ComponentEntityType::Type { created: id, .. } => {
                self.note(Noted { interface: None, name: Arc::clone(name), exported, id });
            }
            ComponentEntityType::Instance(_) => {
                for (member, item) in self.members(item).into_iter().flatten() {
                    if let ComponentEntityType::Type { created: id, .. } = item.ty {
                        let (interface, name) = (Some(Arc::clone(name)), Arc::from(member));
                        self.note(Noted { interface, name, exported, id });
                    }
                }
            }
            ComponentEntityType::Func(_)
            | ComponentEntityType::Module(_)
            | ComponentEntityType::Component(_)
            | ComponentEntityType::Value(_) => {}
        }
    }

    fn note(&mut self, noted: Noted) {
        self.lift.name(noted.id, &noted.name);
        self.named.push(noted);
    }

    fn export(&mut self, name: &Arc<str>, item: &ComponentItem) {
        match item.ty {
            ComponentEntityType::Func(_) => self.function(None, Arc::clone(name), item),
            ComponentEntityType::Instance(_) => {
                for (member, item) in self.members(item).into_iter().flatten() {
                    if let ComponentEntityType::Func(_) = item.ty {
                        self.function(Some(Arc::clone(name)), Arc::from(member), item);
                    }
                }
            }
            ComponentEntityType::Type { .. }
            | ComponentEntityType::Module(_)
            | ComponentEntityType::Component(_)
            | ComponentEntityType::Value(_) => {}
        }
    }

    fn function(&mut self, interface: Option<Arc<str>>, name: Arc<str>, item: &ComponentItem) {
        match self.signature(interface.as_deref(), &name, item) {
            Ok(signature) if is_command(interface.as_deref(), &name, &signature) => {
                self.interface.command = interface;
            }
            Ok(signature) => {
                let signature = Arc::new(signature);
                self.interface.exports.push(Export { interface, name, signature });
            }
            Err(reason) => self.interface.unsupported.push(UnsupportedExport { interface, name, reason }),
        }
    }

    fn signature(
        &mut self,
        interface: Option<&str>,
        name: &str,
        item: &ComponentItem,
    ) -> Result<Signature, Unsupported> {
        if name.starts_with('[') {
            return Err(Unsupported::Method);
        }
        if (interface, name) == (Some("exports"), "init") {
            return Err(Unsupported::Internal);
        }
        let ComponentEntityType::Func(id) = item.ty else { return Err(Unsupported::Undefined) };
        self.lift.signature(self.types.get(id).ok_or(Unsupported::Undefined)?)
    }

    fn import(&mut self, name: &Arc<str>, item: &ComponentItem) {
        let kind = match item.ty {
            ComponentEntityType::Instance(_) => self.imported_interface(item),
            ComponentEntityType::Type { created: ComponentAnyTypeId::Defined(_), .. } => ImportKind::Types,
            ComponentEntityType::Func(_) => ImportKind::Function,
            ComponentEntityType::Type { .. }
            | ComponentEntityType::Module(_)
            | ComponentEntityType::Component(_)
            | ComponentEntityType::Value(_) => ImportKind::Other,
        };
        self.interface.imports.push(Import { name: Arc::clone(name), kind });
    }

    fn imported_interface(&self, item: &ComponentItem) -> ImportKind {
        let mut functions = Vec::new();
        let mut only_types = true;
        for (name, item) in self.members(item).into_iter().flatten() {
            match item.ty {
                ComponentEntityType::Type { created: ComponentAnyTypeId::Defined(_), .. } => {}
                ComponentEntityType::Func(_) => functions.push(Arc::from(name)),
                // A resource has to come from somewhere, even where no function takes it.
                ComponentEntityType::Type { .. }
                | ComponentEntityType::Instance(_)
                | ComponentEntityType::Module(_)
                | ComponentEntityType::Component(_)
                | ComponentEntityType::Value(_) => only_types = false,
            }
        }
        if only_types && functions.is_empty() {
            ImportKind::Types
        } else {
            ImportKind::Interface { functions }
        }
    }

    fn finish(mut self) -> Result<Interface, TooManyTypes> {
        for Noted { interface, name, exported, id } in std::mem::take(&mut self.named) {
            if let ComponentAnyTypeId::Defined(id) = id {
                let ty = self.lift.named_type(id);
                self.interface.types.push(NamedType { interface, name, exported, ty });
            }
        }
        self.lift.finish()?;
        Ok(self.interface)
    }
}

/// Whether this is `run` of a `wasi:cli/run` that the host can start.
fn is_command(interface: Option<&str>, name: &str, signature: &Signature) -> bool {
    let Some(rest) = interface.and_then(|interface| interface.strip_prefix("wasi:cli/run")) else {
        return false;
    };
    (rest.is_empty() || rest.starts_with("@0.2."))
        && name == "run"
        && signature.parameters.is_empty()
        && signature.result == Type::Result { ok: None, err: None }
}

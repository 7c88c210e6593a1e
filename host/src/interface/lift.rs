//! The validated component's types as model types. Shared types stay shared, and their size written
//! out in full is bounded, so that a small file cannot describe an endless type.

use std::collections::HashMap;
use std::sync::Arc;

use wasmparser::PrimitiveValType;
use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentDefinedType, ComponentDefinedTypeId, ComponentFuncType, ComponentValType,
};
use wasmparser::types::TypesRef;

use crate::model::{Case, Field, Named, Signature, Type};

/// A type may be nested so deep, at most.
pub const MAX_TYPE_DEPTH: u32 = 64;
/// A signature or named type may have so many parts when written out in full, at most: types,
/// fields, cases and flags.
pub const MAX_TYPE_NODES: u32 = 10_000;
/// All types of a component may have so many parts together, each definition counted once.
const MAX_PARTS: u32 = 2_000_000;
/// An alias of an alias is followed so often in search of a name.
const MAX_ALIASES: u32 = 32;

/// Why an exported function cannot be a task, or a type no type of a task's value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unsupported {
    /// A handle to a resource.
    #[error("it uses a resource, and a handle means nothing outside the component")]
    Resource,
    /// A `stream`.
    #[error("it uses a stream (WASI 0.3), which is no value")]
    Stream,
    /// A `future`.
    #[error("it uses a future (WASI 0.3), which is no value")]
    Future,
    /// An `error-context`.
    #[error("it uses an error-context (WASI 0.3), which is no value")]
    ErrorContext,
    /// A list of fixed length.
    #[error("it uses a list of fixed length; use `list` or `tuple`")]
    FixedLengthList,
    /// A `map`.
    #[error("it uses a map; use a list of tuples")]
    Map,
    /// An async function.
    #[error("it is async (WASI 0.3); make it a plain function")]
    Async,
    /// A constructor, method or static function of a resource.
    #[error("it belongs to a resource; export a plain function")]
    Method,
    /// Called by the component's own toolchain.
    #[error("it is internal to componentize-py")]
    Internal,
    /// Nested deeper than [`MAX_TYPE_DEPTH`].
    #[error("its types nest deeper than {MAX_TYPE_DEPTH} levels")]
    TooDeep,
    /// Larger than [`MAX_TYPE_NODES`].
    #[error("its types have more than {MAX_TYPE_NODES} parts written out in full")]
    TooLarge,
    /// Refers to what validation should have refused.
    #[error("its type is not defined")]
    Undefined,
}

/// The types of the component are too many altogether.
pub(super) struct TooManyTypes;

/// A type with its size when written out in full.
#[derive(Clone)]
struct Measured {
    ty: Type,
    nodes: u32,
    depth: u32,
}

/// Turns the component's types into model types, each definition once.
pub(super) struct Lift<'a> {
    types: TypesRef<'a>,
    names: HashMap<ComponentDefinedTypeId, Arc<str>>,
    done: HashMap<ComponentDefinedTypeId, Result<Measured, Unsupported>>,
    /// What is left of [`MAX_PARTS`].
    budget: u32,
}

impl<'a> Lift<'a> {
    /// Starts with no names.
    pub(super) fn new(types: TypesRef<'a>) -> Self {
        Self { types, names: HashMap::new(), done: HashMap::new(), budget: MAX_PARTS }
    }

    /// Notes that the author calls the type so. All names must be noted before any type is lifted.
    pub(super) fn name(&mut self, id: ComponentAnyTypeId, name: &Arc<str>) {
        if let ComponentAnyTypeId::Defined(id) = id {
            self.names.entry(id).or_insert_with(|| Arc::clone(name));
        }
    }

    /// A type by itself.
    pub(super) fn named_type(&mut self, id: ComponentDefinedTypeId) -> Result<Type, Unsupported> {
        Ok(self.defined(id)?.ty)
    }

    /// Parameters and result of a function.
    pub(super) fn signature(&mut self, function: &ComponentFuncType) -> Result<Signature, Unsupported> {
        if function.async_ {
            return Err(Unsupported::Async);
        }
        let mut size = Size::default();
        let mut parameters = Vec::with_capacity(function.params.len());
        for (name, ty) in &function.params {
            parameters.push((Arc::from(name.as_str()), self.part(*ty, &mut size)?));
        }
        let result = match function.result {
            Some(ty) => self.part(ty, &mut size)?,
            None => Type::unit(),
        };
        size.checked()?;
        Ok(Signature { parameters, result })
    }

    /// Whether the component described more than can be read. What was lifted is then incomplete.
    pub(super) fn finish(self) -> Result<(), TooManyTypes> {
        if self.budget == 0 { Err(TooManyTypes) } else { Ok(()) }
    }

    fn part(&mut self, ty: ComponentValType, size: &mut Size) -> Result<Type, Unsupported> {
        let measured = match ty {
            ComponentValType::Primitive(primitive) => leaf(primitive)?,
            ComponentValType::Type(id) => self.defined(id)?,
        };
        size.add(&measured);
        self.spend(1)?;
        Ok(measured.ty)
    }

    fn optional(
        &mut self,
        ty: Option<ComponentValType>,
        size: &mut Size,
    ) -> Result<Option<Type>, Unsupported> {
        ty.map(|ty| self.part(ty, size)).transpose()
    }

    fn spend(&mut self, parts: usize) -> Result<(), Unsupported> {
        self.budget = self.budget.saturating_sub(u32::try_from(parts).unwrap_or(u32::MAX));
        if self.budget == 0 { Err(Unsupported::TooLarge) } else { Ok(()) }
    }

    fn defined(&mut self, id: ComponentDefinedTypeId) -> Result<Measured, Unsupported> {
        if let Some(done) = self.done.get(&id) {
            return done.clone();
        }
        // The validator bounds the nesting to 100, so this recursion ends.
        let lifted = self.lift(id);
        self.done.insert(id, lifted.clone());
        lifted
    }

    fn lift(&mut self, id: ComponentDefinedTypeId) -> Result<Measured, Unsupported> {
        let mut size = Size { nodes: 1, depth: 0 };
        let ty = match self.types.get(id).ok_or(Unsupported::Undefined)? {
            ComponentDefinedType::Primitive(primitive) => leaf(*primitive)?.ty,
            ComponentDefinedType::Record(record) => {
                let mut members = Vec::with_capacity(record.fields.len());
                for (name, ty) in &record.fields {
                    members.push(Field { name: Arc::from(name.as_str()), ty: self.part(*ty, &mut size)? });
                }
                Type::Record(self.named(id, members))
            }
            ComponentDefinedType::Variant(variant) => {
                let mut members = Vec::with_capacity(variant.cases.len());
                for (name, case) in &variant.cases {
                    let ty = self.optional(case.ty, &mut size)?;
                    size.nodes = size.nodes.saturating_add(1);
                    members.push(Case { name: Arc::from(name.as_str()), ty });
                }
                self.spend(variant.cases.len())?;
                Type::Variant(self.named(id, members))
            }
            ComponentDefinedType::List { element, .. } => Type::list(self.part(*element, &mut size)?),
            ComponentDefinedType::Tuple(tuple) => {
                let parts: Result<Arc<[Type]>, _> =
                    tuple.types.iter().map(|ty| self.part(*ty, &mut size)).collect();
                Type::Tuple(parts?)
            }
            ComponentDefinedType::Flags(names) => {
                Type::Flags(self.words(id, names.iter().map(|name| name.as_str()), &mut size)?)
            }
            ComponentDefinedType::Enum(names) => {
                Type::Enum(self.words(id, names.iter().map(|name| name.as_str()), &mut size)?)
            }
            ComponentDefinedType::Option { ty, .. } => Type::option(self.part(*ty, &mut size)?),
            ComponentDefinedType::Result { ok, err, .. } => Type::Result {
                ok: self.optional(*ok, &mut size)?.map(Arc::new),
                err: self.optional(*err, &mut size)?.map(Arc::new),
            },
            ComponentDefinedType::Own(_) | ComponentDefinedType::Borrow(_) => {
                return Err(Unsupported::Resource);
            }
            ComponentDefinedType::Map { .. } => return Err(Unsupported::Map),
            ComponentDefinedType::FixedLengthList { .. } => return Err(Unsupported::FixedLengthList),
            ComponentDefinedType::Future { .. } => return Err(Unsupported::Future),
            ComponentDefinedType::Stream { .. } => return Err(Unsupported::Stream),
        };
        let size = Size { depth: size.depth.saturating_add(1), ..size };
        size.checked()?;
        Ok(Measured { ty, nodes: size.nodes, depth: size.depth })
    }

    fn words<'n>(
        &mut self,
        id: ComponentDefinedTypeId,
        names: impl ExactSizeIterator<Item = &'n str>,
        size: &mut Size,
    ) -> Result<Arc<Named<Arc<str>>>, Unsupported> {
        let count = names.len();
        self.spend(count)?;
        size.nodes = size.nodes.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        Ok(self.named(id, names.map(Arc::from).collect()))
    }

    fn named<M>(&self, id: ComponentDefinedTypeId, members: Vec<M>) -> Arc<Named<M>> {
        let mut next = Some(id);
        for _ in 0..MAX_ALIASES {
            let Some(id) = next else { break };
            if let Some(name) = self.names.get(&id) {
                return Arc::new(Named { name: Some(Arc::clone(name)), members });
            }
            next = self.types.peel_alias(id);
        }
        Arc::new(Named { name: None, members })
    }
}

/// The size of several types together, each written out in full.
#[derive(Clone, Copy, Default)]
struct Size {
    nodes: u32,
    depth: u32,
}

impl Size {
    fn add(&mut self, part: &Measured) {
        self.nodes = self.nodes.saturating_add(part.nodes);
        self.depth = self.depth.max(part.depth);
    }

    fn checked(self) -> Result<(), Unsupported> {
        if self.depth > MAX_TYPE_DEPTH {
            return Err(Unsupported::TooDeep);
        }
        if self.nodes > MAX_TYPE_NODES {
            return Err(Unsupported::TooLarge);
        }
        Ok(())
    }
}

fn leaf(primitive: PrimitiveValType) -> Result<Measured, Unsupported> {
    let ty = match primitive {
        PrimitiveValType::Bool => Type::Bool,
        PrimitiveValType::S8 => Type::S8,
        PrimitiveValType::U8 => Type::U8,
        PrimitiveValType::S16 => Type::S16,
        PrimitiveValType::U16 => Type::U16,
        PrimitiveValType::S32 => Type::S32,
        PrimitiveValType::U32 => Type::U32,
        PrimitiveValType::S64 => Type::S64,
        PrimitiveValType::U64 => Type::U64,
        PrimitiveValType::F32 => Type::F32,
        PrimitiveValType::F64 => Type::F64,
        PrimitiveValType::Char => Type::Char,
        PrimitiveValType::String => Type::String,
        PrimitiveValType::ErrorContext => return Err(Unsupported::ErrorContext),
    };
    Ok(Measured { ty, nodes: 1, depth: 1 })
}

//! Types as compact bytes, for what travels between flowhost processes. Read with a bound on how deep
//! they nest: no reader of ours may be made to recurse by bytes from outside.

use std::sync::Arc;

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::types::{Case, Field, Named, Type};
use crate::compact::{self, CompactError, Reader};

/// Types nest so deeply at most. Components are bounded at 100 by their validator.
const DEEPEST: usize = 200;

impl Type {
    /// As bytes, which [`Type::from_bytes`] reads.
    ///
    /// # Errors
    /// Fails when it nests too deeply.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CompactError> {
        let mut bytes = Vec::new();
        write(self, DEEPEST, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads what [`Type::to_bytes`] wrote.
    ///
    /// # Errors
    /// Fails when the bytes are no type, are more than one, or nest too deeply.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CompactError> {
        let mut reader = Reader::new(bytes);
        let ty = read(&mut reader, DEEPEST)?;
        reader.end()?;
        Ok(ty)
    }
}

impl Serialize for Type {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.to_bytes().map_err(S::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Type {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = bytes::Bytes::deserialize(deserializer)?;
        Self::from_bytes(&bytes).map_err(D::Error::custom)
    }
}

fn write(ty: &Type, depth: usize, to: &mut Vec<u8>) -> Result<(), CompactError> {
    let depth = depth.checked_sub(1).ok_or(CompactError::Nested(DEEPEST))?;
    match ty {
        Type::Bool => to.push(0),
        Type::S8 => to.push(1),
        Type::U8 => to.push(2),
        Type::S16 => to.push(3),
        Type::U16 => to.push(4),
        Type::S32 => to.push(5),
        Type::U32 => to.push(6),
        Type::S64 => to.push(7),
        Type::U64 => to.push(8),
        Type::F32 => to.push(9),
        Type::F64 => to.push(10),
        Type::Char => to.push(11),
        Type::String => to.push(12),
        Type::List(element) => {
            to.push(13);
            write(element, depth, to)?;
        }
        Type::Option(some) => {
            to.push(14);
            write(some, depth, to)?;
        }
        Type::Result { ok, err } => {
            to.push(15);
            maybe(ok.as_deref(), depth, to)?;
            maybe(err.as_deref(), depth, to)?;
        }
        Type::Tuple(types) => {
            to.push(16);
            compact::length(to, types.len());
            types.iter().try_for_each(|ty| write(ty, depth, to))?;
        }
        Type::Record(record) => {
            named(17, record, to);
            for field in &record.members {
                compact::text(to, &field.name);
                write(&field.ty, depth, to)?;
            }
        }
        Type::Variant(variant) => {
            named(18, variant, to);
            for case in &variant.members {
                compact::text(to, &case.name);
                maybe(case.ty.as_ref(), depth, to)?;
            }
        }
        Type::Enum(cases) => {
            named(19, cases, to);
            cases.members.iter().for_each(|name| compact::text(to, name));
        }
        Type::Flags(flags) => {
            named(20, flags, to);
            flags.members.iter().for_each(|name| compact::text(to, name));
        }
    }
    Ok(())
}

fn maybe(ty: Option<&Type>, depth: usize, to: &mut Vec<u8>) -> Result<(), CompactError> {
    to.push(u8::from(ty.is_some()));
    ty.map_or(Ok(()), |ty| write(ty, depth, to))
}

fn named<M>(tag: u8, named: &Named<M>, to: &mut Vec<u8>) {
    to.push(tag);
    to.push(u8::from(named.name.is_some()));
    if let Some(name) = &named.name {
        compact::text(to, name);
    }
    compact::length(to, named.members.len());
}

fn read(from: &mut Reader<'_>, depth: usize) -> Result<Type, CompactError> {
    let depth = depth.checked_sub(1).ok_or(CompactError::Nested(DEEPEST))?;
    Ok(match from.byte()? {
        0 => Type::Bool,
        1 => Type::S8,
        2 => Type::U8,
        3 => Type::S16,
        4 => Type::U16,
        5 => Type::S32,
        6 => Type::U32,
        7 => Type::S64,
        8 => Type::U64,
        9 => Type::F32,
        10 => Type::F64,
        11 => Type::Char,
        12 => Type::String,
        13 => Type::List(Arc::new(read(from, depth)?)),
        14 => Type::Option(Arc::new(read(from, depth)?)),
        15 => {
            let ok = read_maybe(from, depth)?.map(Arc::new);
            Type::Result { ok, err: read_maybe(from, depth)?.map(Arc::new) }
        }
        16 => {
            let count = from.count()?;
            let types: Result<Vec<_>, _> = (0..count).map(|_| read(from, depth)).collect();
            Type::Tuple(types?.into())
        }
        17 => Type::Record(members(from, |from| {
            Ok(Field { name: from.text()?.into(), ty: read(from, depth)? })
        })?),
        18 => Type::Variant(members(from, |from| {
            Ok(Case { name: from.text()?.into(), ty: read_maybe(from, depth)? })
        })?),
        19 => Type::Enum(members(from, |from| Ok(from.text()?.into()))?),
        20 => Type::Flags(members(from, |from| Ok(from.text()?.into()))?),
        tag => return Err(CompactError::Meaningless { what: "the type", found: tag.into() }),
    })
}

fn present(from: &mut Reader<'_>) -> Result<bool, CompactError> {
    match from.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(CompactError::Meaningless { what: "the mark", found: other.into() }),
    }
}

fn read_maybe(from: &mut Reader<'_>, depth: usize) -> Result<Option<Type>, CompactError> {
    if present(from)? { read(from, depth).map(Some) } else { Ok(None) }
}

fn members<M>(
    from: &mut Reader<'_>,
    member: impl Fn(&mut Reader<'_>) -> Result<M, CompactError>,
) -> Result<Arc<Named<M>>, CompactError> {
    let name = if present(from)? { Some(from.text()?.into()) } else { None };
    let count = from.count()?;
    // Grown as they come: what is claimed may never come.
    let mut members = Vec::new();
    for _ in 0..count {
        members.push(member(from)?);
    }
    Ok(Arc::new(Named { name, members }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> Type {
        (1..depth).fold(Type::Bool, |ty, _| Type::list(ty))
    }

    #[test]
    fn p1_types_nest_so_deeply_at_most() {
        let bytes = nested(DEEPEST).to_bytes().unwrap();
        assert_eq!(Type::from_bytes(&bytes), Ok(nested(DEEPEST)));
        assert_eq!(nested(DEEPEST + 1).to_bytes(), Err(CompactError::Nested(DEEPEST)));
        for tag in [13, 14] {
            assert_eq!(Type::from_bytes(&vec![tag; 64 << 20]), Err(CompactError::Nested(DEEPEST)));
        }
    }

    #[test]
    fn names_are_kept() {
        let failure = Type::Variant(Arc::new(Named {
            name: Some("failure".into()),
            members: ["retryable", "permanent"]
                .map(|name| Case { name: name.into(), ty: Some(Type::String) })
                .into(),
        }));
        let back = Type::from_bytes(&failure.to_bytes().unwrap()).unwrap();
        assert!(back.is_failure() && back == failure);
    }
}

//! From items to those of the branches: one by one, or lists of them. Each is made when its branch
//! starts, whatever their number.

use std::sync::Arc;

use bytes::Bytes;

use super::evaluate::{Item, Scope};
use super::items::{ItemsError, OpenItems};
use crate::digest::Digest;
use crate::model::{Items, LONGEST_LIST, Split, Value};

/// Lists of more items than this are made where nobody waits for the dispatcher.
const SHORT: u64 = 1_000;

/// The items of a group's branches.
#[derive(Clone, Debug)]
pub(crate) struct BranchItems {
    items: OpenItems,
    split: Split,
    /// How many items there are before they are split.
    count: u64,
}

impl BranchItems {
    /// Finds out how many branches there are. Reads files, so it may block.
    pub(crate) fn open(
        items: &Items,
        split: Split,
        scope: &Scope,
        bound: u32,
    ) -> Result<(Self, u32), ItemsError> {
        let items = OpenItems::open(items, scope)?;
        let count = items.count();
        let (branches, longest) = split.counts(count);
        if longest > LONGEST_LIST {
            return Err(ItemsError::TooLong { length: longest });
        }
        match u32::try_from(branches) {
            Ok(within) if within <= bound => Ok((Self { items, split, count }, within)),
            _ => Err(ItemsError::TooMany { count: branches, bound }),
        }
    }

    /// A digest of items that come from outside the workflow file, and so may be others next time.
    pub(crate) fn digest(&self) -> Option<Digest> {
        self.items.digest()
    }

    /// Whether making an item may take long.
    pub(crate) fn is_slow(&self) -> bool {
        self.split.counts(self.count).1 > SHORT
    }

    /// The item of the branch `index`, which is below the number of branches.
    pub(crate) fn item(&self, index: u32) -> Result<Item, String> {
        let at = u64::from(index);
        let (first, step, end) = match self.split {
            Split::Item => return self.items.item(at),
            Split::Chunk(length) => {
                let first = at.saturating_mul(length.into());
                (first, 1, first.saturating_add(length.into()).min(self.count))
            }
            Split::RoundRobin(parts) => (at, parts.max(1), self.count),
        };
        let positions = (first..end).step_by(step as usize);
        if let OpenItems::Bytes(bytes) = &self.items {
            let at = |position| usize::try_from(position).unwrap_or(usize::MAX);
            let part = match step {
                1 => bytes.slice(at(first).min(bytes.len())..at(end).min(bytes.len())),
                _ => positions.filter_map(|position| bytes.get(at(position)).copied()).collect::<Bytes>(),
            };
            return Ok(Item::Value(Value::Bytes(part)));
        }
        let (mut values, mut json) = (Vec::new(), Vec::new());
        for position in positions {
            match self.items.item(position)? {
                Item::Value(value) => values.push(value),
                Item::Json(item) => json.push(item),
            }
        }
        // All are of one kind.
        Ok(match json.is_empty() {
            true => Item::Value(Value::List(Arc::from(values))),
            false => Item::Json(serde_json::Value::Array(json)),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(items: OpenItems, split: Split) -> Vec<Item> {
        let count = items.count();
        let (branches, longest) = split.counts(count);
        let split = BranchItems { items, split, count };
        let made: Vec<Item> = (0..branches).map(|at| split.item(at as u32).unwrap()).collect();
        let lengths = made.iter().map(|item| numbers(item).len() as u64);
        assert_eq!(lengths.max().unwrap_or(0), if count == 0 { 0 } else { longest });
        made
    }

    /// The numbers in a branch's list.
    fn numbers(item: &Item) -> Vec<i64> {
        match item {
            Item::Value(Value::List(values)) => values
                .iter()
                .map(|value| if let Value::S64(number) = value { *number } else { panic!("{value:?}") })
                .collect(),
            Item::Value(Value::Bytes(bytes)) => bytes.iter().map(|byte| i64::from(*byte)).collect(),
            Item::Json(serde_json::Value::Array(items)) => {
                items.iter().map(|item| item.as_i64().unwrap()).collect()
            }
            Item::Value(_) | Item::Json(_) => panic!("{item:?}"),
        }
    }

    /// The same numbers in every form.
    fn forms(count: u8) -> [OpenItems; 4] {
        let all = || 0..i64::from(count);
        [
            OpenItems::Range(0, count.into()),
            OpenItems::List(all().map(Value::S64).collect()),
            OpenItems::Bytes((0..count).collect()),
            OpenItems::Literal(all().map(serde_json::Value::from).collect()),
        ]
    }

    proptest! {
        #[test]
        fn chunks_one_after_the_other_are_the_items(count: u8, length in 1_u32..300) {
            for items in forms(count) {
                let chunks: Vec<_> = split(items, Split::Chunk(length)).iter().map(numbers).collect();
                prop_assert_eq!(chunks.concat(), (0..i64::from(count)).collect::<Vec<_>>());
                let full = chunks.len().saturating_sub(1);
                prop_assert!(chunks.iter().take(full).all(|chunk| chunk.len() == length as usize));
                prop_assert!(chunks.iter().all(|chunk| !chunk.is_empty()));
            }
        }

        #[test]
        fn dealt_items_picked_up_in_turn_are_the_items(count: u8, parts in 1_u32..300) {
            for items in forms(count) {
                let dealt: Vec<_> = split(items, Split::RoundRobin(parts)).iter().map(numbers).collect();
                prop_assert_eq!(dealt.len(), usize::min(parts as usize, count.into()));
                prop_assert!(dealt.iter().all(|part| !part.is_empty()));
                let rounds = dealt.iter().map(Vec::len).max().unwrap_or(0);
                let picked = (0..rounds)
                    .flat_map(|round| dealt.iter().filter_map(move |part| part.get(round)).copied());
                prop_assert_eq!(picked.collect::<Vec<_>>(), (0..i64::from(count)).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_huge_range_costs_what_its_chunk_costs() {
        let count = 1_000_000_000_000;
        let huge = BranchItems { items: OpenItems::Range(0, count), split: Split::Chunk(200_000), count };
        assert_eq!(huge.split.counts(count).0, 5_000_000);
        assert!(huge.is_slow());
        let last = numbers(&huge.item(4_999_999).unwrap());
        assert_eq!((last.len(), last.last()), (200_000, Some(&999_999_999_999)));
    }
}

//! Large parts of arguments that attempts have in common: a node is sent each of them once. Two are the same where their
//! bytes are, which comparing tells sooner than a digest does.
//!
//! Which are kept is settled as in 2Q (Johnson and Shasha, "2Q: A Low Overhead High Performance Buffer Management
//! Replacement Algorithm", VLDB 1994), so that the parts that attempts have to themselves, mostly all of them, soon give way
//! to each other and to no other: memory that is used again soon costs both ends a fraction of what fresh memory does.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use rustc_hash::FxHasher;

use crate::wire::{Payload, Place, Shared};

/// Bytes of a part at least.
const LEAST: usize = 64 << 10;

/// Bytes of all parts that are kept, here and by each node at most.
const MOST: usize = 256 << 20;

/// Bytes of those among them that were used once, but for one that is larger alone.
const ONCE: usize = 32 << 20;

/// So many that gave way after one use are known again.
const REMEMBERED: usize = 4096;

/// Bytes at the begin, in the middle and at the end of a part that it is looked for by.
const SAMPLE: usize = 64;

/// Bytes of a part that are packed to see whether that makes it shorter.
const TRIED: usize = 16 << 10;

/// zstd's fastest level but the negative ones: it takes less time than ssh takes for what it saves.
const LEVEL: i32 = 1;

/// What a part is looked for by: its length, and some of its bytes.
type Key = (usize, u64);

/// A part that some node has, or had.
struct Part {
    bytes: Bytes,
    number: u32,
    /// When it was last used, as a count of uses.
    used: u64,
    /// It was used more than once.
    often: bool,
}

/// All parts.
#[derive(Default)]
pub(super) struct Parts {
    known: HashMap<Key, Part>,
    bytes: usize,
    /// Bytes of those that were used once.
    once: usize,
    /// Those that gave way after one use.
    remembered: VecDeque<Key>,
    next: u32,
    uses: u64,
    /// Numbers of those that gave way. Attempts that are not sent yet may name them.
    gone: Vec<u32>,
}

impl Parts {
    /// Takes the parts out of `arguments` that a worker `has`, and says which they are. It has all of them from here
    /// on.
    pub(super) fn share(&mut self, arguments: Payload, has: &mut BTreeSet<u32>) -> (Payload, Vec<Shared>) {
        if arguments.length() < LEAST as u64 {
            return (arguments, Vec::new());
        }
        let (mut pieces, mut shared) = (Vec::new(), Vec::new());
        let mut at = 0;
        for piece in arguments.into_pieces() {
            let length = piece.len() as u64;
            if (LEAST..=MOST / 4).contains(&piece.len()) {
                let number = self.number(&piece);
                let place = match has.insert(number).then(|| packed(&piece)) {
                    None => Place::Kept,
                    Some(None) => {
                        pieces.push(piece);
                        Place::Here
                    }
                    Some(Some(packed)) => {
                        let length = packed.len() as u64;
                        pieces.push(packed);
                        Place::Packed(length)
                    }
                };
                shared.push(Shared { at, length, number, place });
            } else {
                pieces.push(piece);
            }
            at += length;
        }
        (Payload::of(pieces), shared)
    }

    /// Numbers of the parts that gave way since this was last asked: no attempt will name them.
    pub(super) fn take_gone(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.gone)
    }

    /// The number of a part, a new one where it is not known.
    fn number(&mut self, piece: &Bytes) -> u32 {
        self.uses += 1;
        let key = (piece.len(), sample(piece));
        let same = |part: &Part| part.bytes.as_ptr() == piece.as_ptr() || part.bytes == piece;
        match self.known.get_mut(&key) {
            Some(part) if same(part) => {
                part.used = self.uses;
                if !std::mem::replace(&mut part.often, true) {
                    self.once -= piece.len();
                }
                return part.number;
            }
            Some(_) => self.forget(key),
            None => {}
        }
        let remembered = self.remembered.iter().position(|known| *known == key);
        let often = remembered.and_then(|at| self.remembered.remove(at)).is_some();
        if !often {
            while self.once + piece.len() > ONCE && self.forget_oldest(|part| !part.often) {}
            self.once += piece.len();
        }
        while self.bytes + piece.len() > MOST && self.forget_oldest(|_| true) {}
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.bytes += piece.len();
        self.known.insert(key, Part { bytes: piece.clone(), number, used: self.uses, often });
        number
    }

    /// Forgets the one of some parts that was not used for longest. False where there is none.
    fn forget_oldest(&mut self, of: impl Fn(&Part) -> bool) -> bool {
        let some = self.known.iter().filter(|(_, part)| of(part));
        let oldest = some.min_by_key(|(_, part)| part.used).map(|(key, _)| *key);
        oldest.map(|key| self.forget(key)).is_some()
    }

    fn forget(&mut self, key: Key) {
        let Some(part) = self.known.remove(&key) else { return };
        self.bytes -= part.bytes.len();
        self.gone.push(part.number);
        if !part.often {
            self.once -= part.bytes.len();
            self.remembered.truncate(REMEMBERED - 1);
            self.remembered.push_front(key);
        }
    }
}

/// What zstd makes of a part, where that is a good deal shorter, as it is of a piece of it.
fn packed(piece: &Bytes) -> Option<Bytes> {
    let middle = piece.len() / 2;
    let sample = piece.get(middle..(middle + TRIED).min(piece.len()))?;
    let short = |bytes: &[u8]| {
        zstd::bulk::compress(bytes, LEVEL).ok().filter(|packed| packed.len() < bytes.len() / 10 * 7)
    };
    short(sample)?;
    short(piece).map(Bytes::from)
}

/// Something that differs for most parts that differ.
fn sample(piece: &Bytes) -> u64 {
    let mut hasher = FxHasher::default();
    for from in [0, piece.len() / 2, piece.len().saturating_sub(SAMPLE)] {
        piece.get(from..from + SAMPLE).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(parts: &[&Bytes]) -> Payload {
        let small = Bytes::from_static(b"small");
        Payload::of(parts.iter().flat_map(|part| [small.clone(), Bytes::clone(part)]).collect())
    }

    /// Bytes that nothing makes shorter.
    fn noise(length: usize, seed: u64) -> Bytes {
        let mut state = seed;
        let next = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        (0..length).map(next).collect()
    }

    #[test]
    fn a_part_is_sent_once_to_each_and_found_by_its_bytes() {
        let (mut parts, mut one, mut other) = (Parts::default(), BTreeSet::new(), BTreeSet::new());
        let (large, larger) = (noise(100_000, 1), noise(200_000, 2));
        let (sent, shared) = parts.share(payload(&[&large, &larger]), &mut one);
        assert_eq!(sent.length(), 300_010);
        let first = Shared { at: 5, length: 100_000, number: 0, place: Place::Here };
        let second = Shared { at: 100_010, length: 200_000, number: 1, place: Place::Here };
        assert_eq!(shared, [first, second]);
        // The same bytes from somewhere else.
        let (sent, shared) = parts.share(payload(&[&noise(200_000, 2)]), &mut one);
        assert_eq!((sent.length(), shared), (5, vec![Shared { at: 5, place: Place::Kept, ..second }]));
        // Others of that length, however much alike.
        let mut odd = larger.to_vec();
        odd[150_000] ^= 1;
        let (sent, shared) = parts.share(payload(&[&Bytes::from(odd)]), &mut one);
        assert_eq!((sent.length(), shared[0].number, parts.take_gone()), (200_005, 2, vec![1]));
        // Another worker has none of it yet.
        let (sent, shared) = parts.share(payload(&[&large]), &mut other);
        assert_eq!((sent.length(), shared), (100_005, vec![first]));
    }

    #[test]
    fn what_gets_shorter_is_packed() {
        let (mut parts, mut has) = (Parts::default(), BTreeSet::new());
        let text: Bytes = "one line like all the others\n".repeat(10_000).into();
        let (sent, shared) = parts.share(payload(&[&text]), &mut has);
        let [Shared { place: Place::Packed(length), .. }] = shared[..] else { panic!("{shared:?}") };
        assert!(sent.length() == length + 5 && length < 10_000, "{length}");
        let packed = sent.into_pieces().nth(1).unwrap();
        assert_eq!(zstd::bulk::decompress(&packed, text.len()).unwrap(), text);
    }

    #[test]
    fn what_is_small_or_huge_is_no_part() {
        let (mut parts, mut has) = (Parts::default(), BTreeSet::new());
        for length in [LEAST - 1, MOST / 4 + 1] {
            let (sent, shared) = parts.share(payload(&[&Bytes::from(vec![7; length])]), &mut has);
            assert_eq!((sent.length(), shared), (length as u64 + 5, vec![]));
        }
    }

    /// The numbers of parts of these bytes, as attempts use them one after the other.
    fn numbers(parts: &mut Parts, lengths_and_bytes: &[(usize, u8)]) -> Vec<u32> {
        let number = |(length, byte): &(usize, u8)| {
            let (_, shared) =
                parts.share(Payload::of(vec![vec![*byte; *length].into()]), &mut BTreeSet::new());
            shared[0].number
        };
        lengths_and_bytes.iter().map(number).collect()
    }

    #[test]
    fn parts_that_are_used_once_give_way_to_each_other_alone() {
        let mut parts = Parts::default();
        let common = (ONCE / 2, 0);
        assert_eq!(numbers(&mut parts, &[common, common]), [0, 0]);
        let own: Vec<_> = (1..8).map(|byte| (ONCE / 2, byte)).collect();
        assert_eq!(numbers(&mut parts, &own), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(parts.take_gone(), [1, 2, 3, 4, 5]);
        assert_eq!(numbers(&mut parts, &[common]), [0]);
        // One that is larger than all of them together may.
        assert_eq!(numbers(&mut parts, &[(ONCE + 1, 8)]), [8]);
        assert_eq!(parts.take_gone(), [6, 7]);
    }

    #[test]
    fn what_comes_again_after_it_gave_way_stays_and_the_oldest_give_way_in_the_end() {
        let mut parts = Parts::default();
        let rounds: Vec<_> = (0..4).map(|byte| (ONCE, byte)).collect();
        assert_eq!(numbers(&mut parts, &rounds), [0, 1, 2, 3]);
        assert_eq!(parts.take_gone(), [0, 1, 2]);
        assert_eq!(numbers(&mut parts, &rounds), [4, 5, 6, 3]);
        assert_eq!(numbers(&mut parts, &rounds), [4, 5, 6, 3]);
        assert_eq!((parts.take_gone(), parts.take_gone()), (vec![], vec![]));
        let more: Vec<_> = (4..10).map(|byte| (ONCE, byte)).collect();
        numbers(&mut parts, &[&more[..], &more].concat());
        assert!(parts.take_gone().contains(&4));
        assert!(parts.bytes <= MOST);
    }
}

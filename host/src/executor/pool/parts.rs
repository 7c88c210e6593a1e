//! Large parts of arguments that attempts have in common: a node is sent each of them once. Two are the same where their
//! bytes are, which comparing tells sooner than a digest does.

use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use rustc_hash::FxHasher;

use crate::wire::{Payload, Place, Shared};

/// Bytes of a part at least.
const LEAST: usize = 64 << 10;

/// Bytes of all parts that are kept, here and by each node at most.
const MOST: usize = 256 << 20;

/// Bytes at the begin, in the middle and at the end of a part that it is looked for by.
const SAMPLE: usize = 64;

/// Bytes of a part that are packed to see whether that makes it shorter.
const TRIED: usize = 16 << 10;

/// zstd's fastest level but the negative ones: it takes less time than ssh takes for what it saves.
const LEVEL: i32 = 1;

/// A part that some node has, or had.
struct Part {
    bytes: Bytes,
    number: u32,
    /// When it was last used, as a count of uses.
    used: u64,
}

/// All parts. Those that were not used for longest give way.
#[derive(Default)]
pub(super) struct Parts {
    known: HashMap<(usize, u64), Part>,
    bytes: usize,
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
                return part.number;
            }
            Some(_) => self.forget(key),
            None => {}
        }
        while self.bytes + piece.len() > MOST
            && let Some((oldest, _)) = self.known.iter().min_by_key(|(_, part)| part.used)
        {
            self.forget(*oldest);
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.bytes += piece.len();
        self.known.insert(key, Part { bytes: piece.clone(), number, used: self.uses });
        number
    }

    fn forget(&mut self, key: (usize, u64)) {
        if let Some(part) = self.known.remove(&key) {
            self.bytes -= part.bytes.len();
            self.gone.push(part.number);
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
    fn what_is_small_or_huge_is_no_part_and_the_oldest_give_way() {
        let (mut parts, mut has) = (Parts::default(), BTreeSet::new());
        for length in [LEAST - 1, MOST / 4 + 1] {
            let (sent, shared) = parts.share(payload(&[&Bytes::from(vec![7; length])]), &mut has);
            assert_eq!((sent.length(), shared), (length as u64 + 5, vec![]));
        }
        for seed in 0..6 {
            parts.share(payload(&[&Bytes::from(vec![seed; MOST / 4])]), &mut has);
        }
        assert_eq!((parts.take_gone(), parts.take_gone()), (vec![0, 1], vec![]));
        assert!(parts.bytes <= MOST);
    }
}

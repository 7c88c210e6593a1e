//! A line's seal: its last field, a CRC-32 over the line up to that field, carried on from the line
//! before. So a changed byte is found, and so is a line that was added, taken away or moved.

use std::io::Write as _;

/// What stands between a line's content and its checksum.
const SEAL: &[u8] = br#","sum":""#;
/// What stands behind the checksum.
const END: &[u8] = br#""}"#;
/// Hex digits of a checksum.
const DIGITS: usize = 8;

/// Seals the object that `out` holds from `start` on, its closing brace still missing, ends the line,
/// and gives the checksum that the next line carries on.
pub(super) fn seal(out: &mut Vec<u8>, start: usize, previous: u32) -> u32 {
    let sum = carried(out.get(start..).unwrap_or_default(), previous);
    out.extend_from_slice(SEAL);
    // A vector takes all that is written to it.
    let _ = write!(out, "{sum:08x}");
    out.extend_from_slice(END);
    out.push(b'\n');
    sum
}

/// The checksum of a line without its end, if it is sealed and sound.
pub(super) fn check(line: &[u8], previous: u32) -> Option<u32> {
    let sealed = line.strip_suffix(END)?;
    let (rest, digits) = sealed.split_at_checked(sealed.len().checked_sub(DIGITS)?)?;
    let content = rest.strip_suffix(SEAL)?;
    let lower = digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let sum = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    (lower && carried(content, previous) == sum).then_some(sum)
}

fn carried(content: &[u8], previous: u32) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(previous);
    hasher.update(content);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_that_other_tools_compute() {
        // zlib.crc32(b"123456789") in Python; the check value of CRC-32/ISO-HDLC.
        assert_eq!(carried(b"123456789", 0), 0xcbf4_3926);
        assert_eq!(carried(b"6789", carried(b"12345", 0)), 0xcbf4_3926);
    }

    #[test]
    fn every_changed_byte_is_found() {
        let mut out = br#"{"a":1"#.to_vec();
        let sum = seal(&mut out, 0, 7);
        let line = out.strip_suffix(b"\n").unwrap();
        assert_eq!(check(line, 7), Some(sum));
        assert_eq!(check(line, 8), None);
        for at in 0..line.len() {
            for bit in 0..8 {
                let mut damaged = line.to_vec();
                damaged[at] ^= 1 << bit;
                assert_eq!(check(&damaged, 7), None, "byte {at}, bit {bit}");
            }
            assert_eq!(check(&line[..at], 7), None);
        }
    }
}

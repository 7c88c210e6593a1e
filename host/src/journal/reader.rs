//! Lines to records. A last line without its end is torn and not told; every other line is sound or an
//! error that names it.

use std::io::{BufRead, Read};

use super::record::{Line, Stamped};
use super::{JournalError, VERSION, line};

/// No line is longer, in bytes: what is larger is in the store.
const LONGEST: u64 = 64 << 20;

/// Where a journal's sound lines end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tail {
    /// How many lines there are.
    pub lines: u64,
    /// Bytes of them.
    pub length: u64,
    /// The last one's checksum.
    pub sum: u32,
    /// Bytes behind them, of a line that was not finished.
    pub torn: u64,
}

/// What every version of a line has.
#[derive(serde::Deserialize)]
struct Versioned {
    version: u64,
}

/// Reads a journal, and hands every record to `take`.
///
/// # Errors
/// Fails at the first line that is damaged, that a newer flowhost wrote, or that `take` finds at odds
/// with those before.
pub fn read(
    mut from: impl BufRead,
    mut take: impl FnMut(Stamped) -> Result<(), String>,
) -> Result<Tail, JournalError> {
    let mut tail = Tail::default();
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let length =
            from.by_ref().take(LONGEST).read_until(b'\n', &mut buffer).map_err(JournalError::Read)? as u64;
        if length == 0 {
            return Ok(tail);
        }
        let damaged =
            |problem: String| JournalError::Damaged { line: tail.lines + 1, offset: tail.length, problem };
        let Some(whole) = buffer.strip_suffix(b"\n") else {
            if length == LONGEST {
                return Err(damaged(format!("is longer than {LONGEST} bytes")));
            }
            return Ok(Tail { torn: length, ..tail });
        };
        let sum = line::check(whole, tail.sum)
            .ok_or_else(|| damaged("does not have the content that its checksum is of".to_owned()))?;
        let fields: Line<'_> = match serde_json::from_slice::<Line<'_>>(whole) {
            Ok(fields) if fields.version <= u64::from(VERSION) => fields,
            Ok(Line { version, .. }) => return Err(JournalError::Version { line: tail.lines + 1, version }),
            // What a newer version means by a field may be of another kind.
            Err(error) => match serde_json::from_slice(whole) {
                Ok(Versioned { version }) if version > u64::from(VERSION) => {
                    return Err(JournalError::Version { line: tail.lines + 1, version });
                }
                Ok(_) | Err(_) => return Err(damaged(format!("cannot be read: {error}"))),
            },
        };
        let fact = fields.fact().map_err(damaged)?;
        take(fact).map_err(damaged)?;
        tail = Tail { lines: tail.lines + 1, length: tail.length + length, sum, torn: 0 };
    }
}

//! Records to lines. What a batch adds is written in one piece; when that fails, the file is cut back
//! to where it was whole.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use super::record::{Kept, Line, Record, Stamped};
use super::{JournalError, Tail, line};

/// Where lines go to.
pub trait Sink: Write {
    /// Takes away all behind the first `length` bytes.
    ///
    /// # Errors
    /// Fails when the disk does.
    fn cut(&mut self, length: u64) -> std::io::Result<()>;
}

impl Sink for File {
    fn cut(&mut self, length: u64) -> std::io::Result<()> {
        self.set_len(length)?;
        self.seek(SeekFrom::Start(length)).map(drop)
    }
}

/// Appends lines to a journal.
#[derive(Debug)]
pub struct Writer<S> {
    sink: S,
    /// Lines that were not written yet.
    batch: Vec<u8>,
    /// The checksum of the last line, written or not.
    sum: u32,
    /// Bytes that the sink has.
    length: u64,
}

impl<S: Sink> Writer<S> {
    /// Begins a journal.
    pub fn new(sink: S) -> Self {
        Self { sink, batch: Vec::new(), sum: 0, length: 0 }
    }

    /// Goes on with a journal behind `tail`, and cuts off what is torn.
    ///
    /// # Errors
    /// Fails when it cannot be cut.
    pub fn resume(mut sink: S, tail: &Tail) -> Result<Self, JournalError> {
        sink.cut(tail.length).map_err(JournalError::Write)?;
        Ok(Self { sink, batch: Vec::new(), sum: tail.sum, length: tail.length })
    }

    /// Adds a record to the batch. `value` is the JSON of the value that it keeps inline, if any.
    ///
    /// # Errors
    /// Fails when the record cannot be written as JSON, which is a defect.
    pub fn add(&mut self, mut stamped: Stamped, value: Option<&[u8]>) -> Result<(), JournalError> {
        let start = self.batch.len();
        let inline = match &mut stamped.record {
            Record::TaskEnded(attempted) | Record::AttemptEnded(attempted) => {
                match std::mem::take(&mut attempted.value) {
                    Kept::Inline(value) => Some(value),
                    other @ (Kept::None | Kept::Stored(_) | Kept::Withheld | Kept::Digested(_)) => {
                        attempted.value = other;
                        None
                    }
                }
            }
            Record::RunStarted(_)
            | Record::RunResumed(_)
            | Record::Discarded(_)
            | Record::ChannelWritten { .. }
            | Record::GroupStarted { .. }
            | Record::Unstarted { .. }
            | Record::GroupEnded { .. }
            | Record::RunEnded(_) => None,
        };
        let written = serde_json::to_writer(&mut self.batch, &Line::of(stamped)).and_then(|()| {
            // The closing brace comes with the seal.
            self.batch.pop();
            if let Some(value) = value {
                self.batch.extend_from_slice(br#","value":"#);
                self.batch.extend_from_slice(value);
            } else if let Some(value) = inline {
                self.batch.extend_from_slice(br#","value":"#);
                serde_json::to_writer(&mut self.batch, &value)?;
            }
            Ok(())
        });
        if let Err(error) = written {
            self.batch.truncate(start);
            return Err(JournalError::Write(error.into()));
        }
        self.sum = line::seal(&mut self.batch, start, self.sum);
        Ok(())
    }

    /// Bytes that wait to be written.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.batch.len()
    }

    /// Writes the batch.
    ///
    /// # Errors
    /// Fails when the sink does. Nothing may be written after that.
    pub fn write(&mut self) -> Result<(), JournalError> {
        if let Err(error) = self.sink.write_all(&self.batch) {
            // A torn line at the end does no harm: this only tidies up.
            let _ = self.sink.cut(self.length);
            return Err(JournalError::Write(error));
        }
        self.length += self.batch.len() as u64;
        self.batch.clear();
        // One large batch must not keep its memory for ever.
        self.batch.shrink_to(1 << 20);
        Ok(())
    }

    /// Where the lines went.
    pub fn sink(&self) -> &S {
        &self.sink
    }
}

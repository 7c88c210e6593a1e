//! What one attempt may allocate: linear memory and tables, summed over everything in its store.
//! Remembers what it refused, since the guest only sees a failed allocation.

use wasmtime::ResourceLimiter;

/// Table elements of one attempt, all tables together.
const TABLE_ELEMENTS: usize = 1 << 20;
/// Core instances, tables and memories of one attempt. Python components have dozens.
pub(super) const INSTANCES: usize = 1_000;
pub(super) const TABLES: usize = 1_000;
pub(super) const MEMORIES: usize = 64;

/// Bytes of a page of memory.
pub(super) const PAGE: u64 = 64 << 10;

/// What was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// Bytes of memory that there would have been.
    Memory(u64),
    /// Table elements that there would have been.
    Tables(usize),
    /// Elements that one table would have had, and may have.
    Table(usize, usize),
}

/// One attempt's account.
#[derive(Debug)]
pub(super) struct Limiter {
    memory_limit: u64,
    memory: u64,
    granted: u64,
    elements: usize,
    granted_elements: usize,
    refusal: Option<Refusal>,
}

impl Limiter {
    /// For at most `memory` bytes of linear memory.
    pub(super) fn new(memory: u64) -> Self {
        Self { memory_limit: memory, memory: 0, granted: 0, elements: 0, granted_elements: 0, refusal: None }
    }

    /// The most linear memory that there was at once, in bytes: memories never shrink.
    pub(super) fn peak(&self) -> u64 {
        self.memory
    }

    /// Refuses a memory of so many bytes before anything is taken for it, if it is too large: the engine asks
    /// only when it has it, and a process may have less room than that.
    ///
    /// # Errors
    /// Fails when it is refused.
    pub(super) fn first_memory(&mut self, bytes: u64) -> wasmtime::Result<()> {
        if bytes <= self.memory_limit {
            return Ok(());
        }
        self.refusal = Some(Refusal::Memory(bytes));
        let pages = bytes / PAGE;
        Err(wasmtime::Error::msg(format!("memory minimum size of {pages} pages exceeds memory limits")))
    }

    /// In words, what was refused last.
    pub(super) fn refusal(&self) -> Option<String> {
        self.refusal.map(|refusal| match refusal {
            Refusal::Memory(asked) => {
                format!("memory limit of {} reached (asked for {})", bytes(self.memory_limit), bytes(asked))
            }
            Refusal::Tables(asked) => {
                format!("table limit of {TABLE_ELEMENTS} elements reached (asked for {asked})")
            }
            Refusal::Table(asked, most) => {
                format!("table limit of {most} elements in one table reached (asked for {asked})")
            }
        })
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        let total = self.memory.saturating_add(more);
        if total > self.memory_limit {
            self.refusal = Some(Refusal::Memory(total));
            return Ok(false);
        }
        self.memory = total;
        self.granted = more;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        // What was granted never came to be: the memory's own maximum, or the machine's.
        self.memory = self.memory.saturating_sub(std::mem::take(&mut self.granted));
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if let Some(most) = maximum.filter(|most| desired > *most) {
            // It fails after this, whatever is said here: by the pool's bound or the table's own.
            self.refusal = Some(Refusal::Table(desired, most));
            return Ok(false);
        }
        let more = desired.saturating_sub(current);
        let total = self.elements.saturating_add(more);
        if total > TABLE_ELEMENTS {
            self.refusal = Some(Refusal::Tables(total));
            return Ok(false);
        }
        self.elements = total;
        self.granted_elements = more;
        Ok(true)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.elements = self.elements.saturating_sub(std::mem::take(&mut self.granted_elements));
        Ok(())
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        TABLES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}

/// A number of bytes as people write it: `64 MiB`, `100 KiB`, `17 bytes`. Rounded up to a tenth, so
/// that what exceeds a limit looks like it.
pub(super) fn bytes(count: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        let one = 1u128 << shift;
        if u128::from(count) >= one {
            let tenths = (u128::from(count) * 10).div_ceil(one);
            return match (tenths / 10, tenths % 10) {
                (whole, 0) => format!("{whole} {unit}"),
                (whole, tenth) => format!("{whole}.{tenth} {unit}"),
            };
        }
    }
    format!("{count} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g3_sums_over_memories_and_gives_back_what_failed() {
        let mut limiter = Limiter::new(100);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(!limiter.memory_growing(0, 60, None).unwrap());
        assert_eq!(limiter.refusal(), Some("memory limit of 100 bytes reached (asked for 120 bytes)".into()));
        assert!(limiter.memory_growing(60, 90, None).unwrap());
        limiter.memory_grow_failed(wasmtime::Error::msg("no room")).unwrap();
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        assert_eq!(limiter.peak(), 100);
    }

    #[test]
    fn g4_sums_over_tables() {
        let mut limiter = Limiter::new(0);
        assert!(limiter.table_growing(0, TABLE_ELEMENTS / 2, None).unwrap());
        assert!(limiter.table_growing(0, TABLE_ELEMENTS / 2, None).unwrap());
        assert!(!limiter.table_growing(0, 1, None).unwrap());
        assert!(limiter.refusal().unwrap().starts_with("table limit of 1048576 elements"));
    }

    #[test]
    fn bytes_read_well() {
        for (count, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (64 << 20, "64 MiB"),
            ((64 << 20) + (1 << 19), "64.5 MiB"),
            ((64 << 20) + 1, "64.1 MiB"),
            (3 << 30, "3 GiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}

//! How much address space a guest's memory gets. Address space costs no memory, but a machine may
//! ration it all the same (`ulimit -v`, containers). Knows nothing of components or attempts.

use wasmtime::{Config, Engine, Memory, MemoryType, Store};

/// Bytes that a memory may grow by before it has to move, where address space is scarce.
const GROWTH: u64 = 16 << 20;

/// Bytes behind a memory whose use is a trap, where address space is scarce.
const GUARD: u64 = 64 << 10;

/// How memories lie in the address space. Code is compiled for one of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Space {
    /// Each memory has all the address space that it can ever use, so that accesses need no check.
    Ample,
    /// Each memory has little more than its size, moves when it outgrows that, and accesses are
    /// checked: slower, but it runs within any limit that holds the guest itself.
    Scarce,
}

impl Space {
    /// Both of them.
    pub(super) const ALL: [Self; 2] = [Self::Ample, Self::Scarce];

    /// The word for it on the command line of the compiler.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ample => "ample",
            Self::Scarce => "scarce",
        }
    }

    /// Sets it. It is wasmtime's default to have plenty.
    pub(super) fn configure(self, config: &mut Config) {
        match self {
            Self::Ample => {}
            Self::Scarce => {
                config
                    .memory_reservation(0)
                    .memory_reservation_for_growth(GROWTH)
                    .memory_guard_size(GUARD)
                    .gc_heap_reservation(0)
                    .gc_heap_reservation_for_growth(GROWTH)
                    .gc_heap_guard_size(GUARD);
            }
        }
    }
}

/// Whether the machine has room for one more memory under `engine`'s settings.
///
/// # Errors
/// Fails with the system's reason where it has not.
pub(super) fn probe(engine: &Engine) -> wasmtime::Result<()> {
    Memory::new(Store::new(engine, ()), MemoryType::new(1, None)).map(drop)
}

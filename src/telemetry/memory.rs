//! How many buffers there are, their bytes, and the most bytes that there ever were.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of buffers: of a context, or of the process.
#[derive(Default)]
pub struct Memory {
    buffers: AtomicU64,
    bytes: AtomicU64,
    peak: AtomicU64,
}

static PROCESS: Memory =
    Memory { buffers: AtomicU64::new(0), bytes: AtomicU64::new(0), peak: AtomicU64::new(0) };

impl Memory {
    /// Those of all contexts.
    pub fn process() -> &'static Self {
        &PROCESS
    }

    /// A buffer of so many bytes was made.
    pub fn take(&self, bytes: u64) {
        for memory in [self, &PROCESS] {
            memory.buffers.fetch_add(1, Relaxed);
            let before = memory.bytes.fetch_add(bytes, Relaxed);
            memory.peak.fetch_max(before.saturating_add(bytes), Relaxed);
        }
    }

    /// Its memory was freed.
    pub fn give(&self, bytes: u64) {
        for memory in [self, &PROCESS] {
            memory.buffers.fetch_sub(1, Relaxed);
            memory.bytes.fetch_sub(bytes, Relaxed);
        }
    }

    /// Buffers whose memory is not freed yet.
    pub fn buffers(&self) -> u64 {
        self.buffers.load(Relaxed)
    }

    /// Their bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// The most bytes at one time.
    pub fn peak(&self) -> u64 {
        self.peak.load(Relaxed)
    }
}

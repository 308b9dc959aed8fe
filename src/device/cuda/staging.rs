//! Staging: pinned memory of the host between the caller's memory and the device, for copies that the device makes by
//! itself. Small copies pass through a ring, whose bytes a request keeps until it is done; large ones through a few blocks
//! in turn, filled or emptied by the host while the device copies the others.

use super::gpu::Gpu;
use super::pinned::Pinned;
use crate::status::Result;
use once_cell::sync::OnceCell;
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes that pass through the ring at the most.
pub(crate) const SMALL: usize = 256 << 10;
const RING: usize = 4 << 20;
/// Bytes of a block for large copies, and how many there are.
pub(crate) const BLOCK: usize = 4 << 20;
/// How many blocks there are.
pub(crate) const BLOCKS: usize = 4;

/// The staging memory of one stream. Made when it is first needed.
#[derive(Default)]
pub struct Staging {
    ring: OnceCell<Pinned>,
    blocks: OnceCell<Pinned>,
    taken: Mutex<Taken>,
    /// The checkpoint behind each block's last use.
    busy: Mutex<[u32; BLOCKS]>,
}

/// The ring's bytes in use: those from the oldest owner's first on, `used` in all, ending at `end`.
#[derive(Default)]
struct Taken {
    /// Each owner's request and bytes, with what was skipped at the ring's end.
    owners: VecDeque<(u32, usize)>,
    used: usize,
    end: usize,
}

impl Staging {
    /// `bytes` (at most [`SMALL`]) of the ring for request `number`: the host's address, or `None` if there is no room now.
    pub fn take(&self, gpu: &Arc<Gpu>, number: u32, bytes: usize) -> Result<Option<*mut u8>> {
        let ring = self.ring.get_or_try_init(|| Pinned::new(gpu.clone(), RING))?;
        let mut taken = self.taken.lock();
        let bytes = bytes.max(1).next_multiple_of(64);
        let skipped = if taken.end + bytes > RING { RING - taken.end } else { 0 };
        let all = skipped + bytes;
        if taken.used + all > RING || taken.owners.try_reserve(1).is_err() {
            return Ok(None);
        }
        let start = (taken.end + skipped) % RING;
        taken.owners.push_back((number, all));
        taken.used += all;
        taken.end = start + bytes;
        Ok(Some(ring.ptr().wrapping_add(start)))
    }

    /// Whether the ring is there.
    pub fn is_ready(&self) -> bool {
        self.ring.get().is_some()
    }

    /// Request `number` is done with its bytes. Requests are done in order.
    pub fn give(&self, number: u32) {
        let mut taken = self.taken.lock();
        while taken.owners.front().is_some_and(|owner| owner.0 == number) {
            let bytes = taken.owners.pop_front().map_or(0, |owner| owner.1);
            taken.used -= bytes;
        }
    }

    /// When each block is free: the checkpoints to wait for. For one large copy at a time.
    pub fn busy(&self) -> MutexGuard<'_, [u32; BLOCKS]> {
        self.busy.lock()
    }

    /// The blocks for large copies: `BLOCKS` of `BLOCK` bytes.
    pub fn blocks(&self, gpu: &Arc<Gpu>) -> Result<&Pinned> {
        self.blocks.get_or_try_init(|| Pinned::new(gpu.clone(), BLOCK * BLOCKS))
    }
}

//! The library's allocator: malloc, and when that fails, a static reserve for small requests.
//!
//! Most of what allocates inside Rust's standard library, and inside a crate that packs matrices, aborts the process when
//! memory runs out. What a caller can make large is allocated fallibly throughout; the rest (a box, an error's sentence, a
//! list that grows by one, a panel of packed numbers) comes from here, so that the call gets as far as saying
//! OUT_OF_MEMORY. 256 blocks of 4 KiB and 8 of 4 MiB, which cost nothing until they are touched; each goes back to the
//! reserve when it is freed.

use crate::status::{Error, Result};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU64, Ordering::*};

/// Blocks of one size, at most 64 for each word of `used`.
#[repr(C, align(4096))]
struct Tier<const SIZE: usize, const WORDS: usize, const BYTES: usize> {
    memory: UnsafeCell<[u8; BYTES]>,
    /// A bit for each block in use.
    used: [AtomicU64; WORDS],
}

// SAFETY: bytes are reached only by the owner of their block, which `take` hands out once until `give`.
unsafe impl<const SIZE: usize, const WORDS: usize, const BYTES: usize> Sync for Tier<SIZE, WORDS, BYTES> {}

static SMALL: Tier<4096, 4, { 4096 * 256 }> = Tier::new();
static LARGE: Tier<{ 4 << 20 }, 1, { 32 << 20 }> = Tier::new();

impl<const SIZE: usize, const WORDS: usize, const BYTES: usize> Tier<SIZE, WORDS, BYTES> {
    const BLOCKS: usize = BYTES / SIZE;

    const fn new() -> Self {
        Self { memory: UnsafeCell::new([0; BYTES]), used: [const { AtomicU64::new(0) }; WORDS] }
    }

    /// A free block, marked as used; null when there is none or it would not do.
    fn take(&self, layout: Layout) -> *mut u8 {
        if layout.size() > SIZE || layout.align() > 4096 {
            return std::ptr::null_mut();
        }
        let free = (0..Self::BLOCKS).step_by(64).find_map(|first| self.claim(first));
        free.map_or(std::ptr::null_mut(), |block| self.memory.get().cast::<u8>().wrapping_add(block * SIZE))
    }

    /// Marks the lowest free block of the word that begins with block `first`.
    fn claim(&self, first: usize) -> Option<usize> {
        let count = (Self::BLOCKS - first).min(64);
        let free = |bits: u64| (bits.trailing_ones() as usize) < count;
        let lowest = |bits: u64| free(bits).then(|| bits | (bits + 1));
        let before = self.used[first / 64].fetch_update(AcqRel, Relaxed, lowest).ok()?;
        Some(first + before.trailing_ones() as usize)
    }

    /// Whether `at` is in one of these blocks.
    fn holds(&self, at: *mut u8) -> bool {
        at.addr().wrapping_sub(self.memory.get().addr()) < BYTES
    }

    /// Takes a block back.
    fn give(&self, at: *mut u8) {
        let block = (at.addr() - self.memory.get().addr()) / SIZE;
        self.used[block / 64].fetch_and(!(1 << (block % 64)), Release);
    }
}

/// malloc with a reserve.
struct Reserve;

#[global_allocator]
static ALLOCATOR: Reserve = Reserve;

/// An error once half of the small blocks are in use: what makes objects that last asks first, so that the other half is
/// there for what must not fail, such as a completion.
pub fn check() -> Result<()> {
    // One load while nothing was ever taken: this is asked for every request.
    if SMALL.used[0].load(Relaxed) == 0 {
        return Ok(());
    }
    let used: u32 = SMALL.used.iter().map(|bits| bits.load(Relaxed).count_ones()).sum();
    if used > 128 { Err(Error::out_of_memory(4096)) } else { Ok(()) }
}

/// Blocks of the reserve that are in use.
pub fn in_use() -> u32 {
    SMALL.used.iter().chain(&LARGE.used).map(|bits| bits.load(Relaxed).count_ones()).sum()
}

fn take(layout: Layout) -> *mut u8 {
    let small = SMALL.take(layout);
    if small.is_null() { LARGE.take(layout) } else { small }
}

fn ours(at: *mut u8) -> bool {
    SMALL.holds(at) || LARGE.holds(at)
}

// SAFETY: memory comes from `System`, or is a whole block of the arena that nobody else holds, large and aligned enough
// by the test in `take`; it goes back to where `holds` says that it came from.
unsafe impl GlobalAlloc for Reserve {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about `layout`.
        let at = unsafe { System.alloc(layout) };
        if at.is_null() { take(layout) } else { at }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise about `layout`.
        let at = unsafe { System.alloc_zeroed(layout) };
        if !at.is_null() {
            return at;
        }
        let at = take(layout);
        if !at.is_null() {
            // SAFETY: a block of the arena, at least as large as the layout.
            unsafe { at.write_bytes(0, layout.size()) };
        }
        at
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if SMALL.holds(at) {
            SMALL.give(at);
        } else if LARGE.holds(at) {
            LARGE.give(at);
        } else {
            // SAFETY: not from the reserve, so from `System`, with this layout.
            unsafe { System.dealloc(at, layout) };
        }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !ours(at) {
            // SAFETY: not from the reserve, so from `System`, with this layout; the caller promises a valid size.
            let moved = unsafe { System.realloc(at, layout, size) };
            if !moved.is_null() {
                return moved;
            }
        }
        // SAFETY: the caller promises that `size` with this alignment is a valid layout.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: not of size zero, as the caller promises.
        let moved = if ours(at) { unsafe { self.alloc(wanted) } } else { take(wanted) };
        if !moved.is_null() {
            // SAFETY: both are valid for the smaller of the two sizes, and `moved` is new; `at` has this layout.
            unsafe {
                std::ptr::copy_nonoverlapping(at, moved, layout.size().min(size));
                self.dealloc(at, layout);
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_handed_out_once_and_come_back() {
        static TIER: Tier<64, 2, { 64 * 100 }> = Tier::new();
        let layout = Layout::from_size_align(60, 16).unwrap();
        let mut blocks: Vec<*mut u8> = (0..100).map(|_| TIER.take(layout)).collect();
        assert!(blocks.iter().all(|at| TIER.holds(*at)) && TIER.take(layout).is_null());
        blocks.sort_unstable();
        blocks.dedup();
        assert_eq!(blocks.len(), 100);
        blocks.iter().for_each(|&at| TIER.give(at));
        assert!(TIER.take(Layout::from_size_align(65, 1).unwrap()).is_null());
        assert!(TIER.holds(TIER.take(layout)));
    }
}

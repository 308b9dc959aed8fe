//! The library's allocator: malloc, and when that fails, a static reserve for small requests.
//!
//! Most of what allocates inside Rust's standard library aborts the process when memory runs out. What a caller can
//! make large is allocated fallibly throughout; the small rest (a box, an error's sentence, a list that grows by one)
//! comes from here, so that the call gets as far as saying OUT_OF_MEMORY. 256 blocks of 4 KiB, which cost nothing
//! until they are touched; each is given back to the reserve when it is freed.

use crate::status::{Error, Result};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU64, Ordering::*};

const BLOCK: usize = 4096;
const BLOCKS: usize = 256;

#[repr(C, align(4096))]
struct Arena(UnsafeCell<[u8; BLOCK * BLOCKS]>);

// SAFETY: bytes are reached only by the owner of their block, which `take` hands out once until `give`.
unsafe impl Sync for Arena {}

static ARENA: Arena = Arena(UnsafeCell::new([0; BLOCK * BLOCKS]));
/// A bit for each block in use.
static USED: [AtomicU64; BLOCKS / 64] = [const { AtomicU64::new(0) }; BLOCKS / 64];

/// malloc with a reserve.
struct Reserve;

#[global_allocator]
static ALLOCATOR: Reserve = Reserve;

/// An error once half of the reserve is in use: what makes objects that last asks first, so that the other half is there
/// for what must not fail, such as a completion.
pub fn check() -> Result<()> {
    let used: u32 = USED.iter().map(|bits| bits.load(Relaxed).count_ones()).sum();
    match used as usize > BLOCKS / 2 {
        false => Ok(()),
        true => Err(Error::out_of_memory(BLOCK)),
    }
}

/// A free block, marked as used; null when there is none or it would not do.
fn take(layout: Layout) -> *mut u8 {
    if layout.size() > BLOCK || layout.align() > BLOCK {
        return std::ptr::null_mut();
    }
    let free = USED.iter().enumerate().find_map(|(word, used)| Some(word * 64 + claim(used)?));
    free.map_or(std::ptr::null_mut(), |block| ARENA.0.get().cast::<u8>().wrapping_add(block * BLOCK))
}

/// Sets the lowest bit that is 0.
fn claim(used: &AtomicU64) -> Option<usize> {
    let lowest = |bits: u64| (bits != u64::MAX).then(|| bits | (bits + 1));
    used.fetch_update(AcqRel, Relaxed, lowest).ok().map(|before| before.trailing_ones() as usize)
}

/// The number of the block at `at`, if it is one of ours.
fn block_of(at: *mut u8) -> Option<usize> {
    let offset = at.addr().wrapping_sub(ARENA.0.get().addr());
    (offset < BLOCK * BLOCKS).then_some(offset / BLOCK)
}

fn give(block: usize) {
    USED[block / 64].fetch_and(!(1 << (block % 64)), Release);
}

// SAFETY: memory comes from `System`, or is a whole block of the arena that nobody else holds, large and aligned enough
// by the test in `take`; it goes back to where `block_of` says that it came from.
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
        match block_of(at) {
            Some(block) => give(block),
            // SAFETY: not from the arena, so from `System`, with this layout.
            None => unsafe { System.dealloc(at, layout) },
        }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if block_of(at).is_none() {
            // SAFETY: not from the arena, so from `System`, with this layout; the caller promises a valid size.
            let moved = unsafe { System.realloc(at, layout, size) };
            if !moved.is_null() {
                return moved;
            }
        }
        // SAFETY: the caller promises that `size` with this alignment is a valid layout.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: not of size zero, as the caller promises.
        let moved = if block_of(at).is_some() { unsafe { self.alloc(wanted) } } else { take(wanted) };
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
        let layout = Layout::from_size_align(100, 16).unwrap();
        let blocks: Vec<*mut u8> = (0..BLOCKS).map(|_| take(layout)).collect();
        assert!(blocks.iter().all(|at| block_of(*at).is_some()) && take(layout).is_null());
        let mut sorted = blocks.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), BLOCKS);
        blocks.iter().for_each(|&at| give(block_of(at).unwrap()));
        assert!(take(Layout::from_size_align(BLOCK + 1, 1).unwrap()).is_null());
        let again = take(layout);
        assert!(!again.is_null());
        give(block_of(again).unwrap());
    }
}

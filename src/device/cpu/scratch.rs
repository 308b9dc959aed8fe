//! Scratch memory for kernels: blocks aligned to a cache line, kept for the next kernel instead of going back to the
//! system. Contents are undefined when a block is handed out.

use crate::status::{Error, Result};
use parking_lot::Mutex;
use std::alloc::{Layout, alloc, dealloc};
use std::ptr::NonNull;

const ALIGN: usize = 64;
/// Bytes kept for reuse at the most; a block over this goes back at once.
const KEPT: usize = 256 << 20;

struct Block {
    at: NonNull<u8>,
    size: usize,
}

// SAFETY: a block is an allocation with one owner; nothing in it is tied to a thread.
unsafe impl Send for Block {}

struct Shelf {
    blocks: Vec<Block>,
    bytes: usize,
}

static SHELF: Mutex<Shelf> = Mutex::new(Shelf { blocks: Vec::new(), bytes: 0 });

/// Memory for `count` elements of `T`, given back when dropped.
pub struct Scratch<T> {
    block: Block,
    count: usize,
    element: std::marker::PhantomData<T>,
}

impl<T: Copy> Scratch<T> {
    /// Uninitialised memory for `count` elements.
    pub fn new(count: usize) -> Result<Self> {
        const { assert!(align_of::<T>() <= ALIGN) };
        let bytes = count.checked_mul(size_of::<T>()).and_then(usize::checked_next_power_of_two);
        let size = bytes.ok_or_else(|| Error::out_of_memory(usize::MAX))?.max(4096);
        let block = reuse(size).map_or_else(|| allocate(size), Ok)?;
        Ok(Self { block, count, element: std::marker::PhantomData })
    }

    /// All zero bits.
    pub fn zeroed(count: usize) -> Result<Self> {
        let scratch = Self::new(count)?;
        // SAFETY: the block holds at least `count` elements.
        unsafe { scratch.block.at.cast::<T>().write_bytes(0, count) };
        Ok(scratch)
    }

    /// The first element.
    pub fn ptr(&self) -> *mut T {
        self.block.at.as_ptr().cast()
    }

    /// How many elements.
    pub fn count(&self) -> usize {
        self.count
    }
}

impl<T> Drop for Scratch<T> {
    fn drop(&mut self) {
        give_back(Block { at: self.block.at, size: self.block.size });
    }
}

fn reuse(size: usize) -> Option<Block> {
    let mut shelf = SHELF.lock();
    let index = shelf.blocks.iter().rposition(|block| block.size == size)?;
    shelf.bytes -= size;
    Some(shelf.blocks.swap_remove(index))
}

fn allocate(size: usize) -> Result<Block> {
    let layout = Layout::from_size_align(size, ALIGN).map_err(|_| Error::out_of_memory(size))?;
    // SAFETY: `size` is at least 4096, so not zero.
    let at = NonNull::new(unsafe { alloc(layout) });
    at.map(|at| Block { at, size }).ok_or_else(|| Error::out_of_memory(size))
}

fn give_back(block: Block) {
    let mut shelf = SHELF.lock();
    if shelf.bytes + block.size <= KEPT && shelf.blocks.try_reserve(1).is_ok() {
        shelf.bytes += block.size;
        shelf.blocks.push(block);
        return;
    }
    drop(shelf);
    // SAFETY: allocated by `allocate` with this size and alignment, and owned by nobody else.
    unsafe { dealloc(block.at.as_ptr(), Layout::from_size_align_unchecked(block.size, ALIGN)) };
}

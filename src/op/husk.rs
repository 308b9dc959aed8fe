//! Husks: the memory of work that is over. What the work owned is released as soon as it is done, on the thread that did
//! it; the memory itself goes back to the thread that allocated it: an allocator is slow when one thread frees what another
//! allocates.

use super::Op;
use std::alloc::{Layout, dealloc};
use std::ptr::NonNull;

/// Memory that holds nothing any more, freed when it is dropped.
pub struct Husk {
    at: NonNull<u8>,
    layout: Layout,
}

// SAFETY: memory that nobody else knows of.
unsafe impl Send for Husk {}

impl Husk {
    /// Drops `op`, but not its memory.
    pub fn of(op: Box<dyn Op>) -> Self {
        let layout = Layout::for_value(&*op);
        let op = Box::into_raw(op);
        // First of all, so that the memory is freed even if the drop panics.
        // SAFETY: from a box, so not null.
        let husk = Self { at: unsafe { NonNull::new_unchecked(op.cast()) }, layout };
        // SAFETY: the box owned it, and nobody reaches it from here on.
        unsafe { op.drop_in_place() };
        husk
    }
}

impl Drop for Husk {
    fn drop(&mut self) {
        if self.layout.size() > 0 {
            // SAFETY: a box's memory of this layout, which `of` took over; boxes of this size come from the global allocator.
            unsafe { dealloc(self.at.as_ptr(), self.layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Cpu;
    use crate::status::Result;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    struct Empty;
    impl Op for Empty {
        fn cpu(&self, _: &Cpu) -> Result<()> {
            Ok(())
        }
    }
    struct Owner(Arc<AtomicU64>, [u64; 9]);
    impl Op for Owner {
        fn cpu(&self, _: &Cpu) -> Result<()> {
            self.0.fetch_add(self.1.iter().sum(), Relaxed);
            Ok(())
        }
    }

    #[test]
    fn what_work_owned_is_released_before_its_memory() {
        let owned = Arc::new(AtomicU64::new(0));
        let work: Box<dyn Op> = Box::new(Owner(owned.clone(), [7; 9]));
        work.cpu(&Cpu::new(1)).unwrap();
        let husk = Husk::of(work);
        assert_eq!((Arc::strong_count(&owned), owned.load(Relaxed)), (1, 63));
        drop(husk);
        drop(Husk::of(Box::new(Empty)));
    }
}

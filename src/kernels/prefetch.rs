//! Asking for memory ahead of its use.

/// Asks for the cache line of an address that may lie anywhere: what is read or written once lies far away, and the
/// processor's own prefetching ends at each page.
#[inline(always)]
pub fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, which never faults; part of every x86-64.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    let _ = at;
}

/// The same into the second cache, where what is not read at once does not press upon what is.
#[inline(always)]
pub fn prefetch_second<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as above.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(at.cast());
    }
    let _ = at;
}

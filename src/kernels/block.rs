//! Blocks of 16 numbers, read before anything is written: loops over them become vector code even where input and
//! output are the same memory, which a compiler would otherwise have to rule out.

/// The 16 numbers from `i` on.
///
/// # Safety
///
/// `at` is valid for reads of `i + 16` numbers.
#[inline(always)]
pub unsafe fn read<T: Copy>(at: *const T, i: usize) -> [T; 16] {
    // SAFETY: this function's contract.
    unsafe { at.add(i).cast::<[T; 16]>().read_unaligned() }
}

/// Writes 16 numbers from `i` on.
///
/// # Safety
///
/// `at` is valid for writes of `i + 16` numbers.
#[inline(always)]
pub unsafe fn write<T: Copy>(at: *mut T, i: usize, values: [T; 16]) {
    // SAFETY: this function's contract.
    unsafe { at.add(i).cast::<[T; 16]>().write_unaligned(values) };
}

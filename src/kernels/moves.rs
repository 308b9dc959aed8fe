//! Elements moved without being looked at: a run of them from one stride to another.

/// Where a run of elements lies: the first one and the bytes from one to the next.
#[derive(Clone, Copy)]
pub struct Run {
    /// The first element.
    pub at: *mut u8,
    /// In bytes.
    pub step: isize,
}

impl Run {
    /// The run from element `index` on.
    #[inline(always)]
    pub fn skip(self, index: usize) -> Self {
        Self { at: self.at.wrapping_offset(self.step.wrapping_mul(index as isize)), step: self.step }
    }
}

/// Copies `count` elements of `size` bytes (1, 2, 4, 8 or 16).
///
/// # Safety
///
/// Both runs hold `count` elements, aligned for integers of `size` bytes up to 8, and do not overlap.
pub unsafe fn copy(size: usize, from: Run, to: Run, count: usize) {
    let whole = size as isize;
    if from.step == whole && to.step == whole {
        // SAFETY: this function's contract: `count` elements lie side by side in both, apart from each other.
        return unsafe { std::ptr::copy_nonoverlapping(from.at.cast_const(), to.at, count * size) };
    }
    // SAFETY: this function's contract.
    unsafe {
        match size {
            1 => strided::<u8>(from, to, count),
            2 => strided::<u16>(from, to, count),
            4 => strided::<u32>(from, to, count),
            8 => strided::<u64>(from, to, count),
            _ => strided::<[u64; 2]>(from, to, count),
        }
    }
}

/// # Safety
///
/// As for [`copy`].
unsafe fn strided<T: Copy>(from: Run, to: Run, count: usize) {
    if from.step == 0 && count > 0 {
        // SAFETY: the run's one element; `copy`'s contract.
        return unsafe { repeat(from.at.cast::<T>().read(), to, count) };
    }
    for i in 0..count {
        // SAFETY: element `i` of both runs; `copy`'s contract.
        unsafe { to.skip(i).at.cast::<T>().write(from.skip(i).at.cast::<T>().read()) };
    }
}

/// # Safety
///
/// `to` holds `count` elements.
unsafe fn repeat<T: Copy>(value: T, to: Run, count: usize) {
    if to.step == size_of::<T>() as isize {
        let to = to.at.cast::<T>();
        // SAFETY: `count` elements side by side.
        (0..count).for_each(|i| unsafe { to.add(i).write(value) });
        return;
    }
    // SAFETY: element `i` of the run.
    (0..count).for_each(|i| unsafe { to.skip(i).at.cast::<T>().write(value) });
}

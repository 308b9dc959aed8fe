//! Asking for memory ahead: a thread that takes over what another one wrote waits for every cache line, some 100 ns each,
//! unless it asked for them while it was still busy with something else.

/// Bytes of a cache line.
const LINE: usize = 64;
/// Lines that are asked for at most: as many as a core has under way at once.
const MOST: usize = 16;

/// Asks for `bytes` bytes from `at` on, to be read and perhaps written soon. Any address will do: this is advice.
#[inline]
pub fn ask_for(at: *const u8, bytes: usize) {
    let lines = bytes.div_ceil(LINE).min(MOST);
    for line in 0..lines {
        ask(at.wrapping_add(line * LINE));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn ask(at: *const u8) {
    // SAFETY: a hint, which faults for no address; a processor that does not know it does nothing.
    unsafe { std::arch::asm!("prefetchw [{}]", in(reg) at, options(nostack, preserves_flags)) };
}

#[cfg(target_arch = "aarch64")]
#[inline]
fn ask(at: *const u8) {
    // SAFETY: a hint, which faults for no address.
    unsafe { std::arch::asm!("prfm pstl1keep, [{}]", in(reg) at, options(nostack, preserves_flags)) };
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn ask(_: *const u8) {}

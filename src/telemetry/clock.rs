//! A clock that is cheap enough for every request: the processor's time-stamp counter where the system itself keeps
//! time by it (a quarter of the cost of the system's clock), else CLOCK_MONOTONIC. Ticks become nanoseconds when they
//! are told.

use once_cell::sync::OnceCell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How long the counter is watched to learn its rate: some 40 ns of error in this.
const WATCHED: Duration = Duration::from_millis(1);

/// Nanoseconds of 2^32 ticks; 0 while ticks are nanoseconds.
static SCALE: AtomicU64 = AtomicU64::new(0);

/// Learns the counter's rate, once. Call it before the first tick is taken.
pub fn calibrate() {
    static ONCE: OnceCell<()> = OnceCell::new();
    ONCE.get_or_init(|| {
        if is_trusted() {
            SCALE.store(measure(), Relaxed);
        }
    });
}

/// The moment, in ticks.
#[inline]
pub fn now() -> u64 {
    if SCALE.load(Relaxed) == 0 { monotonic() } else { counter() }
}

/// Nanoseconds of so many ticks.
#[inline]
pub fn ns(ticks: u64) -> u64 {
    match SCALE.load(Relaxed) {
        0 => ticks,
        scale => ((u128::from(ticks) * u128::from(scale)) >> 32) as u64,
    }
}

/// Nanoseconds from one tick to another; 0 if it was not later (counters of two processors may differ a little).
#[inline]
pub fn between(from: u64, to: u64) -> u64 {
    ns(to.saturating_sub(from))
}

fn monotonic() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes a local; this clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The system tests the counter on every processor and leaves it when it errs.
fn is_trusted() -> bool {
    let name = std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    cfg!(target_arch = "x86_64") && name.is_ok_and(|name| name.trim() == "tsc")
}

fn measure() -> u64 {
    let first = pair();
    std::thread::sleep(WATCHED);
    let last = pair();
    let ticks = last.0.saturating_sub(first.0).max(1);
    ((u128::from(last.1 - first.1) << 32) / u128::from(ticks)) as u64
}

/// Tick and nanosecond of one moment: of some tries the one that took least.
fn pair() -> (u64, u64) {
    let tries = (0..8).map(|_| {
        let (before, ns, after) = (counter(), monotonic(), counter());
        let took = after.saturating_sub(before);
        (took, (before + took / 2, ns))
    });
    tries.min().map_or((0, 0), |best| best.1)
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn counter() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and a system that keeps time by it lets programs read it.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn counter() -> u64 {
    monotonic()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn ticks_keep_the_time_of_the_system() {
        calibrate();
        let (start, tick) = (Instant::now(), now());
        std::thread::sleep(Duration::from_millis(20));
        let (ns, system) = (between(tick, now()), start.elapsed().as_nanos() as u64);
        assert!(ns <= system + system / 100 && ns >= 19_000_000, "{ns} ns of {system}");
        assert_eq!(between(now() + (1 << 40), now()), 0);
    }
}

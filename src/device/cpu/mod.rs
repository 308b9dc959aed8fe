//! The CPU device: the host's cores, a real device and not a stand-in.

mod isa;
mod pool;
mod scratch;

pub use isa::{Isa, isa};
pub use pool::{Assistant, PoolUse, pool_use};
pub use scratch::Scratch;

/// Work below this many nanoseconds is not worth waking a helper.
const SERIAL_NS: u64 = 50_000;
/// Work below this many nanoseconds is not worth sharing with a helper that is awake.
const WARM_SERIAL_NS: u64 = 20_000;
/// The longest work that is lent to threads that wait: one that joined stays until no tile is left.
const LENT_NS: u64 = 2_000_000;

/// A CPU device as one context sees it.
pub struct Cpu {
    threads: usize,
    /// Whether threads that wait may work too.
    lends: bool,
}

impl Cpu {
    /// With at most this many threads a kernel; 0 means one for each physical core.
    pub fn new(threads: usize) -> Self {
        Self { threads: if threads == 0 { physical_cores() } else { threads }, lends: false }
    }

    /// The same for work that needs little of a stack and ends soon: threads that wait for requests, the caller's, may do
    /// some of it.
    pub fn lending(&self) -> Self {
        Self { lends: true, ..*self }
    }

    /// Threads that a kernel may spread over, the queue's worker among them.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `work` once for each of `0..tiles`, in parallel when all tiles together are worth it. `total_ns` is a
    /// rough estimate of the work of all tiles on one thread; it decides only who works, never what is computed.
    pub fn parallel(&self, tiles: usize, total_ns: u64, work: impl Fn(usize) + Sync) {
        let lent = self.lends && total_ns <= LENT_NS;
        let shared = total_ns >= SERIAL_NS || (total_ns >= WARM_SERIAL_NS && pool::POOL.is_warm(lent));
        pool::POOL.run(if shared { self.threads } else { 1 }, tiles, lent, &work);
    }

    /// Runs `work(start, end)` over pieces of `0..count`, each worth about `grain_ns` when an item takes `item_ns`.
    /// Items must be independent, so that the cut changes nothing in the result.
    pub fn parallel_ranges(&self, count: usize, item_ns: f64, work: impl Fn(usize, usize) + Sync) {
        const GRAIN_NS: f64 = 4_000.0;
        let total = count as f64 * item_ns;
        let tiles = ((total / GRAIN_NS) as usize).clamp(1, (self.threads * 8).min(count.max(1)));
        let cut = |tile: usize| (count as u128 * tile as u128 / tiles as u128) as usize;
        self.parallel(tiles, total as u64, |tile| work(cut(tile), cut(tile + 1)));
    }
}

/// Cores that this process may run on, hyperthreads counted once where the system tells.
pub fn physical_cores() -> usize {
    let logical = std::thread::available_parallelism().map_or(1, usize::from);
    let core = |cpu: usize| {
        let read =
            |name| std::fs::read_to_string(format!("/sys/devices/system/cpu/cpu{cpu}/topology/{name}")).ok();
        Some((read("physical_package_id")?, read("core_id")?))
    };
    let mut cores: Vec<_> = (0..1024).map_while(core).collect();
    cores.sort_unstable();
    cores.dedup();
    if cores.is_empty() { logical } else { logical.min(cores.len()) }
}

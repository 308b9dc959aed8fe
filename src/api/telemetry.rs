//! Looking inside: statistics and the log's hook. The log and the trace of the environment begin with the first context.

use super::border::{Sized32, check, write_struct};
use super::{CONTEXTS, PORTS, QUEUES, REQUESTS, weft_context};
use crate::device::cpu::pool_use;
use crate::device::thread;
use crate::status::{Result, weft_status};
use crate::telemetry::log::{self, WEFT_LOG_DEBUG, WEFT_LOG_ERROR, weft_log_fn};
use crate::telemetry::{Buckets, Memory, Totals, clock, totals, trace};
use crate::{ensure, reserve};
use once_cell::sync::OnceCell;

/// How many buckets a histogram of weft_stats_info has.
pub const WEFT_STATS_BUCKETS: usize = 64;
// The struct has the number itself: readers of the header need not look it up.
const _: () = assert!(WEFT_STATS_BUCKETS == size_of::<Buckets>() / 8);

/// What `weft_stats` tells. Counts go up for ever; submitted is the sum of all completed_ and in_flight.
///
/// Histograms count nanoseconds by powers of two: entry i those from 2^i to 2^(i+1) - 1, entry 0 also 0. Both count the
/// requests whose work ran: those that are ok, failed or lost, and those whose deadline passed while they ran, once they
/// have ended.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct weft_stats_info {
    /// sizeof(weft_stats_info), set by the caller.
    pub struct_size: u32,
    /// Handles of contexts that are not released.
    pub contexts: u32,
    /// Requests that queues accepted.
    pub submitted: u64,
    /// Requests that were answered WEFT_WOULD_BLOCK.
    pub refused: u64,
    /// Requests accepted and not complete.
    pub in_flight: u64,
    /// Requests that ended with WEFT_OK.
    pub completed_ok: u64,
    /// With an error that is none of the following.
    pub completed_failed: u64,
    /// With WEFT_ERROR_CANCELLED.
    pub completed_cancelled: u64,
    /// With WEFT_ERROR_DEADLINE_EXCEEDED.
    pub completed_deadline: u64,
    /// With WEFT_ERROR_DEPENDENCY_FAILED.
    pub completed_dependency: u64,
    /// With WEFT_ERROR_DEVICE_LOST.
    pub completed_lost: u64,
    /// Bytes that weft_write moved.
    pub bytes_written: u64,
    /// Bytes that weft_read moved.
    pub bytes_read: u64,
    /// Bytes that weft_copy moved.
    pub bytes_copied: u64,
    /// Bytes that weft_fill wrote.
    pub bytes_filled: u64,
    /// Buffers whose memory is not freed: released ones that requests in flight name are among them.
    pub buffers: u64,
    /// Their bytes.
    pub buffer_bytes: u64,
    /// The most bytes that there were at one time.
    pub buffer_bytes_peak: u64,
    /// Handles of queues that are not released.
    pub queues: u64,
    /// Handles of ports that are not released.
    pub ports: u64,
    /// Handles of requests that are not released, complete or not.
    pub requests: u64,
    /// Helper threads of the CPU's pool, which all contexts share.
    pub pool_threads: u32,
    /// Those of them that are awake and look for work.
    pub pool_looking: u32,
    /// Those of them that work.
    pub pool_working: u32,
    /// Kernels that share their work with helpers now.
    pub pool_jobs: u32,
    /// Kernels that ever did.
    pub pool_jobs_posted: u64,
    /// Blocks in use of the reserve that serves when host memory has run out, of the process; 0 in sane times.
    pub reserve_blocks: u64,
    /// Nanoseconds that requests which ran had waited, from the call that submitted them on; their sum.
    pub queue_wait_ns: u64,
    /// Nanoseconds that requests ran; their sum.
    pub run_time_ns: u64,
    /// Histogram of the nanoseconds from the call that submitted a request until its work began.
    pub queue_wait: [u64; 64],
    /// Histogram of the nanoseconds from the beginning of its work to its end.
    pub run_time: [u64; 64],
}

impl Default for weft_stats_info {
    fn default() -> Self {
        // SAFETY: integers alone, for all of which zero is a value.
        unsafe { std::mem::zeroed() }
    }
}

// SAFETY: repr(C), begins with struct_size, integers alone.
unsafe impl Sized32 for weft_stats_info {
    const NAME: &'static str = "weft_stats_info";
}

/// Learns the clock's rate, and opens the log and the trace that the environment asks for. Once.
pub(super) fn start() {
    static STARTED: OnceCell<()> = OnceCell::new();
    STARTED.get_or_init(|| {
        clock::calibrate();
        log::read_environment();
        trace::start(|| thread::spawn(c"weft-trace", trace::serve));
    });
}

/// Counts what a context's queues (0: those of the whole process, since it began) did, and what lives.
/// The caller sets stats->struct_size. Requests are counted before anybody learns of their completion. The numbers are
/// read one after another while others go on: they are exact when nothing is in flight.
///
/// Thread safety: any thread.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (stats is NULL, struct_size, context); WEFT_ERROR_STALE_HANDLE;
/// WEFT_ERROR_WRONG_KIND; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `stats` is NULL or points to a weft_stats_info of stats->struct_size bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_stats(context: weft_context, stats: *mut weft_stats_info) -> weft_status {
    check(|| {
        let value = gather(context)?;
        // SAFETY: this function's contract.
        unsafe { write_struct("stats", stats, &value) }
    })
}

pub(super) fn gather(context: weft_context) -> Result<weft_stats_info> {
    let mut stats = weft_stats_info::default();
    if context == 0 {
        fill(&mut stats, &totals(None), Memory::process());
        (stats.queues, stats.ports) = (QUEUES.live() as u64, PORTS.live() as u64);
        (stats.requests, stats.contexts) = (REQUESTS.live() as u64, CONTEXTS.live() as u32);
    } else {
        let context = CONTEXTS.get("context", context)?;
        let number = context.account.number();
        fill(&mut stats, &totals(Some(&context.account)), &context.memory);
        QUEUES.each(|_, queue| stats.queues += u64::from(queue.context().account.number() == number));
        PORTS.each(|_, port| stats.ports += u64::from(port.account == number));
        REQUESTS.each(|_, request| stats.requests += u64::from(request.account == number));
        stats.contexts = 1;
    }
    fill_pool(&mut stats);
    Ok(stats)
}

fn fill(stats: &mut weft_stats_info, totals: &Totals, memory: &Memory) {
    let [ok, failed, cancelled, deadline, dependency, lost] = totals.ended;
    (stats.completed_ok, stats.completed_failed, stats.completed_cancelled) = (ok, failed, cancelled);
    (stats.completed_deadline, stats.completed_dependency, stats.completed_lost) =
        (deadline, dependency, lost);
    (stats.submitted, stats.refused) = (totals.submitted, totals.refused);
    stats.in_flight = totals.submitted.saturating_sub(totals.ended.iter().sum());
    (stats.bytes_written, stats.bytes_read) = (totals.traffic.written, totals.traffic.read);
    (stats.bytes_copied, stats.bytes_filled) = (totals.traffic.copied, totals.traffic.filled);
    (stats.buffers, stats.buffer_bytes) = (memory.buffers(), memory.bytes());
    stats.buffer_bytes_peak = memory.peak();
    (stats.queue_wait_ns, stats.run_time_ns) = (totals.wait_ns, totals.run_ns);
    (stats.queue_wait, stats.run_time) = (totals.wait, totals.run);
}

fn fill_pool(stats: &mut weft_stats_info) {
    let pool = pool_use();
    (stats.pool_threads, stats.pool_looking) = (pool.threads as u32, pool.looking as u32);
    (stats.pool_working, stats.pool_jobs) = (pool.working as u32, pool.jobs as u32);
    (stats.pool_jobs_posted, stats.reserve_blocks) = (pool.posted, u64::from(reserve::in_use()));
}

/// Sends the sentences of the log up to `level` (WEFT_LOG_ERROR to WEFT_LOG_DEBUG) to `hook`, which is called with `user`,
/// the sentence's level, and the sentence. One hook for the process: another takes its place; NULL removes it (`level` is
/// then not looked at), and the environment's WEFT_LOG=error|warn|info|debug counts again, which writes to stderr.
///
/// The hook runs on whichever thread has something to tell, a thread of the program's inside a call of weft or one of the
/// library's, on several at once; it should return soon, for requests wait for it, and it must not throw. In it every
/// function that returns a status answers WEFT_ERROR_IN_CALLBACK and does nothing. When this call returns, no thread is
/// inside the hook that was there before; what would have been told meanwhile is lost.
///
/// Thread safety: any thread.
/// Blocks: while a thread is inside the hook before.
/// Callable from callback: yes.
/// Ownership: the hook is the caller's until another takes its place.
/// Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (level); WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `hook` is NULL or a function that keeps the promises above until it is replaced.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_log_hook(hook: weft_log_fn, user: u64, level: u32) -> weft_status {
    check(|| {
        ensure!(
            hook.is_none() || (WEFT_LOG_ERROR..=WEFT_LOG_DEBUG).contains(&level),
            "level is {level}; expected WEFT_LOG_ERROR (1) to WEFT_LOG_DEBUG (4)"
        );
        log::set_hook(hook, user, level);
        start();
        Ok(())
    })
}

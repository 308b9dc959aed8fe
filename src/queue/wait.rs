//! Waits for requests: a thread spins a little, then sleeps until the requests tell it.

use super::request::{Request, Watch};
use crate::device::cpu::Assistant;
use crate::device::cuda::Watched;
use crate::device::gate::{Gate, Wake, spin_until};
use crate::sync::SPINS;
use crate::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a waiting thread spins before it sleeps.
const SPIN: Duration = Duration::from_micros(200);

/// A wait that must end before this does not work at what is lent meanwhile.
const UNHURRIED: Duration = Duration::from_millis(20);

/// Looks at a device in a row: its word stays in this processor's cache until the device writes it, and a spin loop's
/// pause in between, up to 50 ns, is longer than a look.
const LOOKS: u32 = 16;

/// A sleeping thread's watch: how many of its requests completed.
#[derive(Default)]
struct Signal {
    gate: Gate,
    completed: AtomicUsize,
}

impl Watch for Signal {
    fn completed(&self, _: &Request) {
        self.completed.fetch_add(1, SeqCst);
        self.gate.open();
    }
}

/// Waits until all (or, with `any`, at least one) of `requests` are complete, for a thread of the caller's: a signal
/// handler that ran in it ends the wait.
pub fn wait(requests: &[Arc<Request>], any: bool, deadline: Option<Instant>) -> Wake {
    let complete = |request: &Arc<Request>| request.outcome().is_some();
    let over = || if any { requests.iter().any(complete) } else { requests.iter().all(complete) };
    if over() {
        return Wake::Ready;
    }
    let mut flights: Vec<Arc<dyn Watched>> =
        requests.iter().filter_map(|request| request.flights()).collect();
    flights.dedup_by(|one, other| Arc::ptr_eq(one, other));
    let look = || {
        for flights in &flights {
            let _ = flights.look();
        }
        over()
    };
    let looks = if flights.is_empty() { 1 } else { LOOKS };
    let left = deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
    let helps = SPINS && flights.is_empty() && left > UNHURRIED;
    let assistant = if helps { Assistant::new() } else { None };
    let done = || {
        flights.iter().for_each(|flights| flights.attend());
        assistant.iter().for_each(Assistant::look);
        (0..looks).any(|_| look())
    };
    let ready = spin_until(left.min(SPIN), done);
    drop(assistant);
    if ready { Wake::Ready } else { sleep(requests, any, deadline) }
}

/// Waits until one of the two is complete, for a thread of the library's: signals are blocked there. `false` if `deadline`
/// came before.
pub fn await_either(one: &Arc<Request>, other: &Arc<Request>, deadline: Option<Instant>) -> bool {
    let both = [one.clone(), other.clone()];
    loop {
        match wait(&both, true, deadline) {
            Wake::Interrupted => continue,
            end => return end == Wake::Ready,
        }
    }
}

fn sleep(requests: &[Arc<Request>], any: bool, deadline: Option<Instant>) -> Wake {
    let signal = Arc::new(Signal::default());
    let watch: Arc<dyn Watch> = signal.clone();
    let pending = requests.iter().filter(|request| request.watch(watch.clone())).count();
    let already = requests.len() - pending;
    let needed = if any { 1 } else { requests.len() };
    let open = || already + signal.completed.load(SeqCst) >= needed;
    let end = signal.gate.wait_or_signal(Duration::ZERO, deadline, open);
    requests.iter().for_each(|request| request.unwatch(&watch));
    end
}

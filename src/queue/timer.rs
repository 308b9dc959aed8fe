//! Deadlines: one thread for the process posts DEADLINE_EXCEEDED to requests whose time is up. The caller is released;
//! what the request holds stays held until the device is done with it.

use super::request::Request;
use crate::device::thread;
use crate::status::{Error, Result};
use once_cell::sync::OnceCell;
use parking_lot::{Condvar, Mutex};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// A moment and the request that must be complete by then. Ordered by the moment.
struct Due(Instant, Weak<Request>);

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

static DUES: Mutex<BinaryHeap<Reverse<Due>>> = Mutex::new(BinaryHeap::new());
static SOONER: Condvar = Condvar::new();
static STARTED: OnceCell<()> = OnceCell::new();

/// Ends `request` at `at` if it is not complete by then.
pub fn schedule(request: &Arc<Request>, at: Instant) -> Result<()> {
    STARTED.get_or_try_init(|| thread::spawn(c"weft-deadline", serve))?;
    let mut dues = DUES.lock();
    if dues.len() == dues.capacity() {
        make_room(&mut dues)?;
    }
    let sooner = dues.peek().is_none_or(|first| at < first.0.0);
    dues.push(Reverse(Due(at, Arc::downgrade(request))));
    if sooner {
        SOONER.notify_one();
    }
    Ok(())
}

/// Forgets requests that are gone; grows when most are not.
fn make_room(dues: &mut BinaryHeap<Reverse<Due>>) -> Result<()> {
    dues.retain(|due| due.0.1.strong_count() > 0);
    let more = dues.len().max(64);
    dues.try_reserve(more).map_err(|_| Error::out_of_memory(more.saturating_mul(size_of::<Due>())))
}

fn serve() {
    let mut dues = DUES.lock();
    loop {
        match dues.peek().map(|due| due.0.0) {
            None => SOONER.wait(&mut dues),
            Some(at) if at > Instant::now() => drop(SOONER.wait_until(&mut dues, at)),
            Some(_) => {
                let due = dues.pop();
                // Posting runs foreign watches: not under the lock.
                parking_lot::MutexGuard::unlocked(&mut dues, || {
                    due.into_iter().for_each(|due| expire(&due.0.1))
                });
            }
        }
    }
}

fn expire(request: &Weak<Request>) {
    if let Some(request) = request.upgrade() {
        request.expire();
    }
}

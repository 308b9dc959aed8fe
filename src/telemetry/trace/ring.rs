//! The bounded ring between those who record events and the one who writes them. Full, it drops new events and counts
//! them; the end of what began is never dropped: its place is kept from the beginning on.

use super::event::Event;
use crate::status::{Error, Result};
use parking_lot::{Condvar, Mutex};

/// How many events may wait.
const CAPACITY: usize = 8192;

struct Ring {
    events: Vec<Event>,
    /// Places that are kept for ends.
    kept: usize,
    lost: u64,
}

static RING: Mutex<Ring> = Mutex::new(Ring { events: Vec::new(), kept: 0, lost: 0 });
static FILLED: Condvar = Condvar::new();

/// An empty list with room for all.
pub fn list() -> Result<Vec<Event>> {
    let mut list = Vec::new();
    let bytes = CAPACITY * size_of::<Event>();
    list.try_reserve_exact(CAPACITY).map_err(|_| Error::out_of_memory(bytes))?;
    Ok(list)
}

/// Makes room. Before the first event.
pub fn prepare() -> Result<()> {
    RING.lock().events = list()?;
    Ok(())
}

impl Ring {
    /// Adds the event, which needs `more` places besides.
    fn add(&mut self, event: Event, more: usize) -> bool {
        let fits = self.events.len() + self.kept + more < CAPACITY;
        if fits {
            self.events.push(event);
            FILLED.notify_one();
        } else {
            self.lost += 1;
        }
        fits
    }
}

/// Records an event.
pub fn push(event: Event) {
    RING.lock().add(event, 0);
}

/// Records a beginning and keeps a place for its end. `false` if there was no room.
pub fn push_begin(event: Event) -> bool {
    let mut ring = RING.lock();
    let fits = ring.add(event, 1);
    ring.kept += usize::from(fits);
    fits
}

/// Records the end of what `push_begin` let in.
pub fn push_end(event: Event) {
    let mut ring = RING.lock();
    ring.kept -= 1;
    ring.add(event, 0);
}

/// Waits until there is something to write.
pub fn wait() {
    let mut ring = RING.lock();
    while ring.events.is_empty() && ring.lost == 0 {
        FILLED.wait(&mut ring);
    }
}

/// Forgets what waits.
pub fn discard() {
    let mut ring = RING.lock();
    ring.events.clear();
    ring.lost = 0;
}

/// Exchanges what waits for `empty`, an empty list with room for all; how many events were lost since the last time.
pub fn take(empty: &mut Vec<Event>) -> u64 {
    let mut ring = RING.lock();
    std::mem::swap(&mut ring.events, empty);
    std::mem::take(&mut ring.lost)
}

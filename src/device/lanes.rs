//! Lanes: priorities between the queues of a context. A worker is in its lane while it runs requests; one of a lower
//! priority begins its next request only when the higher lanes are empty. A worker that waits for other queues leaves
//! its lane, so that a low queue that a high one depends on always gets on.

use super::gate::Gate;
use crate::sync::atomic::{AtomicUsize, Ordering::*};
use std::time::Duration;

/// How many priorities there are, 0 the lowest.
const LEVELS: usize = 3;

/// Who is running, by priority.
#[derive(Default)]
pub struct Lanes {
    active: [AtomicUsize; LEVELS],
    gate: Gate,
}

impl Lanes {
    /// A worker of this priority begins to run requests.
    pub fn enter(&self, priority: usize) {
        self.active[priority].fetch_add(1, SeqCst);
    }

    /// It has none, or waits for something else.
    pub fn leave(&self, priority: usize) {
        self.active[priority].fetch_sub(1, SeqCst);
        if priority > 0 {
            self.gate.open();
        }
    }

    /// Whether no higher lane has work.
    pub fn is_free(&self, priority: usize) -> bool {
        self.active[priority + 1..].iter().all(|count| count.load(SeqCst) == 0)
    }

    /// Called in the lane, between requests: lets higher lanes go first.
    pub fn give_way(&self, priority: usize) {
        if !self.is_free(priority) {
            self.leave(priority);
            self.gate.wait(Duration::ZERO, None, || self.is_free(priority));
            self.enter(priority);
        }
    }
}

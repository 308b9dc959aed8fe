//! Haste: a thread of the caller's that launches its own request queues only work that needs nothing built, for its
//! submission is to return at once. A request that needs more is left to the queue's worker; once some of its work is on
//! the stream there is no way back, and what it still needs is built there and then.

use super::stream::Stream;
use crate::status::{Error, Result, WEFT_WOULD_BLOCK};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// How long whoever launches may take. One thread at a time launches on a stream.
#[derive(Default)]
pub(super) struct Haste(AtomicU8);

/// As long as it takes.
const CALM: u8 = 0;
/// No time, and nothing is queued so far.
const HASTY: u8 = 1;
/// It would have taken time: nothing is queued, nor will be.
const LATE: u8 = 2;

fn late() -> Error {
    Error::new(WEFT_WOULD_BLOCK, "what the request needs takes a while to build")
}

impl Stream {
    /// Runs `launch`, which queues all of a request's work, or none of it because that would take a while. Whether it did.
    pub fn hastily(&self, launch: impl FnOnce()) -> bool {
        self.haste().0.store(HASTY, Relaxed);
        launch();
        self.haste().0.swap(CALM, Relaxed) != LATE
    }

    /// To be asked before anything that takes longer than a launch or two.
    pub fn take_time(&self) -> Result<()> {
        let haste = &self.haste().0;
        if haste.load(Relaxed) == CALM {
            return Ok(());
        }
        haste.store(LATE, Relaxed);
        Err(late())
    }

    /// Work of the request is about to be queued.
    pub(super) fn touch(&self) -> Result<()> {
        let haste = &self.haste().0;
        match haste.load(Relaxed) {
            CALM => Ok(()),
            LATE => Err(late()),
            _ => {
                haste.store(CALM, Relaxed);
                Ok(())
            }
        }
    }
}

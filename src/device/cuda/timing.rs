//! How long work takes on a stream, by the device's own clock.

use super::driver::Driver;
use super::stream::Stream;
use crate::status::Result;
use cudarc::driver::sys::CUevent;
use std::ptr::null_mut;

/// How often work is repeated between the two looks at the clock.
const TURNS: u8 = 4;

/// An event that keeps the time, destroyed with it.
struct Event {
    driver: &'static Driver,
    event: CUevent,
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: created in `new`; the driver keeps it for as long as a stream needs it.
        let _ = unsafe { self.driver.event_destroy(self.event) };
    }
}

impl Event {
    fn new(driver: &'static Driver) -> Result<Self> {
        let mut event = null_mut();
        // SAFETY: a pointer to a local.
        unsafe { driver.event_create(&mut event, 0)? };
        Ok(Self { driver, event })
    }
}

impl Stream {
    /// Milliseconds that the work takes which `queue` queues: once to begin with, then several times in a row. Waits for all
    /// that the stream was told to do.
    pub fn time(&self, queue: impl Fn() -> Result<()>) -> Result<f32> {
        self.take_time()?;
        self.touch()?;
        let [start, end] = [self.gpu().with(Event::new)?, self.gpu().with(Event::new)?];
        // SAFETY: an event and a stream that live.
        let record =
            |event: &Event| self.gpu().with(|driver| unsafe { driver.event_record(event.event, self.raw()) });
        queue()?;
        record(&start)?;
        (0..TURNS).try_for_each(|_| queue())?;
        record(&end)?;
        self.synchronize()?;
        let mut milliseconds = 0.0;
        self.gpu().with(|driver| {
            // SAFETY: a pointer to a local; both events are over.
            unsafe { driver.event_elapsed(&mut milliseconds, start.event, end.event) }
        })?;
        Ok(milliseconds / f32::from(TURNS))
    }
}

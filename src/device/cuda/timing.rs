//! Events: how long work takes on a stream, by the device's own clock, and what waits for what.

use super::driver::Driver;
use super::stream::Stream;
use crate::status::Result;
use cudarc::driver::sys::CUevent;
use std::ptr::null_mut;

/// An event, destroyed with it.
pub(super) struct Event {
    driver: &'static Driver,
    event: CUevent,
}

// SAFETY: the driver's functions take an event from any thread.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: created in `new`; the driver keeps it for as long as a stream needs it.
        let _ = unsafe { self.driver.event_destroy(self.event) };
    }
}

impl Event {
    pub fn new(driver: &'static Driver, flags: u32) -> Result<Self> {
        let mut event = null_mut();
        // SAFETY: a pointer to a local.
        unsafe { driver.event_create(&mut event, flags)? };
        Ok(Self { driver, event })
    }

    /// Puts it behind what the stream was told.
    pub fn record(&self, stream: &Stream) -> Result<()> {
        // SAFETY: an event and a stream that live.
        stream.gpu().with(|driver| unsafe { driver.event_record(self.event, stream.raw()) })
    }

    /// Has the stream wait for what it was put behind last.
    pub fn hold(&self, stream: &Stream) -> Result<()> {
        // SAFETY: as above.
        stream.gpu().with(|driver| unsafe { driver.stream_wait(stream.raw(), self.event, 0) })
    }
}

impl Stream {
    /// Milliseconds that the work takes which `queue` queues: once to begin with, then `turns` times in a row. Waits for all
    /// that the stream was told to do.
    pub fn time(&self, turns: u8, queue: impl Fn() -> Result<()>) -> Result<f32> {
        self.take_time()?;
        self.touch()?;
        let [start, end] = [self.keeper()?, self.keeper()?];
        queue()?;
        start.record(self)?;
        (0..turns).try_for_each(|_| queue())?;
        end.record(self)?;
        self.synchronize()?;
        let mut milliseconds = 0.0;
        self.gpu().with(|driver| {
            // SAFETY: a pointer to a local; both events are over.
            unsafe { driver.event_elapsed(&mut milliseconds, start.event, end.event) }
        })?;
        Ok(milliseconds / f32::from(turns))
    }

    /// An event that keeps the time.
    fn keeper(&self) -> Result<Event> {
        self.gpu().with(|driver| Event::new(driver, 0))
    }
}

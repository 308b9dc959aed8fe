//! A request that keeps its queue busy until it is told to end, on every device: what is behind it has not begun.

use super::{Session, ok};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;
use weft::api::submit::{Target, submit, weft_submit};
use weft::device::Cpu;
use weft::device::cuda::Stream;
use weft::op::Op;
use weft::op::code::WEFT_OP_FILL;
use weft::status::Result;

/// The request's work: on a GPU, too, the queue's worker is held before anything gets to the device.
struct Wait(Arc<AtomicBool>);

impl Wait {
    fn wait(&self) -> Result<()> {
        while !self.0.load(SeqCst) {
            std::thread::sleep(Duration::from_micros(100));
        }
        Ok(())
    }
}

impl Op for Wait {
    fn cpu(&self, _: &Cpu) -> Result<()> {
        self.wait()
    }
    fn cuda(&self, _: &Stream) -> Result<()> {
        self.wait()
    }
}

/// A queue kept busy; ends when it is dropped, at the latest.
pub struct Hold {
    over: Arc<AtomicBool>,
    /// The request, which is the test's to release. It calls itself a fill.
    pub request: u64,
}

impl Hold {
    /// Submits it to `queue`.
    pub fn new(queue: u64) -> Self {
        let (over, mut request) = (Arc::new(AtomicBool::new(false)), 0);
        let options = weft_submit { struct_size: size_of::<weft_submit>() as u32, ..Default::default() };
        let target = Target { queue, op: WEFT_OP_FILL, options: &options, out: &mut request };
        // SAFETY: options and the place for the handle are locals.
        ok(unsafe { submit(target, |_, _| Ok(Box::new(Wait(over.clone())))) });
        Self { over, request }
    }

    /// On the session's own queue.
    pub fn of(session: &Session) -> Self {
        Self::new(session.queue)
    }

    /// Lets it end.
    pub fn end(&self) {
        self.over.store(true, SeqCst);
    }

    /// Lets it end in a while.
    pub fn end_later(&self) {
        let over = self.over.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            over.store(true, SeqCst);
        });
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.end();
    }
}

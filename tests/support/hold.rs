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
struct Wait(Arc<State>);

#[derive(Default)]
struct State {
    begun: AtomicBool,
    over: AtomicBool,
}

impl Wait {
    fn wait(&self) -> Result<()> {
        self.0.begun.store(true, SeqCst);
        while !self.0.over.load(SeqCst) {
            std::thread::sleep(Duration::from_micros(100));
        }
        Ok(())
    }
}

impl Op for Wait {
    fn cpu(&self, _: &Cpu) -> Result<()> {
        self.wait()
    }
    fn cuda(&self, stream: &Stream) -> Result<()> {
        stream.take_time()?;
        self.wait()
    }
}

/// A queue kept busy; ends when it is dropped, at the latest.
pub struct Hold {
    state: Arc<State>,
    /// The request, which is the test's to release. It calls itself a fill.
    pub request: u64,
}

impl Hold {
    /// Submits it to `queue`.
    pub fn new(queue: u64) -> Self {
        let options = weft_submit { struct_size: size_of::<weft_submit>() as u32, ..Default::default() };
        Self::with(queue, &options)
    }

    /// Submits it with these options.
    pub fn with(queue: u64, options: &weft_submit) -> Self {
        let (state, mut request) = (Arc::<State>::default(), 0);
        let target = Target { queue, op: WEFT_OP_FILL, options, out: &mut request };
        // SAFETY: options and the place for the handle are locals.
        ok(unsafe { submit(target, |_, _| Ok(Box::new(Wait(state.clone())))) });
        Self { state, request }
    }

    /// On the session's own queue.
    pub fn of(session: &Session) -> Self {
        Self::new(session.queue)
    }

    /// Whether the queue got to it.
    pub fn begun(&self) -> bool {
        self.state.begun.load(SeqCst)
    }

    /// Lets it end.
    pub fn end(&self) {
        self.state.over.store(true, SeqCst);
    }

    /// Lets it end in a while.
    pub fn end_later(&self) {
        let state = self.state.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            state.over.store(true, SeqCst);
        });
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.end();
    }
}

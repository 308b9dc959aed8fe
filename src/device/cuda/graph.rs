//! Graphs: work that was recorded once and is launched again and again, at less cost to the host than queuing it anew. An
//! option: what has no driver for it queues.

use super::driver::Driver;
use super::gpu::Gpu;
use super::library::Library;
use super::stream::{NON_BLOCKING, Stream};
use crate::status::{Error, Result, WEFT_ERROR_UNSUPPORTED};
use cudarc::driver::sys::CUstream;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A graph, or one that is ready to launch: opaque.
type Opaque = *mut c_void;

/// How many graphs there are, and may be: each takes memory of the host's and of the device's.
static ALIVE: AtomicUsize = AtomicUsize::new(0);
const MOST: usize = 2048;

/// CU_STREAM_CAPTURE_MODE_RELAXED: what other threads ask of the driver meanwhile is their business.
const RELAXED: i32 = 2;

/// The driver's functions for graphs.
pub(super) struct Functions {
    begin: unsafe extern "C" fn(CUstream, i32) -> i32,
    end: unsafe extern "C" fn(CUstream, *mut Opaque) -> i32,
    instantiate: unsafe extern "C" fn(*mut Opaque, Opaque, u64) -> i32,
    launch: unsafe extern "C" fn(Opaque, CUstream) -> i32,
    destroy: unsafe extern "C" fn(Opaque) -> i32,
    destroy_ready: unsafe extern "C" fn(Opaque) -> i32,
}

impl Functions {
    /// Those of a driver that has them all.
    pub(super) fn find(library: &Library) -> Option<Self> {
        // SAFETY: the signatures are those of cuda.h.
        unsafe {
            Some(Self {
                begin: library.function(c"cuStreamBeginCapture_v2")?,
                end: library.function(c"cuStreamEndCapture")?,
                instantiate: library.function(c"cuGraphInstantiateWithFlags")?,
                launch: library.function(c"cuGraphLaunch")?,
                destroy: library.function(c"cuGraphDestroy")?,
                destroy_ready: library.function(c"cuGraphExecDestroy")?,
            })
        }
    }
}

/// Recorded work, ready to launch.
pub struct Graph {
    gpu: Arc<Gpu>,
    functions: &'static Functions,
    ready: Opaque,
}

// SAFETY: the driver's functions take a graph from any thread; one thread at a time has it.
unsafe impl Send for Graph {}

/// A stream that work is recorded on, destroyed with it.
struct Recorder(&'static Driver, CUstream);

impl Drop for Recorder {
    fn drop(&mut self) {
        // SAFETY: created in `record`, and used by nobody any more.
        let _ = unsafe { self.0.stream_destroy(self.1) };
    }
}

fn refused(function: &str, code: i32) -> Error {
    Error {
        native: i64::from(code),
        ..Error::new(WEFT_ERROR_UNSUPPORTED, format!("{function} answered {code}"))
    }
}

fn answer(function: &str, code: i32) -> Result<()> {
    if code == 0 { Ok(()) } else { Err(refused(function, code)) }
}

impl Graph {
    /// Records what `work` queues on the stream that it is given, instead of running it. An error is an answer and nothing
    /// more: the work can still be queued.
    pub fn record(gpu: &Arc<Gpu>, work: impl FnOnce(CUstream) -> Result<()>) -> Result<Self> {
        let functions = gpu.driver().graphs().filter(|_| ALIVE.load(Relaxed) < MOST);
        let functions = functions.ok_or_else(|| refused("what has no graphs, or no more,", 0))?;
        gpu.with(|driver| {
            let mut stream = null_mut();
            // SAFETY: a pointer to a local; the context is current.
            unsafe { driver.stream_create(&mut stream, NON_BLOCKING, 0)? };
            let recorder = Recorder(driver, stream);
            let ready = functions.ready(&recorder, work)?;
            ALIVE.fetch_add(1, Relaxed);
            Ok(Self { gpu: gpu.clone(), functions, ready })
        })
    }

    /// Queues the work.
    ///
    /// # Safety
    ///
    /// As of the work that was recorded.
    pub unsafe fn launch(&self, stream: &Stream) -> Result<()> {
        self.gpu.with(|driver| {
            // SAFETY: a graph and a stream that live; what the work reaches is the caller's promise.
            let code = unsafe { (self.functions.launch)(self.ready, stream.raw()) };
            driver.answer(c"cuGraphLaunch", code)
        })
    }
}

impl Functions {
    fn ready(&self, on: &Recorder, work: impl FnOnce(CUstream) -> Result<()>) -> Result<Opaque> {
        let (mut graph, mut ready) = (null_mut(), null_mut());
        // SAFETY: a stream that lives and that nobody else knows.
        answer("cuStreamBeginCapture", unsafe { (self.begin)(on.1, RELAXED) })?;
        let done = work(on.1);
        // SAFETY: the stream of above, a pointer to a local.
        answer("cuStreamEndCapture", unsafe { (self.end)(on.1, &mut graph) })?;
        // SAFETY: the graph of above, a pointer to a local.
        let made = done
            .and_then(|()| answer("cuGraphInstantiate", unsafe { (self.instantiate)(&mut ready, graph, 0) }));
        // SAFETY: the graph of above, of which what is ready is independent.
        unsafe { (self.destroy)(graph) };
        made.map(|()| ready)
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: made in `record`, owned by this alone; the driver frees one that is in flight when it is done.
        let destroyed = self.gpu.with(|_| unsafe { answer("", (self.functions.destroy_ready)(self.ready)) });
        let _ = destroyed; // an error has nobody to hear it
        ALIVE.fetch_sub(1, Relaxed);
    }
}

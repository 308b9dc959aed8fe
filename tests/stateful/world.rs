//! The library next to the model: every call is made, answered, and compared; then both come to rest.

use super::bytes::Bytes;
use super::model::{Hold, Model, Work};
use std::ffi::CStr;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};
use weft::api::library::{weft_last_error, weft_status_name};
use weft::api::queue::*;
use weft::api::request::*;
use weft::handle::Kind;
use weft::status::*;

/// What a lost completion looks like: nothing for this long.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct World {
    pub model: Model,
    pub holds: Vec<Arc<Hold>>,
    /// The calls as text, if they are to be printed.
    log: Option<Vec<String>>,
}

impl World {
    pub fn new(log: bool) -> Self {
        Self { model: Model::default(), holds: Vec::new(), log: log.then(Vec::new) }
    }

    /// Notes a call for the log.
    pub fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            let text = text();
            println!("    {text}");
            log.push(text);
        }
    }

    /// A handle where one of `kind` belongs: mostly right, else stale, of another kind, damaged, or any number.
    pub fn handle(&self, bytes: &mut Bytes, kind: Kind) -> u64 {
        let live = &self.model.live[kind as usize];
        let choice = bytes.byte();
        let some = |list: &[u64], index: usize| list.get(index % list.len().max(1)).copied().unwrap_or(0);
        match choice {
            0..=219 => some(live, choice as usize),
            220..=229 => some(&self.model.dead, bytes.byte() as usize),
            230..=235 => some(&self.model.live[1 + bytes.below(5)], bytes.byte() as usize),
            236..=251 => damaged(some(live, bytes.byte() as usize), bytes.byte()),
            252 | 253 => bytes.hostile(),
            _ => 0,
        }
    }

    /// Compares an answer: `bad` holds what is wrong with the arguments, `good` the answer if nothing is.
    pub fn check(&mut self, what: &str, status: i32, bad: &[i32], good: i32) -> bool {
        self.note(|| format!("// -> {}", name(status)));
        if bad.is_empty() {
            assert_eq!(name(status), name(good), "{what}: {}", last_error());
        } else {
            let fits = bad.contains(&status);
            let expected: Vec<_> = bad.iter().map(|&status| name(status)).collect();
            assert!(fits, "{what}: {} instead of one of {expected:?}", name(status));
            assert!(!last_error().is_empty(), "{what}: {} without a sentence", name(status));
        }
        bad.is_empty()
    }

    /// Lets model and library come to rest: what can complete has, in both.
    pub fn settle(&mut self) {
        self.model.advance();
        for id in std::mem::take(&mut self.model.finished) {
            self.settle_request(id);
        }
        for hold in 0..self.model.queues.len() {
            let first = self.model.queues[hold].pending.front().map(|&id| &self.model.requests[id]);
            if let Some(Work::Hold(hold)) = first.filter(|first| first.running).map(|first| &first.work) {
                patiently("work that should have begun did not", || hold.started.load(SeqCst));
            }
        }
    }

    fn settle_request(&mut self, id: usize) {
        let request = &self.model.requests[id];
        let queue = &self.model.queues[request.queue];
        if queue.live {
            patiently("a completion was lost", || progress(queue.handle).1 >= queue.completed);
            assert_eq!(progress(queue.handle), (queue.submitted, queue.completed), "the queue's progress");
        }
        let status = request.status.expect("a request that finished");
        if request.live {
            patiently("a completion was lost", || weft_request_poll(request.handle) != WEFT_NOT_READY);
            let found = weft_request_poll(request.handle);
            assert_eq!(name(found), name(status), "request {id} ended with: {}", last_error());
        }
        if let Work::Read { out, expected, .. } = &request.work {
            assert!(out == expected, "request {id} read {out:02x?} instead of {expected:02x?}");
        }
    }

    /// Opens what is held, waits for everything, and compares what only shows at the end.
    pub fn end(&mut self) {
        self.note(|| "// all work is let go, every buffer read, everything released".into());
        self.open_all();
        self.settle();
        self.read_everything();
        for kind in [Kind::Request, Kind::Queue, Kind::Buffer, Kind::Port, Kind::Context] {
            for handle in self.model.live[kind as usize].clone() {
                self.release_checked(kind, handle);
            }
        }
        assert!(weft::queue::await_released(Some(Instant::now() + PATIENCE)), "a released queue never ended");
    }

    pub fn open_all(&mut self) {
        self.holds.iter().for_each(|hold| hold.open.store(true, SeqCst));
    }
}

impl Drop for World {
    /// Also after a failure: nothing of this world may disturb the next.
    fn drop(&mut self) {
        self.open_all();
        for (&handle, &(kind, _)) in &self.model.handles {
            super::create::release(kind, handle);
        }
        if !weft::queue::await_released(Some(Instant::now() + PATIENCE)) {
            // Work in flight may still reach this memory.
            std::mem::forget(std::mem::take(&mut self.model.requests));
        }
    }
}

/// One bit or one step away from a handle.
fn damaged(handle: u64, how: u8) -> u64 {
    match how % 8 {
        0 => handle.wrapping_add(1),
        1 => handle.wrapping_sub(1),
        2 => handle.wrapping_add(1 << 28),
        3 => handle.wrapping_sub(1 << 28),
        4 => handle ^ 1 << 52,
        5 => handle.wrapping_add(1 << 60),
        6 => handle ^ 1 << (how / 8 * 2),
        _ => handle ^ 1 << 63,
    }
}

fn patiently(what: &str, done: impl Fn() -> bool) {
    let mut start = None;
    while !done() {
        let start = *start.get_or_insert_with(Instant::now);
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

/// How many requests a live queue accepted, and how many are complete.
pub fn progress(queue: u64) -> (u64, u64) {
    let mut info = weft_queue_info { struct_size: size_of::<weft_queue_info>() as u32, ..Default::default() };
    // SAFETY: a local with its size set.
    let status = unsafe { weft_queue_info_get(queue, &mut info) };
    assert_eq!(status, WEFT_OK, "{}", last_error());
    (info.submitted, info.completed)
}

pub fn name(status: i32) -> &'static str {
    // SAFETY: a constant, never null.
    unsafe { CStr::from_ptr(weft_status_name(status)) }.to_str().unwrap()
}

pub fn last_error() -> String {
    // SAFETY: never null, zero-terminated, valid until this thread's next failing call.
    unsafe { CStr::from_ptr(weft_last_error()) }.to_str().unwrap().to_owned()
}

/// A wait that must not time out.
pub fn wait(request: u64) -> i32 {
    let patience = PATIENCE.as_nanos() as u64;
    // SAFETY: one local handle.
    unsafe { weft_request_wait(&request, 1, WEFT_WAIT_ALL, patience, ptr::null_mut()) }
}

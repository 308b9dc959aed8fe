//! The reference: what lives, what each queue holds, what every buffer contains, and what must have completed by now.
//!
//! The model knows when work can run: a request begins when it is its queue's first, no queue of a higher priority of its
//! context is busy, and all that it waits for is complete. Work that can run has run as far as callers can tell: the
//! interpreter waits for it after each call. So every answer is known exactly, whatever the threads do.

use std::collections::{HashMap, VecDeque};
use std::result::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use weft::handle::Kind;
use weft::status::*;

/// Work that runs until it is told to end, so that what lies behind it stays pending for certain.
#[derive(Default)]
pub struct Hold {
    pub started: AtomicBool,
    pub open: AtomicBool,
}

pub enum Work {
    Barrier,
    Hold(Arc<Hold>),
    /// Ends with this status; `WEFT_ERROR_INTERNAL` by a panic.
    Fail(i32),
    Fill {
        dst: Part,
        pattern: [u8; 8],
        period: usize,
    },
    Write {
        dst: Part,
        data: Vec<u8>,
    },
    Read {
        src: Part,
        out: Vec<u8>,
        expected: Vec<u8>,
    },
    Copy {
        src: Part,
        dst: Part,
    },
}

/// Some bytes of a buffer.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub buffer: usize,
    pub offset: usize,
    pub size: usize,
}

pub struct Buffer {
    pub context: usize,
    pub live: bool,
    pub data: Vec<u8>,
}

pub struct Queue {
    pub context: usize,
    pub live: bool,
    pub handle: u64,
    pub depth: u64,
    /// 0 is the lowest.
    pub lane: usize,
    pub pending: VecDeque<usize>,
    pub submitted: u64,
    pub completed: u64,
    /// The first failure without a handle since the last drain.
    pub unseen: Option<i32>,
}

pub struct Request {
    pub queue: usize,
    pub handle: u64,
    pub live: bool,
    pub op: u32,
    pub user_data: u64,
    pub after: Vec<usize>,
    pub port: Option<usize>,
    pub plain: bool,
    pub work: Work,
    pub status: Option<i32>,
    /// It was its queue's first while its lane was free.
    pub passed: bool,
    pub running: bool,
}

/// A completion that waits at a port.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub request: usize,
    /// The call during which it was posted, and its number among all records.
    pub call: usize,
    pub number: usize,
    /// It is on its way, but nothing that was seen so far says that it has arrived.
    pub late: bool,
    /// It was on its way for a while: its place among the others is open.
    pub unordered: bool,
}

pub struct Port {
    pub live: bool,
    pub capacity: u64,
    /// Places taken: by pending requests and waiting records.
    pub reserved: u64,
    pub waiting: Vec<Record>,
    pub event: Option<i32>,
    /// A wake made the event handle readable, and nothing has cleared it since.
    pub woken: bool,
}

impl Port {
    /// How many records can be taken: surely, and at the most.
    pub fn takeable(&self) -> (usize, usize) {
        (self.waiting.iter().filter(|record| !record.late).count(), self.waiting.len())
    }

    /// Whether the event handle is readable; `None` where a late record decides.
    pub fn readable(&self) -> Option<bool> {
        match self.takeable() {
            (0, 0) => Some(self.woken),
            (0, _) => None,
            _ => Some(true),
        }
    }

    /// Notes that the ring was looked through; a look that leaves it empty clears the event handle.
    pub fn looked(&mut self) {
        self.woken &= self.takeable().0 > 0;
    }

    /// Takes the record with this request out, which must not be younger than one that certainly waited.
    pub fn take(&mut self, request: usize, queue_of: impl Fn(usize) -> usize) {
        let own = self.waiting.iter().position(|record| record.request == request);
        let record = self.waiting.remove(own.expect("a record that was not expected, or came twice"));
        let before = |other: &Record| {
            let same = queue_of(other.request) == queue_of(request) && other.number < record.number;
            !other.unordered && (other.call < record.call || (other.call == record.call && same))
        };
        let skipped = self.waiting.iter().find(|other| before(other));
        assert!(skipped.is_none(), "{record:?} came before the older {skipped:?}");
        self.reserved -= 1;
    }
}

#[derive(Default)]
pub struct Model {
    pub handles: HashMap<u64, (Kind, usize)>,
    /// Live handles by kind, and all that were ever released.
    pub live: [Vec<u64>; 6],
    pub dead: Vec<u64>,
    pub contexts: usize,
    pub buffers: Vec<Buffer>,
    pub queues: Vec<Queue>,
    pub requests: Vec<Request>,
    pub ports: Vec<Port>,
    /// How many calls were made.
    pub calls: usize,
    records: usize,
    /// What completed since the interpreter looked last.
    pub finished: Vec<usize>,
}

impl Model {
    /// What `handle` names, or the status with which a call must refuse it.
    pub fn find(&self, kind: Kind, handle: u64) -> Result<usize, i32> {
        match self.handles.get(&handle) {
            Some(&(found, id)) if found == kind => Ok(id),
            _ if handle == 0 => Err(WEFT_ERROR_INVALID_ARGUMENT),
            _ if handle >> 60 != kind as u64 => Err(WEFT_ERROR_WRONG_KIND),
            _ => Err(WEFT_ERROR_STALE_HANDLE),
        }
    }

    pub fn add(&mut self, kind: Kind, handle: u64, id: usize) {
        assert_eq!(handle >> 60, kind as u64, "{handle:#x} does not say its kind");
        assert!(!self.dead.contains(&handle), "{handle:#x} was issued a second time");
        assert!(self.handles.insert(handle, (kind, id)).is_none(), "{handle:#x} is live already");
        self.live[kind as usize].push(handle);
    }

    pub fn forget(&mut self, kind: Kind, handle: u64) {
        self.handles.remove(&handle);
        self.live[kind as usize].retain(|&other| other != handle);
        self.dead.push(handle);
    }

    /// A request that a queue accepted.
    pub fn accept(&mut self, request: Request, expired: bool) {
        let id = self.requests.len();
        let queue = &mut self.queues[request.queue];
        queue.submitted += 1;
        queue.pending.push_back(id);
        if let Some(port) = request.port {
            self.ports[port].reserved += 1;
        }
        self.requests.push(request);
        if expired {
            self.post(id, WEFT_ERROR_DEADLINE_EXCEEDED, true);
        }
    }

    pub fn request(queue: usize, op: u32, work: Work) -> Request {
        Request {
            queue,
            handle: 0,
            live: false,
            op,
            user_data: 0,
            after: Vec::new(),
            port: None,
            plain: false,
            work,
            status: None,
            passed: false,
            running: false,
        }
    }

    /// The record of a request is set; `late` if its arrival at the port cannot be told yet.
    pub fn post(&mut self, id: usize, status: i32, late: bool) {
        self.requests[id].status = Some(status);
        if let Some(port) = self.requests[id].port {
            self.records += 1;
            let record =
                Record { request: id, call: self.calls, number: self.records, late, unordered: late };
            self.ports[port].waiting.push(record);
        }
    }

    /// Brings everything that can run to its end.
    pub fn advance(&mut self) {
        while (0..self.queues.len()).any(|queue| self.step(queue)) {}
    }

    fn step(&mut self, queue: usize) -> bool {
        let Some(&id) = self.queues[queue].pending.front() else { return false };
        if !self.requests[id].passed {
            if self.lane_taken(queue) {
                return false;
            }
            self.requests[id].passed = true;
        }
        if self.requests[id].status.is_none() && !self.try_run(id) {
            return false;
        }
        self.finish(queue, id);
        true
    }

    /// Whether a queue of a higher priority keeps this one from beginning its next request.
    pub fn lane_taken(&self, queue: usize) -> bool {
        let own = &self.queues[queue];
        self.queues.iter().any(|other| {
            let higher = other.context == own.context && other.lane > own.lane;
            higher && other.pending.front().is_some_and(|&first| !self.is_parked(first))
        })
    }

    /// Whether a queue's first request waits for others, which takes the queue out of its lane.
    fn is_parked(&self, id: usize) -> bool {
        let request = &self.requests[id];
        request.passed && request.status.is_none() && self.waits(&request.after)
    }

    pub fn waits(&self, after: &[usize]) -> bool {
        after.iter().any(|&other| self.requests[other].status.is_none())
    }

    /// Runs a request if it can end now.
    fn try_run(&mut self, id: usize) -> bool {
        let request = &self.requests[id];
        if self.waits(&request.after) {
            return false;
        }
        let failed = request.after.iter().any(|&other| self.requests[other].status != Some(WEFT_OK));
        if failed {
            self.end(id, WEFT_ERROR_DEPENDENCY_FAILED);
            return true;
        }
        if let Work::Hold(hold) = &request.work
            && !hold.open.load(SeqCst)
        {
            self.requests[id].running = true;
            return false;
        }
        let status = self.run(id);
        self.end(id, status);
        true
    }

    fn end(&mut self, id: usize, status: i32) {
        let late = !self.queues[self.requests[id].queue].live;
        self.post(id, status, late);
    }

    /// What the work does to the buffers.
    fn run(&mut self, id: usize) -> i32 {
        let Self { requests, buffers, .. } = self;
        match &mut requests[id].work {
            Work::Barrier | Work::Hold(_) => {}
            Work::Fail(status) => return *status,
            Work::Fill { dst, pattern, period } => {
                let bytes = dst.of(buffers);
                bytes.chunks_mut(*period).for_each(|chunk| chunk.copy_from_slice(&pattern[..*period]));
            }
            Work::Write { dst, data } => dst.of(buffers).copy_from_slice(data),
            Work::Read { src, expected, .. } => expected.copy_from_slice(src.of(buffers)),
            Work::Copy { src, dst } => {
                let bytes = src.of(buffers).to_vec();
                dst.of(buffers).copy_from_slice(&bytes);
            }
        }
        WEFT_OK
    }

    fn finish(&mut self, queue: usize, id: usize) {
        let request = &self.requests[id];
        let queue = &mut self.queues[queue];
        queue.pending.pop_front();
        queue.completed += 1;
        let failed = request.status.filter(|&status| status != WEFT_OK && request.handle == 0);
        queue.unseen = queue.unseen.or(failed);
        if let (Some(port), true) = (request.port, queue.live) {
            let own = self.ports[port].waiting.iter_mut().find(|record| record.request == id);
            own.into_iter().for_each(|record| record.late = false);
        }
        self.finished.push(id);
    }

    /// Bytes in the buffers of a context: those with a handle and those that pending work names.
    pub fn bytes(&self, context: usize) -> u64 {
        let named = |id: usize| {
            let by = |request: &Request| request.status.is_none() && request.touches(id).is_some();
            self.buffers[id].live || self.requests.iter().any(by)
        };
        let own = (0..self.buffers.len()).filter(|&id| self.buffers[id].context == context && named(id));
        own.map(|id| self.buffers[id].data.len() as u64).sum()
    }

    /// Whether pending work of another queue reads what this would write, or the reverse: no order is promised then.
    pub fn races(&self, queue: usize, work: &Work) -> bool {
        let pending = self.queues.iter().flat_map(|queue| &queue.pending).map(|&id| &self.requests[id]);
        let mut others = pending.filter(|other| other.queue != queue);
        others.any(|other| {
            work.parts().any(|(buffer, writes)| other.touches(buffer).is_some_and(|w| w || writes))
        })
    }
}

impl Request {
    /// Whether it writes `buffer`, if it names it at all.
    fn touches(&self, buffer: usize) -> Option<bool> {
        let own = self.work.parts().filter(|part| part.0 == buffer);
        own.map(|part| part.1).reduce(|a, b| a || b)
    }
}

impl Work {
    /// The buffers it names, and whether it writes them.
    fn parts(&self) -> impl Iterator<Item = (usize, bool)> + use<> {
        let (read, written) = match self {
            Self::Fill { dst, .. } | Self::Write { dst, .. } => (None, Some(dst.buffer)),
            Self::Read { src, .. } => (Some(src.buffer), None),
            Self::Copy { src, dst } => (Some(src.buffer), Some(dst.buffer)),
            _ => (None, None),
        };
        read.into_iter().map(|buffer| (buffer, false)).chain(written.into_iter().map(|buffer| (buffer, true)))
    }
}

impl Part {
    fn of(self, buffers: &mut [Buffer]) -> &mut [u8] {
        &mut buffers[self.buffer].data[self.offset..self.offset + self.size]
    }
}

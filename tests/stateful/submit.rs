//! Submitting: transfers, barriers, and work that holds or fails, with every option.

use super::bytes::Bytes;
use super::create::padded;
use super::model::{Hold, Model, Part, Request, Work};
use super::world::World;
use std::cell::RefCell;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use weft::api::submit::*;
use weft::api::transfer::*;
use weft::device::Cpu;
use weft::handle::Kind;
use weft::op::{Op, code::*};
use weft::queue::weft_completion;
use weft::status::*;

const SENTINEL: u64 = 0x5e5e_5e5e;
/// What the work of the tests' own reports as its operation.
const OWN_OP: u32 = 1000;
const POISON: u8 = 0xDB;

thread_local! {
    /// Records that callbacks were given.
    pub static CALLED: RefCell<Vec<weft_completion>> = const { RefCell::new(Vec::new()) };
}

unsafe extern "C" fn callback(user: u64, completion: *const weft_completion) {
    // SAFETY: the library hands over a record that lives as long as this call.
    let record = unsafe { *completion };
    assert_eq!(user, record.user_data);
    CALLED.with(|called| called.borrow_mut().push(record));
}

/// The work of a [`Hold`].
struct Holding(Arc<Hold>);

impl Op for Holding {
    fn cpu(&self, _: &Cpu) -> Result<()> {
        self.0.started.store(true, SeqCst);
        while !self.0.open.load(SeqCst) {
            std::thread::sleep(std::time::Duration::from_micros(20));
        }
        Ok(())
    }
}

struct Fail(i32);

impl Op for Fail {
    fn cpu(&self, _: &Cpu) -> Result<()> {
        assert!(self.0 != WEFT_ERROR_INTERNAL, "a defect on purpose");
        Err(Error::new(self.0, "work that fails on purpose"))
    }
}

/// What is submitted, with arguments that may be wrong.
struct Plan {
    op: u32,
    /// Buffer handles as given, with offset.
    src: (u64, u64),
    dst: (u64, u64),
    size: u64,
    pattern: (u64, u32),
    work: Work,
}

/// The options as chosen.
struct Options {
    submit: weft_submit,
    after: Vec<u64>,
    size: u32,
    hasty: bool,
    wants_handle: bool,
}

impl World {
    pub fn submit(&mut self, bytes: &mut Bytes, kind: u8) {
        let queue = self.handle(bytes, Kind::Queue);
        let found = self.model.find(Kind::Queue, queue);
        let mut bad: Vec<i32> = found.err().into_iter().collect();
        let mut plan = self.plan(bytes, kind, found.ok(), &mut bad);
        if let Ok(queue) = found
            && (self.model.races(queue, &plan.work) || !self.may_hold(queue, &plan.work))
        {
            (plan.op, plan.work) = (WEFT_OP_BARRIER, Work::Barrier);
            bad.clear();
        }
        let (mut options, mut tail) = self.options(bytes, found.ok(), &plan, &mut bad);
        let (port, after) = self.links(&options, &mut bad);
        let full = found.ok().filter(|_| bad.is_empty()).is_some_and(|queue| {
            let queue = &self.model.queues[queue];
            let crowded = port.is_some_and(|port| {
                let port = &self.model.ports[port];
                port.reserved >= port.capacity
            });
            crowded || queue.submitted - queue.completed >= queue.depth
        });
        // Waiting for ever is for queues that have room.
        options.submit.timeout_ns =
            if full { bytes.pick(&[0, 1, 1000]) } else { bytes.pick(&[0, 1, 1000, u64::MAX]) };
        tail.head = options.submit;
        tail.head.struct_size = options.size;
        tail.head.after = if options.after.is_empty() { ptr::null() } else { options.after.as_ptr() };
        let mut out = SENTINEL;
        let place = if options.wants_handle { &raw mut out } else { ptr::null_mut() };
        self.note(|| plan.text(queue, &options));
        let status = plan.call(queue, &tail.head, place);
        let good = if full { WEFT_WOULD_BLOCK } else { WEFT_OK };
        let fine = self.check("a submission", status, &bad, good);
        if !fine || full {
            assert!(out == SENTINEL || out == 0, "a refused submission wrote {out:#x}");
            return;
        }
        self.note(|| format!("// = {out:#x}"));
        let handle = if options.wants_handle { out } else { 0 };
        let own = Model::request(found.unwrap(), plan.op, plan.work);
        self.accepted(Request { handle, after, port, ..own }, &options);
    }

    fn accepted(&mut self, mut request: Request, options: &Options) {
        request.live = request.handle != 0;
        request.user_data = options.submit.user_data;
        request.plain = options.submit.callback.is_none();
        if request.live {
            self.model.add(Kind::Request, request.handle, self.model.requests.len());
        }
        if let Work::Hold(hold) = &request.work {
            self.holds.push(hold.clone());
        }
        self.model.accept(request, options.hasty);
    }

    /// Work that holds begins at once or not at all, and is the only such work of its context: the model knows no races.
    fn may_hold(&self, queue: usize, work: &Work) -> bool {
        let context = self.model.queues[queue].context;
        let mut own = self.model.queues.iter().filter(|queue| queue.context == context);
        !matches!(work, Work::Hold(_)) || own.all(|queue| queue.pending.is_empty())
    }

    fn plan(&self, bytes: &mut Bytes, kind: u8, queue: Option<usize>, bad: &mut Vec<i32>) -> Plan {
        let mut plan = Plan {
            op: WEFT_OP_BARRIER,
            src: (0, 0),
            dst: (0, 0),
            size: 0,
            pattern: (0, 0),
            work: Work::Barrier,
        };
        match kind % 7 {
            0 => {
                (plan.op, plan.pattern) =
                    (WEFT_OP_FILL, (bytes.hostile(), bytes.pick(&[1, 2, 4, 8, 1, 0, 3, 9])));
                let dst = self.part(bytes, &mut plan.dst, &mut plan.size, queue, bad);
                let period = plan.pattern.1;
                let whole = [1, 2, 4, 8].contains(&period)
                    && plan.size.is_multiple_of(u64::from(period))
                    && plan.dst.1.is_multiple_of(u64::from(period));
                bad.extend((!whole).then_some(WEFT_ERROR_INVALID_ARGUMENT));
                plan.work =
                    Work::Fill { dst, pattern: plan.pattern.0.to_le_bytes(), period: period as usize };
            }
            1 => {
                plan.op = WEFT_OP_WRITE;
                let dst = self.part(bytes, &mut plan.dst, &mut plan.size, queue, bad);
                let seed = bytes.byte();
                let data = (0..dst.size).map(|i| seed.wrapping_mul(31).wrapping_add(i as u8)).collect();
                plan.work = Work::Write { dst, data };
            }
            2 => {
                plan.op = WEFT_OP_READ;
                let src = self.part(bytes, &mut plan.src, &mut plan.size, queue, bad);
                let poison = vec![POISON; src.size];
                plan.work = Work::Read { src, out: poison.clone(), expected: poison };
            }
            3 => {
                plan.op = WEFT_OP_COPY;
                let src = self.part(bytes, &mut plan.src, &mut plan.size, queue, bad);
                let dst = self.place(bytes, &mut plan.dst, Some(plan.size), queue, bad).0;
                let apart = dst.offset + dst.size <= src.offset || src.offset + src.size <= dst.offset;
                let apart = apart || src.buffer != dst.buffer || plan.size == 0;
                bad.extend((!apart).then_some(WEFT_ERROR_INVALID_ARGUMENT));
                plan.work = Work::Copy { src, dst };
            }
            4 => (plan.op, plan.work) = (OWN_OP, Work::Hold(Arc::default())),
            5 => {
                let status =
                    bytes.pick(&[WEFT_ERROR_OUT_OF_RANGE, WEFT_ERROR_UNSUPPORTED, WEFT_ERROR_INTERNAL]);
                (plan.op, plan.work) = (OWN_OP, Work::Fail(status));
            }
            _ => {}
        }
        plan
    }

    fn part(
        &self,
        bytes: &mut Bytes,
        given: &mut (u64, u64),
        size: &mut u64,
        queue: Option<usize>,
        bad: &mut Vec<i32>,
    ) -> Part {
        let part;
        (part, *size) = self.place(bytes, given, None, queue, bad);
        part
    }

    /// Chooses a buffer and bytes of it, as many as `size` or any number, and notes what is wrong with them.
    fn place(
        &self,
        bytes: &mut Bytes,
        (handle, offset): &mut (u64, u64),
        size: Option<u64>,
        queue: Option<usize>,
        bad: &mut Vec<i32>,
    ) -> (Part, u64) {
        *handle = self.handle(bytes, Kind::Buffer);
        let found = self.model.find(Kind::Buffer, *handle);
        let room = found.map_or(64, |id| self.model.buffers[id].data.len() as u64);
        *offset = bytes.around(room - size.unwrap_or(0).min(room));
        let size = size.unwrap_or_else(|| bytes.around(room.saturating_sub(*offset)));
        let fits = *offset <= room && size <= room - *offset;
        bad.extend((found.is_ok() && !fits).then_some(WEFT_ERROR_INVALID_ARGUMENT));
        match found {
            Err(status) => bad.push(status),
            Ok(id) => {
                let own = queue
                    .is_none_or(|queue| self.model.queues[queue].context == self.model.buffers[id].context);
                bad.extend((!own).then_some(WEFT_ERROR_WRONG_CONTEXT));
                if fits {
                    return (Part { buffer: id, offset: *offset as usize, size: size as usize }, size);
                }
            }
        }
        (Part { buffer: found.unwrap_or(usize::MAX), offset: 0, size: 0 }, size)
    }

    fn options(
        &self,
        bytes: &mut Bytes,
        queue: Option<usize>,
        plan: &Plan,
        bad: &mut Vec<i32>,
    ) -> (Options, super::create::Padded<weft_submit>) {
        let mut submit = weft_submit { user_data: self.model.calls as u64, ..Default::default() };
        let full = bytes.byte();
        let mut after = Vec::new();
        if full & 1 != 0 {
            after = (0..1 + bytes.below(3)).map(|_| self.handle(bytes, Kind::Request)).collect();
        }
        if full & 2 != 0 {
            submit.port = self.handle(bytes, Kind::Port);
            submit.callback = (!bytes.chance(64)).then_some(callback);
        } else if full & 124 == 124 {
            submit.callback = Some(callback);
        }
        let copied = matches!(plan.work, Work::Write { .. }) && full & 4 != 0;
        submit.flags = if full & 248 == 248 { bytes.hostile() as u32 } else { u32::from(copied) };
        let wants_handle = full & 24 != 24;
        submit.after_count = after.len() as u32;
        let pending = |handle: &u64| match self.model.find(Kind::Request, *handle) {
            Ok(id) => self.model.waits(&[id]),
            Err(_) => false,
        };
        let stuck = queue.is_some_and(|queue| {
            !self.model.queues[queue].pending.is_empty() || self.model.lane_taken(queue)
        });
        let stuck = stuck || after.iter().any(pending);
        let choice = if full & 32 != 0 { bytes.below(5) } else { 0 };
        let hasty = choice == 1 && stuck;
        submit.deadline_ns = match choice {
            1 => u64::from(stuck),
            2 => u64::MAX,
            3 => u64::MAX - 1,
            4 => 3_600_000_000_000,
            _ => 0,
        };
        let (tail, size, fine) = padded(bytes, submit);
        let known = submit.flags & !WEFT_SUBMIT_COPY_HOST == 0;
        bad.extend((!fine || !known).then_some(WEFT_ERROR_INVALID_ARGUMENT));
        (Options { submit, after, size, hasty, wants_handle }, tail)
    }

    /// The port and the requests that the options name.
    fn links(&self, options: &Options, bad: &mut Vec<i32>) -> (Option<usize>, Vec<usize>) {
        let mut after = Vec::new();
        for &handle in &options.after {
            self.model
                .find(Kind::Request, handle)
                .map_or_else(|status| bad.push(status), |id| after.push(id));
        }
        if options.submit.port == 0 {
            bad.extend(options.submit.callback.map(|_| WEFT_ERROR_INVALID_ARGUMENT));
            return (None, after);
        }
        let port = self.model.find(Kind::Port, options.submit.port);
        (port.map_err(|status| bad.push(status)).ok(), after)
    }
}

impl Plan {
    fn call(&mut self, queue: u64, options: *const weft_submit, out: *mut u64) -> i32 {
        let Self { src, dst, size, pattern, .. } = *self;
        // SAFETY: the options are right or refused; host memory lives in the request of the model until the queue that
        // reaches it is done; `out` is null or a local of the caller's.
        unsafe {
            match &mut self.work {
                Work::Fill { .. } => weft_fill(queue, dst.0, dst.1, size, pattern.0, pattern.1, options, out),
                Work::Write { data, .. } => {
                    weft_write(queue, dst.0, dst.1, data.as_ptr().cast(), size, options, out)
                }
                Work::Read { out: host, .. } => {
                    weft_read(queue, src.0, src.1, host.as_mut_ptr().cast(), size, options, out)
                }
                Work::Copy { .. } => weft_copy(queue, src.0, src.1, dst.0, dst.1, size, options, out),
                Work::Barrier => weft_barrier(queue, options, out),
                Work::Hold(hold) => {
                    let work = Holding(hold.clone());
                    submit(Target { queue, op: OWN_OP, options, out }, |_, _| Ok(Box::new(work)))
                }
                Work::Fail(status) => {
                    let work = Fail(*status);
                    submit(Target { queue, op: OWN_OP, options, out }, |_, _| Ok(Box::new(work)))
                }
            }
        }
    }

    /// The call as C, for the log.
    fn text(&self, queue: u64, options: &Options) -> String {
        let Self { src, dst, size, pattern, .. } = self;
        let call = match &self.work {
            Work::Fill { .. } => {
                format!(
                    "weft_fill({queue:#x}, {:#x}, {:#x}, {size:#x}, {:#x}, {}",
                    dst.0, dst.1, pattern.0, pattern.1
                )
            }
            Work::Write { .. } => {
                format!("weft_write({queue:#x}, {:#x}, {:#x}, data, {size:#x}", dst.0, dst.1)
            }
            Work::Read { .. } => format!("weft_read({queue:#x}, {:#x}, {:#x}, host, {size:#x}", src.0, src.1),
            Work::Copy { .. } => {
                format!(
                    "weft_copy({queue:#x}, {:#x}, {:#x}, {:#x}, {:#x}, {size:#x}",
                    src.0, src.1, dst.0, dst.1
                )
            }
            Work::Barrier => format!("weft_barrier({queue:#x}"),
            Work::Hold(_) => format!("/* work that lasts until it is let go */ ({queue:#x}"),
            Work::Fail(status) => format!("/* work that ends with {status} */ ({queue:#x}"),
        };
        let Options { submit: s, after, size, wants_handle, .. } = options;
        let place = if *wants_handle { "&request" } else { "NULL" };
        let callback = if s.callback.is_some() { "callback" } else { "NULL" };
        format!(
            "{call}, &(weft_submit){{.struct_size = {size}, .flags = {:#x}, .user_data = {}, .timeout_ns = {}, .after = \
             (weft_request[]){after:#x?}, .after_count = {}, .port = {:#x}, .callback = {callback}, .deadline_ns = {}}}, \
             {place})",
            s.flags, s.user_data, s.timeout_ns, s.after_count, s.port, s.deadline_ns
        )
    }
}

/// All bytes of a buffer, read through a queue that has nothing else to do.
pub fn read(queue: u64, buffer: u64, size: usize) -> Vec<u8> {
    let (mut bytes, mut request) = (vec![POISON; size], 0);
    // SAFETY: `bytes` lives until the wait has seen the completion.
    let status = unsafe {
        weft_read(queue, buffer, 0, bytes.as_mut_ptr().cast(), size as u64, ptr::null(), &mut request)
    };
    assert_eq!(status, WEFT_OK, "{}", super::world::last_error());
    assert_eq!(super::world::wait(request), WEFT_OK, "{}", super::world::last_error());
    assert_eq!(weft::api::request::weft_request_release(request), WEFT_OK);
    bytes
}

//! The job that a fault meets: two queues, forty requests of every kind with wait lists and a port, then releases.

use crate::support::FOREVER;
use std::ptr;
use weft::api::{
    buffer::*, context::*, operations::*, port::*, program::*, queue::*, request::*, submit::*, transfer::*,
};
use weft::dtype::*;
use weft::layout::weft_tensor;
use weft::ops::cast::weft_cast_desc;
use weft::ops::elementwise::{WEFT_EW_ADD, weft_elementwise_desc};
use weft::ops::launch::*;
use weft::queue::weft_completion;
use weft::status::*;

const SMALL: usize = 4096;
/// More than passes through a staging ring; and than one staging block holds, too.
pub const LARGE: usize = (256 << 10) + 4096;
pub const HUGE: usize = (4 << 20) + 4096;
/// Seconds enough for any fault.
const SOON: u64 = 15_000_000_000;

const KERNEL: &std::ffi::CStr = c".version 8.0
.target sm_80
.address_size 64
.visible .entry small(.param .u64 at, .param .f32 factor, .param .align 4 .b8 pair[12]) { ret; }";

/// What a fault left of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// There was none to begin with.
    Refused,
    /// It goes on.
    Well,
    /// It is lost, by this code.
    Lost(i64),
}

/// A request that was accepted.
struct Sent {
    handle: u64,
    /// Which read it is, and the requests that must be fine for its bytes to be right.
    read: Option<(usize, Vec<usize>)>,
    deadline: bool,
}

/// The job under way.
pub struct Job {
    context: u64,
    queues: Vec<u64>,
    buffers: Vec<u64>,
    port: u64,
    program: u64,
    kernel: u64,
    sent: Vec<Sent>,
    /// Memory of the host, for good: a hung device may still reach it.
    source: &'static [u8],
    reads: Vec<&'static mut [u8]>,
    /// Nanoseconds until some requests' deadline.
    deadline: u64,
}

fn desc<T: Default>(set: impl FnOnce(&mut T, u32)) -> T {
    let mut value = T::default();
    set(&mut value, size_of::<T>() as u32);
    value
}

/// Tries twice: a fault that comes once may not end anything for good.
fn twice(call: impl Fn(&mut u64) -> i32) -> u64 {
    let mut handle = 0;
    let status = if call(&mut handle) == WEFT_OK { WEFT_OK } else { call(&mut handle) };
    assert!(status <= WEFT_OK, "{status}");
    if status == WEFT_OK { handle } else { 0 }
}

impl Job {
    /// On `device`; `None` if it cannot be opened.
    pub fn new(device: &std::ffi::CStr, deadline: u64, large: usize) -> Option<Self> {
        // SAFETY: C strings, structs of their size, pointers to locals, in all of these.
        let context = twice(|out| unsafe { weft_context_create(device.as_ptr(), ptr::null(), out) });
        if context == 0 {
            return None;
        }
        // SAFETY: as above.
        let queue = || twice(|out| unsafe { weft_queue_create(context, ptr::null(), out) });
        // SAFETY: as above.
        let buffer = |size| twice(|out| unsafe { weft_buffer_create(context, size, ptr::null(), out) });
        let sizes = [SMALL, SMALL, large, large, SMALL];
        let source: Vec<u8> = (0..large).map(|i| (i * 7 + i / 256 + 1) as u8).collect();
        let queues = vec![queue(), queue()];
        let mut job = Self {
            context,
            queues,
            buffers: sizes.map(|size| buffer(size as u64)).to_vec(),
            // SAFETY: as above.
            port: twice(|out| unsafe { weft_port_create(context, ptr::null(), out) }),
            program: 0,
            kernel: 0,
            sent: Vec::new(),
            source: source.leak(),
            reads: Vec::new(),
            deadline,
        };
        job.compile();
        Some(job)
    }

    fn compile(&mut self) {
        let options =
            desc(|d: &mut weft_program_desc, size| (d.struct_size, d.ptx) = (size, KERNEL.as_ptr()));
        // SAFETY: a struct of its size, C strings, pointers to locals.
        self.program = twice(|out| unsafe { weft_program_create(self.context, &options, out) });
        if self.program != 0 {
            // SAFETY: as above.
            self.kernel = twice(|out| unsafe { weft_kernel_get(self.program, c"small".as_ptr(), out) });
        }
    }

    /// Submits; the request's number if it was accepted.
    fn send(
        &mut self,
        after: &[Option<usize>],
        read: Option<(usize, Vec<usize>)>,
        call: impl FnOnce(&Self, *const weft_submit, *mut u64) -> i32,
    ) -> Option<usize> {
        let (number, mut handle) = (self.sent.len(), 0);
        let after: Vec<u64> = after.iter().flatten().map(|&number| self.sent[number].handle).collect();
        let deadline = number % 5 == 4;
        let options = desc(|d: &mut weft_submit, size| {
            (d.struct_size, d.user_data, d.port) = (size, number as u64, self.port);
            (d.after, d.after_count) = (after.as_ptr(), after.len() as u32);
            d.deadline_ns = if deadline { self.deadline } else { 0 };
        });
        let status = call(self, &options, &mut handle);
        assert_eq!(status == WEFT_OK, handle != 0);
        assert!(status <= WEFT_OK, "{status}");
        (status == WEFT_OK).then(|| self.sent.push(Sent { handle, read, deadline }))?;
        Some(number)
    }

    fn write(&mut self, queue: usize, buffer: usize, size: usize) -> Option<usize> {
        // SAFETY: memory of the host for good.
        self.send(&[], None, |job, options, out| unsafe {
            let from = job.source.as_ptr().cast();
            weft_write(job.queues[queue], job.buffers[buffer], 0, from, size as u64, options, out)
        })
    }

    /// Reads; if all of `right` are fine, what `source` begins with.
    fn read(&mut self, queue: usize, buffer: usize, size: usize, right: &[Option<usize>]) {
        let right: Option<Vec<usize>> = right.iter().copied().collect();
        self.reads.push(vec![0; size].leak());
        let index = self.reads.len() - 1;
        let place = self.reads[index].as_mut_ptr();
        // SAFETY: as above.
        self.send(&[], right.map(|right| (index, right)), |job, options, out| unsafe {
            weft_read(job.queues[queue], job.buffers[buffer], 0, place.cast(), size as u64, options, out)
        });
    }

    fn copy(
        &mut self,
        queue: usize,
        from: usize,
        to: usize,
        size: usize,
        after: &[Option<usize>],
    ) -> Option<usize> {
        // SAFETY: handles, options and a place of `send`.
        self.send(after, None, |job, options, out| unsafe {
            let (from, to) = (job.buffers[from], job.buffers[to]);
            weft_copy(job.queues[queue], from, 0, to, 0, size as u64, options, out)
        })
    }

    fn fills(&mut self, queue: usize) {
        for period in [1, 2, 4, 8] {
            // SAFETY: as above.
            self.send(&[], None, |job, options, out| unsafe {
                weft_fill(
                    job.queues[queue],
                    job.buffers[4],
                    0,
                    SMALL as u64,
                    0x1234_5678,
                    period,
                    options,
                    out,
                )
            });
        }
    }

    fn tensor(&self, buffer: usize, dtype: u32) -> weft_tensor {
        let mut tensor = weft_tensor { dtype, rank: 1, buffer: self.buffers[buffer], ..Default::default() };
        tensor.dims[0] = 512;
        tensor
    }

    fn kernels(&mut self, queue: usize, after: &[Option<usize>]) {
        let (a, y) = (self.tensor(0, WEFT_F32), self.tensor(4, WEFT_F32));
        let sum = desc(|d: &mut weft_elementwise_desc, size| {
            (d.struct_size, d.function, d.a, d.b, d.y) = (size, WEFT_EW_ADD, a, a, y);
        });
        let half = self.tensor(4, WEFT_F16);
        let cast = desc(|d: &mut weft_cast_desc, size| (d.struct_size, d.x, d.y) = (size, a, half));
        // SAFETY: structs of their size.
        self.send(after, None, |job, options, out| unsafe {
            weft_elementwise(job.queues[queue], &sum, options, out)
        });
        // SAFETY: as above.
        self.send(&[], None, |job, options, out| unsafe {
            weft_cast(job.queues[queue], &cast, options, out)
        });
        if self.kernel != 0 {
            self.launch(queue);
        }
    }

    fn launch(&mut self, queue: usize) {
        let argument = |kind| weft_argument { kind, size: 12, buffer: self.buffers[1], ..Default::default() };
        let arguments = [WEFT_ARGUMENT_BUFFER, WEFT_ARGUMENT_F32, WEFT_ARGUMENT_BYTES].map(argument);
        let launch = desc(|d: &mut weft_launch_desc, size| {
            (d.struct_size, d.kernel, d.grid, d.block) = (size, self.kernel, [1, 0, 0], [32, 0, 0]);
            (d.argument_count, d.arguments) = (3, arguments.as_ptr());
        });
        // SAFETY: a struct of its size and as many arguments as it says.
        self.send(&[], None, |job, options, out| unsafe {
            weft_launch(job.queues[queue], &launch, options, out)
        });
    }

    /// A buffer that is gone before its only request is done.
    fn pass(&mut self, queue: usize) {
        // SAFETY: pointers to locals.
        let own = twice(|out| unsafe { weft_buffer_create(self.context, 64, ptr::null(), out) });
        // SAFETY: as above.
        self.send(&[], None, |job, options, out| unsafe {
            weft_fill(job.queues[queue], own, 0, 64, 1, 1, options, out)
        });
        release(weft_buffer_release, own);
    }

    /// Forty requests.
    pub fn submit(&mut self) {
        let large_size = self.source.len();
        for _ in 0..2 {
            let small = self.write(0, 0, SMALL);
            self.read(0, 0, SMALL, &[small]);
            let large = self.write(0, 2, large_size);
            self.read(0, 2, large_size, &[large]);
            let copied = self.copy(0, 0, 1, SMALL, &[]);
            self.read(0, 1, SMALL, &[small, copied]);
            self.fills(0);
            // SAFETY: handles, options and a place of `send`.
            let barrier = self.send(&[large], None, |job, options, out| unsafe {
                weft_barrier(job.queues[1], options, out)
            });
            let across = self.copy(1, 2, 3, large_size, &[large, barrier]);
            self.read(1, 3, large_size, &[large, across]);
            self.kernels(1, &[copied]);
            self.pass(1);
            self.kernels(0, &[across]);
            self.pass(0);
        }
    }

    /// Waits for all; fails if one stays behind.
    pub fn finish(&self) {
        let handles: Vec<u64> = self.sent.iter().map(|sent| sent.handle).collect();
        // SAFETY: as many handles as the count says.
        let status = unsafe {
            weft_request_wait(handles.as_ptr(), handles.len() as u32, WEFT_WAIT_ALL, SOON, ptr::null_mut())
        };
        let pending = handles.iter().filter(|&&handle| weft_request_poll(handle) == WEFT_NOT_READY).count();
        assert!(status <= WEFT_OK, "{pending} of {} requests never completed", handles.len());
        for &queue in self.queues.iter().filter(|&&queue| queue != 0) {
            assert!(weft_queue_drain(queue, SOON) <= WEFT_OK, "a drain");
        }
        self.check_port();
        (0..self.sent.len()).for_each(|number| self.check(number));
    }

    /// One record for each request, and true.
    fn check_port(&self) {
        let (mut records, mut count, mut seen) =
            ([weft_completion::default(); 64], 1, vec![0; self.sent.len()]);
        while count > 0 && self.port != 0 {
            // SAFETY: room for 64 records; a local.
            assert_eq!(unsafe { weft_port_poll(self.port, records.as_mut_ptr(), 64, &mut count) }, WEFT_OK);
            for record in &records[..count as usize] {
                let number = record.user_data as usize;
                seen[number] += 1;
                assert_eq!(record.status, weft_request_poll(self.sent[number].handle), "request {number}");
            }
        }
        assert!(self.port == 0 || seen.iter().all(|&times| times == 1), "records of each request: {seen:?}");
    }

    /// What it ended with is true.
    fn check(&self, number: usize) {
        let sent = &self.sent[number];
        let fine = |number: usize| weft_request_poll(self.sent[number].handle) == WEFT_OK;
        let mut info = desc(|d: &mut weft_error_info, size| d.struct_size = size);
        // SAFETY: a struct of its size.
        assert_eq!(unsafe { weft_request_error_info_get(sent.handle, &mut info) }, WEFT_OK);
        assert_eq!(info.status, weft_request_poll(sent.handle));
        assert!(info.status != WEFT_ERROR_DEVICE_LOST || info.native_code != 0, "request {number}: {info:?}");
        let Some((index, right)) = &sent.read else { return };
        if fine(number) && right.iter().all(|&number| fine(number)) {
            let read = &*self.reads[*index];
            assert!(read == &self.source[..read.len()], "request {number} succeeded with wrong bytes");
        }
    }

    /// With a device that hangs: those with a deadline complete.
    pub fn finish_hasty(&self) {
        let hasty: Vec<u64> = self.sent.iter().filter(|sent| sent.deadline).map(|sent| sent.handle).collect();
        // SAFETY: as many handles as the count says.
        let status = unsafe {
            weft_request_wait(hasty.as_ptr(), hasty.len() as u32, WEFT_WAIT_ALL, SOON, ptr::null_mut())
        };
        let pending = hasty.iter().filter(|&&handle| weft_request_poll(handle) == WEFT_NOT_READY).count();
        assert!(status <= WEFT_OK, "{pending} of {} requests are past their deadline", hasty.len());
        for &queue in &self.queues {
            assert!(weft_queue_drain(queue, 10_000_000) <= WEFT_TIMEOUT);
        }
    }

    /// What is left of the device.
    pub fn end(&self) -> End {
        let mut info = desc(|d: &mut weft_context_info, size| d.struct_size = size);
        // SAFETY: a struct of its size.
        assert_eq!(unsafe { weft_context_info_get(self.context, &mut info) }, WEFT_OK);
        if info.state == WEFT_OK { End::Well } else { End::Lost(self.native()) }
    }

    /// The code that ended the device, which is that of all requests that it ended.
    fn native(&self) -> i64 {
        let mut codes: Vec<i64> = Vec::new();
        for sent in &self.sent {
            let mut info = desc(|d: &mut weft_error_info, size| d.struct_size = size);
            // SAFETY: a struct of its size.
            unsafe { weft_request_error_info_get(sent.handle, &mut info) };
            if info.status == WEFT_ERROR_DEVICE_LOST {
                codes.push(info.native_code);
            }
        }
        codes.dedup();
        assert!(codes.len() <= 1, "one reason: {codes:?}");
        codes.first().copied().unwrap_or(0)
    }

    /// Bytes to a buffer and back: as long as the device is well, that works; once it is lost, even in between, all is refused.
    /// The worse of both statuses.
    pub fn probe(&mut self) -> i32 {
        self.sent.drain(..).for_each(|sent| release(weft_request_release, sent.handle));
        let written = self.write(0, 0, SMALL);
        self.read(0, 0, SMALL, &[written]);
        self.finish();
        let statuses = self.sent.iter().map(|sent| weft_request_poll(sent.handle));
        statuses.min().filter(|_| self.sent.len() == 2).unwrap_or(WEFT_ERROR_DEVICE_LOST)
    }

    /// Whether there is what a probe needs.
    pub fn is_whole(&self) -> bool {
        self.queues[0] != 0 && self.buffers[0] != 0
    }

    /// Whether its program was compiled.
    pub fn has_program(&self) -> bool {
        self.program != 0
    }

    /// State and generation of every buffer; `None` where it cannot be told.
    pub fn buffers(&self) -> Vec<Option<(u32, u32)>> {
        let told = |&buffer: &u64| {
            let mut info = desc(|d: &mut weft_buffer_info, size| d.struct_size = size);
            // SAFETY: a struct of its size.
            let status = unsafe { weft_buffer_info_get(buffer, &mut info) };
            (status == WEFT_OK).then_some((info.state, info.generation))
        };
        self.buffers.iter().filter(|&&buffer| buffer != 0).map(told).collect()
    }

    /// Releases everything.
    pub fn release(self) {
        self.sent.iter().for_each(|sent| release(weft_request_release, sent.handle));
        self.buffers.iter().for_each(|&buffer| release(weft_buffer_release, buffer));
        release(weft_kernel_release, self.kernel);
        release(weft_program_release, self.program);
        release(weft_port_release, self.port);
        self.queues.iter().for_each(|&queue| release(weft_queue_release, queue));
        release(weft_context_release, self.context);
    }
}

fn release(by: extern "C" fn(u64) -> i32, handle: u64) {
    assert_eq!(by(handle), WEFT_OK, "releases succeed");
}

/// Through the CPU device everything works, whatever became of the other.
pub fn run_on_cpu() {
    let mut job = Job::new(c"cpu", FOREVER, LARGE).unwrap();
    job.kernel = 0;
    job.submit();
    job.finish();
    let failed = job.sent.iter().find(|sent| weft_request_poll(sent.handle) != WEFT_OK);
    assert!(failed.is_none(), "the CPU device goes on");
    assert_eq!((job.probe(), job.end()), (WEFT_OK, End::Well));
    job.release();
}

//! True faults on a GPU, each in a process of its own: kernels of the caller's that end the device, memory that is all
//! taken, work that takes long.

use super::job::run_on_cpu;
use crate::support::driver::no_gpu;
use crate::support::{FOREVER, Session, device, last_error, ok};
use std::ffi::CStr;
use std::process::Command;
use std::ptr;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use weft::api::{buffer::*, context::*, program::*, queue::*, request::*, submit::weft_submit, transfer::*};
use weft::device::cuda::{Gpu, Stream};
use weft::ops::launch::*;
use weft::status::*;

/// One after the other: each takes the whole GPU.
static GPU: Mutex<()> = Mutex::new(());

/// Two that end the device if they are told to, and one that takes so many nanoseconds.
const KERNELS: &CStr = c".version 7.0
.target sm_80
.address_size 64
.visible .entry illegal(.param .u64 armed) {
  .reg .pred %p; .reg .b64 %d<2>;
  ld.param.u64 %d0, [armed]; setp.eq.u64 %p, %d0, 0; @%p ret;
  mov.u64 %d1, 16; st.global.u64 [%d1], %d0; ret;
}
.visible .entry trap(.param .u64 armed) {
  .reg .pred %p; .reg .b64 %d;
  ld.param.u64 %d, [armed]; setp.eq.u64 %p, %d, 0; @%p ret;
  trap;
}
.visible .entry spin(.param .u64 nanoseconds) {
  .reg .pred %p; .reg .b64 %d<4>;
  ld.param.u64 %d0, [nanoseconds]; mov.u64 %d1, %globaltimer;
AGAIN:
  mov.u64 %d2, %globaltimer; sub.u64 %d3, %d2, %d1; setp.lt.u64 %p, %d3, %d0; @%p bra AGAIN;
  ret;
}";

/// A session with another queue and the kernels above.
struct Machine {
    session: Session,
    other: u64,
    program: u64,
}

impl Machine {
    fn new() -> Self {
        let (session, mut other, mut program) = (Session::new(0), 0, 0);
        let desc = weft_program_desc {
            struct_size: size_of::<weft_program_desc>() as u32,
            ptx: KERNELS.as_ptr(),
            ..Default::default()
        };
        // SAFETY: a struct of its size, a C string, pointers to locals.
        unsafe {
            ok(weft_queue_create(session.context, ptr::null(), &mut other));
            ok(weft_program_create(session.context, &desc, &mut program));
        }
        Self { session, other, program }
    }

    fn kernel(&self, name: &CStr) -> u64 {
        let mut kernel = 0;
        // SAFETY: a C string, a pointer to a local.
        ok(unsafe { weft_kernel_get(self.program, name.as_ptr(), &mut kernel) });
        kernel
    }

    /// One thread of `kernel` with one number.
    fn launch(&self, queue: u64, kernel: u64, number: u64) -> u64 {
        let argument = weft_argument { kind: WEFT_ARGUMENT_U64, integer: number, ..Default::default() };
        let (grid, block) = ([1, 0, 0], [1, 0, 0]);
        let desc = weft_launch_desc { kernel, grid, block, argument_count: 1, ..Default::default() };
        let desc = weft_launch_desc {
            struct_size: size_of::<weft_launch_desc>() as u32,
            arguments: &argument,
            ..desc
        };
        let mut request = 0;
        // SAFETY: a struct of its size with one argument, a pointer to a local.
        ok(unsafe { weft_launch(queue, &desc, ptr::null(), &mut request) });
        request
    }

    /// An empty request, with options.
    fn barrier(&self, queue: u64, options: weft_submit) -> u64 {
        let (options, mut request) =
            (weft_submit { struct_size: size_of::<weft_submit>() as u32, ..options }, 0);
        // SAFETY: options of their size, a pointer to a local.
        ok(unsafe { weft_barrier(queue, &options, &mut request) });
        request
    }

    fn fill(&self, queue: u64, buffer: u64) -> u64 {
        let mut request = 0;
        // SAFETY: a pointer to a local.
        ok(unsafe { weft_fill(queue, buffer, 0, 4096, 7, 1, ptr::null(), &mut request) });
        request
    }

    fn release(self, kernels: &[u64]) {
        kernels.iter().for_each(|&kernel| ok(weft_kernel_release(kernel)));
        ok(weft_program_release(self.program));
        ok(weft_queue_release(self.other));
    }
}

fn wait(requests: &[u64]) -> i32 {
    // SAFETY: as many handles as the count says.
    unsafe {
        let count = requests.len() as u32;
        weft_request_wait(requests.as_ptr(), count, WEFT_WAIT_ALL, 10_000_000_000, ptr::null_mut())
    }
}

/// What each ended with, and the driver's code.
fn told(request: u64) -> (i32, i64) {
    let mut info = weft_error_info { struct_size: size_of::<weft_error_info>() as u32, ..Default::default() };
    // SAFETY: a struct of its size.
    ok(unsafe { weft_request_error_info_get(request, &mut info) });
    (info.status, info.native_code)
}

/// What the process of `kind` runs. The driver tells of such faults late: on an H200 with driver 580, of an illegal address
/// after about 150 ms, of a trap after 300 to 600, in which its answer is waited for.
pub fn child(kind: &str) {
    match kind {
        "illegal" => fault(c"illegal", 700, 400_000_000),
        "illegal alone" => fault(c"illegal", 700, 1),
        "trap" => fault(c"trap", 719, 400_000_000),
        "trap alone" => fault(c"trap", 719, 1),
        "memory" => memory(),
        "spin" => spin(),
        _ => unreachable!("{kind}"),
    }
}

/// Runs `kind` in a process of its own; what it printed.
fn run(kind: &str) {
    let _alone = GPU.lock();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "child", "--nocapture"]).env("WEFT_FAULT_JOB", kind);
    let output = child.env("WEFT_TEST_DEVICE", "cuda:0").output().unwrap();
    let texts = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert!(output.status.success(), "{kind}: {} {texts:?}", output.status);
    texts[0].lines().filter(|line| line.starts_with("GPU: ")).for_each(|line| println!("{line}"));
}

fn fault(name: &CStr, code: i64, beside: u64) {
    let machine = Machine::new();
    let (own, other) = (machine.session.queue, machine.other);
    let (bad, spin) = (machine.kernel(name), machine.kernel(c"spin"));
    let (buffer, place) = (machine.session.buffer(1 << 20), vec![0u8; 1 << 20].leak());
    ok(wait(&[machine.launch(own, bad, 0), machine.launch(other, spin, 1), machine.fill(own, buffer)]));
    // Long work on one queue, requests behind it; on the other the one that fails, behind a while that tells of it.
    let mut lost = Vec::new();
    if beside > 1 {
        lost.push(machine.launch(other, spin, beside));
        lost.extend((0..4).map(|_| machine.fill(other, buffer)));
    }
    let first = machine.launch(own, spin, 60_000_000);
    std::thread::sleep(Duration::from_millis(20));
    let after = weft_submit { after: &first, after_count: 1, ..Default::default() };
    if beside > 1 {
        lost.push(machine.barrier(other, after));
    }
    lost.push(machine.launch(own, bad, 1));
    lost.push(machine.launch(own, spin, 1000));
    lost.extend((0..20).map(|_| machine.fill(own, buffer)));
    let mut read = 0;
    // SAFETY: memory of the host for good.
    ok(unsafe { weft_read(own, buffer, 0, place.as_mut_ptr().cast(), 1 << 20, ptr::null(), &mut read) });
    lost.push(read);
    let raw = Stream::new(Gpu::open(0).unwrap()).unwrap();
    ok(wait(&[first]));
    let start = Instant::now();
    let driver = std::thread::spawn(move || (asked_until_lost(&raw), start.elapsed()));
    assert_eq!(wait(&lost), WEFT_ERROR_DEVICE_LOST);
    let (took, (native, told_after)) = (start.elapsed(), driver.join().unwrap());
    lost.iter().for_each(|&request| assert_eq!(told(request), (WEFT_ERROR_DEVICE_LOST, code)));
    println!(
        "GPU: {name:?}: {} requests lost by {code}, {took:.1?} after the work before; the driver, asked all the time, told of it \
         after {told_after:.1?}",
        lost.len()
    );
    assert!(native == code && took < told_after + Duration::from_millis(100), "{native} {took:?}");
    afterwards(&machine, buffer);
    lost.extend([first]);
    lost.iter().for_each(|&request| ok(weft_request_release(request)));
    ok(weft_buffer_release(buffer));
    machine.release(&[bad, spin]);
    run_on_cpu();
}

/// The code that the driver answers in the end when it is asked about a stream, again and again.
fn asked_until_lost(stream: &Stream) -> i64 {
    const NOT_READY: i64 = 600;
    loop {
        // SAFETY: a stream that lives.
        match stream.gpu().ask(|driver| unsafe { driver.stream_query(stream.raw()) }) {
            Err(error) if error.native != NOT_READY => return error.native,
            _ => {}
        }
    }
}

/// Of a lost device everything says so.
fn afterwards(machine: &Machine, buffer: u64) {
    let (context, mut out) = (machine.session.context, 0);
    let start = Instant::now();
    // SAFETY: handles, C strings, null pointers, pointers to locals.
    let refused = unsafe {
        [
            weft_barrier(machine.other, ptr::null(), &mut out),
            weft_fill(machine.session.queue, buffer, 0, 4096, 7, 1, ptr::null(), ptr::null_mut()),
            weft_buffer_create(context, 64, ptr::null(), &mut out),
            weft_queue_create(context, ptr::null(), &mut out),
            weft_context_create(device().as_ptr(), ptr::null(), &mut out),
        ]
    };
    assert_eq!((refused, out), ([WEFT_ERROR_DEVICE_LOST; 5], 0), "{}", last_error());
    assert!(last_error().contains("restart the process"), "{}", last_error());
    let mut info =
        weft_buffer_info { struct_size: size_of::<weft_buffer_info>() as u32, ..Default::default() };
    let mut about =
        weft_context_info { struct_size: size_of::<weft_context_info>() as u32, ..Default::default() };
    // SAFETY: structs of their size.
    unsafe {
        ok(weft_buffer_info_get(buffer, &mut info));
        ok(weft_context_info_get(context, &mut about));
    }
    assert_eq!((info.state, info.generation, about.state), (WEFT_BUFFER_LOST, 2, WEFT_ERROR_DEVICE_LOST));
    assert!(start.elapsed() < Duration::from_millis(100), "nothing waits for a lost device");
}

/// Takes all memory; a refusal changes nothing.
fn memory() {
    const SIZE: u64 = 4 << 30;
    let session = Session::new(0);
    let take = |out: &mut u64| {
        // SAFETY: a pointer to a local.
        unsafe { weft_buffer_create(session.context, SIZE, ptr::null(), out) }
    };
    let all = || {
        let (mut buffers, mut out) = (Vec::new(), 0);
        let status = loop {
            match take(&mut out) {
                WEFT_OK => buffers.push(out),
                status => break status,
            }
        };
        assert_eq!(status, WEFT_ERROR_OUT_OF_DEVICE_MEMORY, "{}", last_error());
        buffers
    };
    let holds = |buffer: u64| {
        // SAFETY: handles and a pointer that `wait` gives.
        session
            .wait(|out| unsafe { weft_fill(session.queue, buffer, SIZE - 64, 64, 9, 1, ptr::null(), out) });
        let mut end = [0u8; 128];
        // SAFETY: `end` lives until the wait has seen the completion.
        session.wait(|out| unsafe {
            weft_read(session.queue, buffer, SIZE - 128, end.as_mut_ptr().cast(), 128, ptr::null(), out)
        });
        assert!(end[..64] == [0; 64] && end[64..] == [9; 64], "{end:?}");
    };
    let mut buffers = all();
    println!("GPU: {} GiB were taken", buffers.len() * 4);
    assert!(buffers.len() > 1);
    buffers.iter().for_each(|&buffer| holds(buffer));
    assert_eq!(take(&mut 0), WEFT_ERROR_OUT_OF_DEVICE_MEMORY, "still");
    let mut out = 0;
    ok(weft_buffer_release(buffers.pop().unwrap()));
    ok(take(&mut out));
    holds(out);
    buffers.push(out);
    let count = buffers.len();
    buffers.drain(..).for_each(|buffer| ok(weft_buffer_release(buffer)));
    let again = all();
    println!("GPU: {} GiB again after all were released", again.len() * 4);
    assert!(again.len() + 1 >= count, "{} of {count}", again.len());
    again.iter().for_each(|&buffer| ok(weft_buffer_release(buffer)));
    run_on_cpu();
}

/// Seconds of processor time of this process.
fn processor() -> f64 {
    // SAFETY: the call fills the local, for which zero is a value.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 * 1e-6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// While a kernel takes its time: deadlines are told, what has not begun can be cancelled, and nobody burns the processor.
fn spin() {
    let machine = Machine::new();
    let (own, other, kernel) = (machine.session.queue, machine.other, machine.kernel(c"spin"));
    ok(wait(&[machine.launch(own, kernel, 1)]));
    let slow = machine.launch(own, kernel, 1_000_000_000);
    let start = Instant::now();
    let late = machine.barrier(own, weft_submit { deadline_ns: 100_000_000, ..Default::default() });
    let after = weft_submit { after: &slow, after_count: 1, ..Default::default() };
    let (waiting, behind) = (machine.barrier(other, after), machine.barrier(other, weft_submit::default()));
    std::thread::sleep(Duration::from_millis(10));
    assert_eq!((weft_request_cancel(behind), weft_request_cancel(slow)), (WEFT_OK, WEFT_TOO_LATE));
    assert_eq!(told(behind).0, WEFT_ERROR_CANCELLED);
    assert_eq!(wait(&[late]), WEFT_ERROR_DEADLINE_EXCEEDED);
    let seen = start.elapsed();
    assert!(seen < Duration::from_millis(150), "{seen:?}");
    let (before, begin) = (processor(), Instant::now());
    std::thread::sleep(Duration::from_millis(800));
    let share = (processor() - before) / begin.elapsed().as_secs_f64();
    assert_eq!(weft_request_poll(slow), WEFT_NOT_READY, "it spins still");
    println!(
        "GPU: a deadline of 100 ms was told after {seen:.2?}; the library took {:.2} % of a processor",
        share * 100.0
    );
    assert!(share < 0.02, "{share}");
    ok(wait(&[slow, waiting]));
    // SAFETY: no pointers.
    ok(weft_queue_drain(own, FOREVER));
    [slow, late, waiting, behind].iter().for_each(|&request| ok(weft_request_release(request)));
    machine.release(&[kernel]);
}

#[test]
fn a_kernel_that_ends_the_device_ends_every_request_at_once_and_not_the_process() {
    if !no_gpu() {
        ["illegal alone", "trap alone", "illegal", "trap"].iter().for_each(|kind| run(kind));
    }
}

#[test]
fn memory_that_ran_out_can_be_had_again() {
    if !no_gpu() {
        run("memory");
    }
}

#[test]
fn long_work_holds_up_no_deadline_and_costs_no_processor() {
    if !no_gpu() {
        run("spin");
    }
}

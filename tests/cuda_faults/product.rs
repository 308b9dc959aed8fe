//! Every entry point of the driver, at several of its calls, with every kind of answer: each in a process of its own, with
//! the stand-in for the driver.

use super::job::{End, HUGE, Job, LARGE, run_on_cpu};
use crate::support::driver::fake;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use weft::api::library::weft_shutdown;
use weft::status::*;

const HOUR: u64 = 3_600_000_000_000;
const SECOND: u64 = 1_000_000_000;
/// A case that takes longer is ended.
const PATIENCE: Duration = Duration::from_secs(60);
/// Microseconds that some of the driver's calls may take: who hears of what first is not left to this machine's load.
const PACES: [&str; 2] = ["0", "500"];

/// Out of memory, a device that is lost for two reasons, what nobody knows, what no driver says, and an argument that it
/// does not take.
const CODES: [&str; 7] = ["1", "2", "700", "719", "999", "-5", "54321"];
/// Their failure leaves something behind.
const ENDINGS: [&str; 7] = [
    "cuMemFreeAsync",
    "cuMemHostUnregister",
    "cuStreamDestroy_v2",
    "cuEventDestroy_v2",
    "cuModuleUnload",
    "cuCtxPushCurrent_v2",
    "cuCtxPopCurrent_v2",
];
/// Those that queue work, which may fail later.
const WORK: [&str; 8] = [
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyDtoDAsync_v2",
    "cuMemsetD8Async",
    "cuMemsetD16Async",
    "cuMemsetD32Async",
    "cuStreamWriteValue32_v2",
    "cuLaunchKernel",
];

/// What the child runs, which function fails, how.
struct Case {
    job: &'static str,
    rule: String,
}

/// A function of the stand-in that is not the driver's.
fn stand_in<R>(name: &std::ffi::CStr, call: impl FnOnce(*mut libc::c_void) -> R) -> R {
    let path = Path::new(&std::env::var("WEFT_LIBRARY_PATH").unwrap()).join("libcuda.so.1");
    let path = CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: C strings; the library is open and stays so.
    let at = unsafe {
        libc::dlsym(libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD), name.as_ptr())
    };
    assert!(!at.is_null(), "{name:?}");
    call(at)
}

fn live(kind: i32) -> i32 {
    // SAFETY: its signature in tests/c/fake_cuda.c.
    stand_in(c"fake_cuda_live", |at| unsafe {
        std::mem::transmute::<*mut libc::c_void, extern "C" fn(i32) -> i32>(at)(kind)
    })
}

fn fired() -> i32 {
    // SAFETY: its signature in tests/c/fake_cuda.c.
    stand_in(c"fake_cuda_fired", |at| unsafe {
        std::mem::transmute::<*mut libc::c_void, extern "C" fn() -> i32>(at)()
    })
}

const POOL: i32 = 4;
const MODULE: i32 = 5;

pub fn meet_fault() {
    let rule = std::env::var("FAKE_CUDA_FAIL").unwrap_or_default();
    let function = rule.split(':').next().unwrap();
    let size = if WORK.contains(&function) { HUGE } else { LARGE };
    let job = Job::new(c"cuda:0", HOUR, size);
    let (end, modules) = job.map_or((End::Refused, 0), |job| work(job, &rule));
    assert!(end == End::Well || fired() > 0, "{end:?} without a fault");
    run_on_cpu();
    let kept =
        !ENDINGS.contains(&function) && (rule.is_empty() || rule.ends_with(":1") || rule.ends_with(":2"));
    if kept && end != End::Refused {
        until("nothing of the program is left", || live(MODULE) == modules);
    }
    if kept {
        until("nothing is left", || (0..POOL).all(|kind| live(kind) == 0));
        assert!(live(POOL) <= 1);
    }
    assert_eq!(weft_shutdown(5 * SECOND), WEFT_OK);
}

/// What is left of the device, and how many modules will be when all is released.
fn work(mut job: Job, rule: &str) -> (End, i32) {
    job.submit();
    job.finish();
    let told = |job: &Job| match job.end() {
        End::Lost(code) => Some(code).filter(|&code| code != 0),
        _ => None,
    };
    let mut codes = vec![told(&job)];
    // The library's threads may hear of a fault at any time: once nothing changes any more, all is told.
    let (end, sticky, status, buffers) = loop {
        let before = (fired(), job.end());
        let (buffers, status) = (job.buffers(), job.probe());
        codes.push(told(&job));
        if before == (fired(), job.end()) {
            break (before.1, rule.ends_with(['s', 'a']) && before.0 > 0, status, buffers);
        }
    };
    let code: i64 =
        rule.rsplit(':').next().and_then(|code| code.trim_end_matches(['s', 'a']).parse().ok()).unwrap_or(0);
    codes.iter().flatten().for_each(|&told| assert_eq!(told, code, "the driver's own code"));
    match end {
        End::Lost(_) => {
            assert_eq!(status, WEFT_ERROR_DEVICE_LOST);
            buffers.iter().for_each(|&told| assert_eq!(told, Some((2, 2)), "state and generation"));
        }
        _ if !job.is_whole() => {}
        _ => {
            assert!(status == WEFT_OK && !sticky, "{status} from a device that seems well");
            buffers.iter().for_each(|&told| assert_eq!(told, Some((1, 1)), "state and generation"));
        }
    }
    let modules = live(MODULE) - i32::from(job.has_program());
    job.release();
    (end, modules)
}

#[track_caller]
fn until(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(15);
    while !holds() {
        let left: Vec<i32> = (0..=MODULE).map(live).collect();
        assert!(Instant::now() < end, "{what}: {left:?}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// The device, or a call into the driver, hangs: whoever set a deadline is told, and the rest of the process goes on.
pub fn hang() {
    let mut job = Job::new(c"cuda:0", SECOND / 4, HUGE).expect("threads of the caller's do not hang");
    job.submit();
    job.finish_hasty();
    run_on_cpu();
    job.release();
    assert!([WEFT_OK, WEFT_TIMEOUT].contains(&weft_shutdown(SECOND / 100)));
}

/// Runs the child; why it is not as it should be.
fn run(folder: &Path, case: &Case, more: &[(&str, &str)]) -> Option<String> {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "child", "--nocapture"]).env("WEFT_FAULT_JOB", case.job);
    child.env("WEFT_LIBRARY_PATH", folder).env("FAKE_CUDA_FAIL", &case.rule).env("WEFT_CACHE", "off");
    child.envs(more.iter().copied()).stdout(Stdio::null()).stderr(Stdio::piped()).env("RUST_BACKTRACE", "0");
    let (mut child, start) = (child.spawn().unwrap(), Instant::now());
    loop {
        match child.try_wait().unwrap() {
            Some(status) if status.success() => return None,
            Some(status) => {
                let mut text = String::new();
                std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut text).unwrap();
                return Some(format!(
                    "{} {}: {status} {}",
                    case.job,
                    case.rule,
                    text.trim().replace('\n', " | ")
                ));
            }
            None if start.elapsed() > PATIENCE => {
                child.kill().unwrap();
                child.wait().unwrap();
                return Some(format!("{} {}: hung", case.job, case.rule));
            }
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// How often a job without a fault calls each function.
fn calls(folder: &Path) -> BTreeMap<String, usize> {
    let list = folder.join("calls");
    let case = Case { job: "fault", rule: String::new() };
    let failure = run(folder, &case, &[("FAKE_CUDA_CALLS", list.to_str().unwrap())]);
    assert!(failure.is_none(), "without a fault: {failure:?}");
    let text = std::fs::read_to_string(list).unwrap();
    let pairs = text.lines().map(|line| line.split_once(' ').unwrap());
    pairs.map(|(name, count)| (name.to_owned(), count.parse().unwrap())).collect()
}

/// Runs all cases, several at a time, every other with a driver that dawdles; fails with what went wrong.
fn run_all(folder: &Path, cases: &[Case]) {
    let (next, failures) = (Mutex::new(cases.iter().zip(PACES.iter().cycle())), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let Some((case, pace)) = next.lock().unwrap().next() else { return };
                    failures.lock().unwrap().extend(run(folder, case, &[("FAKE_CUDA_JITTER", pace)]));
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

/// The first calls, one in the middle and the last.
fn sample(count: usize) -> Vec<usize> {
    let mut calls = vec![1, 2.min(count), count / 2 + 1, count];
    calls.dedup();
    calls
}

fn rules(function: &str, count: usize) -> Vec<String> {
    let late = if WORK.contains(&function) { &["700a", "719a"][..] } else { &[] };
    let mut rules = Vec::new();
    for call in sample(count) {
        let answers = CODES.iter().flat_map(|code| ["", "s"].map(|letter| format!("{code}{letter}")));
        let answers = answers.chain(late.iter().map(|answer| (*answer).to_owned()));
        rules.extend(answers.map(|answer| format!("{function}:{call}:{answer}")));
    }
    rules
}

#[test]
fn a_driver_that_fails_at_any_call_loses_no_completion_and_tells_no_lie() {
    let folder = fake("faults", &[]);
    let calls = calls(&folder);
    let cases: Vec<Case> = calls
        .iter()
        .flat_map(|(function, &count)| rules(function, count))
        .map(|rule| Case { job: "fault", rule })
        .collect();
    assert!(calls.len() > 35 && cases.len() > 1000, "{calls:?}");
    run_all(&folder, &cases);
    println!("{} functions, {} faults: each request completed once and truly", calls.len(), cases.len());
}

#[test]
fn a_driver_or_a_device_that_hangs_holds_up_nobody_with_a_deadline() {
    let folder = fake("hangs", &[]);
    let calls = calls(&folder);
    let mut cases = Vec::new();
    for (function, &count) in &calls {
        for call in [1, count / 2 + 1] {
            cases.push(Case { job: "hang", rule: format!("{function}:{call}:0h") });
            if WORK.contains(&function.as_str()) {
                cases.push(Case { job: "hang", rule: format!("{function}:{call}:0w") });
            }
        }
    }
    run_all(&folder, &cases);
    println!("{} hangs: nobody waited past a deadline", cases.len());
}

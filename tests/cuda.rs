//! The CUDA driver below the C API: what the library makes of absent, old, broken and failing drivers (stand-ins, each
//! in a process of its own), and, where there is a GPU, that memory, streams and kernels do what they say.

use std::path::{Path, PathBuf};
use std::process::Command;

use weft::device::cuda::{Gpu, Module, Shape, Stream, count, describe, driver};
use weft::status::*;

/// A folder of its own with a `libcuda.so.1`: the stand-in, compiled with `options`.
fn fake(name: &str, options: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fake-{name}"));
    std::fs::create_dir_all(&folder).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/fake_cuda.c");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O1", "-fPIC", "-shared", "-pthread", "-o"])
        .arg(folder.join("libcuda.so.1"))
        .arg(source)
        .args(options);
    assert!(gcc.status().expect("gcc").success());
    folder
}

/// What the process of this test's `probe` prints with a driver from `folder`.
fn probe_with(folder: &Path, environment: &[(&str, &str)]) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "probe", "--nocapture"]).env("WEFT_PROBE", "1").env("WEFT_LIBRARY_PATH", folder);
    let output = child.envs(environment.iter().copied()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Runs in a process of its own: prints what there is, then what each step answers.
#[test]
fn probe() {
    if std::env::var_os("WEFT_PROBE").is_none() {
        return println!("skipped: part of other tests, which run it with a driver of their own");
    }
    let mut device = 0u64;
    // SAFETY: a C string, no options, a pointer to a local.
    let status =
        unsafe { weft::api::context::weft_context_create(c"cuda:0".as_ptr(), std::ptr::null(), &mut device) };
    // SAFETY: the library's own text.
    let text = unsafe { std::ffi::CStr::from_ptr(weft::api::library::weft_last_error()) };
    println!("create {status}: {}", text.to_string_lossy());
    println!("count {}", count());
    for (step, answer) in steps() {
        println!(
            "{step} {}",
            answer.map_or_else(|error| format!("{} {}", error.status, error.message), |()| "ok".into())
        );
    }
}

/// A small job, step by step, each after the ones before whatever they answered.
fn steps() -> Vec<(&'static str, weft::status::Result<()>)> {
    let mut answers = Vec::new();
    let gpu = match Gpu::open(0) {
        Ok(gpu) => gpu,
        Err(error) => return vec![("open", Err(error))],
    };
    let stream = match Stream::new(gpu.clone()) {
        Ok(stream) => stream,
        Err(error) => return vec![("stream", Err(error))],
    };
    answers.push(("compile", Module::compile(gpu.clone(), "no PTX").map(drop)));
    answers.push(("allocate", stream.allocate(4096).map(drop)));
    answers.push(("huge", stream.allocate(1 << 50).map(drop)));
    answers.push(("synchronize", stream.synchronize()));
    answers
}

#[test]
fn a_driver_that_is_not_usable_is_unavailable_with_path_and_remedy() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fake-text");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("libcuda.so.1"), "not a library").unwrap();
    let unavailable = format!("create {WEFT_ERROR_UNAVAILABLE}: ");
    let says = |text: String, words: &[&str]| {
        assert!(text.contains(&unavailable), "{text}");
        words.iter().for_each(|word| assert!(text.contains(word), "{word:?} is not in {text}"));
    };
    if !Path::new("/dev/nvidia0").exists() {
        says(probe_with(&folder, &[]), &["libcuda.so.1", "install NVIDIA's driver", "\"cpu\"", "count 0"]);
    }
    says(
        probe_with(&fake("partial", &["-DWITHOUT_LAUNCH"]), &[]),
        &["fake-partial", "cuLaunchKernel", "update"],
    );
    let whole = fake("whole", &[]);
    says(probe_with(&whole, &[("FAKE_CUDA_VERSION", "11080")]), &["11.8", "12.0", "update", "fake-whole"]);
    says(probe_with(&whole, &[("FAKE_CUDA_FAIL", "cuInit:1:999")]), &["cuInit", "CUDA_ERROR_UNKNOWN (999)"]);
    says(probe_with(&whole, &[("FAKE_CUDA_FAIL", "cuInit:1:54321")]), &["cuInit", "an unknown code (54321)"]);
    says(probe_with(&whole, &[("FAKE_CUDA_DEVICES", "0")]), &["knows 0 devices"]);
    let old = probe_with(&whole, &[("FAKE_CUDA_CAPABILITY", "75")]);
    says(old, &["count 1", "compute capability 7.5; expected 8.0"]);
}

#[test]
fn a_driver_that_fails_at_any_call_answers_and_never_aborts() {
    let folder = fake("failing", &[]);
    let text = probe_with(&folder, &[]);
    assert!(text.contains("allocate ok") && text.contains("synchronize ok"), "{text}");
    assert!(
        text.contains(&format!("compile {WEFT_ERROR_INVALID_ARGUMENT}")) && text.contains("no .version"),
        "{text}"
    );
    assert!(text.contains(&format!("huge {WEFT_ERROR_OUT_OF_DEVICE_MEMORY}")), "{text}");
    let functions = [
        "cuInit",
        "cuDriverGetVersion",
        "cuDeviceGetCount",
        "cuDeviceGet",
        "cuDeviceGetName",
        "cuDeviceTotalMem_v2",
        "cuDeviceGetAttribute",
        "cuDevicePrimaryCtxRetain",
        "cuCtxPushCurrent_v2",
        "cuCtxPopCurrent_v2",
        "cuStreamCreateWithPriority",
        "cuStreamDestroy_v2",
        "cuStreamSynchronize",
        "cuMemPoolCreate",
        "cuMemPoolSetAttribute",
        "cuMemPoolTrimTo",
        "cuMemAllocFromPoolAsync",
        "cuMemFreeAsync",
        "cuModuleLoadDataEx",
    ];
    let mut runs = 0;
    for function in functions {
        for call in 1..=2 {
            for code in ["2", "700", "700s", "999", "-5", "54321s"] {
                probe_with(&folder, &[("FAKE_CUDA_FAIL", &format!("{function}:{call}:{code}"))]);
                runs += 1;
            }
        }
    }
    println!("{runs} runs of a failing driver: no crash");
}

#[test]
fn one_failed_allocation_is_tried_again_after_a_trim() {
    let folder = fake("retry", &[]);
    let text = probe_with(&folder, &[("FAKE_CUDA_FAIL", "cuMemAllocFromPoolAsync:1:2")]);
    assert!(text.contains("allocate ok"), "{text}");
    let text =
        probe_with(&folder, &[("FAKE_CUDA_FAIL", "cuMemAllocFromPoolAsync:1:2;cuMemAllocFromPoolAsync:2:2")]);
    assert!(text.contains(&format!("allocate {WEFT_ERROR_OUT_OF_DEVICE_MEMORY}")), "{text}");
}

/// x[i] = 2 x[i] for i below n.
const DOUBLE: &str = "
.version 7.0
.target sm_80
.address_size 64
.visible .entry twice(.param .u64 at, .param .u32 count) {
  .reg .pred %p; .reg .f32 %f; .reg .b32 %r<5>; .reg .b64 %d<3>;
  ld.param.u64 %d0, [at]; ld.param.u32 %r0, [count];
  mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ntid.x; mov.u32 %r3, %tid.x; mad.lo.u32 %r4, %r1, %r2, %r3;
  setp.ge.u32 %p, %r4, %r0; @%p ret;
  cvta.to.global.u64 %d1, %d0; mad.wide.u32 %d2, %r4, 4, %d1;
  ld.global.f32 %f, [%d2]; add.f32 %f, %f, %f; st.global.f32 [%d2], %f; ret;
}";

#[test]
fn memory_streams_and_kernels_of_a_gpu_do_what_they_say() {
    if count() == 0 {
        let reason = driver().map_or_else(|error| error.message, |_| "the driver knows no device".into());
        return println!("skipped: no GPU: {reason}");
    }
    let description = describe(0).unwrap();
    println!("{description:?}, CUDA {}, {}", driver().unwrap().cuda, driver().unwrap().path);
    let gpu = Gpu::open(0).unwrap();
    let stream = Stream::new(gpu.clone()).unwrap();
    let x: Vec<f32> = (0..100_003).map(|i| i as f32 * 0.5).collect();
    let bytes = size_of_val(&x[..]);
    let memory = stream.allocate(bytes).unwrap();
    let function = Module::compile(gpu.clone(), DOUBLE).unwrap().function(c"twice").unwrap();
    let (mut at, mut count) = (memory.at(), x.len() as u32 - 1);
    let mut back = vec![f32::NAN; x.len()];
    let shape = Shape { grid: [count.div_ceil(256), 1, 1], block: [256, 1, 1], shared: 0 };
    // SAFETY: the memory holds `bytes`, as do both arrays, which live until the stream is done; the kernel's parameters.
    unsafe {
        stream.write(at, x.as_ptr().cast(), bytes).unwrap();
        function.launch(&stream, shape, &mut [(&raw mut at).cast(), (&raw mut count).cast()]).unwrap();
        stream.read(back.as_mut_ptr().cast(), memory.at(), bytes).unwrap();
    }
    stream.synchronize().unwrap();
    let last = x.len() - 1;
    (0..last).for_each(|i| assert_eq!(back[i], 2.0 * x[i], "{i}"));
    assert_eq!(back[last], x[last], "past the count nothing is written");
    let error = Module::compile(gpu.clone(), &DOUBLE.replace("add.f32", "add.f33")).map(drop).unwrap_err();
    assert!(
        error.status == WEFT_ERROR_INVALID_ARGUMENT && error.message.contains("f33"),
        "{}",
        error.message
    );
    let error = stream.allocate(1 << 50).map(drop).unwrap_err();
    assert_eq!(error.status, WEFT_ERROR_OUT_OF_DEVICE_MEMORY, "{}", error.message);
    stream.allocate(1 << 20).unwrap();
}

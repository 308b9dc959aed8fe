//! The CUDA driver below the C API: what the library makes of absent, old, broken and failing drivers (stand-ins, each
//! in a process of its own), and, where there is a GPU, that memory, streams and kernels do what they say.

mod support;

use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use support::driver::{fake, no_gpu};
use weft::api::{buffer::*, context::*, program::*, queue::*, request::weft_request_release};
use weft::api::{transfer::weft_barrier, vendor::*};
use weft::device::cuda::{Gpu, Key, Module, Shape, Stream, count, describe, driver};
use weft::ops::launch::*;
use weft::ptx::{self, Kernel, params};
use weft::status::*;

/// What the process of this test's `probe` prints with a driver from `folder`.
fn probe_with(folder: &Path, environment: &[(&str, &str)]) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "probe", "--nocapture"]).env("WEFT_PROBE", "all").env("WEFT_LIBRARY_PATH", folder);
    child.env("WEFT_CACHE_DIR", folder.join("cache"));
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
    things();
    if status == WEFT_OK && std::env::var("WEFT_PROBE").is_ok_and(|parts| parts == "all") {
        programs(device);
    }
    for (step, answer) in steps() {
        println!(
            "{step} {}",
            answer.map_or_else(|error| format!("{} {}", error.status, error.message), |()| "ok".into())
        );
    }
}

/// Prints the devices and the libraries as C sees them.
fn things() {
    let (mut devices, mut libraries) = (0, 0);
    let mut device = weft_device_info { struct_size: 200, ..Default::default() };
    let mut library = Box::new(weft_library_info { struct_size: 1608, ..Default::default() });
    // SAFETY: pointers to locals, structs of their struct_size; the library ends every text with a zero byte.
    unsafe {
        weft_device_count(&mut devices);
        weft_library_count(&mut libraries);
        for index in 0..devices {
            let status = weft_device_info_get(index, &mut device);
            let (name, cuda) = (CStr::from_ptr(device.name.as_ptr()), device.cuda_version);
            let (major, minor, units) = (device.compute_major, device.compute_minor, device.units);
            let about = CStr::from_ptr(device.description.as_ptr());
            println!(
                "device {index}: {status} {name:?} {about:?} {major}.{minor} {cuda} {units} {}",
                device.memory
            );
        }
        for index in 0..libraries {
            let status = weft_library_info_get(index, &mut *library);
            let [name, version] =
                [library.name, library.version].map(|text| CStr::from_ptr(text.as_ptr()).to_owned());
            let (path, reason) =
                (CStr::from_ptr(library.path.as_ptr()), CStr::from_ptr(library.reason.as_ptr()));
            println!("library {index}: {status} {} {name:?} {version:?} {path:?} {reason:?}", library.status);
        }
    }
}

/// Runs in a process of its own: what submissions are answered to a queue of the caller's stream and to one of its own.
#[test]
fn capturing() {
    if std::env::var_os("WEFT_PROBE").is_none() {
        return println!("skipped: part of another test, which runs it in a process of its own");
    }
    let (mut device, mut own, mut theirs) = (0, 0, 0);
    let desc = weft_queue_desc { struct_size: 24, stream: 4096, ..Default::default() };
    // SAFETY: C strings, no options or structs of their struct_size, pointers to locals; the stand-in takes any stream.
    let statuses = unsafe {
        assert_eq!(weft_context_create(c"cuda:0".as_ptr(), std::ptr::null(), &mut device), WEFT_OK);
        assert_eq!(weft_queue_create(device, std::ptr::null(), &mut own), WEFT_OK);
        assert_eq!(weft_queue_create(device, &desc, &mut theirs), WEFT_OK);
        [own, theirs].map(|queue| weft_barrier(queue, std::ptr::null(), std::ptr::null_mut()))
    };
    // SAFETY: the library's own text.
    let text = unsafe { CStr::from_ptr(weft::api::library::weft_last_error()) };
    println!("{statuses:?} {}", text.to_string_lossy());
}

#[test]
fn a_stream_that_is_being_captured_takes_no_requests() {
    let folder = fake("capturing", &[]);
    for (status, answer) in [("0", "[0, 0]"), ("1", "[0, -1] queue has a stream"), ("2", "[0, -1]")] {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "capturing", "--nocapture"]).env("WEFT_PROBE", "capture");
        let output =
            child.env("FAKE_CUDA_CAPTURING", status).env("WEFT_LIBRARY_PATH", &folder).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(told.contains(answer), "{status}: {told}");
    }
}

#[test]
fn devices_and_libraries_are_told_of() {
    let folder = fake("things", &[]);
    let text = probe_with(&folder, &[("FAKE_CUDA_DEVICES", "2"), ("FAKE_CUDA_CAPABILITY", "103")]);
    let says = |line: &str| assert!(text.contains(line), "{line:?} is not in {text}");
    says("device 0: 0 \"cuda:0\" \"Fake GPU 0\" 10.3 13000 132 17179869184");
    says("device 1: 0 \"cuda:1\" \"Fake GPU 1\" 10.3");
    says("device 2: 0 \"cpu\"");
    says("library 0: 0 0 \"libcuda\" \"13.0\"");
    says("fake-things/libcuda.so.1\" \"\"");
    let text = probe_with(&folder, &[("FAKE_CUDA_VERSION", "11080")]);
    let says = |line: &str| assert!(text.contains(line), "{line:?} is not in {text}");
    says("device 0: 0 \"cpu\"");
    says(&format!("library 0: 0 {WEFT_ERROR_UNAVAILABLE} \"libcuda\" \"\" \"\""));
    says("expected 12.0 or newer: update NVIDIA's driver");
}

/// The text of two kernels, as the library reads their parameters.
const KERNELS: &CStr = c".version 8.0
.target sm_80
.address_size 64
.visible .entry small(.param .u64 at, .param .f32 factor, .param .align 4 .b8 pair[12]) { ret; }
.visible .entry square(.param .u64 at, .param .f32 factor, .param .align 4 .b8 pair[12]) .reqntid 16, 8 { ret; }
.visible .entry none() { ret; }";

fn argument(kind: u32, buffer: u64) -> weft_argument {
    weft_argument { kind, size: 12, buffer, ..Default::default() }
}

/// Prints what programs, kernels and launches that fit or do not fit are answered with.
fn programs(device: u64) {
    let (mut program, mut kernel, mut square, mut queue, mut buffer) = (0, 0, 0, 0, 0);
    let mut log = [b'?' as std::ffi::c_char; 64];
    let told = |step: &str, status: i32| {
        // SAFETY: the library's own text.
        let text = unsafe { CStr::from_ptr(weft::api::library::weft_last_error()) };
        println!(
            "{step} {status}{}{}",
            if status < 0 { ": " } else { "" },
            if status < 0 { text } else { c"" }.to_string_lossy()
        );
    };
    // SAFETY: descriptors of their struct_size, C strings and pointers to locals.
    unsafe {
        let mut desc = weft_program_desc { struct_size: 40, ptx: c"no PTX".as_ptr(), ..Default::default() };
        (desc.log, desc.log_capacity) = (log.as_mut_ptr(), log.len() as u64);
        told("bad program", weft_program_create(device, &desc, &mut program));
        println!("log {}", CStr::from_ptr(log.as_ptr()).to_string_lossy());
        desc.ptx = c" \n".as_ptr();
        told("blank", weft_program_create(device, &desc, &mut program));
        println!("log {:?}", CStr::from_ptr(log.as_ptr()));
        desc.ptx = KERNELS.as_ptr();
        told("program", weft_program_create(device, &desc, &mut program));
        println!("log {:?}", CStr::from_ptr(log.as_ptr()));
        told("no kernel", weft_kernel_get(program, c"absent".as_ptr(), &mut kernel));
        told("kernel", weft_kernel_get(program, c"small".as_ptr(), &mut kernel));
        told("queue", weft_queue_create(device, std::ptr::null(), &mut queue));
        told("buffer", weft_buffer_create(device, 64, std::ptr::null(), &mut buffer));
        let launch = |step: &str, desc: weft_launch_desc, arguments: &[weft_argument]| {
            let desc = weft_launch_desc {
                struct_size: 56,
                argument_count: arguments.len() as u32,
                arguments: arguments.as_ptr(),
                ..desc
            };
            let mut done = 0;
            told(step, weft_launch(queue, &desc, std::ptr::null(), &mut done));
            weft_request_release(done);
        };
        let (grid, block) = ([1, 0, 0], [32, 0, 0]);
        let fine = weft_launch_desc { kernel, grid, block, ..Default::default() };
        let right = [
            argument(WEFT_ARGUMENT_BUFFER, buffer),
            argument(WEFT_ARGUMENT_F32, 0),
            argument(WEFT_ARGUMENT_BYTES, 0),
        ];
        launch("launch", fine, &right);
        launch("few", fine, &right[..2]);
        launch("order", fine, &[right[1], right[0], right[2]]);
        launch("stranger", fine, &[argument(WEFT_ARGUMENT_BUFFER, queue), right[1], right[2]]);
        launch("past", fine, &[weft_argument { offset: 65, ..right[0] }, right[1], right[2]]);
        launch("no grid", weft_launch_desc { grid: [0; 3], ..fine }, &right);
        launch("wide", weft_launch_desc { block: [1025, 1, 1], ..fine }, &right);
        launch("deep", weft_launch_desc { block: [1, 1, 65], ..fine }, &right);
        launch("shared", weft_launch_desc { shared: 1 << 30, ..fine }, &right);
        let nowhere = weft_argument { kind: WEFT_ARGUMENT_HOST, integer: 0, ..right[2] };
        let somewhere = weft_argument { integer: right.as_ptr() as u64, ..nowhere };
        launch("host", fine, &[right[0], right[1], somewhere]);
        launch("nowhere", fine, &[right[0], right[1], nowhere]);
        launch("far", fine, &[right[0], right[1], weft_argument { size: 13, ..somewhere }]);
        told("empty name", weft_kernel_get(program, c"".as_ptr(), &mut square));
        told("square", weft_kernel_get(program, c"square".as_ptr(), &mut square));
        told("release", weft_program_release(program));
        let squared = weft_launch_desc { kernel: square, block: [16, 8, 0], ..fine };
        launch("its block", squared, &right);
        launch("no block of its", weft_launch_desc { block: [128, 1, 1], ..squared }, &right);
        launch("no kernel", weft_launch_desc { kernel: buffer, ..fine }, &right);
    }
    weft_queue_drain(queue, u64::MAX);
    for (release, handle) in [
        (weft_kernel_release as extern "C" fn(u64) -> i32, kernel),
        (weft_kernel_release, square),
        (weft_buffer_release, buffer),
        (weft_queue_release, queue),
        (weft_context_release, device),
    ] {
        release(handle);
    }
}

/// Programs, kernels and launches are checked the same whether the driver tells of parameters or not.
#[test]
fn programs_and_launches_are_checked_before_they_are_accepted() {
    let (old, new) = (fake("no-parameters", &["-DWITHOUT_PARAMETERS"]), fake("parameters", &[]));
    for folder in [old, new] {
        let text = probe_with(&folder, &[]);
        let says = |line: &str| assert!(text.contains(line), "{line:?} is not in {text}");
        let bad = WEFT_ERROR_INVALID_ARGUMENT;
        says(&format!("bad program {bad}: "));
        says("CUDA_ERROR_INVALID_PTX (218): ptxas fatal: no .version");
        says("log ptxas fatal: no .version\n");
        says(&format!("blank {bad}: weft_program_desc.ptx is empty; expected PTX text\nlog \"\"\n"));
        says("program 0\nlog \"\"\n");
        says(&format!(
            "no kernel {bad}: name is \"absent\"; expected a kernel (.visible .entry) of the program: small, square, none"
        ));
        says("kernel 0\nqueue 0\nbuffer 0\nlaunch 0\n");
        says(&format!(
            "few {bad}: launch: argument_count is 2; expected 3, the parameters of kernel \"small\""
        ));
        says(&format!("order {bad}: launch: arguments[0] (WEFT_ARGUMENT_F32) has 4 bytes; expected 8"));
        says(&format!("stranger {WEFT_ERROR_WRONG_KIND}: launch: arguments[0].buffer is"));
        says(&format!("past {bad}: launch: arguments[0].offset is 65; expected at most the 64 bytes"));
        says(&format!("no grid {bad}: launch: grid is [0, 1, 1]"));
        says(&format!("wide {bad}: launch: block is [1025, 1, 1]; expected 1 to 1024"));
        says(&format!("deep {bad}: launch: block is [1, 1, 65]"));
        says(&format!("shared {bad}: launch: shared is 1073741824 bytes; expected at most"));
        says("host 0\n");
        says(&format!("nowhere {bad}: launch: arguments[2].integer is 0; expected the address of 12 bytes"));
        says(&format!("far {bad}: launch: arguments[2] (WEFT_ARGUMENT_HOST) has 13 bytes; expected 12"));
        says(&format!("empty name {bad}: name is \"\"; expected a kernel"));
        says("square 0\nrelease 0\nits block 0\n");
        says(&format!(
            "no block of its {bad}: launch: block is [128, 1, 1]; expected [16, 8, 1], what kernel"
        ));
        says(&format!("no kernel {WEFT_ERROR_WRONG_KIND}: launch: kernel is"));
    }
}

params! {
    /// A kernel that does nothing.
    pub struct NothingArgs / NothingVals {
        /// Nothing reads it.
        n: u32,
    }
}

/// What was compiled by a process with this environment, and what else it printed.
fn compiled(folder: &Path, environment: &[(&str, &str)]) -> (usize, String) {
    let list = folder.join("compiled");
    let _ = std::fs::remove_file(&list);
    let mut all = vec![("FAKE_CUDA_COMPILED", list.to_str().unwrap()), ("WEFT_LOG", "debug")];
    all.extend(environment);
    let text = probe_with(folder, &all);
    assert!(text.contains("kernel ok"), "{text}");
    // Two more are texts of other steps, which are compiled each time.
    let lines = std::fs::read_to_string(&list).unwrap_or_default().lines().count();
    (lines - 3, text)
}

#[test]
fn a_second_process_compiles_nothing() {
    let folder = fake("cached", &[]);
    let cache = folder.join("cache");
    let _ = std::fs::remove_dir_all(&cache);
    let compiles = |environment: &[(&str, &str)]| compiled(&folder, environment).0;
    let entry = || std::fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    assert_eq!(compiles(&[]), 1, "the first");
    assert_eq!(compiles(&[]), 0, "the second");
    assert_eq!(compiles(&[("WEFT_CACHE", "off")]), 1, "turned off");
    assert_eq!(compiles(&[("WEFT_CACHE_DIR", "cache")]), 1, "not absolute");
    assert_eq!(compiles(&[("WEFT_CACHE_DIR", "/proc/none")]), 1, "cannot be made");
    assert_eq!(compiles(&[("WEFT_CACHE_SIZE", "10")]), 0, "what is there is used");
    assert_eq!(compiles(&[("FAKE_CUDA_VERSION", "12080")]), 1, "another driver");
    assert_eq!(compiles(&[("FAKE_CUDA_CAPABILITY", "89")]), 1, "another GPU");
    assert_eq!(std::fs::read_dir(&cache).unwrap().count(), 3);
    let home = folder.join("home");
    let _ = std::fs::remove_dir_all(&home);
    let at_home = [("WEFT_CACHE_DIR", ""), ("XDG_CACHE_HOME", ""), ("HOME", home.to_str().unwrap())];
    assert_eq!((compiles(&at_home), compiles(&at_home)), (1, 0), "at home");
    assert_eq!(std::fs::read_dir(home.join(".cache/weft")).unwrap().count(), 1);
    let elsewhere = [("WEFT_CACHE_DIR", ""), ("XDG_CACHE_HOME", home.to_str().unwrap())];
    assert_eq!((compiles(&elsewhere), compiles(&elsewhere)), (1, 0), "where XDG_CACHE_HOME says");
    // What the driver refuses, though it is what was kept, goes; so does what is damaged.
    std::fs::remove_dir_all(&cache).unwrap();
    assert_eq!(compiles(&[]), 1);
    assert_eq!(compiles(&[("FAKE_CUDA_FAIL", "cuModuleLoadDataEx:4:200")]), 1, "refused");
    let bytes = std::fs::read(entry()).unwrap();
    std::fs::write(entry(), &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!((compiles(&[]), compiles(&[])), (1, 0), "damaged");
    for function in ["cuLinkCreate_v2", "cuLinkAddData_v2", "cuLinkComplete"] {
        std::fs::remove_dir_all(&cache).unwrap();
        let text = compiled(&folder, &[("FAKE_CUDA_FAIL", &format!("{function}:1:54321"))]).1;
        assert!(text.contains("allocate ok"), "without a linker the text is compiled as it is: {text}");
    }
}

/// Runs in a process of its own, whose child it is that opens the GPU: the parent has only counted.
#[test]
fn forking() {
    if std::env::var_os("WEFT_PROBE").is_none() {
        return println!("skipped: part of another test, which runs it in a process of its own");
    }
    assert_eq!(count(), 1);
    let mut device = 0;
    // SAFETY: the child leaves at once; C strings, no options, pointers to locals.
    let (statuses, ended) = unsafe {
        let child = libc::fork();
        let open =
            |name: &CStr, device: &mut u64| weft_context_create(name.as_ptr(), std::ptr::null(), device);
        if child == 0 {
            let statuses = [open(c"cuda:0", &mut device), open(c"auto", &mut device)];
            libc::_exit(i32::from(statuses != [WEFT_ERROR_UNAVAILABLE, WEFT_OK]));
        }
        let mut ended = 0;
        libc::waitpid(child, &mut ended, 0);
        ([open(c"cuda:0", &mut device), open(c"auto", &mut device)], ended)
    };
    println!("parent {statuses:?}, child {ended}");
}

#[test]
fn a_child_of_a_process_that_counted_gpus_is_told_why_it_has_none() {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "forking", "--nocapture"]).env("WEFT_PROBE", "fork");
    let output = child.env("WEFT_LIBRARY_PATH", fake("forking", &[])).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("parent [0, 0], child 0"), "{told}");
}

static LATE: AtomicU64 = AtomicU64::new(0);

extern "C" fn late() {
    let mut buffer = 0;
    // SAFETY: a pointer to a local.
    let status = unsafe { weft_buffer_create(LATE.load(SeqCst), 64, std::ptr::null(), &mut buffer) };
    println!("late {status}");
}

/// Runs in a process of its own: a handler of the program's end that comes after the library's.
#[test]
fn ending() {
    if std::env::var_os("WEFT_PROBE").is_none() {
        return println!("skipped: part of another test, which runs it in a process of its own");
    }
    let mut device = 0;
    // SAFETY: a function that does not unwind; a C string, no options, a pointer to a local.
    let status = unsafe {
        libc::atexit(late);
        weft_context_create(c"cuda:0".as_ptr(), std::ptr::null(), &mut device)
    };
    assert_eq!(status, WEFT_OK);
    LATE.store(device, SeqCst);
}

#[test]
fn the_end_of_a_process_is_no_loss_of_the_device() {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "ending", "--nocapture"]).env("WEFT_PROBE", "end").env("WEFT_LOG", "error");
    let output = child.env("WEFT_LIBRARY_PATH", fake("ending", &[])).output().unwrap();
    let (told, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(told.contains(&format!("late {WEFT_ERROR_DEVICE_LOST}")), "{told}{log}");
    assert!(!log.contains("weft:"), "a healthy program's end is told as a failure: {log}");
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
    let kernel = stream.kernel::<NothingArgs>(Key("nothing", [0; 8]), |target| {
        Kernel::build(&ptx::Shape::new("nothing", target, [32, 1, 1]), |k, _: NothingVals<'_>| k.barrier())
    });
    answers.push(("kernel", kernel.map(drop)));
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
    let unknown = probe_with(&whole, &[("FAKE_CUDA_FAIL", "cuInit:1:999")]);
    says(unknown, &["cuInit", "CUDA_ERROR_UNKNOWN (999)", "nvidia-smi", "fake-whole"]);
    let hidden = [("FAKE_CUDA_FAIL", "cuInit:1:100"), ("CUDA_VISIBLE_DEVICES", "")];
    says(probe_with(&whole, &hidden), &["cuInit", "(CUDA_VISIBLE_DEVICES is \"\")", "\"cpu\""]);
    says(probe_with(&whole, &[("FAKE_CUDA_FAIL", "cuInit:1:54321")]), &["cuInit", "an unknown code (54321)"]);
    says(probe_with(&whole, &[("FAKE_CUDA_DEVICES", "0")]), &["knows 0 devices"]);
    let old = probe_with(&whole, &[("FAKE_CUDA_CAPABILITY", "75")]);
    says(old, &["count 1", "compute capability 7.5; expected 8.0"]);
}

/// A folder whose `libcuda.so.1` `make` makes of the stand-in's bytes.
fn broken(name: &str, make: impl FnOnce(&Path, Vec<u8>) -> std::io::Result<()>) -> PathBuf {
    let whole = std::fs::read(fake("broken", &[]).join("libcuda.so.1")).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fake-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    make(&folder.join("libcuda.so.1"), whole).unwrap();
    folder
}

#[test]
fn a_file_that_is_no_whole_library_is_told_and_never_opened() {
    let says = |name: &str, word: &str, make: fn(&Path, Vec<u8>) -> std::io::Result<()>| {
        let folder = broken(name, make);
        let text = probe_with(&folder, &[]);
        assert!(
            text.contains(&format!("fake-{name}/libcuda.so.1")) && text.contains(word),
            "{word:?}: {text}"
        );
        // Where the loader itself would find it first.
        let text = probe_with(Path::new("/none"), &[("LD_LIBRARY_PATH", folder.to_str().unwrap())]);
        assert!(text.contains("create ") && text.contains("device"), "{name}: {text}");
    };
    says("cut", "was cut off: it has 4096 bytes", |at, bytes| std::fs::write(at, &bytes[..4096]));
    says("short", "too short", |at, _| std::fs::write(at, ""));
    says("machine", "another kind of machine", |at, mut bytes| {
        bytes[18] ^= 0xB7 ^ 0x3E; // from the one to the other
        std::fs::write(at, bytes)
    });
    says("loop", "symbolic links", |at, _| std::os::unix::fs::symlink("libcuda.so.1", at));
    says("pipe", "no file", |at, _| {
        let name = std::ffi::CString::new(at.to_str().unwrap()).unwrap();
        // SAFETY: a C string.
        match unsafe { libc::mkfifo(name.as_ptr(), 0o600) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    });
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
        "cuLinkCreate_v2",
        "cuLinkAddData_v2",
        "cuLinkComplete",
        "cuLinkDestroy",
        "cuModuleGetFunction",
        "cuFuncGetAttribute",
        "cuFuncGetParamInfo",
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
    let text =
        probe_with(&folder, &[("WEFT_PROBE", "few"), ("FAKE_CUDA_FAIL", "cuMemAllocFromPoolAsync:1:2")]);
    assert!(text.contains("allocate ok"), "{text}");
    let text = probe_with(
        &folder,
        &[
            ("WEFT_PROBE", "few"),
            ("FAKE_CUDA_FAIL", "cuMemAllocFromPoolAsync:1:2;cuMemAllocFromPoolAsync:2:2"),
        ],
    );
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
    if no_gpu() {
        return;
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

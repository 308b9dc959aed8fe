//! Products that come again and again at the same places are recorded and replayed: how often the vendor's library is still
//! called, and what becomes of a driver that cannot record. Stand-ins for both, in processes of their own; what a replay
//! computes is for a GPU to show.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr::{null, null_mut};
use support::driver::{fake, no_gpu};
use weft::api::{buffer::*, context::*, operations::weft_matmul, queue::*, request::*, transfer::*};
use weft::dtype::WEFT_F32;
use weft::layout::weft_tensor;
use weft::ops::matmul::weft_matmul_desc;
use weft::status::*;

const SIDE: usize = 16;
const BYTES: u64 = (SIDE * SIDE * 4) as u64;
const FOREVER: u64 = u64::MAX;

#[track_caller]
fn ok(status: weft_status) {
    assert_eq!(status, WEFT_OK);
}

/// A context's queue and the operands of D = alpha A B, [16, 16] each; D is at either of two places.
struct Product {
    context: u64,
    queue: u64,
    buffers: [u64; 3],
}

impl Product {
    fn new() -> Self {
        let (mut context, mut queue, mut buffers) = (0, 0, [0; 3]);
        // SAFETY: a C string, no options, pointers to locals.
        unsafe {
            ok(weft_context_create(c"cuda:0".as_ptr(), null(), &mut context));
            ok(weft_queue_create(context, null(), &mut queue));
            for buffer in &mut buffers {
                ok(weft_buffer_create(context, 2 * BYTES, null(), buffer));
            }
        }
        Self { context, queue, buffers }
    }

    fn tensor(&self, number: usize, offset: u64) -> weft_tensor {
        let mut tensor = weft_tensor {
            buffer: self.buffers[number],
            offset,
            dtype: WEFT_F32,
            rank: 2,
            ..Default::default()
        };
        tensor.dims[..2].fill(SIDE as i64);
        tensor
    }

    /// What the product's request ends with.
    fn run(&self, alpha: f64, offset: u64) -> weft_status {
        let desc = weft_matmul_desc {
            struct_size: size_of::<weft_matmul_desc>() as u32,
            a: self.tensor(0, 0),
            b: self.tensor(1, 0),
            d: self.tensor(2, offset),
            alpha,
            ..Default::default()
        };
        let mut request = 0;
        // SAFETY: pointers to locals, a struct of its struct_size.
        let status = unsafe { weft_matmul(self.queue, &desc, null(), &mut request) };
        if status == WEFT_OK { self.end(request) } else { status }
    }

    fn end(&self, request: u64) -> weft_status {
        // SAFETY: pointers to locals.
        unsafe { weft_request_wait(&request, 1, WEFT_WAIT_ALL, FOREVER, null_mut()) };
        let status = weft_request_poll(request);
        ok(weft_request_release(request));
        status
    }

    fn write(&self, number: usize, values: &[f32]) {
        let mut request = 0;
        // SAFETY: so many bytes, which live until the request is over; a pointer to a local.
        let status = unsafe {
            weft_write(
                self.queue,
                self.buffers[number],
                0,
                values.as_ptr().cast(),
                BYTES,
                null(),
                &mut request,
            )
        };
        ok(status);
        ok(self.end(request));
    }

    fn read(&self, offset: u64) -> Vec<f32> {
        let (mut values, mut request) = (vec![0f32; SIDE * SIDE], 0);
        let to = values.as_mut_ptr().cast();
        // SAFETY: as above.
        ok(unsafe { weft_read(self.queue, self.buffers[2], offset, to, BYTES, null(), &mut request) });
        ok(self.end(request));
        values
    }

    fn release(self) {
        self.buffers.into_iter().for_each(|buffer| ok(weft_buffer_release(buffer)));
        ok(weft_queue_release(self.queue));
        ok(weft_context_release(self.context));
    }
}

/// Runs in a process of its own: the same product 20 times, and 20 times alternating with another.
#[test]
fn probe() {
    let Some(turns) = std::env::var("WEFT_PROBE").ok().and_then(|turns| turns.parse::<usize>().ok()) else {
        return println!("skipped: part of other tests, which run it with libraries of their own");
    };
    let product = Product::new();
    let told: Vec<_> = (0..40)
        .map(|turn| match turn {
            0..20 => product.run(1.0, 0),
            _ => product.run(1.0 + (turn % turns) as f64, BYTES * (turn % turns) as u64),
        })
        .collect();
    println!("told {told:?}");
    product.release();
}

/// Both stand-ins in one folder.
fn folder(name: &str) -> PathBuf {
    let folder = fake(&format!("replays-{name}"), &[]);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/fake_cublaslt.c");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O1", "-fPIC", "-shared", "-DACCEPTS", "-DVERSION=130000", "-o"]);
    assert!(gcc.arg(folder.join("libcublasLt.so.13")).arg(source).status().expect("gcc").success());
    folder
}

/// How often the vendor's library was called, how often a recorded call was launched, and what the requests ended with.
fn calls(name: &str, turns: &str, rule: &str) -> (usize, usize, String) {
    let folder = folder(name);
    let [lt, driver] = ["lt", "driver"].map(|file| folder.join(file));
    let _ = std::fs::remove_file(&lt);
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "probe", "--nocapture"])
        .env("WEFT_PROBE", turns)
        .env("WEFT_LIBRARY_PATH", &folder);
    child.env("FAKE_CUBLASLT_CALLS", &lt).env("FAKE_CUDA_CALLS", &driver).env("FAKE_CUDA_FAIL", rule);
    let output = child.env("WEFT_CACHE", "off").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let seen = std::fs::read_to_string(&driver).unwrap();
    let launches = seen.lines().find_map(|line| line.strip_prefix("cuGraphLaunch "));
    let launches = launches.map_or(0, |count| count.parse().unwrap());
    let told = text.lines().find(|line| line.starts_with("told ")).unwrap().to_owned();
    (std::fs::metadata(&lt).map_or(0, |file| file.len() as usize), launches, told)
}

fn all_well(told: &str) {
    assert_eq!(told, format!("told {:?}", [0; 40]));
}

#[test]
fn a_call_that_comes_often_is_recorded_once() {
    let (library, launches, told) = calls("often", "1", "");
    assert_eq!((library, launches), (8, 33), "seven calls, one that is recorded, and that one's launches");
    all_well(&told);
}

#[test]
fn calls_that_differ_are_told_apart() {
    let (library, launches, told) = calls("apart", "2", "");
    assert_eq!((library, launches), (16, 26), "the first is known when it comes again");
    all_well(&told);
}

#[test]
fn a_driver_that_cannot_record_goes_on_with_calls() {
    for function in ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"] {
        let (library, launches, told) = calls("refuses", "1", &format!("{function}:1:801"));
        assert_eq!(launches, 0, "{function}");
        assert!((40..=41).contains(&library), "{function}: {library}");
        all_well(&told);
    }
}

#[test]
fn a_device_that_fails_at_a_replay_is_lost() {
    let (_, _, told) = calls("lost", "1", "cuGraphLaunch:2:700s");
    let mut all = vec![WEFT_ERROR_DEVICE_LOST; 40];
    all[..8].fill(WEFT_OK);
    assert_eq!(told, format!("told {all:?}"), "seven calls, one launch that was well, and then none");
}

#[test]
fn replays_on_a_gpu_see_what_is_in_memory_then() {
    if no_gpu() {
        return;
    }
    let product = Product::new();
    for turn in 0..60usize {
        let value = |seed: usize| move |i: usize| ((i * seed + turn * 7) % 11) as f32 - 5.0;
        let [a, b]: [Vec<f32>; 2] = [3, 5].map(|seed| (0..SIDE * SIDE).map(value(seed)).collect());
        product.write(0, &a);
        product.write(1, &b);
        let (alpha, offset) = ([1.0, 2.0, 1.0][turn % 3], BYTES * (turn % 2) as u64);
        ok(product.run(alpha, offset));
        let sum = |i: usize, j: usize| (0..SIDE).map(|k| a[i * SIDE + k] * b[k * SIDE + j]).sum::<f32>();
        let all = (0..SIDE * SIDE).map(|at| alpha as f32 * sum(at / SIDE, at % SIDE)).collect::<Vec<_>>();
        assert_eq!(product.read(offset), all, "turn {turn}");
    }
    product.release();
}

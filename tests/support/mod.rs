//! What the conformance tests share: random tensors of hostile layouts in poisoned buffers, and f64 views of them.
//!
//! Every test drives the C functions themselves. A tensor's buffer is filled with a poison pattern first; after a
//! request, `Session::read` checks that nothing outside the tensor's elements changed.
#![allow(dead_code)]

pub mod blocks;
pub mod driver;
pub mod eight;
pub mod hold;
pub mod queues;

use std::ffi::CString;
use std::ptr;
use weft::api::buffer::*;
use weft::api::context::*;
use weft::api::queue::*;
use weft::api::request::*;
use weft::api::submit::weft_submit;
use weft::api::transfer::*;
use weft::dtype::*;
use weft::layout::{Layout, weft_tensor};
use weft::status::*;

pub const FOREVER: u64 = u64::MAX;
const POISON: u8 = 0xDB;

/// SplitMix64: small, seedable, good enough for inputs.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    /// Uniform in `low..=high`.
    pub fn range(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1) as u64) as i64
    }
    pub fn chance(&mut self, one_in: u64) -> bool {
        self.next().is_multiple_of(one_in)
    }
    pub fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
    pub fn normal(&mut self) -> f64 {
        let u = (self.uniform() + 1e-300).ln() * -2.0;
        u.sqrt() * (2.0 * std::f64::consts::PI * self.uniform()).cos()
    }
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[(self.next() % from.len() as u64) as usize]
    }
    /// A size that nobody would choose: often tiny or prime, sometimes empty when `empty`.
    pub fn size(&mut self, most: i64, empty: bool) -> i64 {
        let sizes = [1, 1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 31, 33, 61, 64, 67, 96, 127, 128, 129, 257];
        if empty && self.chance(24) { 0 } else { self.pick(&sizes).min(most) }
    }
}

/// The device that the conformance tests run on: WEFT_TEST_DEVICE, else the CPU.
pub fn device() -> CString {
    let name = std::env::var("WEFT_TEST_DEVICE").unwrap_or("cpu".into());
    CString::new(name).unwrap()
}

/// What holds on the CPU, or on a GPU, whichever the tests run on: names of choices.
pub fn by_device<T>(cpu: T, gpu: T) -> T {
    if device().as_bytes().starts_with(b"cuda") { gpu } else { cpu }
}

/// How many random cases to try: `most`, or WEFT_TEST_CASES where that is less, for tools that slow everything down.
pub fn cases(most: usize) -> usize {
    std::env::var("WEFT_TEST_CASES").map_or(most, |cases| cases.parse::<usize>().unwrap().min(most))
}

/// A context and a queue.
pub struct Session {
    pub context: u64,
    pub queue: u64,
}

/// How a tensor lies in its buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Style {
    /// Row-major without gaps, strides left 0.
    Packed,
    /// Axes in a random order, with gaps, an offset, and some axes backwards.
    Hostile,
    /// As `Hostile`, and some axes repeat one element (stride 0): inputs only.
    Repeated,
}

/// A tensor on the device with its poisoned buffer.
pub struct Tensor {
    pub desc: weft_tensor,
    pub dtype: Dtype,
    pub layout: Layout,
    /// What the buffer held when it was written.
    pub image: Vec<u8>,
    /// The elements in row-major order, exact.
    pub values: Vec<f64>,
}

/// The dtype of a number's parts.
pub fn part(dtype: Dtype) -> Dtype {
    match dtype {
        Dtype::C32 => Dtype::F32,
        Dtype::C64 => Dtype::F64,
        other => other,
    }
}

pub fn is_complex(dtype: Dtype) -> bool {
    part(dtype) != dtype
}

/// [`encode`] of a number that may be complex, of its real and imaginary part.
pub fn encode_number(dtype: Dtype, [re, im]: [f64; 2], out: &mut [u8]) {
    let (first, second) = out.split_at_mut(part(dtype).size());
    encode(part(dtype), re, first);
    if is_complex(dtype) {
        encode(part(dtype), im, second);
    }
}

/// [`decode`] of a number that may be complex: its parts.
pub fn decode_number(dtype: Dtype, bytes: &[u8]) -> [f64; 2] {
    let (first, second) = bytes.split_at(part(dtype).size());
    [decode(part(dtype), first), if is_complex(dtype) { decode(part(dtype), second) } else { 0.0 }]
}

/// Runs tests of this program on lesser instruction sets, each set in a process of its own beside the others.
pub fn on_each_isa(tests: &[&str], environment: (&str, &str)) {
    let run = |isa: &str| {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .arg("--exact")
            .args(tests)
            .envs([("WEFT_ISA", isa), environment])
            .output()
            .unwrap();
        assert!(output.status.success(), "{isa}: {}", String::from_utf8_lossy(&output.stdout));
    };
    std::thread::scope(|scope| {
        for isa in ["scalar", "avx2", "avx512"] {
            scope.spawn(move || run(isa));
        }
    });
}

/// The elements of a packed tensor of shape `from` that broadcasts to `to`, in the order of `to`.
pub fn expanded(values: &[f64], from: &[i64], to: &[i64]) -> Vec<f64> {
    let layout = Layout::packed(from).broadcast_to("oracle", to).unwrap();
    (0..layout.count()).map(|index| values[layout.offset_of(index) as usize]).collect()
}

impl Tensor {
    /// The elements in the order of `to`, to which it broadcasts.
    pub fn expanded(&self, to: &[i64]) -> Vec<f64> {
        expanded(&self.values, self.dims(), to)
    }

    /// The bytes of each element in its buffer, in row-major order.
    pub fn places(&self) -> Vec<std::ops::Range<usize>> {
        let size = self.dtype.size();
        let at = |i| (self.desc.offset as isize + self.layout.offset_of(i) * size as isize) as usize;
        (0..self.layout.count()).map(|i| at(i)..at(i) + size).collect()
    }

    pub fn dims(&self) -> &[i64] {
        self.layout.dims()
    }

    /// A packed tensor less its first element and all but one of a row: aligned to an element, and to no more.
    pub fn shifted(mut self) -> Self {
        self.desc.offset += self.dtype.size() as u64;
        self.desc.dims[0] -= 1;
        self.layout = Layout::packed(&self.desc.dims[..self.desc.rank as usize]);
        if !self.values.is_empty() {
            self.values.remove(0);
            self.values.truncate(self.layout.count());
        }
        self
    }
}

pub fn last_error() -> String {
    // SAFETY: never null, zero-terminated, valid until this thread's next failing call.
    unsafe { std::ffi::CStr::from_ptr(weft::api::library::weft_last_error()) }.to_str().unwrap().to_owned()
}

#[track_caller]
pub fn ok(status: i32) {
    assert_eq!(status, WEFT_OK, "{}", last_error());
}

impl Default for Session {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Session {
    pub fn new(threads: u32) -> Self {
        let options = weft_context_desc { struct_size: size_of::<weft_context_desc>() as u32, threads };
        let (mut context, mut queue) = (0, 0);
        // SAFETY: all pointers are to locals.
        unsafe {
            ok(weft_context_create(device().as_ptr(), &options, &mut context));
            ok(weft_queue_create(context, ptr::null(), &mut queue));
        }
        Self { context, queue }
    }

    pub fn buffer(&self, size: usize) -> u64 {
        let mut buffer = 0;
        // SAFETY: the out pointer is a local.
        ok(unsafe { weft_buffer_create(self.context, size as u64, ptr::null(), &mut buffer) });
        buffer
    }

    pub fn write_bytes(&self, buffer: u64, bytes: &[u8]) {
        // SAFETY: `bytes` lives until the wait below has seen the completion.
        self.wait(|out| unsafe {
            weft_write(self.queue, buffer, 0, bytes.as_ptr().cast(), bytes.len() as u64, ptr::null(), out)
        });
    }

    pub fn read_bytes(&self, buffer: u64, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        // SAFETY: `bytes` lives until the wait below has seen the completion.
        self.wait(|out| unsafe {
            weft_read(self.queue, buffer, 0, bytes.as_mut_ptr().cast(), size as u64, ptr::null(), out)
        });
        bytes
    }

    /// Submits by `submit` and waits; both must succeed.
    #[track_caller]
    pub fn wait(&self, submit: impl FnOnce(*mut u64) -> i32) {
        ok(self.outcome(submit));
    }

    /// The status of the submission, or, if it was accepted, of the request.
    pub fn outcome(&self, submit: impl FnOnce(*mut u64) -> i32) -> i32 {
        let mut request = 0;
        let status = submit(&mut request);
        if status != WEFT_OK {
            return status;
        }
        // SAFETY: the pointer is to a local.
        let status = unsafe { weft_request_wait(&request, 1, WEFT_WAIT_ALL, FOREVER, ptr::null_mut()) };
        assert_eq!(weft_request_release(request), WEFT_OK);
        status
    }

    /// Runs an operation by its C function and waits.
    #[track_caller]
    pub fn run<D>(
        &self,
        f: unsafe extern "C" fn(u64, *const D, *const weft_submit, *mut u64) -> i32,
        desc: &D,
    ) {
        // SAFETY: `desc` is a struct with its size set, `out` a local of `wait`.
        self.wait(|out| unsafe { f(self.queue, desc, ptr::null(), out) });
    }

    /// As `run`, for requests that should fail: the status and the sentence.
    pub fn refuse<D>(
        &self,
        f: unsafe extern "C" fn(u64, *const D, *const weft_submit, *mut u64) -> i32,
        desc: &D,
    ) -> (i32, String) {
        // SAFETY: as in `run`.
        let status = self.outcome(|out| unsafe { f(self.queue, desc, ptr::null(), out) });
        (status, last_error())
    }

    /// A tensor of these values (row-major), rounded to `dtype`.
    pub fn tensor(
        &self,
        rng: &mut Rng,
        dtype: Dtype,
        dims: &[i64],
        style: Style,
        mut value: impl FnMut(&mut Rng) -> f64,
    ) -> Tensor {
        let mut tensor = self.blank(rng, dtype, dims, style);
        for place in tensor.places() {
            encode(dtype, value(rng), &mut tensor.image[place]);
        }
        // Repeated elements were written several times: read back what is there.
        tensor.values = decode_all(&tensor, &tensor.image);
        self.write_bytes(tensor.desc.buffer, &tensor.image);
        tensor
    }

    /// Standard normal values.
    pub fn normal(&self, rng: &mut Rng, dtype: Dtype, dims: &[i64], style: Style) -> Tensor {
        self.tensor(rng, dtype, dims, style, Rng::normal)
    }

    /// Exactly these values.
    pub fn exact(&self, rng: &mut Rng, dtype: Dtype, dims: &[i64], style: Style, values: &[f64]) -> Tensor {
        let mut values = values.iter();
        self.tensor(rng, dtype, dims, style, |_| *values.next().unwrap())
    }

    /// An output: poison everywhere.
    pub fn output(&self, rng: &mut Rng, dtype: Dtype, dims: &[i64], style: Style) -> Tensor {
        assert_ne!(style, Style::Repeated);
        let tensor = self.blank(rng, dtype, dims, style);
        self.write_bytes(tensor.desc.buffer, &tensor.image);
        tensor
    }

    /// Poison everywhere, not written yet.
    pub fn blank(&self, rng: &mut Rng, dtype: Dtype, dims: &[i64], style: Style) -> Tensor {
        let strides = strides(rng, dims, style);
        // All strides 0 would mean packed.
        let packed = strides.iter().all(|&stride| stride == 0);
        let layout = if packed { Layout::packed(dims) } else { Layout::strided(dims, &strides) };
        let span = layout.span();
        let before =
            span.map_or(0, |span| -span.low) + if style == Style::Packed { 0 } else { rng.range(0, 5) };
        let size = (before + span.map_or(0, |span| span.high + 1) + rng.range(0, 3)) as usize * dtype.size();
        let mut desc = weft_tensor { dtype: dtype.code(), rank: dims.len() as u32, ..Default::default() };
        desc.buffer = self.buffer(size);
        desc.offset = before as u64 * dtype.size() as u64;
        desc.dims[..dims.len()].copy_from_slice(dims);
        desc.strides[..dims.len()].copy_from_slice(&strides);
        Tensor { desc, dtype, layout, image: vec![POISON; size], values: Vec::new() }
    }

    /// The elements of a tensor after a request, having checked that nothing around them changed.
    #[track_caller]
    pub fn read(&self, tensor: &Tensor) -> Vec<f64> {
        decode_all(tensor, &self.read_image(tensor))
    }

    /// The bytes of its buffer, likewise.
    #[track_caller]
    pub fn read_image(&self, tensor: &Tensor) -> Vec<u8> {
        let now = self.read_bytes(tensor.desc.buffer, tensor.image.len());
        let mut inside = vec![false; now.len()];
        tensor.places().into_iter().for_each(|place| inside[place].fill(true));
        for (i, inside) in inside.iter().enumerate() {
            assert!(
                *inside || now[i] == tensor.image[i],
                "byte {i} outside the tensor changed: {:?}",
                tensor.desc
            );
        }
        now
    }

    /// Whether the whole buffer still holds what it held at first.
    pub fn untouched(&self, tensor: &Tensor) -> bool {
        self.read_bytes(tensor.desc.buffer, tensor.image.len()) == tensor.image
    }

    pub fn free(&self, tensors: &[&Tensor]) {
        tensors.iter().for_each(|tensor| ok(weft_buffer_release(tensor.desc.buffer)));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        assert_eq!(weft_queue_release(self.queue), WEFT_OK);
        assert_eq!(weft_context_release(self.context), WEFT_OK);
    }
}

fn strides(rng: &mut Rng, dims: &[i64], style: Style) -> Vec<i64> {
    let mut strides = vec![0; dims.len()];
    if style == Style::Packed {
        return strides;
    }
    let mut order: Vec<usize> = (0..dims.len()).collect();
    (0..dims.len()).for_each(|i| order.swap(i, rng.range(0, i as i64) as usize));
    let mut step = rng.pick(&[1, 1, 2, 3]);
    for axis in order {
        strides[axis] = if rng.chance(6) { -step } else { step };
        step = step * dims[axis].max(1) + rng.pick(&[0, 0, 1, 5]);
        if style == Style::Repeated && rng.chance(3) {
            strides[axis] = 0;
        }
    }
    strides
}

fn decode_all(tensor: &Tensor, bytes: &[u8]) -> Vec<f64> {
    tensor.places().into_iter().map(|place| decode(tensor.dtype, &bytes[place])).collect()
}

macro_rules! codec {
    ($($dtype:ident: $type:ty, $from:expr, $to:expr;)*) => {
        pub fn encode(dtype: Dtype, value: f64, out: &mut [u8]) {
            match dtype {
                $(Dtype::$dtype => { let x: $type = $from(value); out.copy_from_slice(&x.to_le_bytes()) })*
                _ => panic!("no codec for {dtype:?}"),
            }
        }
        pub fn decode(dtype: Dtype, bytes: &[u8]) -> f64 {
            match dtype {
                $(Dtype::$dtype => $to(<$type>::from_le_bytes(bytes.try_into().unwrap())),)*
                _ => panic!("no codec for {dtype:?}"),
            }
        }
    };
}
codec! {
    F32: f32, |v| v as f32, f64::from;
    F64: f64, |v| v, |v| v;
    F16: f16, f16::from_f64, f16::to_f64;
    Bf16: bf16, bf16::from_f64, bf16::to_f64;
    I8: i8, |v| v as i8, |v| v as f64;
    I16: i16, |v| v as i16, |v| v as f64;
    I32: i32, |v| v as i32, |v| v as f64;
    I64: i64, |v| v as i64, |v| v as f64;
    U8: u8, |v| v as u8, |v| v as f64;
    U16: u16, |v| v as u16, |v| v as f64;
    U32: u32, |v| v as u32, |v| v as f64;
    U64: u64, |v| v as u64, |v| v as f64;
    Bool: u8, |v| v as u8, |v| f64::from(u8::from(v != 0));
}

/// Half an ulp of `dtype`, relative: the unit of rounding error.
pub fn unit(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F32 => 2f64.powi(-24),
        Dtype::F64 => 2f64.powi(-53),
        Dtype::F16 => 2f64.powi(-11),
        Dtype::Bf16 => 2f64.powi(-8),
        _ => 0.0,
    }
}

/// Fails unless every |got - want| is at most `bound(i)`; NaN must meet NaN, infinities must be equal.
#[track_caller]
pub fn close(what: &str, got: &[f64], want: &[f64], bound: impl Fn(usize) -> f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let same = g == w || (g.is_nan() && w.is_nan()) || (g - w).abs() <= bound(i);
        assert!(
            same,
            "{what}: element {i} is {g}, expected {w} (off by {:e}, allowed {:e})",
            (g - w).abs(),
            bound(i)
        );
    }
}

/// What `call` answers in a thread whose signal handler runs again and again until it returns.
pub fn under_signals(restart: bool, call: impl FnOnce() -> i32 + Send) -> i32 {
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
    extern "C" fn nothing(_: i32) {}
    // SAFETY: a zeroed action is a valid one; the handler does nothing, so it is safe in any thread at any time.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(i32) as usize;
        action.sa_flags = if restart { libc::SA_RESTART } else { 0 };
        assert_eq!(libc::sigaction(libc::SIGUSR2, &action, ptr::null_mut()), 0);
    }
    let (thread, returned) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| {
            // SAFETY: no arguments.
            thread.store(unsafe { libc::pthread_self() }, SeqCst);
            let answer = call();
            returned.store(true, SeqCst);
            answer
        });
        while !returned.load(SeqCst) {
            if thread.load(SeqCst) != 0 {
                // SAFETY: the thread is not joined yet.
                unsafe { libc::pthread_kill(thread.load(SeqCst), libc::SIGUSR2) };
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        answer.join().unwrap()
    })
}

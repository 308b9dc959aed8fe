//! Bad input at every function: null pointers, wrong handles, wrong sizes, hostile tensors. Each gets a status and a
//! sentence that names the argument, nothing is lost, and the next call works.

mod support;

use std::ffi::CStr;
use std::ptr;
use support::*;
use weft::api::buffer::*;
use weft::api::context::*;
use weft::api::library::*;
use weft::api::linear::*;
use weft::api::operations::*;
use weft::api::program::*;
use weft::api::queue::*;
use weft::api::request::*;
use weft::api::submit::*;
use weft::api::transfer::*;
use weft::api::vendor::*;
use weft::dtype::Dtype::{self, *};
use weft::layout::weft_tensor;
use weft::ops::{
    attention::*, blas::*, cast::*, elementwise::*, launch::*, matmul::*, norm::*, rank::*, reduce::*,
    rope::*, rows::*, softmax::*,
};
use weft::status::*;

type Call = Box<dyn Fn(u64, *const u8, *const weft_submit, *mut u64) -> i32>;

/// One operation with a descriptor that is right.
struct Case {
    name: &'static str,
    call: Call,
    bytes: Vec<u8>,
    /// Name of each tensor that the descriptor holds, and its offset there.
    tensors: Vec<(&'static str, usize)>,
}

struct World {
    session: Session,
    other: Session,
    stale: u64,
    foreign: u64,
}

impl World {
    fn new() -> Self {
        let (session, other) = (Session::new(2), Session::new(1));
        let (stale, foreign) = (session.buffer(4096), other.buffer(4096));
        ok(weft_buffer_release(stale));
        Self { session, other, stale, foreign }
    }

    fn tensor(&self, dtype: Dtype, dims: &[i64]) -> weft_tensor {
        let mut rng = Rng(dims.iter().sum::<i64>() as u64);
        let zero = matches!(dtype, I32 | I64);
        self.session
            .tensor(&mut rng, dtype, dims, Style::Packed, |rng| if zero { 0.0 } else { rng.normal() })
            .desc
    }
}

macro_rules! case {
    ($name:ident, $desc:ident { $($tensor:ident: $value:expr),* } $(, $field:ident = $number:expr)*) => {{
        let desc = $desc { struct_size: size_of::<$desc>() as u32, $($tensor: $value,)* $($field: $number,)* ..Default::default() };
        // SAFETY: the descriptors are plain data without padding that matters: their bytes are copied, not read.
        let bytes = unsafe { std::slice::from_raw_parts((&raw const desc).cast::<u8>(), size_of::<$desc>()) }.to_vec();
        // SAFETY: called below with a descriptor of its struct_size and pointers to locals or null.
        let call: Call = Box::new(|queue, desc, options, out| unsafe { $name(queue, desc.cast(), options, out) });
        let tensors = vec![$((stringify!($tensor), std::mem::offset_of!($desc, $tensor))),*];
        Case { name: stringify!($name), call, bytes, tensors }
    }};
}

fn cases(world: &World) -> Vec<Case> {
    let t = |dims: &[i64]| world.tensor(F32, dims);
    let i = |dims: &[i64]| world.tensor(I32, dims);
    vec![
        case!(
            weft_matmul,
            weft_matmul_desc { a: t(&[3, 4]), b: t(&[4, 5]), c: t(&[3, 5]), d: t(&[3, 5]), bias: t(&[5]) },
            beta = 1.0
        ),
        case!(
            weft_attention,
            weft_attention_desc {
                q: t(&[1, 2, 3, 8]),
                k: t(&[1, 1, 5, 8]),
                v: t(&[1, 1, 5, 8]),
                o: t(&[1, 2, 3, 8]),
                lse: t(&[1, 2, 3]),
                bias: t(&[3, 5])
            }
        ),
        case!(
            weft_rms_norm,
            weft_norm_desc {
                x: t(&[3, 8]),
                residual: t(&[3, 8]),
                weight: t(&[8]),
                bias: t(&[8]),
                y: t(&[3, 8]),
                sum: t(&[3, 8]),
                rstd: t(&[3])
            }
        ),
        case!(
            weft_layer_norm,
            weft_norm_desc {
                x: t(&[3, 8]),
                residual: t(&[3, 8]),
                weight: t(&[8]),
                bias: t(&[8]),
                y: t(&[3, 8]),
                sum: t(&[3, 8]),
                mean: t(&[3]),
                rstd: t(&[3])
            }
        ),
        case!(
            weft_rope,
            weft_rope_desc { x: t(&[1, 2, 3, 8]), y: t(&[1, 2, 3, 8]), positions: i(&[3]), factors: t(&[4]) }
        ),
        case!(
            weft_elementwise,
            weft_elementwise_desc { a: t(&[3, 8]), b: t(&[8]), y: t(&[3, 8]) },
            function = WEFT_EW_ADD
        ),
        case!(weft_softmax, weft_softmax_desc { x: t(&[3, 8]), y: t(&[3, 8]) }, axis = -1),
        case!(weft_gather_rows, weft_rows_desc { table: t(&[7, 8]), indices: i(&[3]), rows: t(&[3, 8]) }),
        case!(weft_scatter_rows, weft_rows_desc { table: t(&[7, 8]), indices: i(&[3]), rows: t(&[3, 8]) }),
        case!(
            weft_top_k,
            weft_rank_desc { x: t(&[3, 8]), values: t(&[3, 2]), indices: i(&[3, 2]) },
            axis = -1,
            k = 2
        ),
        case!(weft_arg_reduce, weft_rank_desc { x: t(&[3, 8]), indices: i(&[3]) }, axis = -1),
        case!(weft_reduce, weft_reduce_desc { x: t(&[3, 8]), y: t(&[3]) }, axes = 2),
        case!(weft_cast, weft_cast_desc { x: t(&[3, 8]), y: world.tensor(F16, &[3, 8]) }),
        // Of what repeated elements could make endless, a damaged descriptor has one vector, or a factor of 0.
        case!(weft_axpy, weft_axpy_desc { x: t(&[8]), y: t(&[3, 8]) }, alpha = 2.0),
        case!(weft_scal, weft_scal_desc { x: t(&[3, 8]) }, alpha = 2.0),
        case!(weft_swap, weft_swap_desc { x: t(&[3, 8]), y: t(&[3, 8]) }),
        case!(weft_rot, weft_rot_desc { x: t(&[3, 8]), y: t(&[3, 8]) }, c = 0.6, s = 0.8),
        case!(weft_dot, weft_dot_desc { x: t(&[3, 8]), y: t(&[8]), result: t(&[3]) }),
        case!(weft_nrm2, weft_vector_desc { x: t(&[8]), result: t(&[1]) }),
        case!(weft_asum, weft_vector_desc { x: t(&[8]), result: t(&[1]) }),
        case!(weft_iamax, weft_vector_desc { x: t(&[8]), result: i(&[1]) }),
        case!(weft_gemv, weft_gemv_desc { a: t(&[3, 8]), x: t(&[8]), y: t(&[3]) }, alpha = 1.0),
        case!(weft_ger, weft_ger_desc { x: t(&[3]), y: t(&[8]), a: t(&[3, 8]) }, alpha = 1.0),
        case!(weft_syrk, weft_syrk_desc { a: t(&[3, 8]), c: t(&[3, 3]) }, beta = 1.0),
        case!(weft_trsm, weft_trsm_desc { a: t(&[3, 3]), b: t(&[3, 8]) }, alpha = 1.0),
    ]
}

/// Submits and, if accepted, waits: the status and the sentence.
fn outcome(world: &World, case: &Case, bytes: &[u8]) -> (i32, String) {
    // A copy in memory of exactly this size, so that a read past struct_size is seen by a sanitizer.
    let exact: Box<[u8]> = bytes.into();
    let status =
        world.session.outcome(|out| (case.call)(world.session.queue, exact.as_ptr(), ptr::null(), out));
    (status, last_error())
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

#[test]
fn right_descriptors_run_and_wrong_sizes_are_told() {
    let world = World::new();
    for case in cases(&world) {
        let (status, text) = outcome(&world, &case, &case.bytes);
        assert_eq!(status, WEFT_OK, "{}: {text}", case.name);
        let first = match case.name {
            "weft_matmul" => std::mem::offset_of!(weft_matmul_desc, alpha_imag),
            _ => case.bytes.len(),
        };
        for wrong in [0, 3, 8, first - 4, first - 1, 1 << 20, u32::MAX as usize] {
            let mut bytes = case.bytes.clone();
            put(&mut bytes, 0, &(wrong as u32).to_ne_bytes());
            let (status, text) = outcome(&world, &case, &bytes);
            assert!(
                status == WEFT_ERROR_INVALID_ARGUMENT && text.contains("struct_size"),
                "{} {wrong}: {text}",
                case.name
            );
        }
        let mut longer = case.bytes.clone();
        longer.extend([0; 24]);
        let length = longer.len() as u32;
        put(&mut longer, 0, &length.to_ne_bytes());
        assert_eq!(outcome(&world, &case, &longer).0, WEFT_OK, "{}: a zero tail is fine", case.name);
        longer[case.bytes.len() + 17] = 1;
        let (status, text) = outcome(&world, &case, &longer);
        assert!(status == WEFT_ERROR_INVALID_ARGUMENT && text.contains("is set"), "{}: {text}", case.name);
    }
}

#[test]
fn null_and_wrong_handles_are_told() {
    let world = World::new();
    for case in cases(&world) {
        let desc = case.bytes.as_ptr();
        let mut request = 7;
        let own = world.session.queue;
        assert_eq!((case.call)(own, ptr::null(), ptr::null(), &mut request), WEFT_ERROR_INVALID_ARGUMENT);
        assert!(last_error().contains("desc is NULL") && request == 7, "{}", case.name);
        let queues = [
            (0, WEFT_ERROR_INVALID_ARGUMENT),
            (77, WEFT_ERROR_WRONG_KIND),
            (world.session.context, WEFT_ERROR_WRONG_KIND),
            (own ^ 1, WEFT_ERROR_STALE_HANDLE),
            (world.other.queue, WEFT_ERROR_WRONG_CONTEXT),
        ];
        for (queue, expected) in queues {
            assert_eq!(
                (case.call)(queue, desc, ptr::null(), &mut request),
                expected,
                "{}: {}",
                case.name,
                last_error()
            );
        }
        let submits = [
            weft_submit::default(),
            weft_submit { struct_size: size_of::<weft_submit>() as u32, flags: 0xff00, ..Default::default() },
        ];
        for submit in submits {
            assert_eq!((case.call)(own, desc, &submit, &mut request), WEFT_ERROR_INVALID_ARGUMENT);
            assert!(last_error().contains("weft_submit"), "{}", last_error());
        }
        assert_eq!((case.call)(own, desc, ptr::null(), ptr::null_mut()), WEFT_OK, "no handle wanted");
        ok(weft_queue_drain(own, FOREVER));
    }
}

#[test]
fn hostile_tensors_are_told_by_name() {
    let world = World::new();
    use std::mem::offset_of;
    let (buffer, offset) = (offset_of!(weft_tensor, buffer), offset_of!(weft_tensor, offset));
    let (dtype, rank) = (offset_of!(weft_tensor, dtype), offset_of!(weft_tensor, rank));
    let (dims, strides) = (offset_of!(weft_tensor, dims), offset_of!(weft_tensor, strides));
    let w = |value: u64| value.to_ne_bytes().to_vec();
    let d = |value: u32| value.to_ne_bytes().to_vec();
    let bad = WEFT_ERROR_INVALID_ARGUMENT;
    let mutations: Vec<(usize, Vec<u8>, i32)> = vec![
        (buffer, w(0), bad),
        (buffer, w(0xdead_beef), WEFT_ERROR_WRONG_KIND),
        (buffer, w(u64::MAX), WEFT_ERROR_WRONG_KIND),
        (buffer, w(world.session.queue), WEFT_ERROR_WRONG_KIND),
        (buffer, w(world.stale), WEFT_ERROR_STALE_HANDLE),
        (buffer, w(world.foreign), WEFT_ERROR_WRONG_CONTEXT),
        (offset, w(1), bad),
        (offset, w(1 << 20), bad),
        (offset, w(u64::MAX - 3), bad),
        (dtype, d(0), bad),
        (dtype, d(99), bad),
        (dtype, d(u32::MAX), bad),
        (rank, d(9), bad),
        (rank, d(u32::MAX), bad),
        (dims, w(u64::MAX), bad),
        (dims, w(i64::MAX as u64), bad),
        (dims, w(i64::MIN as u64), bad),
        (dims, w(1 << 40), bad),
        (strides, w(i64::MAX as u64), bad),
        (strides, w(i64::MIN as u64), bad),
        (strides, w(1 << 62), bad),
    ];
    let mut told = 0;
    for case in cases(&world) {
        for (name, at) in &case.tensors {
            for (field, value, expected) in &mutations {
                let mut bytes = case.bytes.clone();
                put(&mut bytes, at + field, value);
                let one = i64::from_ne_bytes(bytes[at + dims..at + dims + 8].try_into().unwrap()) == 1;
                if *field == strides && one {
                    continue; // The stride of an axis of one element is never used.
                }
                let (status, text) = outcome(&world, &case, &bytes);
                assert_eq!(status, *expected, "{} {name} field {field} = {value:?}: {text}", case.name);
                assert!(
                    text.contains(name) && text.contains(':'),
                    "{} {name}: the sentence does not name it: {text}",
                    case.name
                );
                told += 1;
            }
        }
        assert_eq!(outcome(&world, &case, &case.bytes).0, WEFT_OK, "{}: the next call works", case.name);
    }
    println!("{told} hostile tensors, each told");
}

/// Random damage: whatever the answer, it is an answer, and the library goes on working.
#[test]
fn damaged_descriptors_never_crash() {
    let world = World::new();
    let mut rng = Rng(2024);
    let words = [
        0u64,
        1,
        2,
        3,
        5,
        8,
        15,
        64,
        1 << 20,
        1 << 31,
        1 << 32,
        1 << 40,
        1 << 59,
        1 << 62,
        i64::MAX as u64,
        i64::MIN as u64,
        u64::MAX,
        u64::MAX - 1,
        f64::NAN.to_bits(),
        f64::INFINITY.to_bits(),
        0.5f64.to_bits(),
        (-1.0f64).to_bits(),
    ];
    let (mut accepted, mut refused) = (0, 0);
    let cases = cases(&world);
    for round in 0..60_000 {
        let case = &cases[round % cases.len()];
        let mut bytes = case.bytes.clone();
        for _ in 0..rng.range(1, 4) {
            let word = rng.pick(&words);
            match rng.chance(2) {
                true => put(
                    &mut bytes,
                    8 + rng.range(0, (case.bytes.len() as i64 - 16) / 8) as usize * 8,
                    &word.to_ne_bytes(),
                ),
                false => put(
                    &mut bytes,
                    4 + rng.range(0, (case.bytes.len() as i64 - 8) / 4) as usize * 4,
                    &(word as u32).to_ne_bytes(),
                ),
            }
        }
        match outcome(&world, case, &bytes) {
            (WEFT_OK, _) => accepted += 1,
            (status, text) => {
                assert!(
                    status < 0 && status != WEFT_ERROR_INTERNAL && !text.is_empty(),
                    "{}: {status} {text}",
                    case.name
                );
                refused += 1;
            }
        }
    }
    println!("damaged descriptors: {accepted} accepted, {refused} refused");
    assert!(accepted > 1000 && refused > 10_000);
    // With other buffers: a number that is another one's handle may have written over these.
    crate::cases(&world).iter().for_each(|case| assert_eq!(outcome(&world, case, &case.bytes).0, WEFT_OK));
}

#[test]
fn the_other_functions_tell_bad_arguments() {
    let world = World::new();
    let s = &world.session;
    let bad = WEFT_ERROR_INVALID_ARGUMENT;
    let mut handle = 5u64;
    let mut bytes = [0u8; 64];
    // SAFETY: every pointer is null on purpose, or to a local of the size that goes with it.
    unsafe {
        let told = |status: i32, expected: i32, word: &str| {
            assert_eq!(status, expected, "{word}: {}", last_error());
            assert!(last_error().contains(word), "{word} is not in: {}", last_error());
        };
        told(weft_context_create(ptr::null(), ptr::null(), &mut handle), bad, "device");
        told(weft_context_create(c"gpu".as_ptr(), ptr::null(), &mut handle), bad, "\"gpu\"");
        told(weft_context_create(c"cuda:x".as_ptr(), ptr::null(), &mut handle), bad, "cuda:x");
        told(weft_context_create(c"".as_ptr(), ptr::null(), &mut handle), bad, "device");
        told(weft_context_create(c"\xff".as_ptr(), ptr::null(), &mut handle), bad, "UTF-8");
        told(weft_context_create(c"cpu".as_ptr(), ptr::null(), ptr::null_mut()), bad, "context is NULL");
        told(
            weft_context_create(c"cuda:0".as_ptr(), ptr::null(), &mut handle),
            WEFT_ERROR_UNAVAILABLE,
            "cuda:0",
        );
        let many = weft_context_desc { struct_size: 8, threads: 100_000 };
        told(weft_context_create(c"cpu".as_ptr(), &many, &mut handle), bad, "threads is 100000");
        told(
            weft_context_create(c"cpu".as_ptr(), &weft_context_desc::default(), &mut handle),
            bad,
            "struct_size",
        );
        told(weft_context_info_get(s.context, ptr::null_mut()), bad, "info");
        told(weft_context_release(77), WEFT_ERROR_WRONG_KIND, "context");
        told(weft_device_count(ptr::null_mut()), bad, "count");
        let mut info =
            weft_device_info { struct_size: size_of::<weft_device_info>() as u32, ..Default::default() };
        told(weft_device_info_get(1000, &mut info), bad, "index is 1000");
        told(weft_device_info_get(0, ptr::null_mut()), bad, "info");
        told(weft_device_info_get(0, &mut weft_device_info::default()), bad, "struct_size");
        let mut count = 0;
        ok(weft_device_count(&mut count));
        told(weft_device_info_get(count, &mut info), bad, "index is");
        ok(weft_device_info_get(count - 1, &mut info));
        assert_eq!(CStr::from_ptr(info.name.as_ptr()), c"cpu");
        let mut older = weft_device_info { struct_size: 184, compute_major: 9, ..Default::default() };
        ok(weft_device_info_get(count - 1, &mut older));
        assert_eq!((older.kind, older.compute_major), (1, 9), "what an older program lacks is not written");
        told(weft_library_count(ptr::null_mut()), bad, "count is NULL");
        ok(weft_library_count(&mut count));
        let mut library = Box::new(weft_library_info { struct_size: 1608, ..Default::default() });
        told(weft_library_info_get(count, &mut *library), bad, "index is");
        told(weft_library_info_get(0, ptr::null_mut()), bad, "info");
        told(weft_library_info_get(0, &mut weft_library_info::default()), bad, "struct_size");
        ok(weft_library_info_get(0, &mut *library));
        let empty = |text: &[std::ffi::c_char]| text[0] == 0;
        assert_eq!(CStr::from_ptr(library.name.as_ptr()), c"libcuda");
        let there = library.status == WEFT_OK;
        assert!(
            empty(&library.path) != there
                && empty(&library.version) != there
                && empty(&library.reason) == there
        );
        told(weft_buffer_create(s.context, 8, ptr::null(), ptr::null_mut()), bad, "buffer is NULL");
        told(weft_buffer_create(0, 8, ptr::null(), &mut handle), bad, "context is 0");
        told(
            weft_buffer_create(s.queue, 8, ptr::null(), &mut handle),
            WEFT_ERROR_WRONG_KIND,
            "names a queue",
        );
        told(
            weft_buffer_create(s.context, u64::MAX, ptr::null(), &mut handle),
            WEFT_ERROR_OUT_OF_MEMORY,
            "bytes",
        );
        told(
            weft_buffer_create(s.context, 1 << 62, ptr::null(), &mut handle),
            WEFT_ERROR_OUT_OF_MEMORY,
            "bytes",
        );
        told(weft_buffer_release(world.stale), WEFT_ERROR_STALE_HANDLE, "released");
        told(
            weft_buffer_info_get(s.context, &mut weft_buffer_info { struct_size: 24, ..Default::default() }),
            WEFT_ERROR_WRONG_KIND,
            "buffer",
        );
        told(weft_queue_create(s.context, ptr::null(), ptr::null_mut()), bad, "queue is NULL");
        let deep = weft_queue_desc { struct_size: 16, depth: u32::MAX, ..Default::default() };
        told(weft_queue_create(s.context, &deep, &mut handle), bad, "depth");
        told(weft_queue_drain(0, 0), bad, "queue");
        told(weft_queue_release(s.context), WEFT_ERROR_WRONG_KIND, "queue");
        told(weft_request_wait(ptr::null(), 3, WEFT_WAIT_ALL, 0, ptr::null_mut()), bad, "requests is NULL");
        told(
            weft_request_wait([0u64].as_ptr(), 1, WEFT_WAIT_ALL, 0, ptr::null_mut()),
            bad,
            "requests[0] is 0",
        );
        told(weft_request_wait(ptr::null(), 0, 9, 0, ptr::null_mut()), bad, "mode is 9");
        told(weft_request_poll(s.queue), WEFT_ERROR_WRONG_KIND, "names a queue");
        told(weft_request_release(1 << 60 | 5), WEFT_ERROR_WRONG_KIND, "names a context");
        let b = s.buffer(64);
        let (q, n, p) = (s.queue, ptr::null(), bytes.as_mut_ptr().cast());
        told(weft_write(q, b, 0, ptr::null(), 8, n, &mut handle), bad, "src is NULL");
        told(weft_write(q, b, 60, p, 8, n, &mut handle), bad, "offset 60 and size 8");
        told(weft_write(q, b, u64::MAX, p, 8, n, &mut handle), bad, "offset");
        told(weft_read(q, b, 0, p, u64::MAX, n, &mut handle), bad, "size");
        told(weft_read(q, b, 0, ptr::null_mut(), 8, n, &mut handle), bad, "dst is NULL");
        told(
            weft_read(q, world.foreign, 0, p, 8, n, &mut handle),
            WEFT_ERROR_WRONG_CONTEXT,
            "another context",
        );
        told(weft_copy(q, b, 0, b, 7, 8, n, &mut handle), bad, "overlap");
        told(weft_copy(q, b, 0, world.stale, 8, 8, n, &mut handle), WEFT_ERROR_STALE_HANDLE, "dst");
        told(weft_fill(q, b, 0, 8, 0, 3, n, &mut handle), bad, "pattern_size is 3");
        told(weft_fill(q, b, 2, 8, 0, 4, n, &mut handle), bad, "multiples");
        told(weft_barrier(b, n, &mut handle), WEFT_ERROR_WRONG_KIND, "queue");
        let unsupported = WEFT_ERROR_UNSUPPORTED;
        let text = c".version 7.0\n.target sm_80\n.address_size 64\n";
        let program =
            weft_program_desc { struct_size: 40, ptx: text.as_ptr(), ..weft_program_desc::default() };
        let c = s.context;
        told(weft_program_create(c, &program, &mut handle), unsupported, "CPU device");
        told(weft_program_create(c, ptr::null(), &mut handle), bad, "desc is NULL");
        told(weft_program_create(c, &program, ptr::null_mut()), bad, "program is NULL");
        told(weft_program_create(q, &program, &mut handle), WEFT_ERROR_WRONG_KIND, "context");
        let none = weft_program_desc { ptx: ptr::null(), ..program };
        told(weft_program_create(c, &none, &mut handle), bad, "ptx is NULL");
        let flagged = weft_program_desc { flags: 4, ..program };
        told(weft_program_create(c, &flagged, &mut handle), bad, "flags are 0x4");
        let endless = weft_program_desc { size: u64::MAX, ..program };
        told(weft_program_create(c, &endless, &mut handle), bad, "size is 18446744073709551615");
        let binary = weft_program_desc { ptx: c"\xff\xfe".as_ptr(), ..program };
        told(weft_program_create(c, &binary, &mut handle), bad, "UTF-8");
        let unlogged = weft_program_desc { log_capacity: 7, ..program };
        told(weft_program_create(c, &unlogged, &mut handle), bad, "log is NULL");
        told(weft_kernel_get(0, c"x".as_ptr(), &mut handle), bad, "program is 0");
        told(weft_kernel_get(c, c"x".as_ptr(), &mut handle), WEFT_ERROR_WRONG_KIND, "a program");
        told(weft_kernel_get(6 << 60 | 1, c"x".as_ptr(), &mut handle), WEFT_ERROR_STALE_HANDLE, "program");
        told(weft_kernel_get(0, c"x".as_ptr(), ptr::null_mut()), bad, "kernel is NULL");
        let launch = weft_launch_desc { struct_size: 56, ..weft_launch_desc::default() };
        told(weft_launch(q, &launch, n, &mut handle), unsupported, "CPU device");
        told(weft_launch(q, ptr::null(), n, &mut handle), bad, "desc is NULL");
        told(weft_launch(q, &weft_launch_desc::default(), n, &mut handle), bad, "struct_size");
        told(weft_program_release(q), WEFT_ERROR_WRONG_KIND, "program");
        told(weft_kernel_release(7 << 60 | 1), WEFT_ERROR_STALE_HANDLE, "kernel");
        assert_eq!(handle, 5, "a call that fails writes nothing");
        assert_eq!(weft_buffer_release(b), WEFT_OK);
    }
    for release in [
        weft_buffer_release,
        weft_queue_release,
        weft_context_release,
        weft_request_release,
        weft_program_release,
        weft_kernel_release,
    ] {
        ok(release(0));
    }
    assert_eq!(weft_abi_check(WEFT_ABI_VERSION), WEFT_OK);
    assert_eq!(weft_abi_check(WEFT_ABI_VERSION + 1), WEFT_ERROR_ABI_MISMATCH);
    assert_eq!(weft_abi_check(0x0002_0000), WEFT_ERROR_ABI_MISMATCH);
}

//! weft_matmul's edges: what is refused, and that nothing is written then; lists of multiplications; every pair of 8-bit
//! floats; sums of integers that wrap; results that do not depend on the number of threads.

mod support;

use std::ptr;
use support::*;
use weft::api::operations::{weft_matmul, weft_matmul_grouped};
use weft::dtype::*;
use weft::layout::weft_tensor;
use weft::ops::matmul::*;
use weft::status::*;

const BAD: i32 = WEFT_ERROR_INVALID_ARGUMENT;

fn desc() -> weft_matmul_desc {
    weft_matmul_desc { struct_size: size_of::<weft_matmul_desc>() as u32, ..Default::default() }
}

fn zero(session: &Session, dtype: Dtype, dims: &[i64]) -> Tensor {
    session.tensor(&mut Rng(1), dtype, dims, Style::Packed, |_| 0.0)
}

/// An output that must stay as it is.
fn output(session: &Session, dtype: Dtype, dims: &[i64]) -> Tensor {
    session.output(&mut Rng(1), dtype, dims, Style::Packed)
}

/// The same memory as elements of another type.
fn seen_as(t: &Tensor, dtype: Dtype) -> weft_tensor {
    weft_tensor { dtype: dtype.code(), ..t.desc }
}

fn with_dims(t: weft_tensor, dims: &[i64], strides: &[i64]) -> weft_tensor {
    let mut t = weft_tensor { rank: dims.len() as u32, dims: [0; 8], strides: [0; 8], ..t };
    t.dims[..dims.len()].copy_from_slice(dims);
    t.strides[..strides.len()].copy_from_slice(strides);
    t
}

/// Tensors of a multiplication of [130, 260] by [260, 140], and what stands beside it.
struct World {
    session: Session,
    f32s: [Tensor; 3],
    eight: [Tensor; 2],
    complex: [Tensor; 3],
    out: Vec<Tensor>,
    scales: Vec<Tensor>,
}

const M: i64 = 130;
const K: i64 = 260;
const N: i64 = 140;

impl World {
    fn new() -> Self {
        let session = Session::new(2);
        let make = |dtype, dims: [i64; 2]| zero(&session, dtype, &dims);
        let f32s =
            [make(Dtype::F32, [M, K]), make(Dtype::F32, [K, N]), output(&session, Dtype::F32, &[M, N])];
        let eight = [make(Dtype::U8, [M, K]), make(Dtype::U8, [K, N])];
        // Twice as many floats as there are complex numbers.
        let complex = [
            make(Dtype::F32, [M, 2 * K]),
            make(Dtype::F32, [K, 2 * N]),
            output(&session, Dtype::F32, &[M, 2 * N]),
        ];
        let out =
            [Dtype::F16, Dtype::U8, Dtype::I32, Dtype::Bf16].map(|dtype| output(&session, dtype, &[M, N]));
        let mask = output(&session, Dtype::U8, &[M, (N + 7) / 8]);
        let lines = [[1, 1], [M, 1], [M, 3], [2, 3], [1, N], [3, N], [3, 2]];
        let scales = lines.map(|dims| zero(&session, Dtype::F32, &dims));
        let one = [output(&session, Dtype::F32, &[1]), output(&session, Dtype::F32, &[N])];
        let out = out.into_iter().chain([mask]).chain(one).collect();
        Self { session, f32s, eight, complex, out, scales: scales.into() }
    }

    fn f32(&self) -> weft_matmul_desc {
        let [a, b, d] = &self.f32s;
        weft_matmul_desc { a: a.desc, b: b.desc, d: d.desc, ..desc() }
    }

    /// 8-bit factors, and d number `out`.
    fn eight(&self, dtype: Dtype, d: weft_tensor) -> weft_matmul_desc {
        let [a, b] = &self.eight;
        weft_matmul_desc { a: seen_as(a, dtype), b: seen_as(b, dtype), d, ..desc() }
    }

    fn c32(&self) -> weft_matmul_desc {
        let view = |t: &Tensor, dims: &[i64]| with_dims(weft_tensor { dtype: WEFT_C32, ..t.desc }, dims, &[]);
        let [a, b, d] = &self.complex;
        weft_matmul_desc { a: view(a, &[M, K]), b: view(b, &[K, N]), d: view(d, &[M, N]), ..desc() }
    }

    fn refused(&self, what: &str, desc: weft_matmul_desc, status: i32, words: &str) {
        let (got, message) = self.session.refuse(weft_matmul, &desc);
        assert_eq!(got, status, "{what}: {message}");
        assert!(message.contains(words), "{what}: {message:?} lacks {words:?}");
    }

    fn check_untouched(&self) {
        for t in self.out.iter().chain([&self.f32s[2], &self.complex[2]]) {
            assert!(self.session.untouched(t), "{:?} was written", t.desc);
        }
    }
}

#[test]
fn nothing_wrong_is_taken_and_nothing_written() {
    let w = World::new();
    refuse_shapes(&w);
    refuse_types(&w);
    refuse_scales(&w);
    refuse_epilogues(&w);
    refuse_shared_memory(&w);
    w.check_untouched();
}

fn refuse_shapes(w: &World) {
    let good = w.f32();
    let huge = |t: weft_tensor, dims: &[i64]| with_dims(t, dims, &[]);
    let far = i64::MAX / 2;
    let cases = [
        ("overflow", weft_matmul_desc { a: huge(good.a, &[far, far]), ..good }, "matmul: a"),
        (
            "all of them",
            weft_matmul_desc { a: huge(good.a, &[1 << 40, K]), d: huge(good.d, &[1 << 40, N]), ..good },
            "bytes",
        ),
        (
            "a stride that overflows",
            weft_matmul_desc { b: with_dims(good.b, &[K, N], &[i64::MAX, 1]), ..good },
            "matmul: b",
        ),
        (
            "least stride",
            weft_matmul_desc { b: with_dims(good.b, &[K, N], &[i64::MIN, 1]), ..good },
            "matmul: b",
        ),
        (
            "a leading dimension too small",
            weft_matmul_desc { d: with_dims(good.d, &[M, N], &[N - 1, 1]), ..good },
            "an output needs one each",
        ),
        (
            "of columns",
            weft_matmul_desc { d: with_dims(good.d, &[M, N], &[1, M - 1]), ..good },
            "an output needs one each",
        ),
        ("past the end", weft_matmul_desc { a: with_dims(good.a, &[M, K], &[K + 1, 1]), ..good }, "bytes"),
        ("before the start", weft_matmul_desc { a: with_dims(good.a, &[M, K], &[-K, 1]), ..good }, "bytes"),
        (
            "misaligned",
            weft_matmul_desc { a: weft_tensor { offset: 2, ..good.a }, ..good },
            "matmul: a.offset",
        ),
        ("negative", weft_matmul_desc { a: with_dims(good.a, &[-1, K], &[]), ..good }, "matmul: a.dims[0]"),
        ("rank", weft_matmul_desc { a: weft_tensor { rank: 9, ..good.a }, ..good }, "matmul: a.rank"),
        ("k", weft_matmul_desc { a: with_dims(good.a, &[M, K - 1], &[]), ..good }, "matmul: b.dims"),
    ];
    cases.into_iter().for_each(|(what, desc, words)| w.refused(what, desc, BAD, words));
}

fn refuse_types(w: &World) {
    let (good, eight) = (w.f32(), |d: &Tensor| w.eight(Dtype::I8, d.desc));
    let i32s = eight(&w.out[2]);
    let unsupported = WEFT_ERROR_UNSUPPORTED;
    let cases = [
        ("mixed", weft_matmul_desc { b: w.eight(Dtype::F8E4m3, good.d).b, ..good }, BAD, "matmul: b.dtype"),
        ("u8", w.eight(Dtype::U8, good.d), BAD, "matmul: a.dtype"),
        ("i8 to u8", eight(&w.out[1]), BAD, "matmul: d.dtype"),
        ("fp8 to i32", w.eight(Dtype::F8E5m2, w.out[2].desc), BAD, "matmul: d.dtype"),
        ("a part of one", weft_matmul_desc { alpha: 0.5, ..i32s }, BAD, "matmul: alpha is 0.5"),
        ("beta", weft_matmul_desc { beta: 3e9, c: i32s.d, ..i32s }, BAD, "matmul: beta is 3000000000"),
        ("imaginary", weft_matmul_desc { alpha_imag: 1.0, ..good }, BAD, "matmul: alpha_imag"),
        ("imaginary beta", weft_matmul_desc { beta_imag: 1.0, c: good.d, ..good }, BAD, "matmul: beta_imag"),
        ("not a number", weft_matmul_desc { alpha_imag: f64::NAN, ..w.c32() }, BAD, "matmul: alpha_imag"),
        ("no c", weft_matmul_desc { beta_imag: 1.0, ..w.c32() }, BAD, "c is absent"),
        (
            "f64 of f32",
            weft_matmul_desc { compute: WEFT_COMPUTE_F64, ..good },
            unsupported,
            "matmul: compute is 5",
        ),
        (
            "f16 of f32",
            weft_matmul_desc { compute: WEFT_COMPUTE_F16, ..good },
            unsupported,
            "matmul: compute is 4",
        ),
        (
            "f32 of i8",
            weft_matmul_desc { compute: WEFT_COMPUTE_F32, ..i32s },
            unsupported,
            "matmul: compute is 1",
        ),
        (
            "i32 of c32",
            weft_matmul_desc { compute: WEFT_COMPUTE_I32, ..w.c32() },
            unsupported,
            "matmul: compute is 6",
        ),
        ("no such compute", weft_matmul_desc { compute: 8, ..good }, BAD, "matmul: compute is 8"),
        ("no such flag", weft_matmul_desc { flags: 256, ..good }, BAD, "matmul: flags"),
        (
            "relu of complex",
            weft_matmul_desc { epilogue: 1, ..w.c32() },
            unsupported,
            "matmul: epilogue is 1",
        ),
        ("gelu of integers", weft_matmul_desc { epilogue: 2, ..i32s }, unsupported, "matmul: epilogue is 2"),
    ];
    cases.into_iter().for_each(|(what, desc, status, words)| w.refused(what, desc, status, words));
}

fn refuse_scales(w: &World) {
    let good = w.eight(Dtype::F8E4m3, w.out[3].desc);
    let small = w.eight(Dtype::F8E4m3, seen_as(&w.out[1], Dtype::F8E5m2));
    let [one, rows, row_blocks, squares, columns, column_blocks, _] =
        std::array::from_fn(|i| w.scales[i].desc);
    let cases = [
        ("scales of f32", weft_matmul_desc { a_scale: one, ..w.f32() }, "matmul: a_scale is given"),
        (
            "scales of i32",
            weft_matmul_desc { b_scale: one, ..w.eight(Dtype::I8, w.out[2].desc) },
            "matmul: b_scale is given",
        ),
        (
            "too few rows",
            weft_matmul_desc { a_scale: with_dims(rows, &[M - 1, 1], &[]), ..good },
            "matmul: a_scale.dims",
        ),
        (
            "a vector",
            weft_matmul_desc { a_scale: with_dims(rows, &[M], &[]), ..good },
            "matmul: a_scale.dims",
        ),
        ("those of b", weft_matmul_desc { a_scale: columns, ..good }, "matmul: a_scale.dims"),
        ("those of a", weft_matmul_desc { b_scale: rows, ..good }, "matmul: b_scale.dims"),
        (
            "turned",
            weft_matmul_desc { b_scale: with_dims(column_blocks, &[N, 3], &[]), ..good },
            "matmul: b_scale.dims",
        ),
        (
            "too few blocks",
            weft_matmul_desc { a_scale: with_dims(row_blocks, &[M, 2], &[]), ..good },
            "matmul: a_scale.dims",
        ),
        (
            "other squares",
            weft_matmul_desc { a_scale: with_dims(squares, &[3, 2], &[]), ..good },
            "matmul: a_scale.dims",
        ),
        (
            "batches",
            weft_matmul_desc { a_scale: with_dims(squares, &[2, 2, 3], &[0, 3, 1]), ..good },
            "matmul: a_scale.dims",
        ),
        (
            "halves",
            weft_matmul_desc { a_scale: seen_as(&w.out[0], Dtype::F16), ..good },
            "matmul: a_scale.dtype",
        ),
        ("d_scale of bf16", weft_matmul_desc { d_scale: one, ..good }, "matmul: d_scale is given"),
        (
            "two of d",
            weft_matmul_desc { d_scale: with_dims(rows, &[2], &[]), ..small },
            "matmul: d_scale.dims",
        ),
        (
            "amax of two",
            weft_matmul_desc { amax: with_dims(w.out[6].desc, &[2], &[]), ..good },
            "matmul: amax.dims",
        ),
        (
            "amax of halves",
            weft_matmul_desc { amax: with_dims(w.out[0].desc, &[1], &[]), ..good },
            "matmul: amax.dtype",
        ),
        ("c of fp8", weft_matmul_desc { c: small.d, beta: 1.0, ..small }, "matmul: c.dtype"),
    ];
    cases.into_iter().for_each(|(what, desc, words)| w.refused(what, desc, BAD, words));
    let amax = weft_matmul_desc { amax: w.out[5].desc, ..w.c32() };
    w.refused("amax of c32", amax, WEFT_ERROR_UNSUPPORTED, "matmul: amax is given");
}

fn refuse_epilogues(w: &World) {
    let good = w.f32();
    let (mask, grad) = (w.out[4].desc, w.out[6].desc);
    let with = |epilogue| weft_matmul_desc { epilogue, ..good };
    let unsupported = WEFT_ERROR_UNSUPPORTED;
    let aux = w.f32s[0].desc;
    let cases = [
        ("unknown", with(11), BAD, "matmul: epilogue is 11"),
        ("no mask", with(WEFT_EPILOGUE_RELU_AUX), BAD, "matmul: aux.buffer"),
        ("no values", with(WEFT_EPILOGUE_DGELU), BAD, "matmul: aux.buffer"),
        ("aux without use", weft_matmul_desc { aux, ..good }, BAD, "matmul: aux is given"),
        ("a mask of floats", weft_matmul_desc { aux: good.d, ..with(5) }, BAD, "matmul: aux.dtype"),
        (
            "a short mask",
            weft_matmul_desc { aux: with_dims(mask, &[M, N / 8], &[]), ..with(5) },
            BAD,
            "matmul: aux.dims",
        ),
        ("a mask of gelu", weft_matmul_desc { aux: mask, ..with(6) }, BAD, "matmul: aux.dtype"),
        (
            "other dims",
            weft_matmul_desc { aux: with_dims(aux, &[N, M], &[]), ..with(9) },
            BAD,
            "matmul: aux.dims",
        ),
        (
            "an aux that repeats",
            weft_matmul_desc { aux: with_dims(mask, &[M, (N + 7) / 8], &[0, 1]), ..with(5) },
            BAD,
            "needs one each",
        ),
        (
            "bias of drelu",
            weft_matmul_desc { aux: mask, bias: w.scales[4].desc, ..with(8) },
            unsupported,
            "matmul: bias is given",
        ),
        ("grad of nothing", weft_matmul_desc { bias_grad: grad, ..good }, BAD, "matmul: bias_grad is given"),
        ("no grad", weft_matmul_desc { flags: WEFT_MATMUL_BIAS_GRAD_A, ..good }, BAD, "bias_grad is absent"),
        ("two", weft_matmul_desc { flags: 48, bias_grad: grad, ..good }, BAD, "matmul: flags are 0x30"),
        (
            "both",
            weft_matmul_desc { flags: 16, aux: mask, bias_grad: grad, ..with(8) },
            BAD,
            "matmul: flags are 0x10",
        ),
        (
            "a grad of a for b",
            weft_matmul_desc { flags: 16, bias_grad: grad, ..good },
            BAD,
            "matmul: bias_grad.dims",
        ),
        (
            "of another type",
            weft_matmul_desc {
                flags: 32,
                bias_grad: weft_tensor { dtype: WEFT_F64, ..with_dims(grad, &[N / 2], &[]) },
                ..good
            },
            BAD,
            "matmul: bias_grad.dtype",
        ),
        (
            "of complex",
            weft_matmul_desc { flags: 32, bias_grad: grad, ..w.c32() },
            unsupported,
            "matmul: bias_grad is given",
        ),
        (
            "of fp8",
            weft_matmul_desc { flags: 32, bias_grad: grad, ..w.eight(Dtype::F8E4m3, w.out[3].desc) },
            unsupported,
            "matmul: bias_grad is given",
        ),
    ];
    cases.into_iter().for_each(|(what, desc, status, words)| w.refused(what, desc, status, words));
}

fn refuse_shared_memory(w: &World) {
    let good = w.f32();
    let d_as = |dims: &[i64]| with_dims(good.d, dims, &[]);
    let mask = weft_tensor { dtype: WEFT_U8, ..d_as(&[M, (N + 7) / 8]) };
    let cases = [
        (
            "c and a",
            weft_matmul_desc {
                c: with_dims(good.a, &[M, N], &[]),
                d: with_dims(good.a, &[M, N], &[]),
                beta: 1.0,
                ..good
            },
            "overlap",
        ),
        (
            "d and a",
            weft_matmul_desc { d: with_dims(good.a, &[M, N], &[]), ..good },
            "matmul: d and matmul: a overlap",
        ),
        (
            "d and b",
            weft_matmul_desc { d: with_dims(good.b, &[M, N], &[]), ..good },
            "matmul: d and matmul: b overlap",
        ),
        (
            "d and c moved",
            weft_matmul_desc { c: d_as(&[1, N]), beta: 1.0, ..good },
            "matmul: d and matmul: c overlap",
        ),
        ("d and bias", weft_matmul_desc { bias: d_as(&[N]), ..good }, "matmul: d and matmul: bias overlap"),
        (
            "d and a mask",
            weft_matmul_desc { aux: mask, epilogue: 5, ..good },
            "matmul: aux and matmul: d overlap",
        ),
        (
            "a mask that is read",
            weft_matmul_desc { aux: mask, epilogue: 8, ..good },
            "matmul: d and matmul: aux overlap",
        ),
        ("d and amax", weft_matmul_desc { amax: d_as(&[1]), ..good }, "matmul: amax and matmul: d overlap"),
        (
            "a and a grad",
            weft_matmul_desc { flags: 32, bias_grad: with_dims(good.a, &[N], &[]), ..good },
            "matmul: bias_grad and matmul: a overlap",
        ),
        (
            "amax and a grad",
            weft_matmul_desc {
                flags: 32,
                bias_grad: w.out[6].desc,
                amax: with_dims(w.out[6].desc, &[1], &[]),
                ..good
            },
            "overlap",
        ),
    ];
    cases.into_iter().for_each(|(what, desc, words)| w.refused(what, desc, BAD, words));
}

/// A limit that leaves no way is told; one that leaves one is kept to, with the same result.
#[test]
fn a_limit_of_scratch_memory_is_kept_or_told() {
    let session = Session::new(2);
    let mut rng = Rng(5);
    let make = |rng: &mut Rng, dims: &[i64]| {
        session.tensor(rng, Dtype::Bf16, dims, Style::Packed, |rng| rng.range(-3, 3) as f64)
    };
    let (a, b, aux) = (make(&mut rng, &[70, 90]), make(&mut rng, &[90, 40]), make(&mut rng, &[70, 40]));
    let [d, limited] = [0; 2].map(|_| output(&session, Dtype::Bf16, &[70, 40]));
    let grad = output(&session, Dtype::F32, &[40]);
    let plain = weft_matmul_desc { a: a.desc, b: b.desc, d: d.desc, ..desc() };
    session.run(weft_matmul, &plain);
    session.run(weft_matmul, &weft_matmul_desc { d: limited.desc, workspace: 1, ..plain });
    assert_eq!(session.read(&d), session.read(&limited));
    let fresh = output(&session, Dtype::Bf16, &[70, 40]);
    let sums = weft_matmul_desc {
        d: fresh.desc,
        aux: aux.desc,
        epilogue: 9,
        bias_grad: grad.desc,
        workspace: 1,
        ..plain
    };
    let (status, message) = session.refuse(weft_matmul, &sums);
    if status != WEFT_OK {
        assert_eq!(status, WEFT_ERROR_UNSUPPORTED, "{message}");
        assert!(message.contains("matmul: workspace is 1"), "{message}");
        assert!(session.untouched(&fresh) && session.untouched(&grad));
    }
    session.free(&[&a, &b, &aux, &d, &limited, &grad, &fresh]);
}

/// Of a batch of no matrices nothing is added up.
#[test]
fn gradients_of_no_matrix_are_zero() {
    let session = Session::new(1);
    let (a, b) = (zero(&session, Dtype::F32, &[2, 3]), zero(&session, Dtype::F32, &[3, 4]));
    let (d, mask) = (output(&session, Dtype::F32, &[0, 2, 4]), zero(&session, Dtype::U8, &[0, 2, 1]));
    let good = weft_matmul_desc { a: a.desc, b: b.desc, d: d.desc, ..desc() };
    let of_d = weft_matmul_desc { epilogue: WEFT_EPILOGUE_DRELU, aux: mask.desc, ..good };
    let of_a = weft_matmul_desc { flags: WEFT_MATMUL_BIAS_GRAD_A, ..good };
    let of_b = weft_matmul_desc { flags: WEFT_MATMUL_BIAS_GRAD_B, ..good };
    for (desc, count) in [(of_d, 4), (of_a, 2), (of_b, 4)] {
        let grad = output(&session, Dtype::F32, &[count]);
        session.run(weft_matmul, &weft_matmul_desc { bias_grad: grad.desc, ..desc });
        assert_eq!(session.read(&grad), vec![0.0; count as usize]);
        session.free(&[&grad]);
    }
    session.free(&[&a, &b, &d, &mask]);
}

fn grouped(session: &Session, descs: &[weft_matmul_desc]) -> (i32, String) {
    // SAFETY: an array of structs of their struct_size, `out` a local of `outcome`.
    let status = session.outcome(|out| unsafe {
        weft_matmul_grouped(session.queue, descs.as_ptr(), descs.len() as u64, ptr::null(), out)
    });
    (status, last_error())
}

#[test]
fn a_list_does_what_its_multiplications_do() {
    let session = Session::new(2);
    let mut rng = Rng(6);
    let mut descs = Vec::new();
    let mut tensors = Vec::new();
    for [m, k, n] in [[1, 30, 70], [64, 64, 64], [0, 5, 3], [7, 0, 9], [130, 20, 3]] {
        for dtype in [Dtype::F32, Dtype::F64, Dtype::Bf16] {
            let a = session.normal(&mut rng, dtype, &[m, k], Style::Packed);
            let b = session.normal(&mut rng, dtype, &[k, n], Style::Packed);
            let [d, alone] = [0; 2].map(|_| output(&session, dtype, &[m, n]));
            let one = weft_matmul_desc { a: a.desc, b: b.desc, d: d.desc, epilogue: 1, ..desc() };
            session.run(weft_matmul, &weft_matmul_desc { d: alone.desc, ..one });
            descs.push(one);
            tensors.push([a, b, d, alone]);
        }
    }
    assert_eq!(grouped(&session, &descs), (WEFT_OK, last_error()));
    for [.., d, alone] in &tensors {
        assert_eq!(session.read(d), session.read(alone));
    }
    assert_eq!(grouped(&session, &[]).0, WEFT_OK);
    tensors.iter().flatten().for_each(|t| session.free(&[t]));
}

#[test]
fn a_list_with_one_wrong_runs_none() {
    let w = World::new();
    let good = w.f32();
    let apart = w.c32();
    let told = |descs: &[weft_matmul_desc], words: &str| {
        let (status, message) = grouped(&w.session, descs);
        assert_eq!(status, BAD, "{message}");
        assert!(message.contains(words), "{message:?} lacks {words:?}");
    };
    told(&[apart, weft_matmul_desc { epilogue: 11, ..good }], "descs[1]: matmul: epilogue");
    told(&[apart, good, apart], "matmul: d of descs[0] and matmul: d of descs[2] overlap");
    told(&[apart, weft_matmul_desc { b: with_dims(w.complex[2].desc, &[K, N], &[]), ..good }], "overlap");
    told(
        &[apart, weft_matmul_desc { struct_size: 8, ..good }],
        "descs[1]: weft_matmul_desc.struct_size is 8",
    );
    told(&[weft_matmul_desc { struct_size: 8, ..good }], "struct_size is 8");
    // SAFETY: what is NULL is refused.
    let none = w
        .session
        .outcome(|out| unsafe { weft_matmul_grouped(w.session.queue, ptr::null(), 2, ptr::null(), out) });
    assert_eq!(none, BAD, "{}", last_error());
    // SAFETY: refused for its count before it is read.
    let many = w
        .session
        .outcome(|out| unsafe { weft_matmul_grouped(w.session.queue, &good, u64::MAX, ptr::null(), out) });
    assert_eq!(many, BAD, "{}", last_error());
    w.check_untouched();
}

/// The value of an 8-bit float.
fn eight(code: u8, wide: bool) -> f64 {
    let (mantissa, bias) = if wide { (2, 15) } else { (3, 7) };
    let (exponent, fraction) = (i32::from(code & 127) >> mantissa, f64::from(code & ((1 << mantissa) - 1)));
    let fraction = fraction / f64::from(1 << mantissa);
    let size = match (wide, code & 127) {
        (true, 0x7c) => f64::INFINITY,
        (true, 0x7d..) | (false, 0x7f) => f64::NAN,
        _ if exponent == 0 => fraction * 2f64.powi(1 - bias),
        _ => (1.0 + fraction) * 2f64.powi(exponent - bias),
    };
    if code & 128 != 0 { -size } else { size }
}

/// Every code times every code: exact in f32; and saturated, never infinite, in 8 bits.
#[test]
fn every_pair_of_small_floats_is_exact() {
    let session = Session::new(2);
    let mut code = -1.0;
    let codes = session.tensor(&mut Rng(1), Dtype::U8, &[256], Style::Packed, |_| {
        code += 1.0;
        code
    });
    let [d, small] = [Dtype::F32, Dtype::U8].map(|dtype| output(&session, dtype, &[256, 256]));
    for (a, b, to) in [(false, false, true), (false, true, false), (true, false, true), (true, true, false)] {
        let of = |wide| if wide { Dtype::F8E5m2 } else { Dtype::F8E4m3 };
        let view = |wide, dims: &[i64]| with_dims(seen_as(&codes, of(wide)), dims, &[]);
        let exact = weft_matmul_desc { a: view(a, &[256, 1]), b: view(b, &[1, 256]), d: d.desc, ..desc() };
        session.run(weft_matmul, &exact);
        session.run(weft_matmul, &weft_matmul_desc { d: seen_as(&small, of(to)), ..exact });
        let (got, rounded) = (session.read(&d), session.read(&small));
        for (i, (&x, &code)) in got.iter().zip(&rounded).enumerate() {
            let want = eight((i / 256) as u8, a) * eight((i % 256) as u8, b);
            assert!(x == want || x.is_nan() && want.is_nan(), "{a} {b} {i}: {x}, expected {want}");
            let value = eight(code as u8, to);
            let (unit, tiny, most) =
                if to { (8.0, 2f64.powi(-17), 57344.0) } else { (16.0, 2f64.powi(-10), 448.0) };
            let clamped = want.clamp(-most, most);
            let near = (value - clamped).abs() <= clamped.abs() / unit + tiny;
            assert!(near || value.is_nan() && want.is_nan(), "{a} {b} {i}: {value}, expected {clamped}");
        }
    }
    session.free(&[&codes, &d, &small]);
}

/// Sums beyond 32 bits wrap, and those that become floats do not.
#[test]
fn sums_of_integers_wrap_only_in_integers() {
    let session = Session::new(2);
    for [m, k, n] in [[3, 140_000, 5], [40, 131_073, 33]] {
        let least = |dims: &[i64]| session.tensor(&mut Rng(1), Dtype::I8, dims, Style::Packed, |_| -128.0);
        let (a, b) = (least(&[m, k]), least(&[k, n]));
        let [wraps, holds] = [Dtype::I32, Dtype::F32].map(|dtype| output(&session, dtype, &[m, n]));
        for d in [&wraps, &holds] {
            session.run(weft_matmul, &weft_matmul_desc { a: a.desc, b: b.desc, d: d.desc, ..desc() });
        }
        let exact = 128 * 128 * k;
        assert!(session.read(&wraps).iter().all(|&x| x == f64::from(exact as i32)));
        assert!(session.read(&holds).iter().all(|&x| (x - exact as f64).abs() <= 1e-6 * exact as f64));
        session.free(&[&a, &b, &wraps, &holds]);
    }
}

/// The same bits for any number of threads.
#[test]
fn threads_do_not_matter() {
    let sessions = [Session::new(1), Session::new(2), Session::new(5)];
    for (from, to) in [
        (Dtype::F8E4m3, Dtype::F32),
        (Dtype::F8E5m2, Dtype::Bf16),
        (Dtype::I8, Dtype::F16),
        (Dtype::C32, Dtype::C32),
    ] {
        for [m, k, n] in [[1, 700, 500], [150, 700, 170], [70, 2100, 70]] {
            let run = |session: &Session| bytes_of(session, from, to, [m, k, n]);
            let all: Vec<_> = sessions.iter().map(run).collect();
            assert!(all[0] == all[1] && all[1] == all[2], "{from:?} {m} {k} {n}");
        }
    }
}

/// What a multiplication of random bytes, scaled in blocks, with a gradient, leaves.
fn bytes_of(session: &Session, from: Dtype, to: Dtype, [m, k, n]: [i64; 3]) -> Vec<Vec<u8>> {
    let mut rng = Rng(9);
    let complex = i64::from(from == Dtype::C32);
    let carrier = if complex == 1 { Dtype::F32 } else { Dtype::U8 };
    let bytes = |rng: &mut Rng, dims: [i64; 2]| {
        let wide = [dims[0], dims[1] * (1 + complex)];
        let t = session.tensor(rng, carrier, &wide, Style::Packed, |rng| rng.range(0, 0x7b) as f64);
        let view = with_dims(seen_as(&t, from), &dims, &[]);
        (t, view)
    };
    let ((a, a_view), (b, b_view)) = (bytes(&mut rng, [m, k]), bytes(&mut rng, [k, n]));
    let scale =
        session.tensor(&mut rng, Dtype::F32, &[m, (k + 127) / 128], Style::Packed, |rng| rng.uniform());
    let aux = session.normal(&mut rng, if complex == 1 { Dtype::F32 } else { to }, &[m, n], Style::Packed);
    let (d, grad) = (session.buffer((m * n) as usize * to.size()), session.buffer(n as usize * 4));
    let tensor = |buffer, dtype: Dtype, dims: &[i64]| {
        with_dims(weft_tensor { buffer, dtype: dtype.code(), ..Default::default() }, dims, &[])
    };
    let mut desc = weft_matmul_desc { a: a_view, b: b_view, d: tensor(d, to, &[m, n]), ..desc() };
    if complex == 0 {
        (desc.a_scale, desc.aux, desc.epilogue) = (scale.desc, aux.desc, WEFT_EPILOGUE_DGELU);
    }
    if matches!(from, Dtype::F8E4m3 | Dtype::F8E5m2) {
        desc.bias_grad = tensor(grad, Dtype::F32, &[n]);
    }
    session.write_bytes(grad, &vec![0; n as usize * 4]);
    session.run(weft_matmul, &desc);
    let got =
        vec![session.read_bytes(d, (m * n) as usize * to.size()), session.read_bytes(grad, n as usize * 4)];
    session.free(&[&a, &b, &scale, &aux]);
    [d, grad].into_iter().for_each(|buffer| ok(weft::api::buffer::weft_buffer_release(buffer)));
    got
}

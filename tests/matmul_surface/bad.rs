//! What is refused, each by a sentence; nothing is written then.

use crate::support::*;
use crate::world::*;
use std::ptr;
use weft::api::buffer::*;
use weft::api::operations::weft_matmul;
use weft::api::transfer::weft_copy;
use weft::dtype::*;
use weft::layout::weft_tensor;
use weft::ops::matmul::*;
use weft::status::*;

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
        ("no f32", weft_matmul_desc { alpha: 1e39, ..good }, BAD, "matmul: alpha is 1e39; expected"),
        (
            "no f32 in beta",
            weft_matmul_desc { beta: -1e300, c: good.d, ..good },
            BAD,
            "matmul: beta is -1e300; expected",
        ),
        ("imaginary", weft_matmul_desc { alpha_imag: 1.0, ..good }, BAD, "matmul: alpha_imag"),
        ("imaginary beta", weft_matmul_desc { beta_imag: 1.0, c: good.d, ..good }, BAD, "matmul: beta_imag"),
        ("not a number", weft_matmul_desc { alpha_imag: f64::NAN, ..w.c32() }, BAD, "matmul: alpha_imag"),
        ("no c", weft_matmul_desc { beta_imag: 1.0, ..w.c32() }, BAD, "beta_imag is 1.0 but c is absent"),
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
            "matmul: d and a overlap",
        ),
        (
            "d and b",
            weft_matmul_desc { d: with_dims(good.b, &[M, N], &[]), ..good },
            "matmul: d and b overlap",
        ),
        (
            "d and c moved",
            weft_matmul_desc { c: d_as(&[1, N]), beta: 1.0, ..good },
            "matmul: d and c overlap",
        ),
        ("d and bias", weft_matmul_desc { bias: d_as(&[N]), ..good }, "matmul: d and bias overlap"),
        ("d and a mask", weft_matmul_desc { aux: mask, epilogue: 5, ..good }, "matmul: aux and d overlap"),
        (
            "a mask that is read",
            weft_matmul_desc { aux: mask, epilogue: 8, ..good },
            "matmul: d and aux overlap",
        ),
        ("d and amax", weft_matmul_desc { amax: d_as(&[1]), ..good }, "matmul: amax and d overlap"),
        (
            "a and a grad",
            weft_matmul_desc { flags: 32, bias_grad: with_dims(good.a, &[N], &[]), ..good },
            "matmul: bias_grad and a overlap",
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

/// The memory of `of`, by the handle of another buffer.
fn seen_twice(session: &Session, of: weft_tensor) -> weft_tensor {
    let mut info =
        weft_buffer_info { struct_size: size_of::<weft_buffer_info>() as u32, ..Default::default() };
    let desc =
        |address| weft_buffer_desc { struct_size: size_of::<weft_buffer_desc>() as u32, flags: 0, address };
    let mut buffer = 0;
    // SAFETY: valid pointers; the memory outlives the second buffer.
    ok(unsafe { weft_buffer_info_get(of.buffer, &mut info) });
    // SAFETY: as above.
    ok(unsafe { weft_buffer_create(session.context, info.size, &desc(info.address), &mut buffer) });
    weft_tensor { buffer, ..of }
}

/// Memory is told by where it lies, not by the buffer that names it.
#[test]
fn memory_that_two_buffers_name_is_shared() {
    let w = World::new();
    let good = w.f32();
    let [a, d] = [good.a, good.d].map(|t| seen_twice(&w.session, t));
    let over_a = weft_matmul_desc { d: with_dims(a, &[M, N], &[]), ..good };
    w.refused("d and a", over_a, BAD, "matmul: d and a overlap");
    let moved = weft_matmul_desc { c: with_dims(d, &[1, N], &[]), beta: 1.0, ..good };
    w.refused("d and a row of it", moved, BAD, "matmul: d and c overlap");
    let (status, message) = grouped(&w.session, &[weft_matmul_desc { d, ..good }, good]);
    assert_eq!(status, BAD, "{message}");
    // SAFETY: refused before anything is read.
    let copied = w.session.outcome(|out| unsafe {
        weft_copy(w.session.queue, a.buffer, 0, good.a.buffer, 4, 8, ptr::null(), out)
    });
    assert_eq!(copied, BAD, "{}", last_error());
    w.check_untouched();
    w.session.run(weft_matmul, &weft_matmul_desc { c: d, beta: 1.0, ..good });
    [a, d].into_iter().for_each(|t| ok(weft_buffer_release(t.buffer)));
}

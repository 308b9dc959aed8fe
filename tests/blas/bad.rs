//! What is wrong with a descriptor is named, and nothing is written.

use crate::array::Array;
use crate::desc;
use crate::support::*;
use weft::api::linear::*;
use weft::api::submit::weft_submit;
use weft::dtype::Dtype::*;
use weft::dtype::*;
use weft::layout::weft_tensor;
use weft::ops::blas::*;
use weft::status::*;

type Call<D> = unsafe extern "C" fn(u64, *const D, *const weft_submit, *mut u64) -> i32;

#[track_caller]
fn refused<D>(session: &Session, call: Call<D>, desc: &D, part: &str) {
    let (status, why) = session.refuse(call, desc);
    assert_eq!(status, WEFT_ERROR_INVALID_ARGUMENT, "{why}");
    assert!(why.contains(part), "{why}; expected {part}");
}

/// A tensor of the same buffer with other dims and strides.
fn shaped(tensor: weft_tensor, dims: &[i64], strides: &[i64]) -> weft_tensor {
    let mut tensor = weft_tensor { rank: dims.len() as u32, ..tensor };
    tensor.dims[..dims.len()].copy_from_slice(dims);
    tensor.strides = [0; 8];
    tensor.strides[..strides.len()].copy_from_slice(strides);
    tensor
}

fn typed(tensor: weft_tensor, dtype: u32) -> weft_tensor {
    weft_tensor { dtype, ..tensor }
}

#[test]
fn vectors() {
    let (session, mut rng) = (Session::new(1), Rng(41));
    let mut array = |dtype, dims: &[i64]| Array::normal(&session, &mut rng, dtype, dims, Style::Packed);
    let (x, y, one) = (array(F32, &[2, 6]), array(F32, &[2, 6]), array(F32, &[2]));
    let axpy = desc!(weft_axpy_desc { alpha: 1.0, x: x.desc, y: y.desc });
    let refuse = |d: &weft_axpy_desc, part: &str| refused(&session, weft_axpy, d, part);
    refuse(&weft_axpy_desc { flags: 1, ..axpy }, "axpy: flags are 0x1");
    refuse(
        &weft_axpy_desc { alpha_imag: 1.0, ..axpy },
        "axpy: alpha_imag is 1.0; expected 0 for elements of WEFT_F32",
    );
    refuse(
        &weft_axpy_desc { x: shaped(x.desc, &[2, 5], &[]), ..axpy },
        "axpy: x.dims are [2, 5]; expected [6] at their end",
    );
    refuse(&weft_axpy_desc { x: shaped(x.desc, &[], &[]), ..axpy }, "axpy: x.dims are []; expected [6]");
    refuse(
        &weft_axpy_desc { x: shaped(x.desc, &[1, 2, 6], &[]), ..axpy },
        "axpy: x.dims [1, 2, 6] cannot be broadcast",
    );
    refuse(
        &weft_axpy_desc { y: shaped(y.desc, &[], &[]), ..axpy },
        "axpy: y.rank is 0; expected 1 or more: a vector",
    );
    refuse(&weft_axpy_desc { y: shaped(y.desc, &[6], &[i64::MIN]), ..axpy }, "axpy: y.strides");
    refuse(
        &weft_axpy_desc { y: shaped(y.desc, &[2, 6], &[1, 0]), ..axpy },
        "axpy: y: dims [2, 6] strides [1, 0] make several indices",
    );
    refuse(&weft_axpy_desc { y: shaped(y.desc, &[3, 6], &[]), ..axpy }, "of a buffer of");
    refuse(
        &weft_axpy_desc { x: typed(x.desc, WEFT_F16), ..axpy },
        "axpy: x.dtype is WEFT_F16; expected WEFT_F32",
    );
    refuse(
        &weft_axpy_desc { y: typed(y.desc, WEFT_I32), ..axpy },
        "axpy: y.dtype is WEFT_I32; expected WEFT_F32, WEFT_F64, WEFT_C32, WEFT_C64",
    );
    let apart = shaped(y.desc, &[6], &[1]);
    let later = weft_tensor { offset: apart.offset + 4, ..apart };
    refuse(&weft_axpy_desc { x: later, y: apart, ..axpy }, "axpy: y and x overlap");
    let swap = desc!(weft_swap_desc { x: x.desc, y: x.desc });
    refused(&session, weft_swap, &swap, "swap: y and x overlap");
    let swap = desc!(weft_swap_desc { x: x.desc, y: one.desc });
    refused(&session, weft_swap, &swap, "swap: y.dims are [2]; expected [2, 6] (x's)");
    let rot = desc!(weft_rot_desc { s_imag: 0.5, x: x.desc, y: y.desc });
    refused(&session, weft_rot, &rot, "rot: s_imag is 0.5; expected 0");
    let scal = desc!(weft_scal_desc { x: weft_tensor { buffer: 0, ..x.desc } });
    refused(&session, weft_scal, &scal, "scal: x.buffer is 0");
    let dot = desc!(weft_dot_desc { x: x.desc, y: y.desc, result: one.desc });
    let refuse = |d: &weft_dot_desc, part: &str| refused(&session, weft_dot, d, part);
    refuse(&weft_dot_desc { flags: 2, ..dot }, "dot: flags are 0x2; expected only bits of 0x1");
    refuse(
        &weft_dot_desc { result: shaped(one.desc, &[], &[]), ..dot },
        "dot: x.dims [2, 6] cannot be broadcast to [6]",
    );
    refuse(&weft_dot_desc { result: shaped(x.desc, &[2], &[1]), ..dot }, "dot: result and x overlap");
    refuse(
        &weft_dot_desc { result: shaped(one.desc, &[1; 8], &[]), ..dot },
        "dot: result.rank is 8; expected 7 or less",
    );
    let norm = desc!(weft_vector_desc { x: x.desc, result: typed(one.desc, WEFT_I32) });
    refused(&session, weft_nrm2, &norm, "nrm2: result.dtype is WEFT_I32; expected WEFT_F32");
    refused(&session, weft_asum, &norm, "asum: result.dtype is WEFT_I32; expected WEFT_F32");
    refused(
        &session,
        weft_iamax,
        &weft_vector_desc { result: one.desc, ..norm },
        "iamax: result.dtype is WEFT_F32; expected WEFT_I64, WEFT_I32",
    );
    let long = shaped(x.desc, &[2, (1 << 31) + 1], &[6, 0]);
    refused(
        &session,
        weft_iamax,
        &weft_vector_desc { x: long, ..norm },
        "iamax: result.dtype is WEFT_I32 for vectors of 2147483649",
    );
    assert!([&x, &y, &one].into_iter().all(|array| array.untouched(&session)));
}

#[test]
fn matrices() {
    let (session, mut rng) = (Session::new(1), Rng(42));
    let mut array = |dtype, dims: &[i64]| Array::normal(&session, &mut rng, dtype, dims, Style::Packed);
    let (a, x, y, c) = (array(C32, &[4, 6]), array(C32, &[6]), array(C32, &[4]), array(C32, &[4, 4]));
    let gemv = desc!(weft_gemv_desc { alpha: 1.0, a: a.desc, x: x.desc, y: y.desc });
    let refuse = |d: &weft_gemv_desc, part: &str| refused(&session, weft_gemv, d, part);
    refuse(&weft_gemv_desc { flags: 2, ..gemv }, "gemv: flags are 0x2");
    refuse(
        &weft_gemv_desc { x: y.desc, y: x.desc, ..gemv },
        "gemv: a.dims are [4, 6]; expected [6, 6] at their end",
    );
    refuse(
        &weft_gemv_desc { x: y.desc, ..gemv },
        "gemv: x.dims are [4]; expected [6] at their end (a's columns)",
    );
    refuse(&weft_gemv_desc { a: x.desc, ..gemv }, "gemv: a.rank is 1; expected 2 or more: a matrix");
    refuse(&weft_gemv_desc { y: shaped(x.desc, &[4], &[1]), ..gemv }, "gemv: y and x overlap");
    refuse(&weft_gemv_desc { y: shaped(a.desc, &[4], &[6]), ..gemv }, "gemv: y and a overlap");
    refuse(
        &weft_gemv_desc { y: typed(y.desc, WEFT_F32), ..gemv },
        "gemv: y.dtype is WEFT_F32; expected WEFT_C32",
    );
    let ger = desc!(weft_ger_desc { alpha: 1.0, x: y.desc, y: x.desc, a: a.desc });
    refused(
        &session,
        weft_ger,
        &weft_ger_desc { x: x.desc, ..ger },
        "ger: x.dims are [6]; expected [4] at their end (a's rows)",
    );
    refused(
        &session,
        weft_ger,
        &weft_ger_desc { y: y.desc, ..ger },
        "ger: y.dims are [4]; expected [6] at their end (a's columns)",
    );
    refused(
        &session,
        weft_ger,
        &weft_ger_desc { x: shaped(a.desc, &[4], &[1]), ..ger },
        "ger: a and x overlap",
    );
    let syrk = desc!(weft_syrk_desc { alpha: 1.0, a: a.desc, c: c.desc });
    let refuse = |d: &weft_syrk_desc, part: &str| refused(&session, weft_syrk, d, part);
    refuse(&weft_syrk_desc { flags: 4, ..syrk }, "syrk: flags are 0x4; expected only bits of 0x3");
    refuse(&weft_syrk_desc { c: a.desc, ..syrk }, "syrk: c.dims are [4, 6]; expected a square matrix");
    refuse(&weft_syrk_desc { a: x.desc, ..syrk }, "syrk: a.rank is 1");
    refuse(
        &weft_syrk_desc { a: shaped(a.desc, &[3, 6], &[]), ..syrk },
        "syrk: a.dims are [3, 6]; expected [4, 6] at their end",
    );
    refuse(
        &weft_syrk_desc { flags: 1, beta_imag: 2.0, ..syrk },
        "syrk: beta_imag is 2; expected 0 with WEFT_BLAS_CONJUGATE",
    );
    refuse(&weft_syrk_desc { a: shaped(c.desc, &[4, 2], &[]), ..syrk }, "syrk: c and a overlap");
    let trsm = desc!(weft_trsm_desc { alpha: 1.0, a: c.desc, b: a.desc });
    let refuse = |d: &weft_trsm_desc, part: &str| refused(&session, weft_trsm, d, part);
    refuse(&weft_trsm_desc { flags: 16, ..trsm }, "trsm: flags are 0x10; expected only bits of 0xf");
    refuse(
        &weft_trsm_desc { flags: WEFT_BLAS_RIGHT, ..trsm },
        "trsm: a.dims are [4, 4]; expected [6, 6] at their end (b's columns, twice)",
    );
    refuse(
        &weft_trsm_desc { a: a.desc, ..trsm },
        "trsm: a.dims are [4, 6]; expected [4, 4] at their end (b's rows, twice)",
    );
    refuse(&weft_trsm_desc { b: x.desc, ..trsm }, "trsm: b.rank is 1; expected 2 or more: a matrix");
    refuse(&weft_trsm_desc { b: c.desc, ..trsm }, "trsm: b and a overlap");
    assert!([&a, &x, &y, &c].into_iter().all(|array| array.untouched(&session)));
}

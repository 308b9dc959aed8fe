//! gemv, ger and syrk.

use crate::array::*;
use crate::complex::*;
use crate::support::*;
use crate::{DTYPES, desc};
use weft::api::linear::*;
use weft::dtype::Dtype;
use weft::ops::blas::*;

/// alpha and beta of a product, and what is there before.
struct Scales {
    alpha: C,
    beta: C,
}

fn scales(rng: &mut Rng, dtype: Dtype) -> Scales {
    Scales { alpha: factor(rng, dtype), beta: factor(rng, dtype) }
}

/// What is written: NaN where it must not be read.
fn target(session: &Session, rng: &mut Rng, dtype: Dtype, dims: &[i64], beta: C) -> Array {
    let style = style(rng);
    let unread = beta == C::default();
    if unread {
        Array::nan(session, rng, dtype, dims, style)
    } else {
        Array::normal(session, rng, dtype, dims, style)
    }
}

/// What is read: NaN where alpha is 0.
fn source(session: &Session, rng: &mut Rng, dtype: Dtype, dims: &[i64], alpha: C) -> Array {
    let style = any_style(rng);
    let unread = alpha == C::default();
    if unread {
        Array::nan(session, rng, dtype, dims, style)
    } else {
        Array::normal(session, rng, dtype, dims, style)
    }
}

/// alpha sum + beta before.
fn finished(sum: Sum, by: &Scales, before: C) -> Sum {
    let sum = if by.alpha == C::default() { Sum::default() } else { sum.scaled(by.alpha) };
    if by.beta == C::default() { sum } else { sum.plus(Sum::of([(by.beta, before)].into_iter())) }
}

fn gemv(session: &Session, rng: &mut Rng, dtype: Dtype, batch: &[i64], (m, n): (i64, i64)) {
    let by = scales(rng, dtype);
    let (a_batch, x_batch) = (narrower(rng, batch), narrower(rng, batch));
    let a = source(session, rng, dtype, &dims(&a_batch, &[m, n]), by.alpha);
    let x = source(session, rng, dtype, &dims(&x_batch, &[n]), by.alpha);
    let y = target(session, rng, dtype, &dims(batch, &[m]), by.beta);
    let flags = if rng.chance(2) { WEFT_BLAS_CONJUGATE } else { 0 };
    let desc = desc!(weft_gemv_desc {
        flags: flags,
        alpha: by.alpha.re,
        alpha_imag: by.alpha.im,
        beta: by.beta.re,
        beta_imag: by.beta.im,
        a: a.desc,
        x: x.desc,
        y: y.desc,
    });
    session.run(weft_gemv, &desc);
    for (i, &got) in y.read(session).iter().enumerate() {
        let (vector, row) = (i / m as usize, i % m as usize);
        let line = &a.block(batch, vector, 2)[row * n as usize..(row + 1) * n as usize];
        let pairs = line.iter().zip(x.block(batch, vector, 1));
        let want = finished(Sum::of(pairs.map(|(a, x)| (a.conj_if(flags != 0), *x))), &by, y.values[i]);
        let what = format!("gemv {dtype:?} {:?} of {m} x {n}, {batch:?}, element {i}", desc.a.strides);
        want.check(&what, dtype, got, n as f64 + 4.0);
    }
    session_free(&[&a, &x, &y]);
}

fn session_free(arrays: &[&Array]) {
    arrays.iter().for_each(|array| ok(weft::api::buffer::weft_buffer_release(array.desc.buffer)));
}

#[test]
fn gemv_multiplies_any_layout() {
    let (session, mut rng) = (Session::new(2), Rng(11));
    for _ in 0..cases(300) {
        let (dtype, batch) = (rng.pick(&DTYPES), batch(&mut rng));
        let sizes = (rng.size(129, true), rng.size(257, true));
        gemv(&session, &mut rng, dtype, &batch, sizes);
    }
    for sizes in [(3, 20_011), (20_011, 3), (1, 9001), (9001, 1), (130, 5001), (2100, 130), (1000, 1000)] {
        for _ in 0..3 {
            let dtype = rng.pick(&DTYPES);
            gemv(&session, &mut rng, dtype, &[], sizes);
        }
    }
}

#[test]
fn ger_adds_products_of_vectors() {
    let (session, mut rng) = (Session::new(2), Rng(12));
    for case in 0..cases(160) {
        let (dtype, batch) = (rng.pick(&DTYPES), batch(&mut rng));
        let (m, n) = if case % 40 == 0 { (67, 3001) } else { (rng.size(129, true), rng.size(129, true)) };
        let alpha = factor(&mut rng, dtype);
        let (x_batch, y_batch) = (narrower(&mut rng, &batch), narrower(&mut rng, &batch));
        let x = source(&session, &mut rng, dtype, &dims(&x_batch, &[m]), alpha);
        let y = source(&session, &mut rng, dtype, &dims(&y_batch, &[n]), alpha);
        let style = style(&mut rng);
        let a = Array::normal(&session, &mut rng, dtype, &dims(&batch, &[m, n]), style);
        let flags = if rng.chance(2) { WEFT_BLAS_CONJUGATE } else { 0 };
        let desc = desc!(weft_ger_desc {
            flags: flags,
            alpha: alpha.re,
            alpha_imag: alpha.im,
            x: x.desc,
            y: y.desc,
            a: a.desc,
        });
        session.run(weft_ger, &desc);
        let size = (m * n) as usize;
        for (i, &got) in a.read(&session).iter().enumerate() {
            let (matrix, row, col) = (i / size, i % size / n as usize, i % size % n as usize);
            let before = Sum::of([(C::new(1.0, 0.0), a.values[i])].into_iter());
            let pair = (x.block(&batch, matrix, 1)[row], y.block(&batch, matrix, 1)[col].conj_if(flags != 0));
            let product = Sum::of([pair].into_iter()).scaled(alpha);
            let want = if alpha == C::default() { before } else { before.plus(product) };
            want.check(&format!("ger {dtype:?} {m} x {n} {batch:?} {flags}"), dtype, got, 4.0);
        }
        session_free(&[&a, &x, &y]);
    }
}

/// Real where the product is Hermitian.
fn real_if(hermitian: bool, value: C) -> C {
    if hermitian { C::new(value.re, 0.0) } else { value }
}

fn syrk(session: &Session, rng: &mut Rng, dtype: Dtype, batch: &[i64], (n, depth): (i64, i64)) {
    let (upper, conjugate) = (rng.chance(2), rng.chance(2));
    let hermitian = conjugate && is_complex(dtype);
    let by = scales(rng, dtype);
    let by = Scales { alpha: real_if(hermitian, by.alpha), beta: real_if(hermitian, by.beta) };
    let a_batch = narrower(rng, batch);
    let a = source(session, rng, dtype, &dims(&a_batch, &[n, depth]), by.alpha);
    let c = target(session, rng, dtype, &dims(batch, &[n, n]), by.beta);
    let flags = if upper { WEFT_BLAS_UPPER } else { 0 } | if conjugate { WEFT_BLAS_CONJUGATE } else { 0 };
    let desc = desc!(weft_syrk_desc {
        flags: flags,
        alpha: by.alpha.re,
        alpha_imag: by.alpha.im,
        beta: by.beta.re,
        beta_imag: by.beta.im,
        a: a.desc,
        c: c.desc,
    });
    session.run(weft_syrk, &desc);
    let side = n as usize;
    for (i, &got) in c.read(session).iter().enumerate() {
        let (matrix, row, col) = (i / side / side, i / side % side, i % side);
        let what = format!("syrk {dtype:?} {n} x {depth} {batch:?} flags {flags}, ({row}, {col})");
        if if upper { col < row } else { col > row } {
            let bits = |value: C| [value.re.to_bits(), value.im.to_bits()];
            assert_eq!(bits(got), bits(c.values[i]), "{what}: the other triangle");
            continue;
        }
        let block = a.block(batch, matrix, 2);
        let line = |row: usize| &block[row * depth as usize..(row + 1) * depth as usize];
        let pairs = line(row).iter().zip(line(col)).map(|(a, b)| (*a, b.conj_if(hermitian)));
        let diagonal = hermitian && row == col;
        let before = real_if(diagonal, c.values[i]);
        let mut want = finished(Sum::of(pairs), &by, before);
        want.value = real_if(diagonal, want.value);
        want.check(&what, dtype, got, depth as f64 + 4.0);
        assert!(!diagonal || got.im == 0.0, "{what}: the diagonal is real");
    }
    session_free(&[&a, &c]);
}

#[test]
fn syrk_writes_one_triangle() {
    let (session, mut rng) = (Session::new(2), Rng(13));
    for _ in 0..cases(120) {
        let (dtype, batch) = (rng.pick(&DTYPES), batch(&mut rng));
        let sizes = (rng.size(96, true), rng.size(129, true));
        syrk(&session, &mut rng, dtype, &batch, sizes);
    }
    for (dtype, sizes) in DTYPES.into_iter().zip([(300, 17), (257, 40), (129, 300), (140, 33)]) {
        syrk(&session, &mut rng, dtype, &[], sizes);
        syrk(&session, &mut rng, dtype, &[2], sizes);
    }
    // Of several blocks, where the vendor's library multiplies.
    let large = by_device(vec![], vec![(600, 17), (1100, 9), (513, 40), (770, 21)]);
    for (dtype, sizes) in DTYPES.into_iter().zip(large) {
        syrk(&session, &mut rng, dtype, &[], sizes);
        syrk(&session, &mut rng, dtype, &[2], sizes);
    }
}

#[test]
fn nan_passes_through_products() {
    let (session, mut rng) = (Session::new(1), Rng(14));
    for dtype in DTYPES {
        let nan_at = |at: usize| {
            let mut number = 0;
            move |_: &mut Rng| {
                number += 1;
                C::new(if number == at + 1 { f64::NAN } else { 1.0 }, 0.0)
            }
        };
        // A NaN in row 1 of A meets a zero of x: it is not skipped.
        let a = Array::new(&session, &mut rng, dtype, &[3, 4], Style::Packed, nan_at(5));
        let x = Array::new(&session, &mut rng, dtype, &[4], Style::Packed, |_| C::default());
        let y = Array::normal(&session, &mut rng, dtype, &[3], Style::Packed);
        session.run(weft_gemv, &desc!(weft_gemv_desc { alpha: 1.0, a: a.desc, x: x.desc, y: y.desc }));
        let nan: Vec<bool> = y.read(&session).iter().map(|y| y.re.is_nan()).collect();
        assert_eq!(nan, [false, true, false], "gemv {dtype:?}");
        let a = Array::new(&session, &mut rng, dtype, &[2, 4], Style::Packed, |_| C::default());
        let x = Array::new(&session, &mut rng, dtype, &[2], Style::Packed, nan_at(0));
        session.run(
            weft_ger,
            &desc!(weft_ger_desc {
                alpha: 1.0,
                x: x.desc,
                y: y.desc,
                a: {
                    let mut a = a.desc;
                    a.dims[1] = 3;
                    a.strides[..2].copy_from_slice(&[4, 1]);
                    a
                }
            }),
        );
        let nan: Vec<bool> = a.read(&session).iter().map(|a| a.re.is_nan()).collect();
        assert_eq!(nan, [true, true, true, false, false, true, false, false], "ger {dtype:?}");
    }
}

//! axpy, scal, swap, rot, dot, nrm2, asum, iamax.

use crate::array::*;
use crate::complex::*;
use crate::support::*;
use crate::{DTYPES, desc};
use weft::api::linear::*;
use weft::dtype::Dtype::{self, *};
use weft::ops::blas::*;

/// A length: often tiny, sometimes long.
fn length(rng: &mut Rng) -> i64 {
    if rng.chance(12) { rng.pick(&[1023, 1024, 1025, 4099, 70_001]) } else { rng.size(257, true) }
}

fn one(sum: &mut Sum, value: C) {
    sum.add(C::new(1.0, 0.0), value);
}

#[test]
fn axpy_adds_multiples() {
    let (session, mut rng) = (Session::new(2), Rng(1));
    for _ in 0..cases(160) {
        let (dtype, batch, n) = (rng.pick(&DTYPES), batch(&mut rng), length(&mut rng));
        let (x_batch, style_x, style_y) = (narrower(&mut rng, &batch), any_style(&mut rng), style(&mut rng));
        let x = Array::normal(&session, &mut rng, dtype, &dims(&x_batch, &[n]), style_x);
        let y = Array::normal(&session, &mut rng, dtype, &dims(&batch, &[n]), style_y);
        let alpha = factor(&mut rng, dtype);
        let desc = desc!(weft_axpy_desc { alpha: alpha.re, alpha_imag: alpha.im, x: x.desc, y: y.desc });
        session.run(weft_axpy, &desc);
        let got = y.read(&session);
        for (i, &got) in got.iter().enumerate() {
            let (vector, element) = (i / n as usize, i % n as usize);
            let mut want = Sum::default();
            one(&mut want, y.values[i]);
            want.add(alpha, x.block(&batch, vector, 1)[element]);
            want.check(&format!("axpy {dtype:?} {:?} {i}", desc.y), dtype, got, 2.0);
        }
        assert!(x.untouched(&session));
    }
}

#[test]
fn axpy_may_add_a_vector_to_itself_and_by_zero_reads_nothing() {
    let (session, mut rng) = (Session::new(1), Rng(2));
    for dtype in DTYPES {
        let x = Array::normal(&session, &mut rng, dtype, &[3, 41], Style::Hostile);
        session.run(weft_axpy, &desc!(weft_axpy_desc { alpha: 2.0, x: x.desc, y: x.desc }));
        for (i, &got) in x.read(&session).iter().enumerate() {
            let want = Sum::of([(C::new(3.0, 0.0), x.values[i])].into_iter());
            want.check("axpy of x and x", dtype, got, 2.0);
        }
        let (x, y) = (
            Array::nan(&session, &mut rng, dtype, &[41], Style::Packed),
            Array::normal(&session, &mut rng, dtype, &[41], Style::Hostile),
        );
        session.run(weft_axpy, &desc!(weft_axpy_desc { alpha: 0.0, x: x.desc, y: y.desc }));
        assert!(y.untouched(&session), "axpy by 0");
    }
}

#[test]
fn scal_multiplies_zero_with_nan_too() {
    let (session, mut rng) = (Session::new(2), Rng(3));
    for _ in 0..cases(80) {
        let (dtype, batch, n) = (rng.pick(&DTYPES), batch(&mut rng), length(&mut rng));
        let style = style(&mut rng);
        let x = Array::normal(&session, &mut rng, dtype, &dims(&batch, &[n]), style);
        let alpha = factor(&mut rng, dtype);
        let desc = desc!(weft_scal_desc { alpha: alpha.re, alpha_imag: alpha.im, x: x.desc });
        session.run(weft_scal, &desc);
        for (&got, &x) in x.read(&session).iter().zip(&x.values) {
            Sum::of([(alpha, x)].into_iter()).check("scal", dtype, got, 1.5);
        }
    }
    for dtype in DTYPES {
        let x = Array::nan(&session, &mut rng, dtype, &[7], Style::Packed);
        session.run(weft_scal, &desc!(weft_scal_desc { alpha: 0.0, x: x.desc }));
        assert!(x.read(&session).iter().all(|x| x.re.is_nan()), "0 times NaN is NaN");
    }
}

#[test]
fn swap_moves_bits_and_rot_turns() {
    let (session, mut rng) = (Session::new(2), Rng(4));
    for _ in 0..cases(120) {
        let (dtype, batch, n) = (rng.pick(&DTYPES), batch(&mut rng), length(&mut rng));
        let ((style_x, style_y), dims) = ((style(&mut rng), style(&mut rng)), dims(&batch, &[n]));
        let x = Array::normal(&session, &mut rng, dtype, &dims, style_x);
        let y = Array::normal(&session, &mut rng, dtype, &dims, style_y);
        if rng.chance(2) {
            session.run(weft_swap, &desc!(weft_swap_desc { x: x.desc, y: y.desc }));
            assert_eq!((x.read(&session), y.read(&session)), (y.values.clone(), x.values.clone()));
            continue;
        }
        let (c, s) = (rounded(dtype, C::new(rng.normal(), 0.0)), factor(&mut rng, dtype));
        session.run(weft_rot, &desc!(weft_rot_desc { c: c.re, s: s.re, s_imag: s.im, x: x.desc, y: y.desc }));
        let pairs = x.values.iter().zip(&y.values);
        for ((&x, &y), (got_x, got_y)) in pairs.zip(x.read(&session).into_iter().zip(y.read(&session))) {
            Sum::of([(c, x), (s, y)].into_iter()).check("rot: x", dtype, got_x, 3.0);
            let minus = C::new(0.0, 0.0) - s.conj_if(true);
            Sum::of([(c, y), (minus, x)].into_iter()).check("rot: y", dtype, got_y, 3.0);
        }
    }
}

#[test]
fn dot_sums_products() {
    let (session, mut rng) = (Session::new(2), Rng(5));
    for case in 0..cases(160) {
        let (dtype, batch, n) = (rng.pick(&DTYPES), batch(&mut rng), length(&mut rng));
        // Long enough for many pieces, once.
        let n = if case == 0 { 300_007 } else { n };
        let (x_batch, y_batch) = (narrower(&mut rng, &batch), narrower(&mut rng, &batch));
        let styles = (any_style(&mut rng), any_style(&mut rng), style(&mut rng));
        let x = Array::normal(&session, &mut rng, dtype, &dims(&x_batch, &[n]), styles.0);
        let y = Array::normal(&session, &mut rng, dtype, &dims(&y_batch, &[n]), styles.1);
        let result = Array::nan(&session, &mut rng, dtype, &batch, styles.2);
        let flags = if rng.chance(2) { WEFT_BLAS_CONJUGATE } else { 0 };
        let desc = desc!(weft_dot_desc { flags: flags, x: x.desc, y: y.desc, result: result.desc });
        session.run(weft_dot, &desc);
        for (i, &got) in result.read(&session).iter().enumerate() {
            let (x, y) = (x.block(&batch, i, 1), y.block(&batch, i, 1));
            let want = Sum::of(x.iter().zip(y).map(|(x, y)| (x.conj_if(flags != 0), *y)));
            let own = want.value.abs() * unit(part(dtype)) * 1.5;
            let most = own + 2.0 * want.own_error() + tiny(dtype);
            near(&format!("dot {dtype:?} of {n}, {flags}"), got, want.value, most);
        }
    }
}

/// A vector for nrm2, asum and iamax: of numbers of one scale, or of several.
fn spread(session: &Session, rng: &mut Rng, dtype: Dtype, dims: &[i64], style: Style) -> Array {
    let most = if part(dtype) == F32 { 38 } else { 307 };
    let scales = rng.pick(&[[0, 0], [-most, -most], [most, most], [-most, most]]);
    let value = move |rng: &mut Rng| {
        let mut number = || {
            (rng.normal() * 10f64.powi(rng.range(scales[0], scales[1].max(scales[0])) as i32 / 2 * 2)) / 8.0
        };
        C::new(number(), number())
    };
    Array::new(session, rng, dtype, dims, style, value)
}

/// The norm without overflow, by the largest part.
fn norm(x: &[C]) -> f64 {
    let most = x.iter().fold(0.0f64, |most, x| most.max(x.re.abs()).max(x.im.abs()));
    if most == 0.0 {
        return 0.0;
    }
    // Two scales, for 1 / most may overflow.
    let half = most.sqrt();
    let square = |x: f64| (x / half / half) * (x / half / half);
    let sum: f64 = x.iter().map(|x| square(x.re) + square(x.im)).sum();
    sum.sqrt() * half * half
}

fn real(dtype: Dtype) -> Dtype {
    part(dtype)
}

#[test]
fn norms_and_sums_neither_overflow_nor_underflow() {
    let (session, mut rng) = (Session::new(2), Rng(6));
    for case in 0..cases(200) {
        let (dtype, batch, n) = (rng.pick(&DTYPES), batch(&mut rng), length(&mut rng));
        let n = if case == 0 { 200_003 } else { n };
        let (x_batch, styles) = (narrower(&mut rng, &batch), (any_style(&mut rng), style(&mut rng)));
        let x = spread(&session, &mut rng, dtype, &dims(&x_batch, &[n]), styles.0);
        let result = Array::nan(&session, &mut rng, real(dtype), &batch, styles.1);
        let desc = desc!(weft_vector_desc { x: x.desc, result: result.desc });
        let root = rng.chance(2);
        if root {
            session.run(weft_nrm2, &desc)
        } else {
            session.run(weft_asum, &desc)
        };
        for (i, got) in result.read(&session).iter().enumerate() {
            let x = x.block(&batch, i, 1);
            let sum = |x: &[C]| x.iter().map(|x| x.re.abs() + x.im.abs()).sum::<f64>();
            let want = if root { norm(x) } else { sum(x) };
            let want = rounded(real(dtype), C::new(want, 0.0)).re;
            let off = (8.0 * n as f64 + 40.0) * 2f64.powi(-53) + 2.0 * unit(real(dtype));
            near(&format!("{root} {dtype:?} of {n}"), *got, C::new(want, 0.0), off * want + tiny(dtype));
        }
    }
}

#[test]
fn norms_know_nan_and_infinity() {
    let (session, mut rng) = (Session::new(1), Rng(7));
    let inf = f64::INFINITY;
    let cases: [(&[f64], f64); 7] = [
        (&[], 0.0),
        (&[0.0, -0.0], 0.0),
        (&[3.0, -4.0], 5.0),
        (&[1.0, -inf, 2.0], inf),
        (&[1.0, f64::NAN, 2.0], f64::NAN),
        (&[inf, f64::NAN], f64::NAN),
        (&[f64::NAN, 0.0, -inf], f64::NAN),
    ];
    for dtype in DTYPES {
        for (values, want) in cases {
            let mut left = values.iter();
            let value = |_: &mut Rng| C::new(*left.next().unwrap(), 0.0);
            let x = Array::new(&session, &mut rng, dtype, &[values.len() as i64], Style::Packed, value);
            let result = Array::nan(&session, &mut rng, real(dtype), &[], Style::Packed);
            session.run(weft_nrm2, &desc!(weft_vector_desc { x: x.desc, result: result.desc }));
            near("nrm2", result.read(&session)[0], C::new(want, 0.0), 1e-6);
            session.run(weft_asum, &desc!(weft_vector_desc { x: x.desc, result: result.desc }));
            let sum = values.iter().map(|x| x.abs()).sum::<f64>();
            near("asum", result.read(&session)[0], C::new(sum, 0.0), 1e-6);
        }
    }
}

/// As the reference's loop has it, from 0; the size of an element is rounded to its parts' dtype.
fn first_largest(x: &[C], dtype: Dtype) -> f64 {
    let size = |x: &C| rounded(real(dtype), C::new(x.re.abs() + x.im.abs(), 0.0)).re;
    let (mut most, mut found) = (x.first().map_or(0.0, size), 0);
    for (i, x) in x.iter().enumerate().skip(1) {
        if size(x) > most {
            (most, found) = (size(x), i);
        }
    }
    if x.is_empty() { -1.0 } else { found as f64 }
}

#[test]
fn iamax_finds_the_first_of_equals() {
    let (session, mut rng) = (Session::new(2), Rng(8));
    for case in 0..cases(200) {
        let (dtype, batch, n) = (rng.pick(&DTYPES), batch(&mut rng), length(&mut rng));
        let n = if case == 0 { 200_003 } else { n };
        let (x_batch, styles) = (narrower(&mut rng, &batch), (any_style(&mut rng), style(&mut rng)));
        // Few different numbers, so that the largest is there often; NaN and infinities at times.
        let odd = rng.chance(4);
        let value = move |rng: &mut Rng| {
            let mut number = || match rng.range(0, 40) {
                0 if odd => f64::NAN,
                1 if odd => f64::NEG_INFINITY,
                _ => rng.range(-3, 3) as f64,
            };
            C::new(number(), number())
        };
        let x = Array::new(&session, &mut rng, dtype, &dims(&x_batch, &[n]), styles.0, value);
        let whole = rng.pick(&[I32, I64]);
        let result = Array::new(&session, &mut rng, whole, &batch, styles.1, |_| C::new(77.0, 0.0));
        session.run(weft_iamax, &desc!(weft_vector_desc { x: x.desc, result: result.desc }));
        for (i, got) in result.read(&session).iter().enumerate() {
            let want = first_largest(x.block(&batch, i, 1), dtype);
            assert_eq!(got.re, want, "iamax {dtype:?} of {n}, vector {i}");
        }
    }
}

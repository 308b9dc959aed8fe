//! trsm: what is left of B when A X is subtracted, element by element.

use crate::array::*;
use crate::complex::*;
use crate::support::*;
use crate::{DTYPES, desc};
use weft::api::linear::*;
use weft::dtype::Dtype;
use weft::ops::blas::*;

/// The element of the triangle that counts, whatever lies there.
fn element(a: &[C], n: usize, flags: u32, (i, j): (usize, usize)) -> C {
    let upper = flags & WEFT_BLAS_UPPER != 0;
    match () {
        _ if i == j && flags & WEFT_BLAS_UNIT != 0 => C::new(1.0, 0.0),
        _ if i == j || (i < j) == upper => a[i * n + j].conj_if(flags & WEFT_BLAS_CONJUGATE != 0),
        _ => C::default(),
    }
}

/// A triangle that is not too far from the identity; NaN where nothing may be read.
fn triangle(session: &Session, rng: &mut Rng, dtype: Dtype, dims: &[i64], flags: u32) -> Array {
    let (n, style) = (dims[dims.len() - 1] as usize, style(rng));
    let (upper, unit, mut number) = (flags & WEFT_BLAS_UPPER != 0, flags & WEFT_BLAS_UNIT != 0, 0);
    let value = |rng: &mut Rng| {
        let (i, j) = (number / n % n, number % n);
        number += 1;
        let small = 1.0 / (n as f64).sqrt();
        let sign = if rng.chance(2) { 1.0 } else { -1.0 };
        match () {
            _ if i == j && unit => C::new(f64::NAN, f64::NAN),
            _ if i == j => C::new(sign * (1.0 + rng.uniform()), rng.normal()),
            _ if (i < j) == upper => C::new(small * rng.normal(), small * rng.normal()),
            _ => C::new(f64::NAN, f64::NAN),
        }
    };
    Array::new(session, rng, dtype, dims, style, value)
}

fn trsm(session: &Session, rng: &mut Rng, dtype: Dtype, batch: &[i64], (n, columns): (i64, i64)) {
    let flags = rng.range(0, 15) as u32;
    let right = flags & WEFT_BLAS_RIGHT != 0;
    let alpha = factor(rng, dtype);
    let zero = alpha == C::default();
    let a_batch = narrower(rng, batch);
    let a_dims = dims(&a_batch, &[n, n]);
    let a = match zero {
        true => Array::nan(session, rng, dtype, &a_dims, Style::Packed),
        false => triangle(session, rng, dtype, &a_dims, flags),
    };
    let b_dims = dims(batch, &if right { [columns, n] } else { [n, columns] });
    let style = style(rng);
    let b = match zero {
        true => Array::nan(session, rng, dtype, &b_dims, style),
        false => Array::normal(session, rng, dtype, &b_dims, style),
    };
    let desc =
        desc!(weft_trsm_desc { flags: flags, alpha: alpha.re, alpha_imag: alpha.im, a: a.desc, b: b.desc });
    session.run(weft_trsm, &desc);
    let (got, n, columns) = (b.read(session), n as usize, columns as usize);
    let at = |i: usize, j: usize| if right { j * n + i } else { i * columns + j };
    for (matrix, x) in got.chunks(if got.is_empty() { 1 } else { n * columns }).enumerate() {
        if zero {
            assert!(x.iter().all(|&x| x == C::default()), "trsm by 0");
            continue;
        }
        let triangle = a.block(batch, matrix, 2);
        for (i, j) in (0..n).flat_map(|i| (0..columns).map(move |j| (i, j))) {
            // Row i of A from the left, column i from the right.
            let term = |k: usize| element(triangle, n, flags, if right { (k, i) } else { (i, k) });
            let known = |k: usize| x[at(k, j)];
            let product = Sum::of((0..n).map(|k| (term(k), known(k))));
            let before = b.values[matrix * n * columns + at(i, j)];
            let left = product.plus(Sum::of([(C::new(-alpha.re, -alpha.im), before)].into_iter()));
            let what = format!("trsm {dtype:?} {n} {columns} flags {flags:#x} {batch:?}: ({i}, {j})");
            let mut allowed = left;
            allowed.value = C::default();
            let twice = if is_complex(dtype) { 2.0 } else { 1.0 };
            allowed.check(&what, dtype, left.value, twice * (n as f64 + 4.0));
        }
    }
    [a, b].iter().for_each(|array| ok(weft::api::buffer::weft_buffer_release(array.desc.buffer)));
}

#[test]
fn trsm_solves_what_it_says() {
    let (session, mut rng) = (Session::new(2), Rng(21));
    for _ in 0..cases(200) {
        let (dtype, batch) = (rng.pick(&DTYPES), batch(&mut rng));
        let sizes = (rng.size(67, true), rng.size(67, true));
        trsm(&session, &mut rng, dtype, &batch, sizes);
    }
    for (dtype, sizes) in DTYPES.into_iter().zip([(257, 70), (200, 129), (130, 31), (161, 65)]) {
        trsm(&session, &mut rng, dtype, &[], sizes);
        trsm(&session, &mut rng, dtype, &[2], sizes);
        trsm(&session, &mut rng, dtype, &[], (sizes.0, 1));
    }
}

#[test]
fn a_singular_triangle_gives_infinities() {
    let (session, mut rng) = (Session::new(1), Rng(22));
    for dtype in DTYPES {
        let a = Array::new(&session, &mut rng, dtype, &[1, 1], Style::Packed, |_| C::default());
        let b = Array::new(&session, &mut rng, dtype, &[1, 1], Style::Packed, |_| C::new(2.0, 0.0));
        session.run(weft_trsm, &desc!(weft_trsm_desc { alpha: 1.0, a: a.desc, b: b.desc }));
        assert!(!b.read(&session)[0].re.is_finite());
    }
}

#[test]
fn quotients_of_large_complex_numbers_are_finite() {
    let (session, mut rng) = (Session::new(1), Rng(23));
    for (dtype, huge) in [(Dtype::C32, 1e30), (Dtype::C64, 1e300)] {
        for (re, im) in [(huge, huge / 2.0), (huge / 4.0, -huge)] {
            let a = Array::new(&session, &mut rng, dtype, &[1, 1], Style::Packed, |_| C::new(re, im));
            let b = Array::new(&session, &mut rng, dtype, &[1, 1], Style::Packed, |_| C::new(re, im));
            session.run(weft_trsm, &desc!(weft_trsm_desc { alpha: 1.0, a: a.desc, b: b.desc }));
            near("1", b.read(&session)[0], C::new(1.0, 0.0), 1e-6);
        }
    }
}

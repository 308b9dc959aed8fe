//! Softmax and log-softmax against f64.

mod support;

use std::sync::{Mutex, MutexGuard};
use support::*;
use weft::api::operations::weft_softmax;
use weft::dtype::Dtype::{self, *};
use weft::ops::softmax::*;

/// Forcing a choice concerns the whole process: one test at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn desc(x: &Tensor, y: &Tensor, axis: i32) -> weft_softmax_desc {
    let struct_size = size_of::<weft_softmax_desc>() as u32;
    weft_softmax_desc { struct_size, x: x.desc, y: y.desc, axis, ..Default::default() }
}

/// A sum with the rounding of each addition added back (Neumaier).
fn total(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0f64, 0.0);
    for value in values {
        let next = sum + value;
        lost += if sum.abs() >= value.abs() { (sum - next) + value } else { (value - next) + sum };
        sum = next;
    }
    sum + lost
}

/// (values, error bounds) of the softmax along `axis`.
fn want(x: &Tensor, axis: usize, scale: f64, log: bool) -> (Vec<f64>, Vec<f64>) {
    let (dims, dtype) = (x.dims(), x.dtype);
    let e = if dtype == F64 { unit(F64) } else { unit(F32) };
    let inner = dims[axis + 1..].iter().product::<i64>() as usize;
    let (count, all) = (dims[axis] as usize, x.values.len());
    let (mut y, mut bound) = (vec![0.0; all], vec![0.0; all]);
    for first in (0..all).filter(|i| (i / inner).is_multiple_of(count)) {
        let at = |i: usize| first + i * inner;
        let scaled: Vec<f64> = (0..count).map(|i| x.values[at(i)] * scale).collect();
        let most = scaled.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
        let sum = total(scaled.iter().map(|x| (x - most).exp()));
        for (i, x) in scaled.iter().enumerate() {
            let value = if log { x - most - sum.ln() } else { (x - most).exp() / sum };
            let slack = if log {
                e * (10.0 + 3.0 * (x.abs() + most.abs() + value.abs()))
            } else {
                e * (10.0 + 3.0 * (x.abs() + most.abs())) * value
            };
            let smallest = if dtype == F16 { 6e-8 } else { 1e-38 };
            y[at(i)] = value;
            bound[at(i)] = slack + unit(dtype) * value.abs() * 1.001 + smallest;
        }
    }
    (y, bound.iter().map(|b| if b.is_nan() { 0.0 } else { *b }).collect())
}

fn check(session: &Session, rng: &mut Rng, dtype: Dtype, dims: &[i64], value: impl FnMut(&mut Rng) -> f64) {
    let axis = rng.range(0, dims.len() as i64 - 1) as usize;
    check_axis(session, rng, dtype, dims, axis, value);
}

fn check_axis(
    session: &Session,
    rng: &mut Rng,
    dtype: Dtype,
    dims: &[i64],
    axis: usize,
    value: impl FnMut(&mut Rng) -> f64,
) {
    let place = rng.chance(3);
    let styles = [Style::Packed, Style::Packed, Style::Hostile, Style::Repeated];
    let style = rng.pick(&styles[..if place { 3 } else { 4 }]);
    let x = session.tensor(rng, dtype, dims, style, value);
    let style = rng.pick(&styles[..3]);
    let y = session.output(rng, dtype, dims, style);
    let target = if place { &x } else { &y };
    let signed = if rng.chance(2) { axis as i32 - dims.len() as i32 } else { axis as i32 };
    let scale = rng.pick(&[0.0, 0.0, 0.125, -2.0]);
    let log = rng.chance(2);
    let flags = if log { WEFT_SOFTMAX_LOG } else { 0 };
    let desc = weft_softmax_desc { flags, scale, ..desc(&x, target, signed) };
    session.run(weft_softmax, &desc);
    let (values, bound) = want(&x, axis, if scale == 0.0 { 1.0 } else { scale }, log);
    close(&format!("{desc:?}"), &session.read(target), &values, |i| bound[i]);
    session.free(&[&x, &y]);
}

#[test]
fn random_softmaxes() {
    let _alone = alone();
    let session = Session::new(2);
    let mut rng = Rng(31);
    for i in 0..1600 {
        let rank = rng.range(1, 4);
        let mut dims: Vec<i64> = (0..rank).map(|_| rng.size(if rank > 2 { 17 } else { 129 }, true)).collect();
        if rng.chance(6) {
            dims = vec![rng.range(1, 4), rng.pick(&[1000, 4095, 4097, 9001])];
        }
        let size = rng.pick(&[1.0, 1.0, 10.0, 1000.0]);
        check(&session, &mut rng, [F32, F64, F16, Bf16][i % 4], &dims, |rng| size * rng.normal());
    }
}

#[test]
fn many_rows_and_long_rows() {
    let _alone = alone();
    let session = Session::new(2);
    let mut rng = Rng(32);
    let rows = [([2000, 257], 1), ([2, 300_001], 1), ([66_000, 8], 1), ([9, 4096], 1), ([3, 16_384], 1)];
    let more = [([300, 4000], 0), ([5, 70_000], 0), ([1, 32_000], 1)];
    for (dims, axis) in rows.into_iter().chain(more) {
        check_axis(&session, &mut rng, F32, &dims, axis, |rng| 3.0 * rng.normal());
    }
}

#[test]
fn rows_that_lie_side_by_side_both_ways() {
    let _alone = alone();
    let session = Session::new(2);
    let mut rng = Rng(35);
    for choice in by_device(&["columns", "rows"][..], &["rows"]) {
        weft::op::force(&format!("softmax={choice}"));
        for i in 0..60 {
            let dims = [rng.range(1, 3), rng.range(2, 70), rng.range(8, 150)];
            let dtype = [F32, F64, F16, Bf16][i % 4];
            let x = session.normal(&mut rng, dtype, &dims, Style::Packed);
            let y = session.output(&mut rng, dtype, &dims, Style::Packed);
            let log = rng.chance(2);
            session.run(weft_softmax, &weft_softmax_desc { flags: u32::from(log), ..desc(&x, &y, 1) });
            let (values, bound) = want(&x, 1, 1.0, log);
            close(choice, &session.read(&y), &values, |i| bound[i]);
            session.free(&[&x, &y]);
        }
    }
    weft::op::force("");
}

#[test]
fn masked_infinite_and_nan_elements() {
    let _alone = alone();
    let session = Session::default();
    let mut rng = Rng(33);
    for dtype in [F32, F64, F16, Bf16] {
        let mut i = 0;
        let x = session.tensor(&mut rng, dtype, &[5, 40], Style::Packed, |rng| {
            i += 1;
            match (i - 1) / 40 {
                0 if i % 2 == 0 => f64::NEG_INFINITY,
                1 => f64::NEG_INFINITY,
                2 if i == 90 => f64::INFINITY,
                3 if i == 130 => f64::NAN,
                _ => rng.normal(),
            }
        });
        for log in [false, true] {
            let y = session.output(&mut rng, dtype, &[5, 40], Style::Packed);
            let flags = u32::from(log);
            session.run(weft_softmax, &weft_softmax_desc { flags, ..desc(&x, &y, 1) });
            let got = session.read(&y);
            let nan = |row: usize| got[row * 40..][..40].iter().all(|y| y.is_nan());
            assert!(!nan(0) && nan(1) && nan(2) && nan(3) && !nan(4));
            assert_eq!(got[1], if log { f64::NEG_INFINITY } else { 0.0 });
            assert!(got[160..].iter().all(|y| y.is_finite()));
            session.free(&[&y]);
        }
        session.free(&[&x]);
    }
}

#[test]
fn bad_input_is_refused_with_a_sentence() {
    let _alone = alone();
    let session = Session::default();
    let mut rng = Rng(34);
    let x = session.normal(&mut rng, F32, &[4, 6], Style::Packed);
    let whole = session.tensor(&mut rng, I32, &[4, 6], Style::Packed, |_| 1.0);
    let y = session.output(&mut rng, F32, &[4, 6], Style::Packed);
    let small = session.output(&mut rng, F32, &[4, 5], Style::Packed);
    let half = session.output(&mut rng, F16, &[4, 6], Style::Packed);
    let good = desc(&x, &y, -2);
    session.run(weft_softmax, &good);
    let refuse = |what: &str, desc: weft_softmax_desc| {
        let (status, text) = session.refuse(weft_softmax, &desc);
        assert_eq!(status, weft::status::WEFT_ERROR_INVALID_ARGUMENT, "{what}");
        assert!(text.starts_with("softmax: ") && text.contains(what), "{text}");
    };
    refuse("flags", weft_softmax_desc { flags: 2, ..good });
    refuse("reserved", weft_softmax_desc { reserved: 2, ..good });
    refuse("axis", weft_softmax_desc { axis: 2, ..good });
    refuse("axis", weft_softmax_desc { axis: -3, ..good });
    refuse("scale", weft_softmax_desc { scale: f64::INFINITY, ..good });
    refuse("x.dtype", desc(&whole, &y, 0));
    refuse("y.dtype", desc(&x, &half, 0));
    refuse("y.dims", desc(&x, &small, 0));
    refuse("x.buffer", weft_softmax_desc { x: Default::default(), ..good });
    let mut turned = weft_softmax_desc { y: x.desc, ..good };
    (turned.x.dims[0], turned.y.dims[0], turned.y.offset) = (3, 3, 24);
    refuse("overlap", turned);
    session.free(&[&x, &whole, &y, &small, &half]);
}

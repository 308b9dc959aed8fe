//! Reductions against plain loops in f64 and in wrapping integers, within the stated bounds.

mod support;

use support::*;
use weft::api::operations::weft_reduce;
use weft::dtype::Dtype::{self, *};
use weft::dtype::*;
use weft::ops::reduce::*;
use weft::status::*;

const FLOATS: [Dtype; 4] = [F32, F64, F16, Bf16];
const INTEGERS: [Dtype; 8] = [I8, I16, I32, I64, U8, U16, U32, U64];

fn desc(x: &Tensor, y: &Tensor, function: u32, axes: u32) -> weft_reduce_desc {
    let struct_size = size_of::<weft_reduce_desc>() as u32;
    weft_reduce_desc { struct_size, flags: 0, function, axes, x: x.desc, y: y.desc }
}

/// The elements of x behind each element of y, in row-major order.
fn groups(dims: &[i64], axes: u32) -> Vec<Vec<usize>> {
    let kept = |axis: usize| axes & 1 << axis == 0;
    let outputs: i64 = (0..dims.len()).filter(|&axis| kept(axis)).map(|axis| dims[axis]).product();
    let mut groups = vec![Vec::new(); outputs as usize];
    for number in 0..dims.iter().product::<i64>() as usize {
        let (mut rest, mut group, mut step) = (number, 0, 1);
        for axis in (0..dims.len()).rev() {
            let dim = dims[axis] as usize;
            if kept(axis) {
                group += rest % dim * step;
                step *= dim;
            }
            rest /= dim;
        }
        groups[group].push(number);
    }
    groups
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(f64::NEG_INFINITY, |a, &b| if b > a || b.is_nan() { b } else { a })
}

fn smallest(values: &[f64]) -> f64 {
    values.iter().fold(f64::INFINITY, |a, &b| if b < a || b.is_nan() { b } else { a })
}

fn log_sum_exp(values: &[f64]) -> f64 {
    let top = largest(values);
    if !top.is_finite() { top } else { top + values.iter().map(|x| (x - top).exp()).sum::<f64>().ln() }
}

/// In f64, and how far off the library may be before it rounds.
fn float(function: u32, values: &[f64], dtype: Dtype) -> (f64, f64) {
    let (n, u) = (values.len() as f64, 2f64.powi(-53));
    let sum: f64 = values.iter().sum();
    let magnitude: f64 = values.iter().map(|x| x.abs()).sum();
    let squares: f64 = values.iter().map(|x| x * x).sum();
    // The stated bound and that of this plain loop.
    let off = 2.0 * n * u;
    let bundled = off + if matches!(dtype, F16 | Bf16) { 2f64.powi(-22) } else { 0.0 };
    match function {
        WEFT_REDUCE_SUM => (sum, bundled * magnitude),
        WEFT_REDUCE_MEAN => (sum / n, bundled * magnitude / n),
        WEFT_REDUCE_MAX => (largest(values), 0.0),
        WEFT_REDUCE_MIN => (smallest(values), 0.0),
        WEFT_REDUCE_PROD => {
            let product: f64 = values.iter().product();
            (product, 2.0 * n * u * product.abs())
        }
        WEFT_REDUCE_L1 => (magnitude, bundled * magnitude),
        WEFT_REDUCE_L2 => (squares.sqrt(), off * squares.sqrt()),
        WEFT_REDUCE_SUM_SQUARE => (squares, off * squares),
        WEFT_REDUCE_LOG_SUM => (sum.ln(), 2.0 * off * magnitude / sum + 4.0 * u * sum.ln().abs()),
        _ => {
            let exact = match dtype {
                F64 => 1e-14 + 2.0 * n * u,
                F32 => 4e-7,
                _ => 2e-6,
            };
            let sum = log_sum_exp(values);
            (sum, exact + 4.0 * u * sum.abs())
        }
    }
}

/// Wrapped to `dtype`; `value` is already modulo 2^128.
fn wrap(value: i128, dtype: Dtype) -> f64 {
    let range = 1i128 << (8 * dtype.size());
    let value = value.rem_euclid(range);
    let signed = matches!(dtype, I8 | I16 | I32 | I64);
    (if signed && value >= range / 2 { value - range } else { value }) as f64
}

fn limits(dtype: Dtype) -> (f64, f64) {
    let bits = 8 * dtype.size() as i32;
    let signed = matches!(dtype, I8 | I16 | I32 | I64);
    let (low, high) =
        if signed { (-2f64.powi(bits - 1), 2f64.powi(bits - 1)) } else { (0.0, 2f64.powi(bits)) };
    (low, if bits == 64 { high } else { high - 1.0 })
}

fn integer(function: u32, values: &[f64], dtype: Dtype) -> f64 {
    let (low, high) = limits(dtype);
    let whole = || values.iter().map(|&x| x as i128);
    match function {
        WEFT_REDUCE_SUM => wrap(whole().sum(), dtype),
        WEFT_REDUCE_PROD => wrap(whole().fold(1, i128::wrapping_mul), dtype),
        WEFT_REDUCE_L1 => wrap(whole().map(i128::abs).sum(), dtype),
        WEFT_REDUCE_SUM_SQUARE => wrap(whole().map(|x| x * x).sum(), dtype),
        WEFT_REDUCE_MAX => largest(values).max(low),
        WEFT_REDUCE_MIN => smallest(values).min(high),
        _ => {
            let x = float(function, values, F64).0;
            if x.is_nan() { 0.0 } else { x.trunc().clamp(low, high) }
        }
    }
}

fn value(rng: &mut Rng, dtype: Dtype, function: u32) -> f64 {
    match dtype {
        I8 | I16 | I32 | I64 => rng.range(-100, 100) as f64,
        Bool => rng.range(0, 2) as f64,
        _ if !dtype.is_float() => rng.range(0, 200) as f64,
        _ if function == WEFT_REDUCE_LOG_SUM => rng.uniform(),
        _ if function == WEFT_REDUCE_PROD => 1.0 + 0.1 * rng.normal(),
        _ => rng.normal(),
    }
}

/// Whether y has the reduced axes, of one element each.
fn shape(dims: &[i64], axes: u32, keep: bool) -> Vec<i64> {
    let reduced = |axis: usize| axes & 1 << axis != 0;
    let dim = |axis: usize| if reduced(axis) { 1 } else { dims[axis] };
    (0..dims.len()).filter(|&axis| keep || !reduced(axis)).map(dim).collect()
}

fn compare(x: &Tensor, got: &[f64], dtype: Dtype, function: u32, axes: u32) {
    for (i, (group, &got)) in groups(x.dims(), axes).iter().zip(got).enumerate() {
        let values: Vec<f64> = group.iter().map(|&at| x.values[at]).collect();
        let what = format!("{dtype:?} function {function} axes {axes:#b} of {:?}, result {i}", x.layout);
        if dtype.is_float() {
            let (want, off) = float(function, &values, dtype);
            let least = if dtype == F16 { 2f64.powi(-25) } else { 0.0 };
            let mut bytes = [0; 8];
            encode(dtype, want, &mut bytes[..dtype.size()]);
            let rounded = decode(dtype, &bytes[..dtype.size()]);
            close(&what, &[got], &[rounded], |_| off + 2.0 * unit(dtype) * want.abs() + least);
        } else if dtype == Bool {
            let values: Vec<f64> = values.iter().map(|x| x.min(1.0)).collect();
            let want = if function == WEFT_REDUCE_MAX {
                largest(&values).max(0.0)
            } else {
                smallest(&values).min(1.0)
            };
            assert_eq!(got, want, "{what}");
        } else {
            assert_eq!(got, integer(function, &values, dtype), "{what}");
        }
    }
}

fn check(session: &Session, rng: &mut Rng, dtype: Dtype, function: u32, dims: &[i64], axes: u32) {
    let all = (1 << dims.len()) - 1;
    let style = rng.pick(&[Style::Packed, Style::Hostile, Style::Repeated]);
    let x = session.tensor(rng, dtype, dims, style, |rng| value(rng, dtype, function));
    let (keep, style) = (rng.chance(2), rng.pick(&[Style::Packed, Style::Hostile]));
    let y = session.output(rng, dtype, &shape(dims, axes, keep), style);
    let given = if axes == all && rng.chance(2) { 0 } else { axes };
    session.run(weft_reduce, &desc(&x, &y, function, given));
    compare(&x, &session.read(&y), dtype, function, axes);
    session.free(&[&x, &y]);
}

#[test]
fn every_function_over_any_axes() {
    let (session, mut rng) = (Session::new(2), Rng(1));
    // A GPU compiles a kernel for most of these.
    for _ in 0..cases(by_device(1500, 900)) {
        let rank = rng.range(0, 4) as usize;
        let dims: Vec<i64> = (0..rank).map(|_| rng.size(13, true)).collect();
        let all = (1i64 << rank) - 1;
        let axes = if all == 0 { 0 } else { rng.range(1, all) as u32 };
        let dtype = if rng.chance(2) { rng.pick(&FLOATS) } else { rng.pick(&INTEGERS) };
        let function = rng.range(0, 9) as u32;
        check(&session, &mut rng, dtype, function, &dims, axes);
    }
    for function in [WEFT_REDUCE_MAX, WEFT_REDUCE_MIN] {
        for axes in 1..8 {
            check(&session, &mut rng, Bool, function, &[5, 3, 7], axes);
            check(&session, &mut rng, Bool, function, &[5, 0, 7], axes);
        }
    }
}

#[test]
fn long_axes_are_cut_into_pieces() {
    let (session, mut rng) = (Session::new(2), Rng(2));
    for (dims, axes) in [
        (vec![200_003], 1),
        (vec![3, 70_001], 2),
        (vec![70_001, 3], 1),
        (vec![2500, 37], 1),
        (vec![1100, 2, 70], 1),
        (vec![30, 5, 1030], 5),
        (vec![40, 700], 2),
        (vec![700, 3], 2),
        // Vectors of neighbouring results, rows whose vectors are aligned in several axes, and rows of a few elements.
        (vec![2100, 64], 1),
        (vec![6, 5, 512], 5),
        (vec![3000, 7], 2),
        // So many pieces that blocks join them.
        (vec![2_400_001], 1),
    ] {
        for function in 0..10 {
            let dtype = rng.pick(&[F32, F32, F64, F16, Bf16, I32, I64, U8]);
            check(&session, &mut rng, dtype, function, &dims, axes);
        }
    }
}

#[test]
fn nan_and_infinity_pass_through() {
    let (session, mut rng) = (Session::new(1), Rng(3));
    let inf = f64::INFINITY;
    let cases: [(&[f64], [f64; 4]); 5] = [
        // Sum, max, min, log-sum-exp.
        (&[1.0, f64::NAN, 3.0], [f64::NAN; 4]),
        (&[1.0, inf, 3.0], [inf, inf, 1.0, inf]),
        (&[-inf, -inf], [-inf, -inf, -inf, -inf]),
        (&[-inf, 2.0], [-inf, 2.0, -inf, 2.0]),
        (&[inf, -inf], [f64::NAN, inf, -inf, inf]),
    ];
    for dtype in FLOATS {
        for (values, want) in cases {
            let functions = [WEFT_REDUCE_SUM, WEFT_REDUCE_MAX, WEFT_REDUCE_MIN, WEFT_REDUCE_LOG_SUM_EXP];
            for (function, want) in functions.into_iter().zip(want) {
                // Along a row, and down a column beside others.
                let n = values.len() as i64;
                let x = session.exact(&mut rng, dtype, &[n], Style::Packed, values);
                let y = session.output(&mut rng, dtype, &[], Style::Packed);
                session.run(weft_reduce, &desc(&x, &y, function, 0));
                close("row", &session.read(&y), &[want], |_| 0.0);
                let wide: Vec<f64> = values.iter().flat_map(|&v| [v; 20]).collect();
                let x = session.exact(&mut rng, dtype, &[n, 20], Style::Packed, &wide);
                let y = session.output(&mut rng, dtype, &[20], Style::Packed);
                session.run(weft_reduce, &desc(&x, &y, function, 1));
                close("column", &session.read(&y), &[want; 20], |_| 0.0);
            }
        }
    }
}

#[test]
fn nothing_reduces_to_the_neutral_element() {
    let (session, mut rng) = (Session::new(1), Rng(4));
    let inf = f64::INFINITY;
    let want = [0.0, f64::NAN, -inf, inf, 1.0, 0.0, 0.0, 0.0, -inf, -inf];
    for dtype in FLOATS {
        for (function, want) in want.into_iter().enumerate() {
            let x = session.normal(&mut rng, dtype, &[3, 0], Style::Packed);
            let y = session.output(&mut rng, dtype, &[3], Style::Packed);
            session.run(weft_reduce, &desc(&x, &y, function as u32, 2));
            close("empty", &session.read(&y), &[want; 3], |_| 0.0);
        }
    }
}

#[test]
fn large_numbers_do_not_overflow_on_the_way() {
    let (session, mut rng) = (Session::new(1), Rng(5));
    let run = |rng: &mut Rng, function, values: &[f64]| {
        let x = session.exact(rng, F32, &[values.len() as i64], Style::Packed, values);
        let y = session.output(rng, F32, &[1], Style::Packed);
        session.run(weft_reduce, &desc(&x, &y, function, 0));
        session.read(&y)[0]
    };
    let huge = f64::from(f32::MAX);
    assert_eq!(run(&mut rng, WEFT_REDUCE_SUM, &[huge, huge, -huge]), huge);
    assert_eq!(run(&mut rng, WEFT_REDUCE_MEAN, &[huge, huge]), huge);
    assert_eq!(run(&mut rng, WEFT_REDUCE_L2, &[2f64.powi(100); 4]), 2f64.powi(101));
    assert_eq!(run(&mut rng, WEFT_REDUCE_SUM, &[huge, huge]), f64::INFINITY);
    let sum = run(&mut rng, WEFT_REDUCE_LOG_SUM_EXP, &[1000.0, 1000.0]);
    assert!((sum - 1000.0 - 2f64.ln()).abs() < 1e-4, "{sum}");
}

#[test]
fn exponentials_of_elements_far_apart() {
    let session = Session::default();
    let mut rng = Rng(47);
    for dtype in FLOATS {
        let most = if dtype == F16 { 6e4 } else { 1e30 };
        for count in [40, 3001, 9003] {
            let rows: [&dyn Fn(usize, f64) -> f64; 6] = [
                &|i, _| if i + 3 < count { f64::NEG_INFINITY } else { 3.0 },
                &|i, x| if i < count / 2 { -1000.0 + x } else { 900.0 + x },
                &|i, x| if i % 3 == 0 { f64::NEG_INFINITY } else { 8.0 * x },
                &|_, x| (most * x / 8.0).clamp(-most, most),
                &|_, _| f64::NEG_INFINITY,
                &|_, _| -9.0,
            ];
            let numbers = rows.iter().flat_map(|row| (0..count).map(move |i| (row, i)));
            let values: Vec<f64> = numbers.map(|(row, i)| row(i, rng.normal())).collect();
            let x = session.exact(&mut rng, dtype, &[6, count as i64], Style::Packed, &values);
            let y = session.output(&mut rng, dtype, &[6], Style::Packed);
            session.run(weft_reduce, &desc(&x, &y, WEFT_REDUCE_LOG_SUM_EXP, 0b10));
            compare(&x, &session.read(&y), dtype, WEFT_REDUCE_LOG_SUM_EXP, 0b10);
            session.free(&[&x, &y]);
        }
    }
}

#[test]
fn threads_change_nothing() {
    let one = Session::new(1);
    let mut seen = Vec::new();
    for threads in [1, 2, 5] {
        let (session, mut rng) = (Session::new(threads), Rng(6));
        let x = session.normal(&mut rng, F32, &[300, 1000], Style::Packed);
        for axes in [1, 2, 3] {
            for function in [WEFT_REDUCE_SUM, WEFT_REDUCE_LOG_SUM_EXP, WEFT_REDUCE_PROD] {
                let y = session.output(&mut rng, F32, &shape(&[300, 1000], axes, false), Style::Packed);
                session.run(weft_reduce, &desc(&x, &y, function, axes));
                seen.push((threads, session.read(&y)));
            }
        }
    }
    let of = |threads: u32| seen.iter().filter(move |row| row.0 == threads).map(|row| &row.1);
    assert!(of(1).eq(of(2)) && of(1).eq(of(5)));
    drop(one);
}

/// An axis of stride 0 longer than anybody could read.
#[test]
fn what_is_repeated_counts_as_often_without_being_read() {
    const TIMES: i64 = (1 << 57) + 1;
    let (session, mut rng) = (Session::new(2), Rng(57));
    let n = TIMES as f64;
    for dtype in [F32, F64, Bf16, I32] {
        let x = session.exact(&mut rng, dtype, &[2], Style::Packed, &[1.0, 3.0]);
        let mut far = x.desc;
        (far.rank, far.dims[1], far.strides[0], far.strides[1]) = (2, TIMES, 1, 0);
        let wraps = !dtype.is_float();
        let sum = |a: f64| if dtype == I32 { a } else { a * n };
        for function in WEFT_REDUCE_SUM..=WEFT_REDUCE_LOG_SUM_EXP {
            let y = session.output(&mut rng, dtype, &[2], Style::Packed);
            let mut d = desc(&x, &y, function, 2);
            d.x = far;
            session.run(weft_reduce, &d);
            let want = [1.0f64, 3.0].map(|a| match function {
                WEFT_REDUCE_SUM | WEFT_REDUCE_L1 => sum(a),
                WEFT_REDUCE_SUM_SQUARE => sum(a * a),
                WEFT_REDUCE_L2 => (a * a * n).sqrt(),
                WEFT_REDUCE_LOG_SUM => (a * n).ln(),
                WEFT_REDUCE_LOG_SUM_EXP => a + n.ln(),
                WEFT_REDUCE_PROD if a > 1.0 && !wraps => f64::INFINITY,
                _ => a,
            });
            let want = want.map(|want| if wraps { want.trunc().min(limits(dtype).1) } else { want });
            close(&format!("{dtype:?} {function}"), &session.read(&y), &want, |i| {
                (4e-7 + unit(dtype)) * want[i].abs()
            });
        }
    }
}

#[test]
fn bad_input_is_named() {
    let (session, mut rng) = (Session::new(1), Rng(7));
    let x = session.normal(&mut rng, F32, &[4, 6], Style::Packed);
    let y = session.output(&mut rng, F32, &[4], Style::Packed);
    let good = desc(&x, &y, WEFT_REDUCE_SUM, 2);
    let refused = |d: &weft_reduce_desc, part: &str| {
        let (status, why) = session.refuse(weft_reduce, d);
        assert_eq!(status, WEFT_ERROR_INVALID_ARGUMENT, "{why}");
        assert!(why.contains(part), "{why}");
        assert!(session.untouched(&y));
    };
    refused(&weft_reduce_desc { function: 10, ..good }, "reduce: function is 10");
    refused(&weft_reduce_desc { axes: 4, ..good }, "reduce: axes are 0x4; expected only bits of 0x3");
    refused(&weft_reduce_desc { flags: 1, ..good }, "reduce: flags are 0x1");
    refused(&weft_reduce_desc { axes: 1, ..good }, "reduce: y.dims are [4]; expected [6]");
    refused(&weft_reduce_desc { axes: 3, ..good }, "reduce: y.dims are [4]; expected [1, 1]");
    let mut bad = good;
    bad.y.dtype = WEFT_I32;
    refused(&bad, "reduce: y.dtype is WEFT_I32; expected WEFT_F32");
    bad = good;
    bad.x.dtype = WEFT_F8_E5M2;
    refused(&bad, "reduce: x.dtype is WEFT_F8_E5M2");
    bad = good;
    bad.y.buffer = x.desc.buffer;
    refused(&bad, "reduce: y and x overlap");
    bad = good;
    (bad.x.dtype, bad.y.dtype) = (WEFT_BOOL, WEFT_BOOL);
    refused(&bad, "reduce: function is 0 of WEFT_BOOL");
}

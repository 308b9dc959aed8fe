//! Top-k, argmax and argmin against a stable sort.

mod support;

use std::cmp::Ordering;
use support::*;
use weft::api::operations::{weft_arg_reduce, weft_top_k};
use weft::dtype::Dtype::{self, *};
use weft::dtype::*;
use weft::layout::weft_tensor;
use weft::ops::rank::*;
use weft::status::*;

const DTYPES: [Dtype; 15] = [F32, F64, F16, Bf16, F8E4m3, F8E5m2, I8, I16, I32, I64, U8, U16, U32, U64, Bool];

fn desc(x: &Tensor, axis: i32, flags: u32) -> weft_rank_desc {
    let struct_size = size_of::<weft_rank_desc>() as u32;
    weft_rank_desc { struct_size, flags, x: x.desc, axis, ..Default::default() }
}

/// 8-bit floats travel as codes: these are in the order of the numbers, but for the sign.
fn number(dtype: Dtype, value: f64) -> f64 {
    let code = value as u8;
    let (magnitude, nan) = (f64::from(code & 127), if dtype == F8E4m3 { 127 } else { 125 });
    match dtype {
        F8E4m3 | F8E5m2 if code & 127 >= nan => f64::NAN,
        F8E4m3 | F8E5m2 => {
            if code > 127 {
                -magnitude
            } else {
                magnitude
            }
        }
        Bool => f64::from(u8::from(value != 0.0)),
        _ => value,
    }
}

fn value(rng: &mut Rng, dtype: Dtype, ties: bool) -> f64 {
    match dtype {
        F8E4m3 | F8E5m2 => rng.range(0, 255) as f64,
        _ if dtype.is_float() && rng.chance(9) => {
            rng.pick(&[f64::NAN, f64::INFINITY, -f64::INFINITY, 0.0, -0.0])
        }
        _ if dtype.is_float() && !ties => rng.normal(),
        I8 | I16 | I32 | I64 | F32 | F64 | F16 | Bf16 => rng.range(-9, 9) as f64,
        _ => rng.range(0, 9) as f64,
    }
}

fn tensor(session: &Session, rng: &mut Rng, dtype: Dtype, dims: &[i64], style: Style) -> Tensor {
    let carrier = if matches!(dtype, F8E4m3 | F8E5m2) { U8 } else { dtype };
    let ties = rng.chance(2);
    let mut x = session.tensor(rng, carrier, dims, style, |rng| value(rng, dtype, ties));
    x.desc.dtype = dtype.code();
    x
}

fn values(session: &Session, rng: &mut Rng, dtype: Dtype, dims: &[i64], style: Style) -> Tensor {
    let carrier = if matches!(dtype, F8E4m3 | F8E5m2) { U8 } else { dtype };
    let mut y = session.output(rng, carrier, dims, style);
    y.desc.dtype = dtype.code();
    y
}

/// Largest first, NaN above all.
fn descending(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => b.partial_cmp(&a).unwrap(),
        (a, b) => b.cmp(&a),
    }
}

/// The indices along the axis in order.
fn sorted(line: &[f64], flags: u32) -> Vec<usize> {
    let mut order: Vec<usize> = (0..line.len()).collect();
    order.sort_by(|&a, &b| {
        let order = descending(line[a], line[b]);
        if flags & WEFT_RANK_SMALLEST != 0 { order.reverse() } else { order }
    });
    order
}

/// Lines along `axis`: the row-major numbers of their elements.
fn lines(dims: &[i64], axis: usize) -> Vec<Vec<usize>> {
    let inner = dims[axis + 1..].iter().product::<i64>() as usize;
    let outer = dims[..axis].iter().product::<i64>() as usize;
    let length = dims[axis] as usize;
    let line = |o: usize, i: usize| (0..length).map(|j| (o * length + j) * inner + i).collect();
    (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))).map(|(o, i)| line(o, i)).collect()
}

struct Case {
    dtype: Dtype,
    dims: Vec<i64>,
    axis: usize,
    flags: u32,
}

fn shapes(rng: &mut Rng, most: i64) -> (Vec<i64>, usize) {
    let rank = rng.range(1, 3) as usize;
    let mut dims: Vec<i64> = (0..rank).map(|_| rng.size(13, true)).collect();
    let axis = rng.range(0, rank as i64 - 1) as usize;
    dims[axis] = rng.size(most, true);
    (dims, axis)
}

fn same(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan())
}

fn check_top_k(session: &Session, rng: &mut Rng, case: &Case, k: i64) {
    let Case { dtype, dims, axis, flags } = case;
    let input = rng.pick(&[Style::Packed, Style::Hostile, Style::Repeated]);
    let output = rng.pick(&[Style::Packed, Style::Hostile]);
    let x = tensor(session, rng, *dtype, dims, input);
    let mut out = dims.clone();
    out[*axis] = k;
    let best = values(session, rng, *dtype, &out, output);
    let kind = rng.pick(&[I32, I64]);
    let at = session.output(rng, kind, &out, output);
    let axis_given = *axis as i32 - if rng.chance(2) { dims.len() as i32 } else { 0 };
    let mut d = desc(&x, axis_given, *flags);
    let (with_values, with_indices) = rng.pick(&[(true, true), (true, false), (false, true)]);
    if with_values {
        d.values = best.desc;
    }
    if with_indices {
        d.indices = at.desc;
    }
    d.k = rng.pick(&[0, k as u32]);
    session.run(weft_top_k, &d);
    let (got_values, got_at) = (session.read(&best), session.read(&at));
    for (line, places) in lines(dims, *axis).iter().zip(lines(&out, *axis)) {
        let numbers: Vec<f64> = line.iter().map(|&i| number(*dtype, x.values[i])).collect();
        for (&place, &index) in places.iter().zip(&sorted(&numbers, *flags)) {
            assert!(!with_indices || got_at[place] == index as f64, "{dtype:?} {dims:?} axis {axis}");
            assert!(!with_values || same(got_values[place], x.values[line[index]]), "{dtype:?} {dims:?}");
        }
    }
    assert!(with_values || session.untouched(&best));
    assert!(with_indices || session.untouched(&at));
    session.free(&[&x, &best, &at]);
}

#[test]
fn top_k_is_the_head_of_a_stable_sort() {
    let (session, mut rng) = (Session::new(2), Rng(1));
    for _ in 0..cases(700) {
        let (dims, axis) = shapes(&mut rng, 257);
        let k = rng.range(0, dims[axis]);
        let case = Case { dtype: rng.pick(&DTYPES), dims, axis, flags: rng.pick(&[0, WEFT_RANK_SMALLEST]) };
        check_top_k(&session, &mut rng, &case, k);
    }
}

#[test]
fn long_lines_are_thinned_out() {
    let (session, mut rng) = (Session::new(2), Rng(2));
    for (length, k) in [
        (5000, 1),
        (5000, 50),
        (5000, 2000),
        (5000, 4999),
        (5000, 5000),
        (1024, 7),
        (1025, 1025),
        (9000, 2500),
    ] {
        for dtype in [F32, F64, Bf16, I32, U64, I8] {
            let dims = rng.pick(&[[length, 2], [2, length]]).to_vec();
            let axis = usize::from(dims[0] == 2);
            let case = Case { dtype, dims, axis, flags: rng.pick(&[0, WEFT_RANK_SMALLEST]) };
            check_top_k(&session, &mut rng, &case, k);
        }
    }
}

fn check_arg(session: &Session, rng: &mut Rng, case: &Case) {
    let Case { dtype, dims, axis, flags } = case;
    let input = rng.pick(&[Style::Packed, Style::Hostile, Style::Repeated]);
    let output = rng.pick(&[Style::Packed, Style::Hostile]);
    let x = tensor(session, rng, *dtype, dims, input);
    let mut out = dims.clone();
    if rng.chance(2) {
        out[*axis] = 1;
    } else {
        out.remove(*axis);
    }
    let best = values(session, rng, *dtype, &out, output);
    let kind = rng.pick(&[I32, I64]);
    let at = session.output(rng, kind, &out, output);
    let mut d = desc(&x, *axis as i32, *flags);
    let with_values = rng.chance(2);
    if with_values {
        d.values = best.desc;
    }
    d.indices = at.desc;
    session.run(weft_arg_reduce, &d);
    let (got_values, got_at) = (session.read(&best), session.read(&at));
    for (place, line) in lines(dims, *axis).iter().enumerate() {
        let numbers: Vec<f64> = line.iter().map(|&i| number(*dtype, x.values[i])).collect();
        let order = sorted(&numbers, *flags);
        let equal = |&&i: &&usize| same(numbers[i], numbers[order[0]]);
        let last = order.iter().take_while(equal).last().unwrap();
        let want = if flags & WEFT_RANK_LAST != 0 { *last } else { order[0] };
        assert_eq!(got_at[place], want as f64, "{dtype:?} {dims:?} axis {axis} flags {flags}");
        assert!(!with_values || same(got_values[place], x.values[line[want]]));
    }
    session.free(&[&x, &best, &at]);
}

#[test]
fn arg_reduce_finds_the_first_or_last_extreme() {
    let (session, mut rng) = (Session::new(2), Rng(3));
    // A GPU compiles a kernel for most of these.
    for round in 0..by_device(900, 500) {
        let (mut dims, axis) = shapes(&mut rng, 257);
        dims[axis] = dims[axis].max(1);
        if round % 40 == 0 {
            dims = [vec![5000, 3], vec![3, 5000], vec![40, 700]][round / 40 % 3].clone();
        }
        let axis = axis.min(dims.len() - 1);
        let flags = rng.range(0, 3) as u32;
        let case = Case { dtype: rng.pick(&DTYPES), dims, axis, flags };
        check_arg(&session, &mut rng, &case);
    }
}

#[test]
fn a_vocabulary_is_ranked() {
    let (session, mut rng) = (Session::new(2), Rng(4));
    let case = |dtype, dims: &[i64]| Case { dtype, dims: dims.to_vec(), axis: dims.len() - 1, flags: 0 };
    for dtype in [F32, Bf16] {
        check_arg(&session, &mut rng, &case(dtype, &[49152]));
        check_arg(&session, &mut rng, &case(dtype, &[9, 49152]));
        check_top_k(&session, &mut rng, &case(dtype, &[3, 49152]), 40);
        check_top_k(&session, &mut rng, &case(dtype, &[151_936]), 50);
        check_top_k(&session, &mut rng, &case(dtype, &[40_000]), 1);
        check_top_k(&session, &mut rng, &case(dtype, &[30_000]), 3000);
    }
}

/// Vectors of 16 bytes and what is left beside them, wherever the line begins, in pieces and not.
#[test]
fn packed_lines_begin_and_end_anywhere() {
    let (session, mut rng) = (Session::new(2), Rng(8));
    let others = [(F64, 3), (I32, 1), (U8, 0), (F8E5m2, 2)];
    let halves = [(F16, 0), (F16, 1), (F16, 2), (Bf16, 0), (Bf16, 1), (Bf16, 3)];
    let kinds = [&others[..], &halves, &[(F32, 0), (F32, 1), (F32, 2), (F32, 3)]].concat();
    for (dtype, flags) in kinds {
        for length in [17, 33, 129, 1030, 1601, 20_011] {
            let carrier = if dtype == F8E5m2 { U8 } else { dtype };
            // A line that grows has its best in the last vector; in one of equal numbers no vector is better than the first.
            for kind in 0..if matches!(dtype, F32 | F64 | F16 | Bf16) { 6 } else { 3 } {
                let mut count = 0.0;
                let mut x = session.tensor(&mut rng, carrier, &[3, length], Style::Packed, |rng| {
                    count += 1.0;
                    match kind {
                        0 => value(rng, dtype, true),
                        1 => 1.0,
                        2 => (count / 9.0f64).floor() % 120.0,
                        3 => rng.pick(&[0.0, -0.0]),
                        4 => rng.pick(&[
                            f64::NAN,
                            if flags & WEFT_RANK_SMALLEST != 0 { f64::INFINITY } else { f64::NEG_INFINITY },
                        ]),
                        _ => f64::NEG_INFINITY,
                    }
                });
                x.desc.dtype = dtype.code();
                let at = session.output(&mut rng, I64, &[3], Style::Packed);
                session.run(weft_arg_reduce, &weft_rank_desc { indices: at.desc, ..desc(&x, 1, flags) });
                for (line, got) in x.values.chunks(length as usize).zip(session.read(&at)) {
                    let line: Vec<f64> = line.iter().map(|&x| number(dtype, x)).collect();
                    let what = format!("{dtype:?} {length} flags {flags} kind {kind}");
                    assert_eq!(got as usize, extreme(&line, flags), "{what}");
                }
                session.free(&[&x, &at]);
            }
        }
    }
}

/// Where the first or last extreme is.
fn extreme(line: &[f64], flags: u32) -> usize {
    let mut order = sorted(line, flags);
    let best = line[order[0]];
    order.retain(|&i| same(line[i], best));
    if flags & WEFT_RANK_LAST != 0 { order[order.len() - 1] } else { order[0] }
}

#[test]
fn lines_beside_each_other_advance_together() {
    let (session, mut rng) = (Session::new(2), Rng(7));
    // The other choice takes everything, so that tests running meanwhile only see another way to the same result.
    for forced in ["", by_device("arg_reduce=lines", "arg_reduce=extreme")] {
        weft::op::force(forced);
        for dims in [[300, 700, 1], [3, 50, 259], [1, 1, 40], [2, 1000, 16]] {
            for flags in 0..4 {
                let case = Case {
                    dtype: rng.pick(&DTYPES),
                    dims: dims.to_vec(),
                    axis: rng.range(0, 1) as usize,
                    flags,
                };
                check_arg(&session, &mut rng, &case);
            }
        }
    }
    weft::op::force("");
}

#[test]
fn sixty_four_bits_are_all_compared() {
    let (session, mut rng) = (Session::new(1), Rng(5));
    let numbers = [i64::MIN, i64::MAX, i64::MAX - 1, -1, 0, i64::MIN + 1];
    let buffer = session.buffer(48);
    session.write_bytes(buffer, &numbers.map(i64::to_le_bytes).concat());
    for (code, want) in [(WEFT_I64, [1, 2, 4, 3, 5, 0]), (WEFT_U64, [3, 5, 0, 1, 2, 4])] {
        let at = session.output(&mut rng, I64, &[6], Style::Packed);
        let mut x = weft_tensor { buffer, dtype: code, rank: 1, ..Default::default() };
        x.dims[0] = 6;
        let size = size_of::<weft_rank_desc>() as u32;
        let d = weft_rank_desc { struct_size: size, x, indices: at.desc, ..Default::default() };
        session.run(weft_top_k, &d);
        assert_eq!(session.read(&at), want.map(f64::from));
    }
}

#[test]
fn an_axis_of_one_element_may_have_any_stride() {
    let (session, mut rng) = (Session::new(1), Rng(7));
    let x = session.exact(&mut rng, F32, &[2, 3], Style::Packed, &[1.0, 5.0, 2.0, 9.0, 7.0, 8.0]);
    for far in [i64::MAX, i64::MIN, 1 << 62] {
        let (best, at) = (session.output(&mut rng, F32, &[2, 1], Style::Packed), session.buffer(16));
        let mut indices = weft_tensor { buffer: at, dtype: WEFT_I64, rank: 2, ..Default::default() };
        (indices.dims[0], indices.dims[1], indices.strides[0], indices.strides[1]) = (2, 1, 1, far);
        let mut values = best.desc;
        (values.strides[0], values.strides[1]) = (1, far);
        let d = weft_rank_desc { indices, values, ..desc(&x, 1, 0) };
        session.run(weft_arg_reduce, &d);
        session.run(weft_top_k, &d);
        assert_eq!(session.read(&best), [5.0, 9.0], "{far}");
        assert_eq!(session.read_bytes(at, 16), [1i64, 0].map(i64::to_le_bytes).concat(), "{far}");
    }
}

#[test]
fn bad_input_is_named() {
    let (session, mut rng) = (Session::new(1), Rng(6));
    let x = session.normal(&mut rng, F32, &[4, 6], Style::Packed);
    let best = session.output(&mut rng, F32, &[4, 3], Style::Packed);
    let at = session.output(&mut rng, I32, &[4, 3], Style::Packed);
    let good = weft_rank_desc { values: best.desc, indices: at.desc, ..desc(&x, 1, 0) };
    let refused = |d: &weft_rank_desc, part: &str| {
        let (status, why) = session.refuse(weft_top_k, d);
        assert_eq!(status, WEFT_ERROR_INVALID_ARGUMENT, "{why}");
        assert!(why.contains(part), "{why}");
        assert!(session.untouched(&best) && session.untouched(&at));
    };
    refused(&weft_rank_desc { axis: 2, ..good }, "top_k: axis is 2; expected -2 to 1");
    refused(&weft_rank_desc { axis: i32::MIN, ..good }, "top_k: axis is -2147483648");
    refused(&weft_rank_desc { k: 2, ..good }, "top_k: k is 2; expected 0 or 3");
    refused(&weft_rank_desc { flags: WEFT_RANK_LAST, ..good }, "top_k: flags are 0x2");
    refused(&desc(&x, 1, 0), "top_k: values and indices are both absent");
    let mut bad = good;
    bad.x.dims[1] = 2;
    refused(&bad, "top_k: k is 3; expected at most 2");
    bad = good;
    bad.indices.dims[1] = 2;
    refused(&bad, "top_k: indices.dims are [4, 2]; expected [4, 3]");
    bad = good;
    bad.values.dtype = WEFT_I32;
    refused(&bad, "top_k: values.dtype is WEFT_I32; expected WEFT_F32");
    bad = good;
    bad.indices.dtype = WEFT_F32;
    refused(&bad, "top_k: indices.dtype is WEFT_F32; expected WEFT_I32");
    bad = good;
    bad.indices = weft_tensor { dtype: WEFT_I32, ..best.desc };
    refused(&bad, "top_k: indices and values overlap");
    bad = good;
    bad.values = x.desc;
    bad.values.dims[1] = 3;
    refused(&bad, "top_k: values and x overlap");
    bad = good;
    (bad.x.dtype, bad.x.dims[1]) = (WEFT_C32, 3);
    refused(&bad, "top_k: x.dtype is WEFT_C32");

    let arg = |d: &weft_rank_desc, part: &str| {
        let (status, why) = session.refuse(weft_arg_reduce, d);
        assert_eq!(status, WEFT_ERROR_INVALID_ARGUMENT, "{why}");
        assert!(why.contains(part), "{why}");
    };
    arg(&good, "arg_reduce: values.dims are [4, 3]; expected [4, 1]");
    arg(&desc(&x, 1, 0), "arg_reduce: indices.buffer is 0");
    arg(&weft_rank_desc { k: 3, ..good }, "arg_reduce: k is 3");
    bad = good;
    bad.x.dims[1] = 0;
    arg(&bad, "arg_reduce: x.dims[1] is 0; expected an axis with elements");
    bad.x.rank = 0;
    arg(&bad, "arg_reduce: x.rank is 0");
}

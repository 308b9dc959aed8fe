//! Casts between all element types and layouts, against rounding by definition in f64.

mod support;

use support::*;
use weft::api::operations::weft_cast;
use weft::dtype::Dtype::{self, *};
use weft::dtype::*;
use weft::ops::cast::*;
use weft::status::*;

const REAL: [Dtype; 15] = [F32, F64, F16, Bf16, F8E4m3, F8E5m2, I8, I16, I32, I64, U8, U16, U32, U64, Bool];

fn desc(x: &Tensor, y: &Tensor, flags: u32) -> weft_cast_desc {
    weft_cast_desc { struct_size: size_of::<weft_cast_desc>() as u32, flags, x: x.desc, y: y.desc }
}

/// Mantissa bits, least exponent of a normal number, largest number, whether there are infinities.
fn format(dtype: Dtype) -> Option<(i32, i32, f64, bool)> {
    match dtype {
        F32 => Some((23, -126, f64::from(f32::MAX), true)),
        F16 => Some((10, -14, 65504.0, true)),
        Bf16 => Some((7, -126, 255.0 * 2f64.powi(120), true)),
        F8E4m3 => Some((3, -6, 448.0, false)),
        F8E5m2 => Some((2, -14, 57344.0, true)),
        _ => None,
    }
}

/// Nearest even by definition: every step is exact in f64.
fn rounded(x: f64, dtype: Dtype, saturate: bool) -> f64 {
    let Some((mantissa, least, largest, infinities)) = format(dtype) else { return x };
    if x.is_nan() || x == 0.0 {
        return x;
    }
    let exponent = if x.is_infinite() { 1000 } else { x.abs().log2().floor() as i32 };
    // The logarithm may be off by one next to a power of two.
    let exponent = if x.abs() < 2f64.powi(exponent) { exponent - 1 } else { exponent };
    let exponent =
        if exponent < 1000 && x.abs() >= 2f64.powi(exponent + 1) { exponent + 1 } else { exponent };
    let step = 2f64.powi(exponent.max(least) - mantissa);
    let near = if x.is_infinite() { x } else { (x / step).round_ties_even() * step };
    match (near.abs() > largest, saturate, infinities) {
        (false, ..) => near,
        (_, true, _) => largest.copysign(x),
        (_, _, true) => f64::INFINITY.copysign(x),
        _ => f64::NAN,
    }
}

fn range(dtype: Dtype) -> Option<(f64, f64, u32)> {
    let signed = |bits: i32| Some((-(2f64.powi(bits - 1)), 2f64.powi(bits - 1), bits as u32));
    let unsigned = |bits: i32| Some((0.0, 2f64.powi(bits), bits as u32));
    match dtype {
        I8 => signed(8),
        I16 => signed(16),
        I32 => signed(32),
        I64 => signed(64),
        U8 => unsigned(8),
        U16 => unsigned(16),
        U32 => unsigned(32),
        U64 => unsigned(64),
        _ => None,
    }
}

/// What `x`, exact in f64, becomes.
fn cast(x: f64, from: Dtype, to: Dtype, saturate: bool) -> f64 {
    if from == to {
        return x;
    }
    let x = if from == Bool { f64::from(u8::from(x != 0.0)) } else { x };
    let Some((low, high, bits)) = range(to) else {
        return if to == Bool { f64::from(u8::from(x != 0.0)) } else { rounded(x, to, saturate) };
    };
    if format(from).is_some() || from == F64 {
        // The largest integer, as the test reads it back in f64.
        let last = if bits == 64 { high } else { high - 1.0 };
        return if x.is_nan() { 0.0 } else { x.trunc().clamp(low, last) };
    }
    let wrapped = (x as i128).rem_euclid(1 << bits);
    let wrapped = if low < 0.0 && wrapped >= 1 << (bits - 1) { wrapped - (1 << bits) } else { wrapped };
    wrapped as f64
}

/// An 8-bit float by the definition of its format.
fn fp8(dtype: Dtype, code: u8) -> f64 {
    let (mantissa, bias) = if dtype == F8E4m3 { (3, 7) } else { (2, 15) };
    let (exponent, fraction) = (i32::from(code & 127) >> mantissa, i32::from(code) & ((1 << mantissa) - 1));
    let sign = if code > 127 { -1.0 } else { 1.0 };
    let fraction = f64::from(fraction) / f64::from(1 << mantissa);
    match (dtype, code & 127) {
        (F8E4m3, 127) | (F8E5m2, 125..) => f64::NAN,
        (F8E5m2, 124) => sign * f64::INFINITY,
        _ if exponent == 0 => sign * fraction * 2f64.powi(1 - bias),
        _ => sign * (1.0 + fraction) * 2f64.powi(exponent - bias),
    }
}

/// A tensor's element as a number: 8-bit floats travel as their codes.
fn number(dtype: Dtype, value: f64) -> f64 {
    if matches!(dtype, F8E4m3 | F8E5m2) { fp8(dtype, value as u8) } else { value }
}

fn carrier(dtype: Dtype) -> Dtype {
    if matches!(dtype, F8E4m3 | F8E5m2) { U8 } else { dtype }
}

fn value(rng: &mut Rng, from: Dtype) -> f64 {
    let special = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 464.0, 465.0, 65520.0, 1e30, 1e300];
    match from {
        F8E4m3 | F8E5m2 | U8 => rng.range(0, 255) as f64,
        Bool => rng.pick(&[0.0, 1.0, 2.0]),
        I8 | I16 | I32 | I64 => (rng.range(-(1 << 53), 1 << 53) >> rng.range(0, 52)) as f64,
        U16 | U32 | U64 => (rng.range(0, 1 << 53) >> rng.range(0, 52)) as f64,
        _ if rng.chance(8) => rng.pick(&special),
        _ => rng.normal() * 2f64.powi(rng.range(-30, 30) as i32),
    }
}

fn input(session: &Session, rng: &mut Rng, dtype: Dtype, dims: &[i64], style: Style) -> Tensor {
    let mut x = session.tensor(rng, carrier(dtype), dims, style, |rng| value(rng, dtype));
    x.desc.dtype = dtype.code();
    x
}

fn output(session: &Session, rng: &mut Rng, dtype: Dtype, dims: &[i64], style: Style) -> Tensor {
    let mut y = session.output(rng, carrier(dtype), dims, style);
    y.desc.dtype = dtype.code();
    y
}

fn equal(got: f64, want: f64) -> bool {
    got == want || (got.is_nan() && want.is_nan())
}

/// Runs one cast and compares it.
fn check(session: &Session, x: &Tensor, y: &Tensor, from: Dtype, to: Dtype, saturate: bool) {
    session.run(weft_cast, &desc(x, y, if saturate { WEFT_CAST_SATURATE } else { 0 }));
    let wide = x.layout.broadcast_to("x", y.dims()).unwrap();
    // The element of x that each index names, found by a layout of x's values.
    let numbers = weft::layout::Layout::packed(x.dims()).broadcast_to("x", y.dims()).unwrap();
    let got = session.read(y);
    for (i, &got) in got.iter().enumerate() {
        let x = number(from, x.values[numbers.offset_of(i) as usize]);
        let want = cast(x, from, to, saturate);
        let got = number(to, got);
        assert!(equal(got, want), "{from:?} {x:e} to {to:?} is {got:e}, expected {want:e} ({wide:?})");
    }
}

#[test]
fn every_pair_of_types_in_every_layout() {
    let (session, mut rng) = (Session::new(2), Rng(1));
    for round in 0..5 {
        for from in REAL {
            for to in REAL {
                let rank = rng.range(0, 4) as usize;
                let dims: Vec<i64> = (0..rank).map(|_| rng.size(17, true)).collect();
                let style = rng.pick(&[Style::Packed, Style::Hostile, Style::Repeated]);
                let x = input(&session, &mut rng, from, &dims, style);
                let style = rng.pick(&[Style::Packed, Style::Hostile]);
                let y = output(&session, &mut rng, to, &dims, style);
                check(&session, &x, &y, from, to, round % 2 == 1);
                session.free(&[&x, &y]);
            }
        }
    }
}

#[test]
fn long_runs_and_broadcasts() {
    let (session, mut rng) = (Session::new(3), Rng(2));
    for (from, to) in
        [(F32, F16), (F16, F32), (Bf16, F32), (F32, Bf16), (F64, F8E4m3), (I64, Bf16), (F32, F32)]
    {
        for style in [Style::Packed, Style::Hostile, Style::Repeated] {
            let x = input(&session, &mut rng, from, &[3, 1, 1031], style);
            let y = output(&session, &mut rng, to, &[2, 3, 37, 1031], Style::Packed);
            check(&session, &x, &y, from, to, false);
            session.free(&[&x, &y]);
        }
    }
}

#[test]
fn transposes_of_every_size_of_element() {
    // The other choice takes everything, so that tests running meanwhile only see another way to the same result.
    for forced in ["", by_device("cast=runs", "cast=strided")] {
        weft::op::force(forced);
        transposes();
    }
    weft::op::force("");
}

fn transposes() {
    let (session, mut rng) = (Session::new(2), Rng(3));
    for dtype in [U8, F16, F32, F64] {
        for (rows, columns) in [(64, 64), (65, 130), (131, 64), (67, 257), (8, 8), (200, 9), (144, 272)] {
            let mut x = input(&session, &mut rng, dtype, &[3, columns, rows], Style::Packed);
            // x seen with its last axes swapped.
            x.desc.dims[..3].copy_from_slice(&[3, rows, columns]);
            x.desc.strides[..3].copy_from_slice(&[columns * rows, 1, rows]);
            let y = output(&session, &mut rng, dtype, &[3, rows, columns], Style::Packed);
            session.run(weft_cast, &desc(&x, &y, 0));
            let got = session.read(&y);
            for (i, &got) in got.iter().enumerate() {
                let i = i as i64;
                let (plane, row, column) = (i / (rows * columns), i / columns % rows, i % columns);
                let from = plane * rows * columns + column * rows + row;
                assert!(equal(got, x.values[from as usize]), "{dtype:?} {rows} x {columns} at {i}");
            }
            session.free(&[&x, &y]);
        }
    }
}

#[test]
fn long_runs_of_every_width_by_vectors_and_tails() {
    let (session, mut rng) = (Session::new(2), Rng(11));
    let pairs = [
        (Bf16, F32),
        (F32, Bf16),
        (F64, U8),
        (I8, F64),
        (F8E4m3, F16),
        (F32, F8E5m2),
        (Bool, I64),
        (U16, U16),
    ];
    for (from, to) in pairs {
        for (count, shift) in [(1 << 17, 0), ((1 << 16) + 15, 0), (4097, 1), (4097, 2), (7, 0)] {
            let x = input(&session, &mut rng, from, &[count + i64::from(shift == 1)], Style::Packed);
            let y = output(&session, &mut rng, to, &[count + i64::from(shift == 2)], Style::Packed);
            let (x, y) = (if shift == 1 { x.shifted() } else { x }, if shift == 2 { y.shifted() } else { y });
            check(&session, &x, &y, from, to, false);
            session.free(&[&x, &y]);
        }
    }
}

#[test]
fn every_half_float_goes_there_and_back() {
    let (session, mut rng) = (Session::new(1), Rng(4));
    for (dtype, make) in [
        (F16, (|bits| f16::from_bits(bits).to_f64()) as fn(u16) -> f64),
        (Bf16, |bits| bf16::from_bits(bits).to_f64()),
    ] {
        let codes: Vec<f64> = (0..=u16::MAX).map(f64::from).collect();
        let mut x = session.exact(&mut rng, U16, &[1 << 16], Style::Packed, &codes);
        x.desc.dtype = dtype.code();
        let wide = session.output(&mut rng, F32, &[1 << 16], Style::Packed);
        session.run(weft_cast, &desc(&x, &wide, 0));
        let values = session.read(&wide);
        assert!(values.iter().enumerate().all(|(i, &v)| equal(v, make(i as u16))), "{dtype:?}");
        let back = output(&session, &mut rng, dtype, &[1 << 16], Style::Packed);
        session.run(weft_cast, &desc(&wide, &back, 0));
        let back = session.read(&back);
        assert!(back.iter().zip(&values).all(|(&a, &b)| equal(a, b)), "{dtype:?}");
    }
}

#[test]
fn every_double_next_to_a_tie_rounds_once() {
    let (session, mut rng) = (Session::new(1), Rng(5));
    for to in [F32, F16, Bf16, F8E4m3, F8E5m2] {
        let (mantissa, least, ..) = format(to).unwrap();
        let tie = |rng: &mut Rng| {
            let steps = rng.range(0, 2 << mantissa) as f64 + 0.5;
            let tie = steps * 2f64.powi((least + rng.range(0, 20) as i32) - mantissa);
            rng.pick(&[tie, tie * (1.0 + f64::EPSILON), tie * (1.0 - f64::EPSILON), -tie])
        };
        let x = session.tensor(&mut rng, F64, &[20_000], Style::Packed, tie);
        let y = output(&session, &mut rng, to, &[20_000], Style::Packed);
        check(&session, &x, &y, F64, to, false);
    }
}

#[test]
fn large_integers_round_once_and_wrap() {
    let session = Session::new(1);
    let cases: [(i64, f32, f32); 5] = [
        // Above the tie by one, which f64 cannot see.
        ((1 << 56) + (1 << 48) + 1, 2f32.powi(56) + 2f32.powi(48), 2f32.powi(56) + 2f32.powi(49)),
        ((1 << 56) + (1 << 48), 2f32.powi(56) + 2f32.powi(48), 2f32.powi(56)),
        (-(1 << 56) - (1 << 48) - 1, -(2f32.powi(56)) - 2f32.powi(48), -(2f32.powi(56)) - 2f32.powi(49)),
        (i64::MAX, 2f32.powi(63), 2f32.powi(63)),
        (i64::MIN, -(2f32.powi(63)), -(2f32.powi(63))),
    ];
    let bytes: Vec<u8> = cases.iter().flat_map(|case| case.0.to_le_bytes()).collect();
    let tensor = |buffer, dtype| {
        let mut t = weft::layout::weft_tensor { buffer, dtype, rank: 1, ..Default::default() };
        t.dims[0] = 5;
        t
    };
    let (from, to) = (session.buffer(64), session.buffer(64));
    session.write_bytes(from, &[bytes, vec![0; 24]].concat());
    let run = |x: u32, y: u32| {
        let size = size_of::<weft_cast_desc>() as u32;
        let desc = weft_cast_desc { struct_size: size, flags: 0, x: tensor(from, x), y: tensor(to, y) };
        session.run(weft_cast, &desc);
        session.read_bytes(to, 40)
    };
    let bf = run(WEFT_I64, WEFT_BF16);
    let f = run(WEFT_I64, WEFT_F32);
    let unsigned = run(WEFT_U64, WEFT_BF16);
    let wrapped = run(WEFT_I64, WEFT_U64);
    for (i, case) in cases.iter().enumerate() {
        let half = |bytes: &[u8]| bf16::from_le_bytes(bytes[2 * i..2 * i + 2].try_into().unwrap()).to_f32();
        assert_eq!(half(&bf), case.2);
        // f32 keeps 24 bits: the last bit of the first case is lost, nothing else.
        let single = f32::from_le_bytes(f[4 * i..4 * i + 4].try_into().unwrap());
        assert_eq!(single, case.1);
        assert_eq!(wrapped[8 * i..8 * i + 8], case.0.to_le_bytes());
        let large = [case.2, case.2, 2f32.powi(64) - 2f32.powi(56), case.2, 2f32.powi(63)];
        assert_eq!(half(&unsigned), large[i]);
    }
}

#[test]
fn complex_numbers_convert_among_themselves() {
    let (session, mut rng) = (Session::new(1), Rng(7));
    // Every second element of five, from the second on.
    let values: Vec<f64> = (0..20).map(|i| 1.0 / f64::from(i + 1)).collect();
    let mut x = session.exact(&mut rng, F64, &[10, 2], Style::Packed, &values);
    (x.desc.dtype, x.desc.rank, x.desc.offset) = (WEFT_C64, 1, 16);
    (x.desc.dims[0], x.desc.strides[0]) = (4, 2);
    let mut y = session.output(&mut rng, F32, &[4, 2], Style::Packed);
    (y.desc.dtype, y.desc.rank, y.desc.dims[0]) = (WEFT_C32, 1, 4);
    session.run(weft_cast, &desc(&x, &y, 0));
    (y.desc.dtype, y.desc.rank) = (WEFT_F32, 2);
    y.desc.offset = 0;
    let want: Vec<f64> =
        (0..4).flat_map(|i| [values[2 + 4 * i], values[3 + 4 * i]]).map(|v| f64::from(v as f32)).collect();
    assert_eq!(session.read(&y), want);
    (y.desc.dtype, y.desc.rank) = (WEFT_C32, 1);
    let mut z = session.output(&mut rng, F64, &[4, 2], Style::Packed);
    (z.desc.dtype, z.desc.rank) = (WEFT_C64, 1);
    session.run(weft_cast, &desc(&y, &z, 0));
    assert_eq!(session.read(&z), want);
    y.desc.dtype = WEFT_F64;
    let (status, why) = session.refuse(weft_cast, &desc(&z, &y, 0));
    assert_eq!(status, WEFT_ERROR_INVALID_ARGUMENT, "{why}");
    assert!(why.contains("cast: x.dtype is WEFT_C64") && why.contains("both complex"), "{why}");
}

#[test]
fn in_place_is_a_copy_onto_itself() {
    let (session, mut rng) = (Session::new(1), Rng(8));
    let x = session.normal(&mut rng, F32, &[5, 7], Style::Hostile);
    session.run(weft_cast, &desc(&x, &x, 0));
    assert!(session.untouched(&x));
    let mut other = session.normal(&mut rng, F32, &[5, 7], Style::Packed);
    let first = other.desc;
    other.desc.dtype = WEFT_I32;
    let mut both = desc(&other, &other, 0);
    both.x = first;
    let (status, why) = session.refuse(weft_cast, &both);
    assert_eq!(status, WEFT_ERROR_INVALID_ARGUMENT);
    assert!(why.contains("cast: y and x overlap"), "{why}");
}

#[test]
fn bad_input_is_named() {
    let (session, mut rng) = (Session::new(1), Rng(9));
    let x = session.normal(&mut rng, F32, &[5, 7], Style::Packed);
    let y = session.output(&mut rng, F16, &[5, 6], Style::Packed);
    let refused = |d: &weft_cast_desc, part: &str| {
        let (status, why) = session.refuse(weft_cast, d);
        assert_eq!(status, WEFT_ERROR_INVALID_ARGUMENT, "{why}");
        assert!(why.contains(part), "{why}");
        assert!(session.untouched(&y));
    };
    refused(&desc(&x, &y, 0), "cast: x.dims [5, 7] cannot be broadcast to [5, 6]");
    refused(&desc(&x, &y, 2), "cast: flags are 0x2");
    let mut bad = desc(&x, &y, 0);
    bad.x.dtype = 99;
    refused(&bad, "cast: x.dtype is 99");
    bad = desc(&x, &y, 0);
    bad.y.buffer = 0;
    refused(&bad, "cast: y.buffer is 0");
    bad = desc(&x, &y, 0);
    bad.y.strides[..2].copy_from_slice(&[0, 1]);
    refused(&bad, "several indices name one element");
}

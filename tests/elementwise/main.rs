//! Elementwise functions against f64 formulas: every function, dtype and layout, in place and broadcast.

mod oracle;
mod paths;
#[path = "../support/mod.rs"]
mod support;

use oracle::{float, integer, larger, truth, wrap};
use support::*;
use weft::api::operations::weft_elementwise;
use weft::dtype::Dtype::{self, *};
use weft::ops::elementwise::*;

const FLOATS: [Dtype; 4] = [F32, F64, F16, Bf16];
const INTEGERS: [Dtype; 8] = [I8, I16, I32, I64, U8, U16, U32, U64];

/// The values of a tensor of `dims`, broadcast to `to`.
fn broadcast(values: &[f64], dims: &[i64], to: &[i64]) -> Vec<f64> {
    let layout = weft::layout::Layout::packed(dims).broadcast_to("x", to).unwrap();
    (0..layout.count()).map(|i| values[layout.offset_of(i) as usize]).collect()
}

/// Dims of an operand that can be broadcast to `to`.
fn narrower(rng: &mut Rng, to: &[i64]) -> Vec<i64> {
    let cut = if rng.chance(3) { rng.range(0, to.len() as i64) as usize } else { 0 };
    to[cut..].iter().map(|&dim| if rng.chance(4) { 1 } else { dim }).collect()
}

struct Case {
    function: &'static Function,
    inputs: Vec<Tensor>,
    y: Tensor,
    /// Which input y is, if any.
    place: Option<usize>,
    desc: weft_elementwise_desc,
    parameters: [f64; 2],
}

fn desc(function: u32, inputs: &[&Tensor], y: &Tensor) -> weft_elementwise_desc {
    let at = |i: usize| inputs.get(i).map_or_else(Default::default, |tensor| tensor.desc);
    weft_elementwise_desc {
        struct_size: size_of::<weft_elementwise_desc>() as u32,
        function,
        a: at(0),
        b: at(1),
        c: at(2),
        y: y.desc,
        ..Default::default()
    }
}

fn value(rng: &mut Rng, dtype: Dtype) -> f64 {
    const ODD: [f64; 12] =
        [0.0, -0.0, 1.0, -1.0, 0.5, 2.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 3e4, -3e4, 1e-6];
    match dtype {
        Bool => rng.range(0, 2) as f64,
        U8 | U16 | U32 | U64 => rng.range(0, 250) as f64,
        I8 => rng.range(-128, 127) as f64,
        I16 | I32 | I64 => rng.range(-30000, 30000) as f64,
        _ if rng.chance(12) => rng.pick(&ODD),
        _ if rng.chance(12) => rng.normal() * 1e9,
        _ => rng.normal() * 3.0,
    }
}

fn dims(rng: &mut Rng) -> Vec<i64> {
    match rng.range(0, 5) {
        0 => vec![],
        1 => vec![rng.range(1000, 5000)],
        rank => (0..rank).map(|_| rng.size(if rank > 2 { 7 } else { 70 }, true)).collect(),
    }
}

fn case(session: &Session, rng: &mut Rng, function: &'static Function, dtype: Dtype) -> Case {
    let to = dims(rng);
    let result = if matches!(function.kind, Kind::Compare | Kind::Test | Kind::Logic) { Bool } else { dtype };
    let place = (0..function.arity).find(|_| rng.chance(4) && result == dtype);
    let mut inputs = Vec::new();
    for i in 0..function.arity {
        let same = place == Some(i);
        let shape = if same { to.clone() } else { narrower(rng, &to) };
        let style = if same {
            rng.pick(&[Style::Packed, Style::Hostile])
        } else {
            rng.pick(&[Style::Packed, Style::Hostile, Style::Repeated])
        };
        let of = if i == 0 && function.kind == Kind::Select { Bool } else { dtype };
        inputs.push(session.tensor(rng, of, &shape, style, |rng| {
            let value = value(rng, of);
            // A gate that rounds to 0 in f32 and not in f64 would meet infinity as NaN.
            if i > 0 && (WEFT_EW_SWIGLU..=WEFT_EW_REGLU).contains(&function.code) {
                value.clamp(-3e4, 3e4)
            } else {
                value
            }
        }));
    }
    let place = place.filter(|&i| inputs[i].dtype == result);
    let style = rng.pick(&[Style::Packed, Style::Packed, Style::Hostile]);
    let y = session.output(rng, result, &to, style);
    let refs: Vec<&Tensor> = inputs.iter().collect();
    let mut desc = desc(function.code, &refs, place.map_or(&y, |i| &inputs[i]));
    let mut parameters = [0.0; 2];
    parameters[..function.defaults.len()].copy_from_slice(function.defaults);
    if !function.defaults.is_empty() && rng.chance(2) {
        desc.flags = WEFT_EW_PARAMETERS;
        let zero = function.code != WEFT_EW_CELU && rng.chance(3);
        parameters[0] = if zero { 0.0 } else { rng.pick(&[0.25, 0.7, 1.5]) };
        desc.alpha = parameters[0];
        if function.defaults.len() > 1 {
            parameters[1] = rng.pick(&[0.0, 0.25, -0.5]);
            desc.beta = parameters[1];
        }
    }
    Case { function, inputs, y, place, desc, parameters }
}

fn want(case: &Case) -> Vec<f64> {
    let to = case.y.dims();
    let wide: Vec<Vec<f64>> = case.inputs.iter().map(|x| broadcast(&x.values, x.dims(), to)).collect();
    let dtype = case.inputs[case.inputs.len() - 1].dtype;
    let code = case.function.code;
    let one = |i: usize| {
        let x = [0, 1, 2].map(|k| wide.get(k).map_or(0.0, |x| x[i]));
        match (case.function.kind, code) {
            (Kind::Select, _) => {
                if x[0] != 0.0 {
                    x[1]
                } else {
                    x[2]
                }
            }
            (_, WEFT_EW_AND) => x[0] * x[1],
            (_, WEFT_EW_OR) => larger(x[0], x[1]),
            (_, WEFT_EW_XOR) => truth(x[0] != x[1]),
            (_, WEFT_EW_NOT) => 1.0 - x[0],
            _ if INTEGERS.contains(&dtype) => wrap(case.y.dtype, integer(code, x.map(|x| x as i128))),
            _ => float(code, x, case.parameters),
        }
    };
    (0..case.y.layout.count()).map(one).collect()
}

fn check(session: &Session, case: &Case) {
    session.run(weft_elementwise, &case.desc);
    let target = case.place.map_or(&case.y, |i| &case.inputs[i]);
    let got = session.read(target);
    let (dtype, mut want) = (case.y.dtype, want(case));
    let exact = want.clone();
    let mut bytes = vec![0; dtype.size()];
    for w in &mut want {
        encode(dtype, *w, &mut bytes);
        let rounded = decode(dtype, &bytes);
        if rounded.is_infinite() || dtype == Bool {
            *w = rounded;
        }
    }
    let (computed, floor) = if dtype == F64 { (2f64.powi(-53), 1e-300) } else { (2f64.powi(-24), 1e-36) };
    let floor = floor + if dtype == F16 { 6e-8 } else { 0.0 };
    let what = format!(
        "{} {dtype:?} {:?} {:?}",
        case.function.name,
        case.desc,
        case.inputs.iter().map(|x| x.dtype).collect::<Vec<_>>()
    );
    if INTEGERS.contains(&dtype) || dtype == Bool {
        return close(&what, &got, &want, |_| 0.0);
    }
    let to = case.y.dims();
    let wide: Vec<Vec<f64>> = case.inputs.iter().map(|x| broadcast(&x.values, x.dims(), to)).collect();
    close(&what, &got, &want, |i| {
        let a = wide.first().map_or(1.0, |x| x[i]);
        let size = if exact[i].is_finite() { exact[i].abs() } else { 0.0 };
        unit(dtype) * size * 1.001 + computed * (12.0 * size + slack(case.function.code, a, size)) + floor
    });
}

/// What cancellation adds to the error, in units of the type that is computed with.
fn slack(function: u32, a: f64, size: f64) -> f64 {
    match function {
        WEFT_EW_GELU | WEFT_EW_GEGLU if a < 0.0 => 3.0 * a * a * size,
        WEFT_EW_GELU_TANH | WEFT_EW_GEGLU_TANH if a < 0.0 => 5.0 * (a + 0.05 * a * a * a).abs() * size,
        WEFT_EW_HARD_SWISH => 2.0 * a.abs(),
        WEFT_EW_SIN | WEFT_EW_COS | WEFT_EW_HARD_SIGMOID => 2.0,
        _ => 0.0,
    }
}

fn free(session: &Session, case: &Case) {
    case.inputs.iter().for_each(|x| session.free(&[x]));
    session.free(&[&case.y]);
}

fn dtypes(function: &Function) -> Vec<Dtype> {
    match function.kind {
        Kind::Float | Kind::Test => FLOATS.to_vec(),
        Kind::Logic => vec![Bool],
        Kind::Select => [&FLOATS[..], &INTEGERS, &[Bool]].concat(),
        Kind::Number if function.code == WEFT_EW_NEG => [&FLOATS[..], &INTEGERS[..4]].concat(),
        Kind::Compare if function.code == WEFT_EW_EQUAL => [&FLOATS[..], &INTEGERS, &[Bool]].concat(),
        Kind::Number | Kind::Compare => [&FLOATS[..], &INTEGERS].concat(),
    }
}

#[test]
fn every_function_dtype_and_layout() {
    let fails = |function: &&'static Function| std::panic::catch_unwind(|| every_layout(function)).is_err();
    let failed: Vec<&str> = FUNCTIONS.iter().filter(fails).map(|function| function.name).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

/// One function with each of its dtypes, in layouts that the dice choose.
fn every_layout(function: &'static Function) {
    let session = Session::new(2);
    let mut rng = Rng(7 + u64::from(function.code));
    for dtype in dtypes(function) {
        for _ in 0..12 {
            if dtype == Bool && function.code == WEFT_EW_EQUAL {
                equal_truths(&session, &mut rng);
                continue;
            }
            let case = case(&session, &mut rng, function, dtype);
            check(&session, &case);
            free(&session, &case);
        }
    }
}

/// EQUAL of truth values is the opposite of XOR.
fn equal_truths(session: &Session, rng: &mut Rng) {
    let mut case = case(session, rng, Function::of(WEFT_EW_XOR).unwrap(), Bool);
    case.desc.function = WEFT_EW_EQUAL;
    session.run(weft_elementwise, &case.desc);
    let got = session.read(case.place.map_or(&case.y, |i| &case.inputs[i]));
    let want: Vec<f64> = want(&case).iter().map(|x| 1.0 - x).collect();
    close("EQUAL of truth values", &got, &want, |_| 0.0);
    free(session, &case);
}

#[test]
fn many_elements_over_threads() {
    let session = Session::new(2);
    let mut rng = Rng(8);
    for code in [WEFT_EW_ADD, WEFT_EW_SWIGLU, WEFT_EW_EXP, WEFT_EW_POW] {
        for (rows, row) in [(1, 300_001), (1000, 257), (70_000, 3)] {
            let a = session.normal(&mut rng, F32, &[rows, row], Style::Packed);
            let b = session.normal(&mut rng, F32, &[row], Style::Packed);
            let y = session.output(&mut rng, F32, &[rows, row], Style::Packed);
            let function = Function::of(code).unwrap();
            let inputs = [a, b].into_iter().take(function.arity).collect::<Vec<_>>();
            let desc = desc(code, &inputs.iter().collect::<Vec<_>>(), &y);
            let case = Case { function, inputs, y, place: None, desc, parameters: [0.0; 2] };
            check(&session, &case);
            free(&session, &case);
        }
    }
}

#[test]
fn integers_wrap_and_division_by_zero_is_zero() {
    let session = Session::default();
    let mut rng = Rng(9);
    let at = |x: f64, y: f64, code: u32, dtype: Dtype| {
        let mut rng = Rng(1);
        let a = session.exact(&mut rng, dtype, &[1], Style::Packed, &[x]);
        let b = session.exact(&mut rng, dtype, &[1], Style::Packed, &[y]);
        let out = session.output(&mut rng, dtype, &[1], Style::Packed);
        let inputs = [&a, &b];
        session.run(weft_elementwise, &desc(code, &inputs[..Function::of(code).unwrap().arity], &out));
        let got = session.read(&out)[0];
        session.free(&[&a, &b, &out]);
        got
    };
    let least = f64::from(i32::MIN);
    assert_eq!(at(least, -1.0, WEFT_EW_DIV, I32), least);
    assert_eq!(at(least, -1.0, WEFT_EW_MOD, I32), 0.0);
    assert_eq!(at(least, 0.0, WEFT_EW_ABS, I32), least);
    assert_eq!(at(least, 0.0, WEFT_EW_NEG, I32), least);
    assert_eq!(at(least, 1.0, WEFT_EW_SUB, I32), f64::from(i32::MAX));
    assert_eq!(at(5.0, 0.0, WEFT_EW_DIV, U8), 0.0);
    assert_eq!(at(200.0, 100.0, WEFT_EW_ADD, U8), 44.0);
    assert_eq!(at(-7.0, 2.0, WEFT_EW_DIV, I64), -3.0);
    assert_eq!(at(-7.0, 2.0, WEFT_EW_MOD, I64), -1.0);
    let _ = rng.next();
}

#[test]
fn bad_input_is_refused_with_a_sentence() {
    let session = Session::default();
    let mut rng = Rng(10);
    let a = session.normal(&mut rng, F32, &[4, 3], Style::Packed);
    let i = session.tensor(&mut rng, I32, &[4, 3], Style::Packed, |_| 1.0);
    let y = session.output(&mut rng, F32, &[4, 3], Style::Packed);
    let good = desc(WEFT_EW_ADD, &[&a, &a], &y);
    session.run(weft_elementwise, &good);
    let refuse = |what: &str, desc: weft_elementwise_desc| {
        let (status, text) = session.refuse(weft_elementwise, &desc);
        assert_eq!(status, weft::status::WEFT_ERROR_INVALID_ARGUMENT, "{what}");
        assert!(text.starts_with("elementwise: ") && text.contains(what), "{text}");
    };
    refuse("function", weft_elementwise_desc { function: 0, ..good });
    refuse("function", weft_elementwise_desc { function: 1 + FUNCTIONS.len() as u32, ..good });
    refuse("flags", weft_elementwise_desc { flags: 2, ..good });
    refuse("reserved", weft_elementwise_desc { reserved: 2, ..good });
    refuse("alpha", weft_elementwise_desc { alpha: 2.0, ..good });
    refuse("beta", weft_elementwise_desc { beta: 2.0, ..desc(WEFT_EW_ELU, &[&a], &y) });
    refuse("alpha", weft_elementwise_desc { alpha: f64::NAN, ..desc(WEFT_EW_ELU, &[&a], &y) });
    refuse("b is given", weft_elementwise_desc { function: WEFT_EW_NEG, ..good });
    refuse("c is given", weft_elementwise_desc { c: a.desc, ..good });
    refuse("b.buffer", weft_elementwise_desc { b: Default::default(), ..good });
    refuse("b.dtype", weft_elementwise_desc { b: i.desc, ..good });
    refuse("y.dtype", desc(WEFT_EW_ADD, &[&i, &i], &y));
    refuse("y.dtype", desc(WEFT_EW_LESS, &[&a, &a], &y));
    refuse("a.dtype", desc(WEFT_EW_EXP, &[&i], &i));
    refuse("a.dtype", desc(WEFT_EW_SELECT, &[&a, &a, &a], &y));
    let mut turned = good;
    turned.a.dims[..2].copy_from_slice(&[3, 4]);
    refuse("a.dims", turned);
    let mut shifted = good;
    (shifted.y, shifted.y.dims[0], shifted.a.dims[0], shifted.b.dims[0]) = (a.desc, 3, 3, 3);
    shifted.y.offset = 12;
    refuse("overlap", shifted);
    let mut repeated = good;
    repeated.y.strides[..2].copy_from_slice(&[0, 1]);
    refuse("y:", repeated);
    session.free(&[&a, &i, &y]);
}

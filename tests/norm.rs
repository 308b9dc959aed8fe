//! RMSNorm and LayerNorm against f64.

mod support;

use support::*;
use weft::api::operations::{weft_layer_norm, weft_rms_norm};
use weft::dtype::Dtype::{self, *};
use weft::ops::norm::*;

fn round(dtype: Dtype, value: f64) -> f64 {
    let mut bytes = vec![0; dtype.size()];
    encode(dtype, value, &mut bytes);
    decode(dtype, &bytes)
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

struct Case {
    layer: bool,
    axes: usize,
    epsilon: f64,
    x: Tensor,
    residual: Option<Tensor>,
    weight: Option<Tensor>,
    bias: Option<Tensor>,
    y: Tensor,
    sum: Option<Tensor>,
    mean: Option<Tensor>,
    rstd: Option<Tensor>,
    plus_one: bool,
    /// 0: y apart, 1: y is x, 2: y is residual.
    place: i64,
    /// sum is x.
    sum_in_x: bool,
}

fn dims(rng: &mut Rng) -> Vec<i64> {
    match rng.range(0, 4) {
        0 => vec![rng.size(30, true), rng.pick(&[1, 15, 16, 17, 63, 64, 65, 255, 1000, 4095, 4097, 9001])],
        rank => (0..rank).map(|_| rng.size(if rank > 2 { 9 } else { 130 }, true)).collect(),
    }
}

fn parameter(session: &Session, rng: &mut Rng, dtype: Dtype, inner: &[i64]) -> Option<Tensor> {
    if rng.chance(3) {
        return None;
    }
    let cut = if rng.chance(4) { rng.range(0, inner.len() as i64) as usize } else { 0 };
    let dims: Vec<i64> = inner[cut..].iter().map(|&dim| if rng.chance(6) { 1 } else { dim }).collect();
    let dtype = rng.pick(&[dtype, F32]);
    let style = rng.pick(&[Style::Packed, Style::Hostile, Style::Repeated]);
    Some(session.normal(rng, dtype, &dims, style))
}

fn statistic(session: &Session, rng: &mut Rng, dtype: Dtype, outer: &[i64], axes: usize) -> Option<Tensor> {
    if rng.chance(2) {
        return None;
    }
    let kept = if rng.chance(2) { axes } else { 0 };
    let dims = [outer, &[1; 8][..kept]].concat();
    let dtype = if dtype == F64 { rng.pick(&[F32, F64]) } else { F32 };
    let style = rng.pick(&[Style::Packed, Style::Hostile]);
    Some(session.output(rng, dtype, &dims, style))
}

fn case(session: &Session, rng: &mut Rng, dtype: Dtype) -> Case {
    let dims = dims(rng);
    let axes = rng.range(1, dims.len() as i64) as usize;
    let (outer, inner) = dims.split_at(dims.len() - axes);
    let layer = rng.chance(2);
    let style = |rng: &mut Rng| rng.pick(&[Style::Packed, Style::Hostile]);
    let (shift, size) = (rng.pick(&[0.0, 0.0, 3.0, -20.0]), rng.pick(&[1.0, 1.0, 0.01, 50.0]));
    let s = style(rng);
    let x = session.tensor(rng, dtype, &dims, s, |rng| shift + size * rng.normal());
    let s = style(rng);
    let residual = rng.chance(2).then(|| session.normal(rng, dtype, &dims, s));
    let place = if residual.is_some() { rng.range(0, 2) } else { rng.range(0, 1) };
    let s = style(rng);
    let sum = (residual.is_some() && rng.chance(2)).then(|| session.output(rng, dtype, &dims, s));
    let sum_in_x = sum.is_some() && place != 1 && rng.chance(2);
    let weight = parameter(session, rng, dtype, inner);
    let s = style(rng);
    Case {
        layer,
        axes,
        epsilon: rng.pick(&[0.0, 1e-6, 0.5]),
        residual,
        plus_one: weight.is_some() && rng.chance(2),
        weight,
        bias: parameter(session, rng, dtype, inner),
        y: session.output(rng, dtype, &dims, s),
        sum,
        mean: if layer { statistic(session, rng, dtype, outer, axes) } else { None },
        rstd: statistic(session, rng, dtype, outer, axes),
        x,
        place,
        sum_in_x,
    }
}

impl Case {
    fn target(&self) -> &Tensor {
        match self.place {
            1 => &self.x,
            2 => self.residual.as_ref().unwrap(),
            _ => &self.y,
        }
    }

    fn desc(&self) -> weft_norm_desc {
        let of =
            |tensor: &Option<Tensor>| tensor.as_ref().map_or_else(Default::default, |tensor| tensor.desc);
        weft_norm_desc {
            struct_size: size_of::<weft_norm_desc>() as u32,
            flags: if self.plus_one { WEFT_NORM_WEIGHT_PLUS_ONE } else { 0 },
            x: self.x.desc,
            residual: of(&self.residual),
            weight: of(&self.weight),
            bias: of(&self.bias),
            y: self.target().desc,
            sum: if self.sum_in_x { self.x.desc } else { of(&self.sum) },
            mean: of(&self.mean),
            rstd: of(&self.rstd),
            axes: if self.axes == 1 { 0 } else { self.axes as u32 },
            reserved: 0,
            epsilon: self.epsilon,
        }
    }

    fn run(&self, session: &Session) {
        session.run(if self.layer { weft_layer_norm } else { weft_rms_norm }, &self.desc());
    }
}

/// The parameter at each of the row's elements.
fn expand(tensor: &Option<Tensor>, inner: &[i64], default: f64) -> Vec<f64> {
    let count = inner.iter().product::<i64>() as usize;
    let Some(tensor) = tensor else { return vec![default; count] };
    tensor.expanded(inner)
}

fn check(session: &Session, case: &Case) {
    case.run(session);
    let dtype = case.x.dtype;
    let dims = case.x.dims();
    let (outer, inner) = dims.split_at(dims.len() - case.axes);
    let (rows, count) = (outer.iter().product::<i64>() as usize, inner.iter().product::<i64>() as usize);
    let weight = expand(&case.weight, inner, 1.0);
    let bias = expand(&case.bias, inner, 0.0);
    let mut x = case.x.values.clone();
    if let Some(residual) = &case.residual {
        x.iter_mut().zip(&residual.values).for_each(|(x, r)| *x = round(dtype, *x + r));
    }
    let unit_of = |dtype| if dtype == F64 { unit(F64) } else { unit(F32) };
    let e = unit_of(dtype);
    let (mut y, mut bound, mut means, mut rstds) = (vec![], vec![], vec![], vec![]);
    for row in 0..rows {
        let row = &x[row * count..][..count];
        let mean = if case.layer { total(row.iter().copied()) / count as f64 } else { 0.0 };
        let square = total(row.iter().map(|x| (x - mean) * (x - mean))) / count as f64;
        let rstd = 1.0 / (square + if case.epsilon == 0.0 { 1e-5 } else { case.epsilon }).sqrt();
        for (i, x) in row.iter().enumerate() {
            let w = weight[i] + if case.plus_one { 1.0 } else { 0.0 };
            let value = (x - mean) * rstd * w + bias[i];
            y.push(value);
            // f64 is summed in f64.
            let sums =
                if dtype == F64 { 32.0 * e * ((x.abs() + mean.abs()) * rstd + 1.0) * w.abs() } else { 0.0 };
            let slack = sums + 8.0 * e * ((x.abs() + mean.abs()) * rstd * w.abs() + bias[i].abs());
            bound.push(slack * 1.01 + unit(dtype) * value.abs() + if dtype == F16 { 6e-8 } else { 1e-300 });
        }
        means.push(mean);
        rstds.push(rstd);
    }
    let what = format!("{:?}", case.desc());
    close(&what, &session.read(case.target()), &y, |i| bound[i]);
    if let Some(sum) = &case.sum {
        close(&what, &session.read(if case.sum_in_x { &case.x } else { sum }), &x, |_| 0.0);
    }
    let sums = if dtype == F64 { 64.0 } else { 8.0 };
    if let Some(mean) = &case.mean {
        let e = if mean.dtype == F64 { e } else { unit(F32) };
        close(&what, &session.read(mean), &means, |i| sums * e * (means[i].abs() + 1.0 / rstds[i]));
    }
    if let Some(rstd) = &case.rstd {
        let e = if rstd.dtype == F64 { e } else { unit(F32) };
        close(&what, &session.read(rstd), &rstds, |i| sums * e * rstds[i]);
    }
}

fn free(session: &Session, case: &Case) {
    let optional = [&case.residual, &case.weight, &case.bias, &case.sum, &case.mean, &case.rstd];
    optional.into_iter().flatten().for_each(|tensor| session.free(&[tensor]));
    session.free(&[&case.x, &case.y]);
}

#[test]
fn random_norms() {
    let session = Session::new(2);
    let mut rng = Rng(21);
    for i in 0..cases(1200) {
        let case = case(&session, &mut rng, [F32, F64, F16, Bf16][i % 4]);
        check(&session, &case);
        free(&session, &case);
    }
}

fn packed(session: &Session, rng: &mut Rng, dims: &[i64], value: impl FnMut(&mut Rng) -> f64) -> Case {
    Case {
        layer: true,
        axes: 1,
        epsilon: 0.0,
        x: session.tensor(rng, F32, dims, Style::Packed, value),
        residual: None,
        weight: None,
        bias: None,
        y: session.output(rng, F32, dims, Style::Packed),
        sum: None,
        mean: None,
        rstd: None,
        plus_one: false,
        place: 0,
        sum_in_x: false,
    }
}

#[test]
fn many_rows_and_long_rows() {
    let session = Session::new(2);
    let mut rng = Rng(22);
    for dims in [[3000, 257], [2, 600_001], [66_000, 8], [40, 1024], [9, 4096], [3, 16_384], [3, 40_000]] {
        for layer in [false, true] {
            let mut case = packed(&session, &mut rng, &dims, |rng| 5.0 + rng.normal());
            case.layer = layer;
            check(&session, &case);
            free(&session, &case);
        }
    }
}

#[test]
fn huge_and_tiny_elements_keep_their_scale() {
    let session = Session::default();
    let mut rng = Rng(23);
    for (size, epsilon) in [(1e25, 0.0), (1e-25, 1e-60), (0.0, 0.0)] {
        for layer in [false, true] {
            let mut case = packed(&session, &mut rng, &[3, 129], |rng| size * rng.normal());
            (case.layer, case.epsilon) = (layer, epsilon);
            check(&session, &case);
            free(&session, &case);
        }
    }
}

#[test]
fn a_large_mean_does_not_drown_the_variance() {
    let session = Session::default();
    let mut rng = Rng(24);
    let mut case = packed(&session, &mut rng, &[2, 5000], |rng| 1e4 + rng.normal());
    case.rstd = Some(session.output(&mut rng, F32, &[2], Style::Packed));
    check(&session, &case);
    free(&session, &case);
}

#[test]
fn nan_and_infinity_stay_in_their_row() {
    let session = Session::default();
    let mut rng = Rng(25);
    let mut i = 0;
    let case = packed(&session, &mut rng, &[3, 33], |rng| {
        i += 1;
        match i {
            5 => f64::NAN,
            40 => f64::INFINITY,
            _ => rng.normal(),
        }
    });
    case.run(&session);
    let y = session.read(&case.y);
    assert!(y[..66].iter().all(|y| y.is_nan()) && y[66..].iter().all(|y| y.is_finite()));
    free(&session, &case);
}

#[test]
fn bad_input_is_refused_with_a_sentence() {
    let session = Session::default();
    let mut rng = Rng(26);
    let x = session.normal(&mut rng, F32, &[4, 6], Style::Packed);
    let half = session.normal(&mut rng, F16, &[4, 6], Style::Packed);
    let whole = session.tensor(&mut rng, I32, &[4, 6], Style::Packed, |_| 1.0);
    let y = session.output(&mut rng, F32, &[4, 6], Style::Packed);
    let row = session.normal(&mut rng, F32, &[5], Style::Packed);
    let good = weft_norm_desc {
        struct_size: size_of::<weft_norm_desc>() as u32,
        x: x.desc,
        y: y.desc,
        ..Default::default()
    };
    session.run(weft_rms_norm, &good);
    let refuse = |what: &str, desc: weft_norm_desc| {
        let (status, text) = session.refuse(weft_rms_norm, &desc);
        assert_eq!(status, weft::status::WEFT_ERROR_INVALID_ARGUMENT, "{what}");
        assert!(text.starts_with("rms_norm: ") && text.contains(what), "{text}");
    };
    refuse("flags", weft_norm_desc { flags: 2, ..good });
    refuse("WEIGHT_PLUS_ONE", weft_norm_desc { flags: 1, ..good });
    refuse("reserved", weft_norm_desc { reserved: 1, ..good });
    refuse("axes", weft_norm_desc { axes: 3, ..good });
    refuse("epsilon", weft_norm_desc { epsilon: -1.0, ..good });
    refuse("epsilon", weft_norm_desc { epsilon: f64::NAN, ..good });
    refuse("mean is given", weft_norm_desc { mean: row.desc, ..good });
    refuse("x.dtype", weft_norm_desc { x: whole.desc, ..good });
    refuse("y.dtype", weft_norm_desc { y: half.desc, ..good });
    refuse("y.dims", weft_norm_desc { y: row.desc, ..good });
    refuse("residual.dtype", weft_norm_desc { residual: half.desc, ..good });
    refuse("weight.dims", weft_norm_desc { weight: row.desc, ..good });
    refuse("weight.dtype", weft_norm_desc { weight: half.desc, ..good });
    refuse("bias.dims", weft_norm_desc { bias: row.desc, ..good });
    refuse("rstd.dims", weft_norm_desc { rstd: row.desc, ..good });
    refuse("sum is given", weft_norm_desc { sum: x.desc, ..good });
    refuse("overlap", weft_norm_desc { residual: x.desc, sum: y.desc, ..good });
    let mut own = good;
    (own.weight, own.weight.rank, own.weight.dims[0]) = (y.desc, 1, 6);
    refuse("overlap", own);
    session.free(&[&x, &half, &whole, &y, &row]);
}

#[test]
fn rows_of_nearly_equal_elements_have_their_variance() {
    let session = Session::default();
    let mut rng = Rng(48);
    for (dtype, step) in [(F16, 2f64.powi(-9)), (Bf16, 2f64.powi(-6))] {
        for count in [256, 1024] {
            let values: Vec<f64> =
                (0..2 * count).map(|i| if i % count == 77 { 3.0 + step } else { 3.0 }).collect();
            let x = session.exact(&mut rng, dtype, &[2, count], Style::Packed, &values);
            let y = session.output(&mut rng, dtype, &[2, count], Style::Packed);
            let rstd = session.output(&mut rng, F32, &[2], Style::Packed);
            let struct_size = size_of::<weft_norm_desc>() as u32;
            let (x_desc, y_desc) = (x.desc, y.desc);
            let desc = weft_norm_desc {
                struct_size,
                x: x_desc,
                y: y_desc,
                rstd: rstd.desc,
                epsilon: 1e-12,
                ..Default::default()
            };
            session.run(weft_layer_norm, &desc);
            let share = 1.0 / count as f64;
            let want = 1.0 / (step * step * share * (1.0 - share) + 1e-12).sqrt();
            close(&format!("{dtype:?} {count}"), &session.read(&rstd), &[want; 2], |_| {
                8.0 * unit(F32) * want
            });
            session.free(&[&x, &y, &rstd]);
        }
    }
}

//! Rotary position embedding against f64.

mod support;

use support::*;
use weft::api::operations::weft_rope;
use weft::dtype::Dtype::{self, *};
use weft::ops::rope::*;

struct Case {
    x: Tensor,
    y: Tensor,
    in_place: bool,
    positions: Option<Tensor>,
    tables: Option<(Tensor, Tensor)>,
    factors: Option<Tensor>,
    desc: weft_rope_desc,
}

fn case(session: &Session, rng: &mut Rng, dtype: Dtype) -> Case {
    let size = |rng: &mut Rng, most| rng.size(most, true).min(most);
    let dims = [size(rng, 4), size(rng, 9), size(rng, 33), rng.pick(&[2, 4, 6, 30, 32, 34, 64, 80, 128, 7])];
    case_of(session, rng, dtype, dims)
}

fn case_of(session: &Session, rng: &mut Rng, dtype: Dtype, dims: [i64; 4]) -> Case {
    let rotary = if dims[3] % 2 == 1 || rng.chance(3) { 2 * rng.range(1, dims[3] / 2) } else { 0 };
    let pairs = if rotary == 0 { dims[3] / 2 } else { rotary / 2 };
    let styles = [Style::Packed, Style::Hostile];
    let style = rng.pick(&styles);
    let x = session.normal(rng, dtype, &dims, style);
    let style = rng.pick(&styles);
    let y = session.output(rng, dtype, &dims, style);
    let in_place = rng.chance(3);
    let far = rng.pick(&[40, 5000, 1_000_000, 2_000_000_000]);
    let tables_rows = rng.range(1, 50);
    let with_tables = rng.chance(3);
    let positions = rng.chance(2).then(|| {
        let shape = rng.pick(&[0, 1, 2]);
        let dims = match shape {
            0 => vec![dims[2]],
            1 => vec![dims[0], 1],
            _ => vec![dims[0], dims[2]],
        };
        let most = if with_tables { tables_rows - 1 } else { far };
        let low = if with_tables { 0 } else { -far };
        let (of, style) =
            (rng.pick(&[I32, I64]), rng.pick(&[Style::Packed, Style::Hostile, Style::Repeated]));
        session.tensor(rng, of, &dims, style, |rng| rng.range(low, most) as f64)
    });
    let tables = with_tables.then(|| {
        let dims = match (&positions, rng.range(0, 2)) {
            (Some(_), _) => vec![tables_rows, pairs],
            (_, 0) => vec![dims[0], dims[2], pairs],
            (_, 1) => vec![1, dims[2], pairs],
            _ => vec![dims[2], pairs],
        };
        let (of, style) = (rng.pick(&[dtype, F32]), rng.pick(&[Style::Packed, Style::Hostile]));
        let cos = session.normal(rng, of, &dims, style);
        (cos, session.normal(rng, of, &dims, Style::Packed))
    });
    let factors = (!with_tables && rng.chance(3))
        .then(|| session.tensor(rng, F32, &[pairs], Style::Hostile, |rng| 1.0 + rng.uniform() * 7.0));
    let of = |tensor: &Option<Tensor>| tensor.as_ref().map_or_else(Default::default, |tensor| tensor.desc);
    let flags = rng.range(0, 3) as u32;
    let mut desc = weft_rope_desc {
        struct_size: size_of::<weft_rope_desc>() as u32,
        flags,
        x: x.desc,
        y: if in_place { x.desc } else { y.desc },
        positions: of(&positions),
        factors: of(&factors),
        attention_factor: rng.pick(&[0.0, 1.0, 1.375]),
        rotary_dim: rotary,
        ..Default::default()
    };
    match &tables {
        Some((cos, sin)) => (desc.cos, desc.sin) = (cos.desc, sin.desc),
        None => {
            desc.base = rng.pick(&[0.0, 10_000.0, 500_000.0]);
            desc.frequency_scale = rng.pick(&[0.0, 0.25]);
            desc.position_start = if positions.is_none() { rng.range(-far, far) } else { 0 };
        }
    }
    Case { x, y, in_place, positions, tables, factors, desc }
}

impl Case {
    /// (cos, sin) of a pair at one place.
    fn wave(&self, [b, s, i]: [usize; 3], position: f64, pairs: usize) -> (f64, f64) {
        let or = |x: f64, default: f64| if x == 0.0 { default } else { x };
        let desc = &self.desc;
        let by = or(desc.attention_factor, 1.0);
        if let Some((cos, sin)) = &self.tables {
            let dims = self.x.dims();
            let read = |table: &Tensor| {
                if self.positions.is_some() {
                    return table.values[position as usize * pairs + i];
                }
                let batch = if table.dims().len() == 3 && table.dims()[0] != 1 { b } else { 0 };
                table.values[(batch * dims[2] as usize + s) * pairs + i]
            };
            return (read(cos) * by, read(sin) * by);
        }
        let factor = self.factors.as_ref().map_or(1.0, |factors| factors.values[i]);
        let frequency =
            or(desc.frequency_scale, 1.0) * or(desc.base, 1e4).powf(-(2.0 * i as f64) / (2.0 * pairs as f64));
        let angle = position * (frequency / factor);
        (angle.cos() * by, angle.sin() * by)
    }
}

fn check(session: &Session, case: &Case) {
    session.run(weft_rope, &case.desc);
    let dims: Vec<usize> = case.x.dims().iter().map(|&dim| dim as usize).collect();
    let width = dims[3];
    let dtype = case.x.dtype;
    let turned = if case.desc.rotary_dim == 0 { width } else { case.desc.rotary_dim as usize };
    let pairs = turned / 2;
    let positions = case.positions.as_ref().map(|p| p.expanded(&[dims[0] as i64, dims[2] as i64]));
    let (mut y, mut bound) = (case.x.values.clone(), vec![0.0; case.x.values.len()]);
    for b in 0..dims[0] {
        for s in 0..dims[2] {
            let position = positions
                .as_ref()
                .map_or((case.desc.position_start + s as i64) as f64, |all| all[b * dims[2] + s]);
            for i in 0..pairs {
                let (cos, mut sin) = case.wave([b, s, i], position, pairs);
                if case.desc.flags & WEFT_ROPE_INVERSE != 0 {
                    sin = -sin;
                }
                for h in 0..dims[1] {
                    let row = ((b * dims[1] + h) * dims[2] + s) * width;
                    let half = case.desc.flags & WEFT_ROPE_HALF_SPLIT != 0;
                    let (j, k) =
                        if half { (row + i, row + i + pairs) } else { (row + 2 * i, row + 2 * i + 1) };
                    let (u, v) = (case.x.values[j], case.x.values[k]);
                    (y[j], y[k]) = (u * cos - v * sin, v * cos + u * sin);
                    let scale = (u.abs() + v.abs()) * cos.abs().max(sin.abs()).max(1.0) * 1.4;
                    let angle = if case.tables.is_none() { position.abs() } else { 0.0 };
                    let e = if dtype == F64 { 4e-16 * (1.0 + 3.0 * angle) } else { 2e-7 + 4e-16 * angle };
                    for at in [j, k] {
                        bound[at] = scale * e
                            + unit(dtype) * y[at].abs() * 1.001
                            + 6e-8 * f64::from(u8::from(dtype == F16));
                    }
                }
            }
        }
    }
    let target = if case.in_place { &case.x } else { &case.y };
    close(&format!("{dtype:?} {:?}", case.desc), &session.read(target), &y, |i| bound[i]);
}

fn free(session: &Session, case: &Case) {
    case.positions.iter().chain(&case.factors).for_each(|tensor| session.free(&[tensor]));
    case.tables.iter().for_each(|(cos, sin)| session.free(&[cos, sin]));
    session.free(&[&case.x, &case.y]);
}

#[test]
fn random_ropes() {
    let session = Session::new(2);
    let mut rng = Rng(41);
    for i in 0..800 {
        let case = case(&session, &mut rng, [F32, F64, F16, Bf16][i % 4]);
        check(&session, &case);
        free(&session, &case);
    }
}

/// Heads that fill a block of threads, and that do not; more than a block has; more positions than a block turns.
#[test]
fn heads_and_positions_of_every_number() {
    let (session, mut rng) = (Session::new(2), Rng(43));
    let shapes = [
        [1, 32, 70, 128],
        [2, 71, 9, 64],
        [1, 5, 40, 256],
        [1, 130, 3, 256],
        [3, 1, 300, 32],
        [2, 48, 5, 96],
        [1, 3, 2, 2048],
    ];
    for (i, dims) in shapes.into_iter().enumerate() {
        for turn in 0..3 {
            let case = case_of(&session, &mut rng, [F32, F16, Bf16][(i + turn) % 3], dims);
            check(&session, &case);
            free(&session, &case);
        }
    }
}

fn plain(x: &Tensor, y: &Tensor) -> weft_rope_desc {
    let struct_size = size_of::<weft_rope_desc>() as u32;
    weft_rope_desc { struct_size, x: x.desc, y: y.desc, ..Default::default() }
}

#[test]
fn the_inverse_undoes_it_over_threads() {
    let session = Session::new(2);
    let mut rng = Rng(42);
    for flags in [0, WEFT_ROPE_HALF_SPLIT] {
        let x = session.normal(&mut rng, F32, &[2, 8, 300, 128], Style::Packed);
        let there = weft_rope_desc { flags, position_start: 100_000, ..plain(&x, &x) };
        session.run(weft_rope, &there);
        let turned = session.read(&x);
        assert!(turned.iter().zip(&x.values).any(|(a, b)| (a - b).abs() > 0.5));
        session.run(weft_rope, &weft_rope_desc { flags: flags | WEFT_ROPE_INVERSE, ..there });
        close("back", &session.read(&x), &x.values, |_| 4e-6);
        session.free(&[&x]);
    }
}

#[test]
fn a_position_outside_the_tables_fails_and_writes_nothing() {
    let session = Session::default();
    let mut rng = Rng(43);
    let x = session.normal(&mut rng, F32, &[1, 2, 3, 8], Style::Packed);
    let y = session.output(&mut rng, F32, &[1, 2, 3, 8], Style::Packed);
    let table = session.normal(&mut rng, F32, &[10, 4], Style::Packed);
    for bad in [-1.0, 10.0] {
        let positions = session.exact(&mut rng, I64, &[3], Style::Packed, &[0.0, bad, 9.0]);
        let desc =
            weft_rope_desc { positions: positions.desc, cos: table.desc, sin: table.desc, ..plain(&x, &y) };
        let (status, _) = session.refuse(weft_rope, &desc);
        assert_eq!(status, weft::status::WEFT_ERROR_OUT_OF_RANGE);
        assert!(session.untouched(&y));
        session.free(&[&positions]);
    }
    session.free(&[&x, &y, &table]);
}

#[test]
fn bad_input_is_refused_with_a_sentence() {
    let session = Session::default();
    let mut rng = Rng(44);
    let x = session.normal(&mut rng, F32, &[1, 2, 3, 8], Style::Packed);
    let y = session.output(&mut rng, F32, &[1, 2, 3, 8], Style::Packed);
    let flat = session.normal(&mut rng, F32, &[6, 8], Style::Packed);
    let odd = session.normal(&mut rng, F32, &[1, 2, 3, 7], Style::Packed);
    let half = session.normal(&mut rng, F16, &[3, 4], Style::Packed);
    let table = session.normal(&mut rng, F32, &[3, 4], Style::Packed);
    let good = plain(&x, &y);
    session.run(weft_rope, &good);
    let refuse = |what: &str, desc: weft_rope_desc| {
        let (status, text) = session.refuse(weft_rope, &desc);
        assert_eq!(status, weft::status::WEFT_ERROR_INVALID_ARGUMENT, "{what}");
        assert!(text.starts_with("rope: ") && text.contains(what), "{text}");
    };
    refuse("flags", weft_rope_desc { flags: 4, ..good });
    refuse("x.rank", plain(&flat, &y));
    refuse("y.dims", plain(&x, &flat));
    refuse("rotary_dim", plain(&odd, &odd));
    refuse("rotary_dim", weft_rope_desc { rotary_dim: 10, ..good });
    refuse("rotary_dim", weft_rope_desc { rotary_dim: -2, ..good });
    refuse("positions.dtype", weft_rope_desc { positions: table.desc, ..good });
    refuse("position_start", weft_rope_desc { position_start: i64::MAX - 1, ..good });
    refuse("one of cos and sin", weft_rope_desc { cos: table.desc, ..good });
    let tables = weft_rope_desc { cos: table.desc, sin: table.desc, ..good };
    session.run(weft_rope, &tables);
    refuse("base", weft_rope_desc { base: 5.0, ..tables });
    refuse("frequency_scale", weft_rope_desc { frequency_scale: 5.0, ..tables });
    refuse("position_start", weft_rope_desc { position_start: 5, ..tables });
    refuse("factors", weft_rope_desc { factors: table.desc, ..tables });
    refuse("cos.dtype", weft_rope_desc { cos: half.desc, sin: half.desc, ..good });
    refuse("cos.dims", weft_rope_desc { cos: flat.desc, sin: flat.desc, ..good });
    refuse("factors.dims", weft_rope_desc { factors: table.desc, ..good });
    refuse("base", weft_rope_desc { base: -5.0, ..good });
    refuse("base", weft_rope_desc { base: f64::NAN, ..good });
    refuse("attention_factor", weft_rope_desc { attention_factor: f64::NAN, ..good });
    let mut shifted = plain(&x, &x);
    (shifted.x.dims[2], shifted.y.dims[2], shifted.y.offset) = (2, 2, 32);
    refuse("overlap", shifted);
    session.free(&[&x, &y, &flat, &odd, &half, &table]);
}

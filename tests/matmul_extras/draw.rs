//! A random multiplication with a random part of what it may ask for.

use crate::array::{Array, Lie};
use crate::support::*;
use weft::dtype::Dtype::{self, *};
use weft::ops::matmul::*;

/// One random multiplication.
pub struct Case {
    pub desc: weft_matmul_desc,
    pub dims: Vec<i64>,
    pub k: i64,
    pub a: Array,
    pub b: Array,
    pub d: Array,
    pub c: Option<Array>,
    pub bias: Option<Array>,
    pub scales: [Option<Array>; 2],
    pub d_scale: Option<Array>,
    pub aux: Option<Array>,
    pub grad: Option<Array>,
    pub amax: Option<Array>,
    /// Whether it has a gradient of a bias as the vendor's library makes it.
    pub graded: bool,
}

pub const MATRICES: [Lie; 5] = [Lie::Packed, Lie::Packed, Lie::Turned, Lie::Padded, Lie::Sparse];

/// Types of a, b and d.
pub fn types(rng: &mut Rng, number: usize) -> [Dtype; 3] {
    let small = [F8E4m3, F8E5m2];
    match number % 6 {
        0 | 1 => [rng.pick(&small), rng.pick(&small), rng.pick(&[F8E4m3, F8E5m2, F16, Bf16, F32])],
        2 => [I8, I8, rng.pick(&[I32, I32, F32, F16, Bf16])],
        3 => rng.pick(&[[C32; 3], [C64; 3]]),
        4 => rng.pick(&[[F16; 3], [Bf16; 3], [F16, F16, F32], [Bf16, Bf16, F32]]),
        _ => rng.pick(&[[F32; 3], [F64; 3], [F32, F16, F32], [Bf16; 3]]),
    }
}

pub fn some(batch: &[i64], rng: &mut Rng) -> Vec<i64> {
    let from = rng.range(0, batch.len() as i64) as usize;
    batch[from..].iter().map(|&dim| if rng.chance(3) { 1 } else { dim }).collect()
}

impl Case {
    pub fn random(session: &Session, rng: &mut Rng, number: usize) -> Self {
        let types = types(rng, number);
        let eight = types[0].size() == 1;
        // Sizes that the vendor's library takes, every other time.
        let round = rng.chance(2);
        let graded = round && matches!(types[0], F16 | Bf16 | F32) && rng.chance(2);
        let mut pick = |most: &[i64]| {
            let most = rng.pick(most);
            let n = rng.range(1, most);
            if round { (n + 15) / 16 * 16 } else { n }
        };
        let [m, n] = [pick(&[9, 40, 70, 140]), pick(&[9, 40, 70, 140])];
        // Masks of whole words.
        let n = if graded || round && rng.chance(3) { 128 } else { n };
        let most = rng.pick(&[20, 90, 300]);
        let k = if rng.chance(20) { 0 } else { rng.range(1, most) };
        let k = if round { (k + 15) / 16 * 16 } else { k };
        let axes = if graded { 0 } else { rng.pick(&[0, 0, 0, 1, 2]) };
        let batch: Vec<i64> = (0..axes).map(|_| rng.range(1, 3)).collect();
        let dims = [&batch[..], &[m, n]].concat();
        let lie = |rng: &mut Rng| if round { rng.pick(&MATRICES[..3]) } else { rng.pick(&MATRICES) };
        // Contiguous along k, as the vendor's library wants bytes, or not.
        let straight = round && eight && rng.chance(2);
        let a_lie = if straight { Lie::Packed } else { lie(rng) };
        let b_lie = if straight { Lie::Turned } else { lie(rng) };
        let d_lie = if round { Lie::Packed } else { lie(rng) };
        let (batch_a, batch_b) = (some(&batch, rng), some(&batch, rng));
        let a = Array::normal(session, rng, types[0], &[&batch_a[..], &[m, k]].concat(), a_lie);
        let b = Array::normal(session, rng, types[1], &[&batch_b[..], &[k, n]].concat(), b_lie);
        let d = Array::output(session, rng, types[2], &dims, d_lie);
        let desc = weft_matmul_desc {
            struct_size: size_of::<weft_matmul_desc>() as u32,
            a: a.desc,
            b: b.desc,
            d: d.desc,
            ..Default::default()
        };
        let none = [None, None, None, None, None, None];
        let [c, bias, d_scale, aux, grad, amax] = none;
        let scales = [None, None];
        let mut case = Self { desc, dims, k, a, b, d, c, bias, scales, d_scale, aux, grad, amax, graded };
        case.add_scalars(rng);
        case.add_tensors(session, rng);
        case.add_scales(session, rng);
        case.add_aux(session, rng);
        case.add_outputs(session, rng);
        case
    }

    pub fn add_scalars(&mut self, rng: &mut Rng) {
        let desc = &mut self.desc;
        desc.alpha = rng.pick(&[0.0, 1.0, 1.0, 2.0, -3.0]);
        desc.flags = if rng.chance(6) { WEFT_MATMUL_ALPHA } else { 0 };
        if matches!(self.d.dtype, C32 | C64) {
            desc.alpha_imag = rng.pick(&[0.0, 0.0, 0.5]);
            desc.beta_imag = rng.pick(&[0.0, -0.25]);
        }
        desc.flags |= rng.pick(&[0, 0, WEFT_MATMUL_CONJUGATE_A, WEFT_MATMUL_CONJUGATE_B, 12]);
        desc.flags |= if rng.chance(8) { WEFT_MATMUL_AUTOTUNE } else { 0 };
        let most = match self.d.dtype {
            C32 | C64 => 0,
            I32 => 1,
            _ => WEFT_EPILOGUE_DGELU_TANH,
        };
        desc.epilogue = if rng.chance(3) { 0 } else { rng.range(0, i64::from(most)) as u32 };
        if self.graded {
            desc.epilogue = rng.pick(&[WEFT_EPILOGUE_NONE, WEFT_EPILOGUE_NONE, WEFT_EPILOGUE_DRELU]);
        }
    }

    /// What stands beside d.
    pub fn beside(&self) -> Dtype {
        if self.d.dtype.size() == 1 { Bf16 } else { self.d.dtype }
    }

    pub fn add_tensors(&mut self, session: &Session, rng: &mut Rng) {
        let beside = self.beside();
        if rng.chance(3) {
            let lie = rng.pick(&MATRICES);
            self.c = Some(Array::normal(session, rng, beside, &self.dims, lie));
            self.desc.beta = rng.pick(&[1.0, -2.0, 3.0]);
        } else {
            self.desc.beta_imag = 0.0;
        }
        if !self.graded && rng.chance(2) && !(8..=10).contains(&self.desc.epilogue) {
            let rank = self.dims.len();
            let dims = if rng.chance(2) { self.dims[rank - 1..].to_vec() } else { some(&self.dims, rng) };
            self.bias = Some(Array::normal(session, rng, beside, &dims, Lie::Packed));
        }
        self.desc.c = self.c.as_ref().map_or_else(Default::default, |c| c.desc);
        self.desc.bias = self.bias.as_ref().map_or_else(Default::default, |bias| bias.desc);
    }

    pub fn add_scales(&mut self, session: &Session, rng: &mut Rng) {
        if self.a.dtype.size() != 1 || self.d.dtype == I32 {
            return;
        }
        let [m, n] = [self.dims[self.dims.len() - 2], self.dims[self.dims.len() - 1]];
        let alike = rng.range(0, 5);
        for (number, lines) in [m, n].into_iter().enumerate() {
            let kind = if rng.chance(3) { rng.range(0, 4) } else { alike };
            let up = |x: i64| (x + 127) / 128;
            let [lines, blocks] = match kind {
                0 => continue,
                1 => [1, 1],
                2 => [lines, 1],
                3 => [lines, up(self.k).max(1)],
                4 => [up(lines), up(self.k).max(1)],
                _ => [if number == 0 { lines } else { up(lines) }, up(self.k).max(1)],
            };
            if self.k == 0 && kind > 2 {
                continue;
            }
            let own = if number == 0 { [lines, blocks] } else { [blocks, lines] };
            let batch =
                if kind > 1 && rng.chance(3) { self.dims[..self.dims.len() - 2].to_vec() } else { vec![] };
            let lie = rng.pick(&[Lie::Packed, Lie::Turned, Lie::Padded]);
            let scale = Array::new(session, rng, F32, &[&batch[..], &own].concat(), lie, |rng| {
                Some(rng.uniform() + 0.25)
            });
            *[&mut self.desc.a_scale, &mut self.desc.b_scale][number] = scale.desc;
            self.scales[number] = Some(scale);
        }
    }

    pub fn add_aux(&mut self, session: &Session, rng: &mut Rng) {
        let rank = self.dims.len();
        let lie = rng.pick(&[Lie::Packed, Lie::Packed, Lie::Padded, Lie::Sparse]);
        let lie = if self.graded { Lie::Packed } else { lie };
        let mut bits = self.dims.clone();
        bits[rank - 1] = (bits[rank - 1] + 7) / 8;
        let beside = self.beside();
        self.aux = match self.desc.epilogue {
            5 => Some(Array::output(session, rng, U8, &bits, lie)),
            6 | 7 => Some(Array::output(session, rng, beside, &self.dims, lie)),
            8 => Some(Array::new(session, rng, U8, &bits, lie, |rng| Some(rng.range(0, 255) as f64))),
            9 | 10 => Some(Array::new(session, rng, beside, &self.dims, lie, |rng| Some(rng.normal() * 2.0))),
            _ => None,
        };
        self.desc.aux = self.aux.as_ref().map_or_else(Default::default, |aux| aux.desc);
    }

    pub fn add_outputs(&mut self, session: &Session, rng: &mut Rng) {
        let one = |rng: &mut Rng, value| Array::new(session, rng, F32, &[1], Lie::Packed, |_| value);
        if self.d.dtype.size() == 1 && rng.chance(2) {
            let scale = rng.pick(&[0.5, 4.0, 100.0]);
            self.d_scale = Some(one(rng, Some(scale)));
        }
        if rng.chance(3) && !self.graded && !matches!(self.d.dtype, F64 | I32 | C32 | C64) {
            self.amax = Some(one(rng, None));
        }
        let [m, n] = [self.dims[self.dims.len() - 2], self.dims[self.dims.len() - 1]];
        let real = matches!(self.a.dtype, F32 | F64 | F16 | Bf16);
        let of_d = (8..=10).contains(&self.desc.epilogue);
        if (self.graded || rng.chance(2)) && (of_d && self.a.dtype != I8 || real) {
            let side = if of_d { 0 } else { rng.pick(&[WEFT_MATMUL_BIAS_GRAD_A, WEFT_MATMUL_BIAS_GRAD_B]) };
            self.desc.flags |= side;
            let batch = if rng.chance(2) { &self.dims[..self.dims.len() - 2] } else { &[] };
            let dims = [batch, &[if side == WEFT_MATMUL_BIAS_GRAD_A { m } else { n }]].concat();
            let lie = if self.graded { Lie::Packed } else { rng.pick(&[Lie::Packed, Lie::Sparse]) };
            self.grad = Some(Array::output(session, rng, self.beside(), &dims, lie));
        }
        let desc = |array: &Option<Array>| array.as_ref().map_or_else(Default::default, |array| array.desc);
        self.desc.d_scale = desc(&self.d_scale);
        self.desc.amax = desc(&self.amax);
        self.desc.bias_grad = desc(&self.grad);
    }

    pub fn free(&self) {
        let [a, b] = &self.scales;
        let more = [&self.c, &self.bias, a, b, &self.d_scale, &self.aux, &self.grad, &self.amax];
        let all = [&self.a, &self.b, &self.d].into_iter().chain(more.into_iter().flatten());
        all.for_each(|array| ok(weft::api::buffer::weft_buffer_release(array.desc.buffer)));
    }
}

//! What few multiplications ask for, against a naive f64 oracle: 8-bit floats and their scales, 8-bit integers, complex numbers,
//! epilogues with a second matrix, gradients of a bias, the largest magnitude; by every choice that takes it.

mod support;

use std::sync::LazyLock;
use support::*;
use weft::api::operations::weft_matmul;
use weft::dtype::Dtype::{self, *};
use weft::layout::weft_tensor;
use weft::ops::matmul::*;
use weft::status::*;

/// The choices that a case is run by: of the CPU the one that it makes, and another.
fn choices(number: usize) -> Vec<&'static str> {
    const OTHERS: [&str; 6] = ["packed", "bytes", "gemv", "gemm", "direct", "naive"];
    by_device(vec!["", OTHERS[number % 7 % 6]], vec!["cublaslt", "wgmma", "simt"])
}

/// A tensor of any dtype, its elements as real and imaginary part in row-major order.
struct Array {
    desc: weft_tensor,
    dtype: Dtype,
    values: Vec<[f64; 2]>,
    image: Vec<u8>,
}

/// How a tensor lies.
#[derive(Clone, Copy, PartialEq)]
enum Lie {
    Packed,
    /// Matrices stored column by column.
    Turned,
    /// Rows further apart than they are long.
    Padded,
    /// Every second element, rows further apart.
    Sparse,
}

fn small_format(dtype: Dtype) -> (i32, i32, f64) {
    if dtype == F8E4m3 { (3, -6, 448.0) } else { (2, -14, 57344.0) }
}

/// The value of an 8-bit float.
fn widen(dtype: Dtype, code: u8) -> f64 {
    values(dtype)[usize::from(code)]
}

/// Those of all codes.
fn values(dtype: Dtype) -> &'static [f64; 256] {
    static VALUES: LazyLock<[[f64; 256]; 2]> =
        LazyLock::new(|| [F8E4m3, F8E5m2].map(|dtype| std::array::from_fn(|code| value(dtype, code as u8))));
    &VALUES[usize::from(dtype == F8E5m2)]
}

fn value(dtype: Dtype, code: u8) -> f64 {
    let (mantissa, least, most) = small_format(dtype);
    let (exponent, fraction) = (i32::from(code & 0x7F) >> mantissa, f64::from(code & ((1 << mantissa) - 1)));
    let step = 2f64.powi(-mantissa);
    let size = match exponent {
        0 => fraction * step * 2f64.powi(least),
        e => (1.0 + fraction * step) * 2f64.powi(e - 1 + least),
    };
    let size = match (dtype, code & 0x7F) {
        (F8E5m2, 0x7C) => f64::INFINITY,
        _ if size > most => f64::NAN,
        _ => size,
    };
    if code & 0x80 != 0 { -size } else { size }
}

/// The nearest 8-bit float that is finite.
fn narrow(dtype: Dtype, x: f64) -> u8 {
    let values = values(dtype);
    let off = |code: u8| (values[usize::from(code)] - x).abs();
    let finite = (0..=255u8).filter(|&code| values[usize::from(code)].is_finite());
    finite.min_by(|&a, &b| off(a).total_cmp(&off(b))).unwrap()
}

fn put(dtype: Dtype, [re, im]: [f64; 2], out: &mut [u8]) {
    match dtype {
        F8E4m3 | F8E5m2 => out[0] = narrow(dtype, re),
        C32 => (0..2).for_each(|n| encode(F32, [re, im][n], &mut out[4 * n..4 * n + 4])),
        C64 => (0..2).for_each(|n| encode(F64, [re, im][n], &mut out[8 * n..8 * n + 8])),
        _ => encode(dtype, re, out),
    }
}

fn get(dtype: Dtype, bytes: &[u8]) -> [f64; 2] {
    match dtype {
        F8E4m3 | F8E5m2 => [widen(dtype, bytes[0]), 0.0],
        C32 => [decode(F32, &bytes[..4]), decode(F32, &bytes[4..])],
        C64 => [decode(F64, &bytes[..8]), decode(F64, &bytes[8..])],
        _ => [decode(dtype, bytes), 0.0],
    }
}

fn strides_of(rng: &mut Rng, dims: &[i64], lie: Lie) -> Vec<i64> {
    let mut order: Vec<usize> = (0..dims.len()).rev().collect();
    if lie == Lie::Turned && dims.len() >= 2 {
        order.swap(0, 1);
    }
    let mut step = if lie == Lie::Sparse { 2 } else { 1 };
    let mut strides = vec![0; dims.len()];
    for (number, axis) in order.into_iter().enumerate() {
        strides[axis] = step;
        step *= dims[axis].max(1);
        let gap = if number == 0 { rng.pick(&[0, 1, 16]) } else { 0 };
        step += if matches!(lie, Lie::Padded | Lie::Sparse) { gap } else { 0 };
    }
    strides
}

impl Array {
    fn new(
        session: &Session,
        rng: &mut Rng,
        dtype: Dtype,
        dims: &[i64],
        lie: Lie,
        mut value: impl FnMut(&mut Rng) -> Option<f64>,
    ) -> Self {
        let strides = strides_of(rng, dims, lie);
        let last: i64 = dims.iter().zip(&strides).map(|(dim, stride)| (dim - 1).max(0) * stride).sum();
        let before = if lie == Lie::Packed { 0 } else { rng.range(0, 3) } as usize;
        let size = dtype.size();
        let mut desc = weft_tensor { dtype: dtype.code(), rank: dims.len() as u32, ..Default::default() };
        desc.dims[..dims.len()].copy_from_slice(dims);
        desc.strides[..dims.len()].copy_from_slice(&strides);
        desc.offset = (before * size) as u64;
        let image = vec![0xDB; (before + last as usize + 3) * size];
        desc.buffer = session.buffer(image.len());
        let mut array = Self { desc, dtype, values: Vec::new(), image };
        for place in array.places() {
            if let Some(re) = value(rng) {
                put(dtype, [re, value(rng).unwrap_or(0.0)], &mut array.image[place..place + size]);
            }
        }
        array.values = array.decode(&array.image);
        session.write_bytes(array.desc.buffer, &array.image);
        array
    }

    fn normal(session: &Session, rng: &mut Rng, dtype: Dtype, dims: &[i64], lie: Lie) -> Self {
        let wide = if dtype == I8 { 40.0 } else { 1.0 };
        let whole = matches!(dtype, I8 | I32);
        let value = move |rng: &mut Rng| rng.normal() * wide;
        Self::new(session, rng, dtype, dims, lie, |rng| {
            Some(if whole { value(rng).round().clamp(-128.0, 127.0) } else { value(rng) })
        })
    }

    fn output(session: &Session, rng: &mut Rng, dtype: Dtype, dims: &[i64], lie: Lie) -> Self {
        Self::new(session, rng, dtype, dims, lie, |_| None)
    }

    fn dims(&self) -> &[i64] {
        &self.desc.dims[..self.desc.rank as usize]
    }

    /// Where each element's bytes begin.
    fn places(&self) -> Vec<usize> {
        let count = self.dims().iter().product::<i64>();
        let place = |number: i64| {
            let (mut left, mut at) = (number, 0);
            for axis in (0..self.dims().len()).rev() {
                at += left % self.dims()[axis] * self.desc.strides[axis];
                left /= self.dims()[axis];
            }
            self.desc.offset as usize + at as usize * self.dtype.size()
        };
        (0..count).map(place).collect()
    }

    fn decode(&self, bytes: &[u8]) -> Vec<[f64; 2]> {
        let size = self.dtype.size();
        self.places().into_iter().map(|place| get(self.dtype, &bytes[place..place + size])).collect()
    }

    /// What is there now, having checked that nothing around it changed; and puts back what was there.
    #[track_caller]
    fn take(&self, session: &Session, what: &str) -> Vec<[f64; 2]> {
        let now = session.read_bytes(self.desc.buffer, self.image.len());
        let mut inside = vec![false; now.len()];
        self.places().into_iter().for_each(|place| inside[place..place + self.dtype.size()].fill(true));
        let changed = (0..now.len()).find(|&i| !inside[i] && now[i] != self.image[i]);
        assert_eq!(changed, None, "{what}: a byte outside of {:?} changed", self.desc);
        session.write_bytes(self.desc.buffer, &self.image);
        self.decode(&now)
    }

    /// The element that broadcasts to `index` of `dims`.
    fn at(&self, dims: &[i64], index: &[i64]) -> [f64; 2] {
        self.values[self.number(dims, index)]
    }

    fn number(&self, dims: &[i64], index: &[i64]) -> usize {
        let own = self.dims();
        let mut number = 0;
        for (axis, dim) in own.iter().enumerate() {
            let i = index[dims.len() - own.len() + axis];
            number = number * dim + if *dim == 1 { 0 } else { i };
        }
        number as usize
    }
}

fn times([a, b]: [f64; 2], [c, d]: [f64; 2]) -> [f64; 2] {
    [a * c - b * d, a * d + b * c]
}

fn size([a, b]: [f64; 2]) -> f64 {
    a.abs() + b.abs()
}

/// The unit of rounding, and half the smallest step.
fn rounding(dtype: Dtype) -> (f64, f64) {
    match dtype {
        F8E4m3 => (2f64.powi(-4), 2f64.powi(-10)),
        F8E5m2 => (2f64.powi(-3), 2f64.powi(-17)),
        F16 => (unit(F16), 2f64.powi(-25)),
        C32 => (unit(F32), 0.0),
        C64 => (unit(F64), 0.0),
        _ => (unit(dtype), 0.0),
    }
}

fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + libm::erf(x / 2f64.sqrt()))
}

fn gelu_tanh(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
}

/// The slope of gelu.
fn gelu_slope(x: f64) -> f64 {
    let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2) + x * density
}

/// That of gelu by the tanh: of x times the sigmoid of 2u.
fn gelu_tanh_slope(x: f64) -> f64 {
    let root = (2.0 / std::f64::consts::PI).sqrt();
    let twice = 2.0 * root * (x + 0.044715 * x * x * x);
    let (s, rest) = (1.0 / (1.0 + (-twice).exp()), 1.0 / (1.0 + twice.exp()));
    s + x * 2.0 * root * (1.0 + 3.0 * 0.044715 * x * x) * s * rest
}

/// One random multiplication.
struct Case {
    desc: weft_matmul_desc,
    dims: Vec<i64>,
    k: i64,
    a: Array,
    b: Array,
    d: Array,
    c: Option<Array>,
    bias: Option<Array>,
    scales: [Option<Array>; 2],
    d_scale: Option<Array>,
    aux: Option<Array>,
    grad: Option<Array>,
    amax: Option<Array>,
    /// Whether it has a gradient of a bias as the vendor's library makes it.
    graded: bool,
}

/// What an element should be.
struct Want {
    /// Before the epilogue, behind it, and how far off that may be.
    before: [f64; 2],
    value: [f64; 2],
    error: f64,
}

const MATRICES: [Lie; 5] = [Lie::Packed, Lie::Packed, Lie::Turned, Lie::Padded, Lie::Sparse];

/// Types of a, b and d.
fn types(rng: &mut Rng, number: usize) -> [Dtype; 3] {
    let small = [F8E4m3, F8E5m2];
    match number % 6 {
        0 | 1 => [rng.pick(&small), rng.pick(&small), rng.pick(&[F8E4m3, F8E5m2, F16, Bf16, F32])],
        2 => [I8, I8, rng.pick(&[I32, I32, F32, F16, Bf16])],
        3 => rng.pick(&[[C32; 3], [C64; 3]]),
        4 => rng.pick(&[[F16; 3], [Bf16; 3], [F16, F16, F32], [Bf16, Bf16, F32]]),
        _ => rng.pick(&[[F32; 3], [F64; 3], [F32, F16, F32], [Bf16; 3]]),
    }
}

fn some(batch: &[i64], rng: &mut Rng) -> Vec<i64> {
    let from = rng.range(0, batch.len() as i64) as usize;
    batch[from..].iter().map(|&dim| if rng.chance(3) { 1 } else { dim }).collect()
}

impl Case {
    fn random(session: &Session, rng: &mut Rng, number: usize) -> Self {
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

    fn add_scalars(&mut self, rng: &mut Rng) {
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
    fn beside(&self) -> Dtype {
        if self.d.dtype.size() == 1 { Bf16 } else { self.d.dtype }
    }

    fn add_tensors(&mut self, session: &Session, rng: &mut Rng) {
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

    fn add_scales(&mut self, session: &Session, rng: &mut Rng) {
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

    fn add_aux(&mut self, session: &Session, rng: &mut Rng) {
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

    fn add_outputs(&mut self, session: &Session, rng: &mut Rng) {
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

    fn alpha(&self) -> [f64; 2] {
        let alpha = [self.desc.alpha, self.desc.alpha_imag];
        if alpha == [0.0; 2] && self.desc.flags & WEFT_MATMUL_ALPHA == 0 { [1.0, 0.0] } else { alpha }
    }

    /// The unit of sums, and how far off, of the sum of magnitudes, products of 8-bit floats may be besides.
    fn unit(&self) -> f64 {
        match self.d.dtype {
            F64 | C64 => unit(F64),
            I32 => 0.0,
            _ => unit(F32),
        }
    }

    fn scale(&self, operand: usize, index: &[i64], k: i64) -> f64 {
        let Some(scale) = &self.scales[operand] else { return 1.0 };
        let rank = index.len();
        let own = scale.dims();
        let line = index[rank - 2 + operand];
        let lines = own[own.len() - 2 + operand];
        let whole = self.dims[rank - 2 + operand];
        let line = if lines == whole { line } else { line / 128 };
        let mut at = index.to_vec();
        at[rank - 2 + operand] = line;
        at[rank - 1 - operand] = k / 128;
        let mut dims = self.dims.clone();
        dims[rank - 1 - operand] = i64::MAX;
        scale.at(&dims, &at)[0]
    }

    /// Where the row of A and the column of B begin that an element is the product of.
    fn first_factors(&self, index: &[i64]) -> (usize, usize) {
        let rank = index.len();
        if self.k == 0 {
            return (0, 0);
        }
        let first = |array: &Array, axis: usize| {
            let (mut dims, mut at) = (self.dims.clone(), index.to_vec());
            (dims[axis], at[axis]) = (self.k, 0);
            array.number(&dims, &at)
        };
        (first(&self.a, rank - 1), first(&self.b, rank - 2))
    }

    fn want(&self, index: &[i64], loose: f64) -> Want {
        let rank = index.len();
        let conjugate =
            |value: [f64; 2], flag| if self.desc.flags & flag != 0 { [value[0], -value[1]] } else { value };
        let (mut sum, mut magnitude) = ([0.0; 2], 0.0);
        let alpha = self.alpha();
        let scaled = self.scales.iter().any(Option::is_some);
        let (row, column) = self.first_factors(index);
        for k in 0..if alpha == [0.0; 2] { 0 } else { self.k } {
            let a = conjugate(self.a.values[row + k as usize], WEFT_MATMUL_CONJUGATE_A);
            let b_at = column + (k * self.dims[rank - 1]) as usize;
            let b = conjugate(self.b.values[b_at], WEFT_MATMUL_CONJUGATE_B);
            let scale = if scaled { self.scale(0, index, k) * self.scale(1, index, k) } else { 1.0 };
            let product = times(a, b).map(|part| part * scale);
            sum = [sum[0] + product[0], sum[1] + product[1]];
            magnitude += size(a) * size(b) * scale.abs();
        }
        let mut value = times(alpha, sum);
        magnitude *= size(alpha);
        let mut error = magnitude * loose;
        let mut add = |x: [f64; 2]| {
            value = [value[0] + x[0], value[1] + x[1]];
            magnitude += size(x);
        };
        if let Some(c) = &self.c {
            add(times([self.desc.beta, self.desc.beta_imag], c.at(&self.dims, index)));
        }
        if let Some(bias) = &self.bias {
            add(bias.at(&self.dims, index));
        }
        error += (2.0 * self.k as f64 + 12.0) * self.unit() * magnitude;
        let behind = self.epilogue(value[0], index);
        let error = 1.13 * error + 20.0 * self.unit() * value[0].abs() + 1e-300;
        Want { before: value, value: [behind, value[1]], error }
    }

    fn epilogue(&self, x: f64, index: &[i64]) -> f64 {
        let aux = || self.aux.as_ref().unwrap().at(&self.dims, index)[0];
        match self.desc.epilogue {
            1 | 5 => x.max(0.0),
            2 | 6 => gelu(x),
            3 | 7 => gelu_tanh(x),
            4 => x / (1.0 + (-x).exp()),
            8 if self.bit(&self.aux.as_ref().unwrap().values, index) => x,
            8 => 0.0,
            9 => x * gelu_slope(aux()),
            10 => x * gelu_tanh_slope(aux()),
            _ => x,
        }
    }

    /// An element's bit of a mask.
    fn bit(&self, mask: &[[f64; 2]], index: &[i64]) -> bool {
        let last = self.dims.len() - 1;
        let bytes = (self.dims[last] + 7) / 8;
        let line = index[..last].iter().zip(&self.dims).fold(0, |line, (i, dim)| line * dim + i);
        mask[(line * bytes + index[last] / 8) as usize][0] as u8 >> (index[last] % 8) & 1 != 0
    }

    fn indices(&self) -> Vec<Vec<i64>> {
        let index = |mut number: i64| {
            let mut index = vec![0; self.dims.len()];
            for axis in (0..index.len()).rev() {
                index[axis] = number % self.dims[axis];
                number /= self.dims[axis];
            }
            index
        };
        (0..self.dims.iter().product()).map(index).collect()
    }

    fn is_small(&self) -> bool {
        matches!(self.a.dtype, F8E4m3 | F8E5m2)
    }

    /// Whether cuBLASLt may round the product to d's dtype before it adds c or the bias.
    fn is_rounded_twice(&self) -> bool {
        self.d.dtype.size() == 2 && (self.c.is_some() || self.bias.is_some())
    }

    /// What it should be; and what a GPU may make of it, where tensor cores add up products of 8-bit floats with few bits, or
    /// cuBLASLt rounds twice.
    fn wants(&self) -> [Vec<Want>; 2] {
        let wants = |loose| self.indices().iter().map(|index| self.want(index, loose)).collect();
        let loose = match (self.is_small(), self.is_rounded_twice()) {
            (true, _) => wants(1e-3),
            (_, true) => wants(rounding(self.d.dtype).0),
            _ => Vec::new(),
        };
        [wants(0.0), loose]
    }

    /// Whether a choice may be off by more.
    fn is_loose(&self, choice: &str) -> bool {
        self.is_small() && choice != "simt" || self.is_rounded_twice() && choice == "cublaslt"
    }

    /// Runs it by the choices of its number that take it. How many did.
    fn check(&self, session: &Session, number: usize, [wants, loose]: &[Vec<Want>; 2]) -> usize {
        let what = format!("case {number}");
        let mut ran = 0;
        for choice in choices(number) {
            force(choice);
            let (status, message) = session.refuse(weft_matmul, &self.desc);
            if status == WEFT_ERROR_UNSUPPORTED
                && message.contains("WEFT_CHOICE")
                && !["simt", "naive"].contains(&choice)
            {
                continue;
            }
            let what = format!("{what} {choice} {:?}", self.desc);
            assert_eq!(status, WEFT_OK, "{what}: {message}");
            self.check_one(session, &what, if self.is_loose(choice) { loose } else { wants });
            ran += 1;
        }
        weft::op::force("");
        ran
    }

    fn check_one(&self, session: &Session, what: &str, wants: &[Want]) {
        self.check_d(session, what, wants);
        self.check_aux(session, what, wants);
        self.check_amax(session, what, wants);
        self.check_grad(session, what, wants);
    }

    fn check_d(&self, session: &Session, what: &str, wants: &[Want]) {
        let got = self.d.take(session, what);
        let scale = self.d_scale.as_ref().map_or(1.0, |scale| scale.values[0][0]);
        let (unit, tiny) = rounding(self.d.dtype);
        let most = if self.d.dtype.size() == 1 { small_format(self.d.dtype).2 } else { f64::INFINITY };
        for (i, want) in wants.iter().enumerate() {
            for part in 0..2 {
                let exact = (want.value[part] * scale).clamp(-most, most);
                let wrapped = if self.d.dtype == I32 { f64::from(exact as i64 as i32) } else { exact };
                let error = want.error * scale + unit * (exact.abs() + want.error * scale) + tiny;
                let beyond = self.d.dtype == F16 && wrapped.abs() > 65000.0;
                let off = if beyond { 0.0 } else { (got[i][part] - wrapped).abs() };
                assert!(off <= error, "{what}: d {i} is {:?}, expected {wrapped}, allowed {error:e}", got[i]);
            }
        }
    }

    fn check_aux(&self, session: &Session, what: &str, wants: &[Want]) {
        let Some(aux) = self.aux.as_ref().filter(|_| (5..=7).contains(&self.desc.epilogue)) else { return };
        let got = aux.take(session, what);
        let (unit, tiny) = rounding(aux.dtype);
        for (i, (index, want)) in self.indices().iter().zip(wants).enumerate() {
            let before = want.before[0];
            let beyond = aux.dtype == F16 && before.abs() > 65000.0;
            let fits = match self.desc.epilogue {
                6 | 7 if beyond => true,
                5 => before.abs() <= want.error || self.bit(&got, index) == (before > 0.0),
                _ => (got[i][0] - before).abs() <= want.error + unit * (before.abs() + want.error) + tiny,
            };
            assert!(fits, "{what}: aux of {index:?} for {before}");
        }
    }

    fn check_amax(&self, session: &Session, what: &str, wants: &[Want]) {
        let Some(amax) = &self.amax else { return };
        let got = amax.take(session, what)[0][0];
        let most = |f: &dyn Fn(&Want) -> f64| wants.iter().map(f).fold(0.0, f64::max);
        let (want, error) = (most(&|want| want.value[0].abs()), most(&|want| want.error));
        assert!((got - want).abs() <= error + 1e-6 * want, "{what}: amax is {got}, expected {want}");
    }

    fn check_grad(&self, session: &Session, what: &str, wants: &[Want]) {
        let Some(grad) = &self.grad else { return };
        let rank = self.dims.len();
        let [m, n] = [self.dims[rank - 2], self.dims[rank - 1]];
        let (of_a, of_b) =
            (self.desc.flags & WEFT_MATMUL_BIAS_GRAD_A != 0, self.desc.flags & WEFT_MATMUL_BIAS_GRAD_B != 0);
        let lines = if of_a { m } else { n };
        let batches: i64 = self.dims[..rank - 2].iter().product();
        let own = if grad.dims().len() == 1 && rank > 2 { 1 } else { batches };
        let mut sums = vec![(0.0, 0.0, 0.0); (own * lines) as usize];
        for (index, want) in self.indices().iter().zip(wants) {
            let batch = index[..rank - 2].iter().zip(&self.dims).fold(0, |line, (i, dim)| line * dim + i);
            let line = if of_a { index[rank - 2] } else { index[rank - 1] };
            let sum = &mut sums[((if own == 1 { 0 } else { batch }) * lines + line) as usize];
            let other = if of_a { index[rank - 1] } else { index[rank - 2] };
            let mut add = |x: f64, error: f64| *sum = (sum.0 + x, sum.1 + x.abs(), sum.2 + error);
            if !of_a && !of_b {
                add(want.value[0], want.error);
            } else if other == 0 {
                for k in 0..self.k {
                    let (mut at, mut dims) = (index.clone(), self.dims.clone());
                    let axis = if of_a { rank - 1 } else { rank - 2 };
                    (at[axis], dims[axis]) = (k, self.k);
                    add(if of_a { &self.a } else { &self.b }.at(&dims, &at)[0], 0.0);
                }
            }
        }
        let (unit, tiny) = rounding(grad.dtype);
        let count = (m + n + self.k) * batches + 20;
        for (i, (got, (want, magnitude, error))) in grad.take(session, what).iter().zip(sums).enumerate() {
            let error = error + count as f64 * self.unit() * magnitude;
            let error = error + unit * (want.abs() + error) + tiny;
            assert!((got[0] - want).abs() <= error, "{what}: grad {i} is {}, expected {want}", got[0]);
        }
    }

    fn free(&self) {
        let [a, b] = &self.scales;
        let more = [&self.c, &self.bias, a, b, &self.d_scale, &self.aux, &self.grad, &self.amax];
        let all = [&self.a, &self.b, &self.d].into_iter().chain(more.into_iter().flatten());
        all.for_each(|array| ok(weft::api::buffer::weft_buffer_release(array.desc.buffer)));
    }
}

/// Cases that the oracle, which takes longest, works on side by side.
const TOGETHER: usize = 16;

/// What each case should be.
fn oracle(cases: &[Case]) -> Vec<[Vec<Want>; 2]> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = cases.iter().map(|case| scope.spawn(|| case.wants())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn every_choice_agrees_with_the_oracle() {
    nan_stays_behind_epilogues();
    let session = Session::new(2);
    let mut rng = Rng(31);
    let child = std::env::var("WEFT_MATMUL_TEST_CHILD").is_ok();
    let count = cases(if child { 300 } else { 2000 });
    let mut ran = 0;
    for first in (0..count).step_by(TOGETHER) {
        let numbers = first..count.min(first + TOGETHER);
        let cases: Vec<Case> =
            numbers.clone().map(|number| Case::random(&session, &mut rng, number)).collect();
        for ((number, case), wants) in numbers.zip(&cases).zip(oracle(&cases)) {
            ran += case.check(&session, number, &wants);
            case.free();
        }
    }
    println!("{ran} runs of {count} cases");
    assert!(ran >= count);
}

#[test]
fn every_instruction_set_agrees_with_the_oracle() {
    if std::env::var("WEFT_MATMUL_TEST_CHILD").is_ok() || by_device(false, true) {
        println!("skipped: a GPU has one instruction set, and so has a child of this test");
        return;
    }
    for isa in ["scalar", "avx2", "avx512"] {
        let out = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "every_choice_agrees_with_the_oracle"])
            .env("WEFT_ISA", isa)
            .env("WEFT_MATMUL_TEST_CHILD", "1")
            .output()
            .unwrap();
        assert!(out.status.success(), "{isa}: {}", String::from_utf8_lossy(&out.stdout));
    }
}

/// Forces a choice from here on; none if it has no name.
fn force(choice: &str) {
    weft::op::force(&if choice.is_empty() { String::new() } else { format!("matmul={choice}") });
}

/// NaN comes through every epilogue.
fn nan_stays_behind_epilogues() {
    let (session, mut rng) = (Session::new(1), Rng(5));
    for dtype in [F32, F16, Bf16] {
        let mut number = 0;
        let a = Array::new(&session, &mut rng, dtype, &[64, 64], Lie::Packed, |_| {
            number += 1;
            Some(if number == 2 * 9 * 64 + 1 { f64::NAN } else { 1.0 })
        });
        let b = Array::new(&session, &mut rng, dtype, &[64, 64], Lie::Packed, |_| Some(0.25));
        let d = Array::output(&session, &mut rng, dtype, &[64, 64], Lie::Packed);
        for epilogue in WEFT_EPILOGUE_NONE..=WEFT_EPILOGUE_SILU {
            let struct_size = size_of::<weft_matmul_desc>() as u32;
            let desc = weft_matmul_desc {
                struct_size,
                a: a.desc,
                b: b.desc,
                d: d.desc,
                epilogue,
                ..Default::default()
            };
            for choice in by_device(&[""][..], &["cublaslt", "wgmma", "mma", "simt"]) {
                force(choice);
                if session.refuse(weft_matmul, &desc).0 == WEFT_OK {
                    let got = d.take(&session, choice);
                    let wrong = (0..64 * 64).find(|&i| got[i][0].is_nan() != (i / 64 == 9));
                    assert_eq!(wrong, None, "{dtype:?} {epilogue} {choice}: {:?}", got[wrong.unwrap_or(0)]);
                }
            }
        }
    }
    force("");
}

//! weft_matmul against a naive f64 oracle: types x epilogues x layouts x batches x every choice and instruction set.

mod support;

use std::sync::{Mutex, MutexGuard};
use support::*;
use weft::api::operations::weft_matmul;
use weft::dtype::*;
use weft::layout::weft_tensor;
use weft::ops::matmul::*;
use weft::status::*;

/// A forced choice holds for the whole process: one test at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    let alone = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    weft::op::force("");
    alone
}

fn on_gpu() -> bool {
    by_device(false, true)
}

/// The choices of the device under test; the last takes everything.
fn choices() -> &'static [&'static str] {
    by_device(
        &["gemv", "direct", "packed", "gemm", "naive"],
        &["gemv", "gemv_columns", "cublaslt", "wgmma", "mma", "simt"],
    )
}

/// Types of a, b, d.
const TYPES: [[Dtype; 3]; 8] = [
    [Dtype::F32, Dtype::F32, Dtype::F32],
    [Dtype::F64, Dtype::F64, Dtype::F64],
    [Dtype::F16, Dtype::F16, Dtype::F16],
    [Dtype::F16, Dtype::F16, Dtype::F32],
    [Dtype::Bf16, Dtype::Bf16, Dtype::Bf16],
    [Dtype::Bf16, Dtype::Bf16, Dtype::F32],
    [Dtype::F32, Dtype::F16, Dtype::F32],
    [Dtype::F32, Dtype::Bf16, Dtype::F32],
];

fn desc() -> weft_matmul_desc {
    weft_matmul_desc { struct_size: size_of::<weft_matmul_desc>() as u32, ..Default::default() }
}

fn epilogue(code: u32, x: f64) -> f64 {
    match code {
        WEFT_EPILOGUE_RELU => {
            if x < 0.0 {
                0.0
            } else {
                x
            }
        }
        WEFT_EPILOGUE_GELU => 0.5 * x * (1.0 + libm::erf(x / 2f64.sqrt())),
        WEFT_EPILOGUE_GELU_TANH => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
        }
        WEFT_EPILOGUE_SILU => x / (1.0 + (-x).exp()),
        _ => x,
    }
}

/// One random multiplication: its tensors and what it should give.
struct Case {
    desc: weft_matmul_desc,
    a: Tensor,
    b: Tensor,
    c: Option<Tensor>,
    bias: Option<Tensor>,
    d: Tensor,
    want: Vec<f64>,
    bound: Vec<f64>,
}

/// The trailing part of `batch`, with some axes 1.
fn some_batch(rng: &mut Rng, batch: &[i64]) -> Vec<i64> {
    let from = rng.range(0, batch.len() as i64) as usize;
    batch[from..].iter().map(|&dim| if rng.chance(3) { 1 } else { dim }).collect()
}

fn style(rng: &mut Rng) -> Style {
    rng.pick(&[Style::Packed, Style::Packed, Style::Hostile, Style::Repeated])
}

fn broadcastable(rng: &mut Rng, dims: &[i64]) -> Vec<i64> {
    some_batch(rng, dims)
}

/// A packed matrix stored transposed: the usual layout of weights.
fn transposed(session: &Session, rng: &mut Rng, dtype: Dtype, dims: &[i64]) -> Tensor {
    let rank = dims.len();
    let mut stored = dims.to_vec();
    stored.swap(rank - 2, rank - 1);
    let mut t = session.normal(rng, dtype, &stored, Style::Packed);
    let mut order: Vec<usize> = (0..rank).collect();
    order.swap(rank - 2, rank - 1);
    let view = t.layout.permuted(&order);
    let values = (0..view.count()).map(|i| t.values[view.offset_of(i) as usize]).collect();
    t.desc.dims[..rank].copy_from_slice(view.dims());
    t.desc.strides[..rank].copy_from_slice(view.strides());
    (t.layout, t.values) = (view, values);
    t
}

fn operand(session: &Session, rng: &mut Rng, dtype: Dtype, dims: &[i64]) -> Tensor {
    if rng.chance(3) {
        return transposed(session, rng, dtype, dims);
    }
    let style = style(rng);
    session.normal(rng, dtype, dims, style)
}

impl Case {
    fn random(session: &Session, rng: &mut Rng, types: [Dtype; 3], [m, k, n]: [i64; 3]) -> Self {
        let batch: Vec<i64> = (0..rng.pick(&[0, 0, 0, 1, 1, 2])).map(|_| rng.range(1, 3)).collect();
        let dims = [&batch[..], &[m, n]].concat();
        let (batch_a, batch_b) = (some_batch(rng, &batch), some_batch(rng, &batch));
        let a = operand(session, rng, types[0], &[&batch_a[..], &[m, k]].concat());
        let b = operand(session, rng, types[1], &[&batch_b[..], &[k, n]].concat());
        let d_style = rng.pick(&[Style::Packed, Style::Hostile]);
        let d = session.output(rng, types[2], &dims, d_style);
        let mut case =
            Self { desc: desc(), a, b, c: None, bias: None, d, want: Vec::new(), bound: Vec::new() };
        case.extras(session, rng, types[2], &dims);
        case.oracle(&dims, k as usize);
        case
    }

    fn extras(&mut self, session: &Session, rng: &mut Rng, dtype: Dtype, dims: &[i64]) {
        let style = style(rng);
        if rng.chance(3) {
            let own = rng.pick(&[dtype, if dtype == Dtype::F64 { dtype } else { Dtype::F32 }]);
            let shape = broadcastable(rng, dims);
            self.bias = Some(session.normal(rng, own, &shape, style));
        }
        if rng.chance(3) {
            let shape = if rng.chance(2) { dims.to_vec() } else { broadcastable(rng, dims) };
            self.c = Some(session.normal(rng, dtype, &shape, style));
            self.desc.beta = rng.pick(&[1.0, -0.5, 2.0, 0.0]);
        }
        (self.desc.a, self.desc.b, self.desc.d) = (self.a.desc, self.b.desc, self.d.desc);
        self.desc.c = self.c.as_ref().map_or(weft_tensor::default(), |c| c.desc);
        self.desc.bias = self.bias.as_ref().map_or(weft_tensor::default(), |bias| bias.desc);
        self.desc.alpha = rng.pick(&[0.0, 1.0, 1.0, 0.5, -3.0]);
        self.desc.flags = if rng.chance(4) { WEFT_MATMUL_ALPHA } else { 0 };
        self.desc.epilogue = rng.pick(&[0, 0, 1, 2, 3, 4]);
    }

    fn oracle(&mut self, dims: &[i64], k: usize) {
        let (m, n) = (dims[dims.len() - 2] as usize, dims[dims.len() - 1] as usize);
        let batch = &dims[..dims.len() - 2];
        let whole = |rows: usize, cols: usize| [batch, &[rows as i64, cols as i64]].concat();
        let (a_dims, b_dims) = (whole(m, k), whole(k, n));
        let (a, b) = (self.a.expanded(&a_dims), self.b.expanded(&b_dims));
        let c = self.c.as_ref().filter(|_| self.desc.beta != 0.0).map(|c| c.expanded(dims));
        let bias = self.bias.as_ref().map(|bias| bias.expanded(dims));
        let unit64 = unit(if self.d.dtype == Dtype::F64 { Dtype::F64 } else { Dtype::F32 });
        let alpha = if self.desc.alpha == 0.0 && self.desc.flags == 0 { 1.0 } else { self.desc.alpha };
        for index in 0..self.d.layout.count() {
            let (matrix, i, j) = (index / (m * n), index / n % m, index % n);
            let (mut sum, mut size) = (0.0, 0.0);
            for x in 0..if alpha == 0.0 { 0 } else { k } {
                let product = a[(matrix * m + i) * k + x] * b[(matrix * k + x) * n + j];
                sum += product;
                size += product.abs();
            }
            let mut value = alpha * sum;
            let mut scale = (alpha * size).abs();
            for added in
                [c.as_ref().map(|c| self.desc.beta * c[index]), bias.as_ref().map(|bias| bias[index])]
            {
                value += added.unwrap_or(0.0);
                scale += added.unwrap_or(0.0).abs();
            }
            let want = epilogue(self.desc.epilogue, value);
            // No epilogue is steeper than 1.13; its own error is a few units of its argument.
            let error = 1.13 * (k as f64 + 4.0) * unit64 * scale + 8.0 * unit64 * value.abs();
            let error = error + 1e-300;
            self.want.push(want);
            self.bound.push(error + unit(self.d.dtype) * (want.abs() + error) + tiny(self.d.dtype));
        }
    }

    /// Runs it under every choice that accepts it.
    fn check(&self, session: &Session, what: &str) -> usize {
        let mut ran = 0;
        for &choice in choices() {
            weft::op::force(&format!("matmul={choice}"));
            let (status, message) = session.refuse(weft_matmul, &self.desc);
            if status == WEFT_ERROR_UNSUPPORTED || message.contains("WEFT_CHOICE") && status != WEFT_OK {
                assert!(
                    Some(&choice) != choices().last() && message.contains("WEFT_CHOICE"),
                    "{choice}: {message}"
                );
                continue;
            }
            assert_eq!(status, WEFT_OK, "{what} {choice}: {message}");
            let got = session.read(&self.d);
            close(&format!("{what} {choice} {:?}", self.desc), &got, &self.want, |i| self.bound[i]);
            session.write_bytes(self.d.desc.buffer, &poison(&self.d));
            ran += 1;
        }
        ran
    }

    fn free(&self, session: &Session) {
        session.free(&[&self.a, &self.b, &self.d]);
        self.c.iter().chain(&self.bias).for_each(|t| session.free(&[t]));
    }
}

/// What an output's buffer holds up to its last element before a request.
fn poison(t: &Tensor) -> Vec<u8> {
    let end = t.layout.span().map_or(0, |span| span.high as usize + 1);
    vec![0xDB; t.desc.offset as usize + end * t.dtype.size()]
}

/// Half the smallest subnormal.
fn tiny(dtype: Dtype) -> f64 {
    if dtype == Dtype::F16 { 2f64.powi(-25) } else { 0.0 }
}

fn sizes(rng: &mut Rng) -> [i64; 3] {
    let most = rng.pick(&[9, 33, 67, 67, 130]);
    let k_most = rng.pick(&[17, 67, 300, 600]);
    let mut size = [rng.size(most, true), rng.size(k_most, true), rng.size(most, true)];
    if rng.chance(3) {
        size[rng.pick(&[0, 2])] = rng.range(1, 9);
    }
    if rng.chance(12) {
        size[1] = rng.range(500, 1100);
    }
    size
}

fn random_cases(seed: u64, count: usize) {
    let sessions = [Session::new(1), Session::new(3)];
    let mut rng = Rng(seed);
    let mut ran = 0;
    for number in 0..count {
        let session = &sessions[number % 2];
        let size = sizes(&mut rng);
        let case = Case::random(session, &mut rng, TYPES[number / 2 % TYPES.len()], size);
        ran += case.check(session, &format!("case {number} {size:?}"));
        case.free(session);
    }
    weft::op::force("");
    // A GPU without cuBLASLt has one choice for most.
    assert!(ran > count * 3 / 2 || on_gpu() && ran > count);
}

#[test]
fn every_choice_agrees_with_the_oracle() {
    let _alone = alone();
    let child = std::env::var("WEFT_MATMUL_TEST_CHILD").is_ok();
    random_cases(1, cases(if child || on_gpu() { 400 } else { 1600 }));
    in_place();
    nan_is_not_read();
    threads_do_not_matter();
    few_rows();
    large();
    tiles();
    middling();
}

#[test]
fn every_instruction_set_agrees_with_the_oracle() {
    if std::env::var("WEFT_MATMUL_TEST_CHILD").is_ok() {
        return;
    }
    if on_gpu() {
        println!("skipped: a GPU has one instruction set");
        return;
    }
    on_each_isa(&["every_choice_agrees_with_the_oracle"], ("WEFT_MATMUL_TEST_CHILD", "1"));
}

/// c may be d itself.
fn in_place() {
    let session = Session::new(2);
    let mut rng = Rng(7);
    for types in TYPES {
        for &choice in choices() {
            for (m, k, n) in [(1, 40, 33), (37, 600, 70), (5, 0, 6)] {
                let a = session.normal(&mut rng, types[0], &[m, k], Style::Packed);
                let b = session.normal(&mut rng, types[1], &[k, n], Style::Packed);
                let d = session.normal(&mut rng, types[2], &[m, n], Style::Hostile);
                let mut case =
                    Case { desc: desc(), a, b, c: None, bias: None, d, want: Vec::new(), bound: Vec::new() };
                (case.desc.a, case.desc.b, case.desc.d) = (case.a.desc, case.b.desc, case.d.desc);
                (case.desc.c, case.desc.beta) = (case.d.desc, -2.0);
                let before = session.read(&case.d);
                case.oracle(&[m, n], k as usize);
                let error = |i: usize| case.bound[i] + (before[i].abs() * 8.0) * unit(types[2]) * 2.0;
                let want: Vec<f64> = case.want.iter().zip(&before).map(|(x, c)| x - 2.0 * c).collect();
                weft::op::force(&format!("matmul={choice}"));
                if session.refuse(weft_matmul, &case.desc).0 == WEFT_OK {
                    let slack = |i: usize| error(i) + unit(types[2]) * want[i].abs() * 2.0;
                    close("in place", &session.read(&case.d), &want, slack);
                }
                case.free(&session);
            }
        }
    }
    weft::op::force("");
}

/// beta 0 leaves C unread, alpha 0 A and B; NaN elsewhere stays in its row and column.
fn nan_is_not_read() {
    let session = Session::new(2);
    let mut rng = Rng(8);
    for types in TYPES {
        for &choice in choices() {
            weft::op::force(&format!("matmul={choice}"));
            let nan = |rng: &mut Rng, dtype, dims: &[i64]| {
                session.tensor(rng, dtype, dims, Style::Hostile, |_| f64::NAN)
            };
            let one =
                |rng: &mut Rng, dtype, dims: &[i64]| session.tensor(rng, dtype, dims, Style::Packed, |_| 1.0);
            let d = session.output(&mut rng, types[2], &[19, 35], Style::Hostile);
            let bad = [
                nan(&mut rng, types[0], &[19, 70]),
                nan(&mut rng, types[1], &[70, 35]),
                nan(&mut rng, types[2], &[19, 35]),
            ];
            let good = [
                one(&mut rng, types[0], &[19, 70]),
                one(&mut rng, types[1], &[70, 35]),
                one(&mut rng, types[2], &[19, 35]),
            ];
            let beta =
                weft_matmul_desc { a: good[0].desc, b: good[1].desc, c: bad[2].desc, d: d.desc, ..desc() };
            if session.refuse(weft_matmul, &beta).0 == WEFT_OK {
                assert!(session.read(&d).iter().all(|&x| x == 70.0), "{types:?} {choice}");
            }
            let alpha = weft_matmul_desc {
                a: bad[0].desc,
                b: bad[1].desc,
                c: good[2].desc,
                beta: 3.0,
                flags: WEFT_MATMUL_ALPHA,
                ..beta
            };
            if session.refuse(weft_matmul, &alpha).0 == WEFT_OK {
                assert!(session.read(&d).iter().all(|&x| x == 3.0), "{types:?} {choice}");
            }
            one_nan(&session, &mut rng, types, &good, &d);
            [&bad, &good].into_iter().flatten().for_each(|t| session.free(&[t]));
            session.free(&[&d]);
        }
    }
    weft::op::force("");
}

fn one_nan(session: &Session, rng: &mut Rng, types: [Dtype; 3], good: &[Tensor; 3], d: &Tensor) {
    let mut at = 0;
    let a = session.tensor(rng, types[0], &[19, 70], Style::Packed, |_| {
        at += 1;
        if at == 18 * 70 + 70 {
            f64::NAN
        } else if at == 3 * 70 + 70 {
            f64::INFINITY
        } else {
            1.0
        }
    });
    let desc = weft_matmul_desc { a: a.desc, b: good[1].desc, d: d.desc, ..desc() };
    if session.refuse(weft_matmul, &desc).0 == WEFT_OK {
        for (i, x) in session.read(d).into_iter().enumerate() {
            let right = match i / 35 {
                18 => x.is_nan(),
                3 => x == f64::INFINITY,
                _ => x == 70.0,
            };
            assert!(right, "{types:?}: element {i} is {x}");
        }
    }
    session.free(&[&a]);
}

/// The same bits for any number of threads.
fn threads_do_not_matter() {
    let sessions = [Session::new(1), Session::new(2), Session::new(5)];
    for types in TYPES {
        let sizes =
            [(1, 700, 1500), (4, 900, 700), (150, 700, 170), (300, 64, 33), (70, 2100, 70), (200, 210, 170)];
        for (m, k, n) in sizes {
            let run = |session: &Session| {
                let mut rng = Rng(9);
                let a = session.normal(&mut rng, types[0], &[m, k], Style::Packed);
                let make: Make = if n == 170 { packed } else { transposed };
                let b = make(session, &mut rng, types[1], &[k, n]);
                let d = session.output(&mut rng, types[2], &[m, n], Style::Packed);
                session.run(weft_matmul, &weft_matmul_desc { a: a.desc, b: b.desc, d: d.desc, ..desc() });
                let got = session.read(&d);
                session.free(&[&a, &b, &d]);
                got
            };
            let all: Vec<_> = sessions.iter().map(run).collect();
            assert!(all[0] == all[1] && all[1] == all[2], "{types:?} {m} {k} {n}");
        }
    }
}

/// Few rows, or columns: whole vectors of 16 bytes, tails, one k shared by several warps and blocks.
fn few_rows() {
    let session = Session::new(2);
    let mut rng = Rng(11);
    for (number, types) in (0..).zip(TYPES) {
        for [m, k, n] in
            [[1, 2056, 70], [3, 4104, 40], [8, 520, 64], [5, 8, 2056], [1, 4097, 16], [72, 1040, 1]]
        {
            for turned in [false, true] {
                let factor = if turned { transposed } else { packed };
                let case = of_factors(&session, &mut rng, types, [m, k, n], [packed, factor]);
                case.check(&session, &format!("few rows {number} [{m}, {k}, {n}] {turned}"));
                case.free(&session);
            }
        }
    }
    weft::op::force("");
}

/// How a factor is made.
type Make = fn(&Session, &mut Rng, Dtype, &[i64]) -> Tensor;

/// A random case, with factors that are made in these ways.
fn of_factors(
    session: &Session,
    rng: &mut Rng,
    types: [Dtype; 3],
    [m, k, n]: [i64; 3],
    [a, b]: [Make; 2],
) -> Case {
    let mut case = Case::random(session, rng, types, [m, k, n]);
    session.free(&[&case.a, &case.b]);
    case.a = a(session, rng, types[0], &[m, k]);
    case.b = b(session, rng, types[1], &[k, n]);
    (case.desc.a, case.desc.b) = (case.a.desc, case.b.desc);
    (case.want, case.bound) = (Vec::new(), Vec::new());
    let dims = case.d.dims().to_vec();
    case.oracle(&dims, k as usize);
    case
}

fn packed(session: &Session, rng: &mut Rng, dtype: Dtype, dims: &[i64]) -> Tensor {
    session.normal(rng, dtype, dims, Style::Packed)
}

/// Several blocks in every direction, checked against the product with a vector: D 1 = A (B 1). On a GPU by every choice.
fn large() {
    let session = Session::new(2);
    let mut rng = Rng(10);
    for types in TYPES {
        for [m, k, n] in [[203, 2063, 1205], [203, 2064, 1208]] {
            let small = |rng: &mut Rng| rng.range(-2, 2) as f64;
            let style = if k % 8 == 0 { Style::Packed } else { Style::Hostile };
            let a = session.tensor(&mut rng, types[0], &[m, k], style, small);
            let b = session.tensor(&mut rng, types[1], &[k, n], Style::Packed, small);
            let d = session.output(&mut rng, types[2], &[m, n], Style::Packed);
            let desc = weft_matmul_desc { a: a.desc, b: b.desc, d: d.desc, ..desc() };
            for choice in if on_gpu() { choices() } else { &[""] } {
                weft::op::force(&if choice.is_empty() { String::new() } else { format!("matmul={choice}") });
                if session.refuse(weft_matmul, &desc).0 == WEFT_OK {
                    check_some(&session, [&a, &b, &d], &format!("{types:?} {choice}"));
                    session.write_bytes(d.desc.buffer, &poison(&d));
                }
            }
            session.free(&[&a, &b, &d]);
        }
    }
    weft::op::force("");
}

/// Some elements of a product of small whole numbers, which is exact.
fn check_some(session: &Session, [a, b, d]: [&Tensor; 3], what: &str) {
    let got = session.read(d);
    let (m, k, n) = (a.dims()[0] as usize, a.dims()[1] as usize, b.dims()[1] as usize);
    for i in (0..m).step_by(7) {
        for j in (i % 11..n).step_by(11) {
            let want: f64 = (0..k).map(|x| a.values[i * k + x] * b.values[x * n + j]).sum();
            assert!((got[i * n + j] - want).abs() <= unit(d.dtype) * want.abs(), "{what} {i} {j}");
        }
    }
}

/// Tiles that are whole and tiles that are cut, with all that can happen to sums on their way.
fn tiles() {
    let session = Session::new(2);
    let mut rng = Rng(12);
    for types in TYPES.into_iter().filter(|types| types[0].size() == 2) {
        for [m, k, n] in [[64, 64, 128], [256, 128, 256], [264, 136, 520], [40, 520, 144]] {
            for turned in [false, true] {
                let factor = if turned { transposed } else { packed };
                let case = of_factors(&session, &mut rng, types, [m, k, n], [factor, factor]);
                case.check(&session, &format!("tiles [{m}, {k}, {n}] {turned}"));
                case.free(&session);
            }
        }
    }
    weft::op::force("");
}

/// Too large to be read in place and too small for all to be packed: whole panels and cut ones, by any number of threads.
fn middling() {
    let mut rng = Rng(13);
    for threads in [1, 2, 9] {
        let session = Session::new(threads);
        for [m, k, n] in [[48, 1, 49], [137, 190, 211], [65, 300, 150], [256, 256, 256], [301, 129, 48]] {
            let case = of_factors(&session, &mut rng, TYPES[0], [m, k, n], [packed, packed]);
            case.check(&session, &format!("middling [{m}, {k}, {n}] {threads}"));
            case.free(&session);
        }
    }
    weft::op::force("");
}

/// Bad input: the status, and a sentence that names the argument.
#[test]
fn bad_input_is_refused_by_name() {
    let _alone = alone();
    let session = Session::new(1);
    let mut rng = Rng(3);
    let make = |rng: &mut Rng, dtype, dims: &[i64]| session.normal(rng, dtype, dims, Style::Packed);
    let (a, b, d) = (
        make(&mut rng, Dtype::F32, &[4, 5]),
        make(&mut rng, Dtype::F32, &[5, 6]),
        make(&mut rng, Dtype::F32, &[4, 6]),
    );
    let (f64_b, vector, big) = (
        make(&mut rng, Dtype::F64, &[5, 6]),
        make(&mut rng, Dtype::F32, &[5]),
        make(&mut rng, Dtype::F32, &[2, 4, 6]),
    );
    let (wrong_k, half) = (make(&mut rng, Dtype::F32, &[7, 6]), make(&mut rng, Dtype::F16, &[4, 6]));
    let good = weft_matmul_desc { a: a.desc, b: b.desc, d: d.desc, ..desc() };
    session.run(weft_matmul, &good);
    let f8 = weft_tensor { dtype: WEFT_F8_E4M3, ..a.desc };
    let repeated = {
        let mut t = d.desc;
        t.strides[..2].copy_from_slice(&[0, 1]);
        t
    };
    let bad = WEFT_ERROR_INVALID_ARGUMENT;
    let cases = [
        (weft_matmul_desc { a: weft_tensor::default(), ..good }, bad, "matmul: a.buffer"),
        (weft_matmul_desc { b: f64_b.desc, ..good }, bad, "matmul: b.dtype"),
        (weft_matmul_desc { b: vector.desc, ..good }, bad, "matmul: b.rank"),
        (weft_matmul_desc { b: wrong_k.desc, ..good }, bad, "matmul: b.dims"),
        (weft_matmul_desc { a: d.desc, ..good }, bad, "matmul: b.dims"),
        (weft_matmul_desc { a: big.desc, b: big.desc, ..good }, bad, "matmul: b.dims"),
        (weft_matmul_desc { a: big.desc, ..good }, bad, "matmul: b.dims"),
        (weft_matmul_desc { d: half.desc, ..good }, bad, "matmul: d.dtype"),
        (weft_matmul_desc { d: repeated, ..good }, bad, "matmul: d"),
        (weft_matmul_desc { beta: 1.0, ..good }, bad, "matmul: beta"),
        (weft_matmul_desc { c: half.desc, beta: 1.0, ..good }, bad, "matmul: c.dtype"),
        (weft_matmul_desc { c: big.desc, beta: 1.0, ..good }, bad, "matmul: c.dims"),
        (
            weft_matmul_desc { c: weft_tensor { dims: [1, 6, 0, 0, 0, 0, 0, 0], ..d.desc }, ..good },
            bad,
            "matmul: d and c overlap",
        ),
        (weft_matmul_desc { bias: f64_b.desc, ..good }, bad, "matmul: bias.dtype"),
        (weft_matmul_desc { bias: vector.desc, ..good }, bad, "matmul: bias.dims"),
        (weft_matmul_desc { bias: d.desc, ..good }, bad, "matmul: d and bias overlap"),
        (weft_matmul_desc { flags: 256, ..good }, bad, "matmul: flags"),
        (weft_matmul_desc { alpha: f64::NAN, ..good }, bad, "matmul: alpha"),
        (weft_matmul_desc { beta: f64::INFINITY, ..good }, bad, "matmul: beta"),
        (weft_matmul_desc { epilogue: 11, ..good }, bad, "matmul: epilogue"),
        (weft_matmul_desc { compute: 5, ..good }, WEFT_ERROR_UNSUPPORTED, "matmul: compute"),
        (weft_matmul_desc { compute: 8, ..good }, bad, "matmul: compute"),
        (weft_matmul_desc { a: f8, ..good }, bad, "matmul: b.dtype"),
        (weft_matmul_desc { a_scale: a.desc, ..good }, bad, "matmul: a_scale"),
        (weft_matmul_desc { aux: a.desc, ..good }, bad, "matmul: aux"),
    ];
    for (number, (desc, status, words)) in cases.iter().enumerate() {
        let (got, message) = session.refuse(weft_matmul, desc);
        assert_eq!(got, *status, "case {number}: {message}");
        assert!(message.contains(words), "case {number}: {message:?} lacks {words:?}");
    }
    let square = make(&mut rng, Dtype::F32, &[4, 4]);
    let (_, message) = session
        .refuse(weft_matmul, &weft_matmul_desc { a: square.desc, b: square.desc, d: square.desc, ..desc() });
    assert!(message.contains("matmul: d and a overlap"), "{message}");
}

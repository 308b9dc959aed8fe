//! Weights in blocks as weft_matmul's b: against blocks decoded by the `gguf` package, and a naive f64 oracle over decoded
//! weights, in every choice and instruction set.

mod support;

use std::sync::{Mutex, MutexGuard};
use support::blocks::{FORMATS, item, scales};
use support::*;
use weft::api::operations::*;
use weft::dtype::*;
use weft::layout::{Layout, weft_tensor};
use weft::ops::cast::weft_cast_desc;
use weft::ops::matmul::*;
use weft::ops::rows::weft_rows_desc;
use weft::status::*;

/// A forced choice holds for the whole process: one test at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    let alone = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    weft::op::force("");
    alone
}

/// The choices for such weights; the last takes everything.
fn choices() -> &'static [&'static str] {
    by_device(&["gemv", "packed", "naive"], &["gemv", "decoded"])
}

// ---- Weights on the device ----

/// Random blocks, most with ordinary scales, some with very small or large ones.
fn random_blocks(rng: &mut Rng, dtype: Dtype, count: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..count * dtype.size()).map(|_| rng.next() as u8).collect();
    for block in bytes.chunks_mut(dtype.size()) {
        let size = rng.pick(&[0.02, 0.02, 0.02, 1e-6, 0.0, 60000.0]);
        for &at in scales(dtype) {
            let scale = f16::from_f64((rng.uniform() * 2.0 - 1.0) * size);
            block[at..at + 2].copy_from_slice(&scale.to_le_bytes());
        }
    }
    bytes
}

/// [batch.., k, n], stored [batch.., n, k] with gaps of whole blocks, some axes backwards.
struct Weights {
    desc: weft_tensor,
    dims: Vec<i64>,
    values: Vec<f64>,
}

impl Weights {
    fn random(session: &Session, rng: &mut Rng, dtype: Dtype, batch: &[i64], k: i64, n: i64) -> Self {
        let block = dtype.block() as i64;
        let rank = batch.len() + 2;
        let dims = [batch, &[k, n]].concat();
        let mut strides = vec![1; rank];
        let gap = |rng: &mut Rng| rng.pick(&[0, 0, 1, 3]) * block;
        let mut step = k.max(block) + gap(rng);
        let (mut low, mut high) = (0, 0);
        for axis in (0..rank).rev().filter(|&axis| axis != rank - 2) {
            strides[axis] = if rng.chance(4) { -step } else { step };
            let reach = strides[axis] * (dims[axis] - 1).max(0);
            (low, high) = (low + reach.min(0), high + reach.max(0));
            step = step * dims[axis].max(1) + gap(rng);
        }
        let count = ((high - low + k).max(0) / block) as usize;
        let bytes = random_blocks(rng, dtype, count);
        let offset = 2 * rng.range(0, 20) as usize;
        let image = [vec![0xDB; offset], bytes.clone(), vec![0xDB; rng.range(0, 3) as usize]].concat();
        let mut desc = weft_tensor { dtype: dtype.code(), rank: rank as u32, ..Default::default() };
        desc.buffer = session.buffer(image.len());
        session.write_bytes(desc.buffer, &image);
        desc.offset = offset as u64 + (-low / block) as u64 * dtype.size() as u64;
        desc.dims[..rank].copy_from_slice(&dims);
        desc.strides[..rank].copy_from_slice(&strides);
        let layout = Layout::strided(&dims, &strides);
        let value = |i: usize| {
            let at = (layout.offset_of(i) as i64 - low) as usize;
            let from = at / dtype.block() * dtype.size();
            f64::from(item(dtype, &bytes[from..from + dtype.size()], at % dtype.block()))
        };
        let values = (0..layout.count()).map(value).collect();
        Self { desc, dims, values }
    }

    /// One column of a block.
    fn of_block(session: &Session, dtype: Dtype, bytes: &[u8]) -> Self {
        let k = dtype.block() as i64;
        let mut desc = weft_tensor { dtype: dtype.code(), rank: 2, ..Default::default() };
        desc.buffer = session.buffer(bytes.len());
        session.write_bytes(desc.buffer, bytes);
        desc.dims[..2].copy_from_slice(&[k, 1]);
        Self { desc, dims: vec![k, 1], values: Vec::new() }
    }
}

fn free(_: &Session, weights: &[&Weights]) {
    let tensor = |w: &&Weights| w.desc.buffer;
    weights.iter().map(tensor).for_each(|buffer| ok(weft::api::buffer::weft_buffer_release(buffer)));
}

fn desc() -> weft_matmul_desc {
    weft_matmul_desc { struct_size: size_of::<weft_matmul_desc>() as u32, ..Default::default() }
}

/// Runs `run` with every choice forced that takes the request; how many there were.
fn each_choice(session: &Session, desc: &weft_matmul_desc, check: impl Fn(&str)) -> usize {
    let mut ran = 0;
    for &choice in choices() {
        weft::op::force(&format!("matmul={choice}"));
        let (status, message) = session.refuse(weft_matmul, desc);
        if status != WEFT_OK {
            let refused = status == WEFT_ERROR_UNSUPPORTED && message.contains("WEFT_CHOICE");
            assert!(refused && Some(&choice) != choices().last(), "{choice}: {message}");
            continue;
        }
        check(choice);
        ran += 1;
    }
    weft::op::force("");
    ran
}

// ---- Tests ----

fn from_hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

/// Blocks of `tests/data/quantised.txt`, times the identity, and times a row at a time of it.
#[test]
fn decoding_is_that_of_the_gguf_package() {
    let _alone = alone();
    let session = Session::new(1);
    let mut rng = Rng(1);
    for line in include_str!("data/quantised.txt").lines() {
        let [name, block, items] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let dtype = *FORMATS.iter().find(|dtype| dtype.name() == format!("WEFT_{name}")).unwrap();
        let (block, items) = (from_hex(block), from_hex(items));
        let want: Vec<f32> = items.chunks(4).map(|x| f32::from_be_bytes(x.try_into().unwrap())).collect();
        for (i, &want) in want.iter().enumerate() {
            let got = item(dtype, &block, i);
            assert!(
                got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(),
                "{name} {i}: {got} {want}"
            );
        }
        let k = want.len();
        let weights = Weights::of_block(&session, dtype, &block);
        for rows in [k, 8, 1] {
            let first = rng.range(0, (k - rows) as i64) as usize;
            let identity: Vec<f64> =
                (0..rows * k).map(|i| f64::from(u8::from(i / k + first == i % k))).collect();
            let dims = [rows as i64, k as i64];
            let a = session.exact(&mut rng, Dtype::F32, &dims, Style::Packed, &identity);
            let d = session.output(&mut rng, Dtype::F32, &[rows as i64, 1], Style::Packed);
            let desc = weft_matmul_desc { a: a.desc, b: weights.desc, d: d.desc, ..desc() };
            // 0 times what is not finite is NaN.
            let finite = want.iter().all(|x| x.is_finite());
            let sum = |&x: &f32| if finite || x.is_nan() { f64::from(x) } else { f64::NAN };
            let want: Vec<f64> = want[first..first + rows].iter().map(sum).collect();
            each_choice(&session, &desc, |choice| {
                let got = session.read(&d);
                let alike =
                    |(got, want): (&f64, &f64)| got == want || got.is_nan() && (want.is_nan() || !finite);
                assert!(got.iter().zip(&want).all(alike), "{choice}: {line}: {got:?} {want:?}");
            });
            session.free(&[&a, &d]);
        }
        free(&session, &[&weights]);
    }
}

fn activate(epilogue: u32, x: f64) -> f64 {
    match epilogue {
        WEFT_EPILOGUE_RELU => x.max(0.0),
        WEFT_EPILOGUE_SILU => x / (1.0 + (-x).exp()),
        _ => x,
    }
}

/// A random multiplication in every choice.
fn random_case(session: &Session, rng: &mut Rng, what: &str) -> usize {
    let dtype = rng.pick(&FORMATS);
    let [a_type, d_type] = rng.pick(&[
        [Dtype::F32, Dtype::F32],
        [Dtype::F16, Dtype::F32],
        [Dtype::F16, Dtype::F16],
        [Dtype::Bf16, Dtype::F32],
        [Dtype::Bf16, Dtype::Bf16],
    ]);
    let (m, n) = (rng.pick(&[1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 14, 15, 31, 70]), rng.size(70, true));
    let k = dtype.block() as i64
        * if rng.chance(20) { 0 } else { rng.range(1, if dtype.block() == 32 { 40 } else { 6 }) };
    let batch: Vec<i64> = (0..rng.pick(&[0, 0, 0, 1, 2])).map(|_| rng.range(1, 3)).collect();
    let some = |rng: &mut Rng| if rng.chance(2) { batch.clone() } else { Vec::new() };
    let style = |rng: &mut Rng| rng.pick(&[Style::Packed, Style::Packed, Style::Hostile]);
    let dims = [&batch[..], &[m, n]].concat();
    let (a_batch, b_batch) = (some(rng), some(rng));
    let (a_style, d_style) = (style(rng), style(rng));
    let a = session.normal(rng, a_type, &[&a_batch[..], &[m, k]].concat(), a_style);
    let b = Weights::random(session, rng, dtype, &b_batch, k, n);
    let d = session.output(rng, d_type, &dims, d_style);
    let c = rng.chance(3).then(|| session.normal(rng, d_type, &dims, Style::Packed));
    let bias = rng.chance(3).then(|| session.normal(rng, Dtype::F32, &[n], Style::Packed));
    let absent = weft_tensor::default;
    let desc = weft_matmul_desc {
        a: a.desc,
        b: b.desc,
        d: d.desc,
        c: c.as_ref().map_or(absent(), |c| c.desc),
        bias: bias.as_ref().map_or(absent(), |bias| bias.desc),
        alpha: rng.pick(&[0.0, 1.0, -0.5]),
        beta: if c.is_some() { 2.0 } else { 0.0 },
        epilogue: rng.pick(&[0, 0, WEFT_EPILOGUE_RELU, WEFT_EPILOGUE_SILU]),
        compute: rng.pick(&[WEFT_COMPUTE_DEFAULT, WEFT_COMPUTE_F32, WEFT_COMPUTE_I8]),
        ..desc()
    };
    let whole = |matrix: [i64; 2]| [&batch[..], &matrix].concat();
    let factors = a.expanded(&whole([m, k]));
    let weights = expanded(&b.values, &b.dims, &whole([k, n]));
    // k is a multiple of 32.
    let largest: Vec<f64> =
        factors.chunks(32).map(|part| part.iter().fold(0.0f64, |most, x| most.max(x.abs()))).collect();
    let alpha = if desc.alpha == 0.0 { 1.0 } else { desc.alpha };
    let (mut want, mut bound) = (Vec::new(), Vec::new());
    let [rows, depth, cols] = [m, k, n].map(|x| x as usize);
    for index in 0..d.layout.count() {
        let (matrix, i, j) = (index / (rows * cols), index / cols % rows, index % cols);
        let (mut value, mut size, mut rounded) = (0.0, 0.0f64, 0.0f64);
        for x in 0..depth {
            let at = (matrix * rows + i) * depth + x;
            let weight = alpha * weights[(matrix * depth + x) * cols + j];
            let product = factors[at] * weight;
            value += product;
            size += product.abs();
            // What bytes, or bfloat16, make of it where they may.
            rounded += (largest[at / 32] * weight / 254.0).abs().max(product.abs() / 127.0);
        }
        if desc.compute != WEFT_COMPUTE_I8 {
            rounded = 0.0;
        }
        let added = c.as_ref().map_or(0.0, |c| 2.0 * c.values[index]);
        let shift = bias.as_ref().map_or(0.0, |bias| bias.values[j]);
        value += added + shift;
        size += added.abs() + shift.abs();
        let unit32 = unit(Dtype::F32);
        let error =
            1.13 * ((depth as f64 + 4.0) * unit32 * size + rounded) + 8.0 * unit32 * value.abs() + 1e-300;
        let exact = activate(desc.epilogue, value);
        let tiny = if d_type == Dtype::F16 { 2f64.powi(-25) } else { 1e-44 };
        // Very large results become infinite in binary16.
        let most = if d_type == Dtype::F16 { 65504.0 } else { f64::MAX };
        let overflows = exact.abs() + error > most;
        want.push(if overflows { f64::INFINITY.copysign(exact) } else { exact });
        let bounded = error + unit(d_type) * (exact.abs() + error) + tiny;
        bound.push(if overflows { f64::INFINITY } else { bounded });
    }
    let ran = each_choice(session, &desc, |choice| {
        let got = session.read(&d);
        close(&format!("{what} {choice} {dtype:?} {a_type:?} {m}x{k}x{n}"), &got, &want, |i| bound[i]);
        let end = d.layout.span().map_or(0, |span| span.high as usize + 1);
        session.write_bytes(d.desc.buffer, &vec![0xDB; d.desc.offset as usize + end * d_type.size()]);
    });
    session.free(&[&a, &d]);
    c.iter().chain(&bias).for_each(|t| session.free(&[t]));
    free(session, &[&b]);
    ran
}

#[test]
fn every_choice_agrees_with_the_oracle() {
    let _alone = alone();
    let sessions = [Session::new(1), Session::new(3)];
    let mut rng = Rng(11);
    let count = cases(400);
    let ran: usize = (0..count)
        .map(|number| random_case(&sessions[number % 2], &mut rng, &format!("case {number}")))
        .sum();
    assert!(ran > count * 5 / 4, "{ran}");
}

#[test]
fn every_instruction_set_agrees_with_the_oracle() {
    if by_device(false, true) {
        println!("skipped: a GPU has one instruction set");
        return;
    }
    let tests = ["every_choice_agrees_with_the_oracle", "decoding_is_that_of_the_gguf_package"];
    on_each_isa(&tests, ("WEFT_TEST_CASES", "100"));
}

/// A model's shape, whose many columns threads share.
#[test]
fn many_columns() {
    let _alone = alone();
    let session = Session::new(3);
    let mut rng = Rng(5);
    for dtype in FORMATS {
        for m in [1, 3, 20] {
            let (k, n) = (768, 1501);
            let a = session.normal(&mut rng, Dtype::F32, &[m, k], Style::Packed);
            let b = Weights::random(&session, &mut rng, dtype, &[], k, n);
            let d = session.output(&mut rng, Dtype::F32, &[m, n], Style::Packed);
            session.run(weft_matmul, &weft_matmul_desc { a: a.desc, b: b.desc, d: d.desc, ..desc() });
            let got = session.read(&d);
            for index in (0..got.len()).step_by(37) {
                let (i, j) = (index / n as usize, index % n as usize);
                let products =
                    (0..k as usize).map(|x| a.values[i * k as usize + x] * b.values[x * n as usize + j]);
                let (sum, size) = products.fold((0.0, 0.0), |(sum, size), p| (sum + p, size + p.abs()));
                let allowed = (k as f64 + 4.0) * unit(Dtype::F32) * size;
                assert!((got[index] - sum).abs() <= allowed, "{dtype:?} {m}: {} {sum}", got[index]);
            }
            session.free(&[&a, &d]);
            free(&session, &[&b]);
        }
    }
}

#[test]
fn bad_input_is_refused_by_name() {
    let _alone = alone();
    let session = Session::new(1);
    let mut rng = Rng(3);
    let a = session.normal(&mut rng, Dtype::F32, &[3, 64], Style::Packed);
    let wide = session.normal(&mut rng, Dtype::F64, &[3, 64], Style::Packed);
    let d = session.output(&mut rng, Dtype::F32, &[3, 5], Style::Packed);
    let mut b = weft_tensor { dtype: WEFT_Q8_0, rank: 2, ..Default::default() };
    b.buffer = session.buffer(10 * 34);
    session.write_bytes(b.buffer, &[0; 340]);
    b.dims[..2].copy_from_slice(&[64, 5]);
    b.strides[..2].copy_from_slice(&[1, 64]);
    let good = weft_matmul_desc { a: a.desc, b, d: d.desc, ..desc() };
    session.run(weft_matmul, &good);
    assert_eq!(session.read(&d), [0.0; 15]);
    let with = |change: &dyn Fn(&mut weft_tensor)| {
        let mut changed = b;
        change(&mut changed);
        weft_matmul_desc { b: changed, ..good }
    };
    let cases = [
        (with(&|b| b.dims[0] = 65), "matmul: b.dims[0] is 65; expected a multiple of 32"),
        (with(&|b| b.dims[0] = 32), "matmul: b.dims of q8_0 [32, 5] have 32 rows; expected the 64"),
        (with(&|b| b.strides = [0; 8]), "matmul: b.strides[0] is 5; expected 1"),
        (with(&|b| b.strides[1] = 65), "matmul: b.strides[1] is 65; expected a multiple of 32"),
        (with(&|b| b.strides[1] = 96), "matmul: b touches bytes 0 to 476"),
        (with(&|b| b.offset = 1), "matmul: b.offset is 1; expected a multiple of the 2 bytes"),
        (with(&|b| b.offset = 2), "matmul: b touches bytes 2 to 342"),
        (with(&|b| b.dtype = WEFT_Q4_K), "matmul: b.dims[0] is 64; expected a multiple of 256"),
        (with(&|b| b.dtype = 23), "matmul: b.dtype is 23"),
        (with(&|b| b.rank = 1), "matmul: b.rank is 1"),
        (weft_matmul_desc { a: b, ..good }, "matmul: a.dtype is WEFT_Q8_0"),
        (weft_matmul_desc { d: b, ..good }, "matmul: d.dtype is WEFT_Q8_0"),
        (weft_matmul_desc { bias: b, ..good }, "matmul: bias.dtype is WEFT_Q8_0"),
        (weft_matmul_desc { a: wide.desc, ..good }, "matmul: a.dtype is WEFT_F64"),
    ];
    for (number, (desc, words)) in cases.iter().enumerate() {
        let (status, message) = session.refuse(weft_matmul, desc);
        assert_eq!(status, WEFT_ERROR_INVALID_ARGUMENT, "case {number}: {message}");
        assert!(message.contains(words), "case {number}: {message:?} lacks {words:?}");
    }
    let cast = weft_cast_desc {
        struct_size: size_of::<weft_cast_desc>() as u32,
        x: b,
        y: d.desc,
        ..Default::default()
    };
    assert!(session.refuse(weft_cast, &cast).1.contains("cast: x.dtype is WEFT_Q8_0"));
    let size = size_of::<weft_rows_desc>() as u32;
    let rows = weft_rows_desc { struct_size: size, table: b, indices: d.desc, rows: b, ..Default::default() };
    let (status, message) = session.refuse(weft_gather_rows, &rows);
    assert!(status != WEFT_OK && message.contains("is WEFT_Q8_0"), "{message}");
}

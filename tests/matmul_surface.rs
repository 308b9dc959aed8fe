//! weft_matmul's edges: what is refused, and that nothing is written then; lists of multiplications; every pair of 8-bit
//! floats; sums of integers that wrap; results that do not depend on the number of threads.

#[path = "matmul_surface/bad.rs"]
mod bad;
mod support;
#[path = "matmul_surface/world.rs"]
mod world;

use std::ptr;
use support::eight::value;
use support::*;
use weft::api::operations::{weft_matmul, weft_matmul_grouped};
use weft::dtype::*;
use weft::layout::weft_tensor;
use weft::ops::matmul::*;
use weft::status::*;
use world::*;

/// A limit that leaves no way is told; one that leaves one is kept to, with the same result.
#[test]
fn a_limit_of_scratch_memory_is_kept_or_told() {
    let session = Session::new(2);
    let mut rng = Rng(5);
    let make = |rng: &mut Rng, dims: &[i64]| {
        session.tensor(rng, Dtype::Bf16, dims, Style::Packed, |rng| rng.range(-3, 3) as f64)
    };
    let (a, b, aux) = (make(&mut rng, &[70, 90]), make(&mut rng, &[90, 40]), make(&mut rng, &[70, 40]));
    let [d, limited] = [0; 2].map(|_| output(&session, Dtype::Bf16, &[70, 40]));
    let grad = output(&session, Dtype::F32, &[40]);
    let plain = weft_matmul_desc { a: a.desc, b: b.desc, d: d.desc, ..desc() };
    session.run(weft_matmul, &plain);
    session.run(weft_matmul, &weft_matmul_desc { d: limited.desc, workspace: 1, ..plain });
    assert_eq!(session.read(&d), session.read(&limited));
    let fresh = output(&session, Dtype::Bf16, &[70, 40]);
    let sums = weft_matmul_desc {
        d: fresh.desc,
        aux: aux.desc,
        epilogue: 9,
        bias_grad: grad.desc,
        workspace: 1,
        ..plain
    };
    let (status, message) = session.refuse(weft_matmul, &sums);
    if status != WEFT_OK {
        assert_eq!(status, WEFT_ERROR_UNSUPPORTED, "{message}");
        assert!(message.contains("matmul: workspace is 1"), "{message}");
        assert!(session.untouched(&fresh) && session.untouched(&grad));
    }
    session.free(&[&a, &b, &aux, &d, &limited, &grad, &fresh]);
}

/// Of a batch of no matrices nothing is added up.
#[test]
fn gradients_of_no_matrix_are_zero() {
    let session = Session::new(1);
    let (a, b) = (zero(&session, Dtype::F32, &[2, 3]), zero(&session, Dtype::F32, &[3, 4]));
    let (d, mask) = (output(&session, Dtype::F32, &[0, 2, 4]), zero(&session, Dtype::U8, &[0, 2, 1]));
    let good = weft_matmul_desc { a: a.desc, b: b.desc, d: d.desc, ..desc() };
    let of_d = weft_matmul_desc { epilogue: WEFT_EPILOGUE_DRELU, aux: mask.desc, ..good };
    let of_a = weft_matmul_desc { flags: WEFT_MATMUL_BIAS_GRAD_A, ..good };
    let of_b = weft_matmul_desc { flags: WEFT_MATMUL_BIAS_GRAD_B, ..good };
    for (desc, count) in [(of_d, 4), (of_a, 2), (of_b, 4)] {
        let grad = output(&session, Dtype::F32, &[count]);
        session.run(weft_matmul, &weft_matmul_desc { bias_grad: grad.desc, ..desc });
        assert_eq!(session.read(&grad), vec![0.0; count as usize]);
        session.free(&[&grad]);
    }
    session.free(&[&a, &b, &d, &mask]);
}

#[test]
fn a_list_does_what_its_multiplications_do() {
    let session = Session::new(2);
    let mut rng = Rng(6);
    let mut descs = Vec::new();
    let mut tensors = Vec::new();
    for [m, k, n] in [[1, 30, 70], [64, 64, 64], [0, 5, 3], [7, 0, 9], [130, 20, 3]] {
        for dtype in [Dtype::F32, Dtype::F64, Dtype::Bf16] {
            let a = session.normal(&mut rng, dtype, &[m, k], Style::Packed);
            let b = session.normal(&mut rng, dtype, &[k, n], Style::Packed);
            let [d, alone] = [0; 2].map(|_| output(&session, dtype, &[m, n]));
            let one = weft_matmul_desc { a: a.desc, b: b.desc, d: d.desc, epilogue: 1, ..desc() };
            session.run(weft_matmul, &weft_matmul_desc { d: alone.desc, ..one });
            descs.push(one);
            tensors.push([a, b, d, alone]);
        }
    }
    assert_eq!(grouped(&session, &descs), (WEFT_OK, last_error()));
    for [.., d, alone] in &tensors {
        assert_eq!(session.read(d), session.read(alone));
    }
    assert_eq!(grouped(&session, &[]).0, WEFT_OK);
    interleaved(&session);
    tensors.iter().flatten().for_each(|t| session.free(&[t]));
}

/// Columns of one matrix are results that share no memory, however many there are; one twice does.
fn interleaved(session: &Session) {
    const COUNT: usize = 3000;
    let ones = |dims: &[i64]| {
        let values = vec![1.0; dims.iter().product::<i64>() as usize];
        session.exact(&mut Rng(4), Dtype::F32, dims, Style::Packed, &values)
    };
    let (a, b, d) = (ones(&[2, 1]), ones(&[1, 1]), ones(&[2, COUNT as i64]));
    let column = |number: usize| {
        let there = weft_tensor { offset: d.desc.offset + 4 * number as u64, ..d.desc };
        let there = with_dims(there, &[2, 1], &[COUNT as i64, 1]);
        weft_matmul_desc { a: a.desc, b: b.desc, d: there, alpha: 3.0, ..desc() }
    };
    let mut descs: Vec<_> = (0..COUNT).rev().map(column).collect();
    assert_eq!(grouped(session, &descs), (WEFT_OK, last_error()));
    assert!(session.read(&d).iter().all(|&value| value == 3.0));
    descs[7] = column(2 * COUNT / 3);
    assert_eq!(grouped(session, &descs).0, BAD);
    session.free(&[&a, &b, &d]);
}

#[test]
fn a_list_with_one_wrong_runs_none() {
    let w = World::new();
    let good = w.f32();
    let apart = w.c32();
    let told = |descs: &[weft_matmul_desc], words: &str| {
        let (status, message) = grouped(&w.session, descs);
        assert_eq!(status, BAD, "{message}");
        assert!(message.contains(words), "{message:?} lacks {words:?}");
    };
    told(&[apart, weft_matmul_desc { epilogue: 11, ..good }], "descs[1]: matmul: epilogue");
    told(&[apart, good, apart], "matmul_grouped: d of descs[0] and d of descs[2] overlap");
    told(&[apart, weft_matmul_desc { b: with_dims(w.complex[2].desc, &[K, N], &[]), ..good }], "overlap");
    told(
        &[apart, weft_matmul_desc { struct_size: 8, ..good }],
        "descs[1]: weft_matmul_desc.struct_size is 8",
    );
    told(&[weft_matmul_desc { struct_size: 8, ..good }], "struct_size is 8");
    // SAFETY: what is NULL is refused.
    let none = w
        .session
        .outcome(|out| unsafe { weft_matmul_grouped(w.session.queue, ptr::null(), 2, ptr::null(), out) });
    assert_eq!(none, BAD, "{}", last_error());
    // SAFETY: refused for its count before it is read.
    let many = w
        .session
        .outcome(|out| unsafe { weft_matmul_grouped(w.session.queue, &good, u64::MAX, ptr::null(), out) });
    assert_eq!(many, BAD, "{}", last_error());
    w.check_untouched();
}

/// Every code times every code: exact in f32; and saturated, never infinite, in 8 bits.
#[test]
fn every_pair_of_small_floats_is_exact() {
    let session = Session::new(2);
    let mut code = -1.0;
    let codes = session.tensor(&mut Rng(1), Dtype::U8, &[256], Style::Packed, |_| {
        code += 1.0;
        code
    });
    let [d, small] = [Dtype::F32, Dtype::U8].map(|dtype| output(&session, dtype, &[256, 256]));
    for (a, b, to) in [(false, false, true), (false, true, false), (true, false, true), (true, true, false)] {
        let of = |wide| if wide { Dtype::F8E5m2 } else { Dtype::F8E4m3 };
        let view = |wide, dims: &[i64]| with_dims(seen_as(&codes, of(wide)), dims, &[]);
        let exact = weft_matmul_desc { a: view(a, &[256, 1]), b: view(b, &[1, 256]), d: d.desc, ..desc() };
        session.run(weft_matmul, &exact);
        session.run(weft_matmul, &weft_matmul_desc { d: seen_as(&small, of(to)), ..exact });
        let (got, rounded) = (session.read(&d), session.read(&small));
        for (i, (&x, &code)) in got.iter().zip(&rounded).enumerate() {
            let want = value(of(a), (i / 256) as u8) * value(of(b), (i % 256) as u8);
            assert!(x == want || x.is_nan() && want.is_nan(), "{a} {b} {i}: {x}, expected {want}");
            let value = value(of(to), code as u8);
            let (unit, tiny, most) =
                if to { (8.0, 2f64.powi(-17), 57344.0) } else { (16.0, 2f64.powi(-10), 448.0) };
            let clamped = want.clamp(-most, most);
            let near = (value - clamped).abs() <= clamped.abs() / unit + tiny;
            assert!(near || value.is_nan() && want.is_nan(), "{a} {b} {i}: {value}, expected {clamped}");
        }
    }
    session.free(&[&codes, &d, &small]);
}

/// relu keeps NaN, and gives it no bit of a mask.
#[test]
fn relu_keeps_nan() {
    const SIDES: [i64; 3] = [128, 256, 512];
    let [m, n, k] = SIDES;
    let session = Session::new(2);
    for dtype in [Dtype::F32, Dtype::F64, Dtype::F16, Dtype::Bf16] {
        let mut number = 0;
        let mut one_nan = |_: &mut Rng| {
            number += 1;
            if number == 3 * k + 7 { f64::NAN } else { 1.0 }
        };
        let a = session.tensor(&mut Rng(1), dtype, &[m, k], Style::Packed, &mut one_nan);
        let b = session.tensor(&mut Rng(1), dtype, &[k, n], Style::Packed, |_| 0.25);
        let (d, mask) = (output(&session, dtype, &[m, n]), output(&session, Dtype::U8, &[m, n / 8]));
        let plain = weft_matmul_desc { a: a.desc, b: b.desc, d: d.desc, alpha: 0.5, ..desc() };
        for (epilogue, aux) in
            [(WEFT_EPILOGUE_RELU, weft_tensor::default()), (WEFT_EPILOGUE_RELU_AUX, mask.desc)]
        {
            session.run(weft_matmul, &weft_matmul_desc { epilogue, aux, ..plain });
            for (i, &x) in session.read(&d).iter().enumerate() {
                assert_eq!(x.is_nan(), i as i64 / n == 3, "{dtype:?} {epilogue}: {x} at {i}");
            }
        }
        for (i, &bits) in session.read(&mask).iter().enumerate() {
            assert_eq!(bits, if i as i64 / (n / 8) == 3 { 0.0 } else { 255.0 }, "{dtype:?}: byte {i}");
        }
        session.free(&[&a, &b, &d, &mask]);
    }
}

/// Products of complex vectors, some of which a vendor's library does not live through.
#[test]
fn complex_vectors() {
    let session = Session::new(2);
    for (dtype, code) in [(Dtype::F32, WEFT_C32), (Dtype::F64, WEFT_C64)] {
        for [m, n, k] in [[63, 32, 1], [7, 1, 1], [1, 3, 1], [1, 1, 1], [1, 1, 24], [127, 1, 65], [1, 16, 32]]
        {
            let make = |dims: &[i64]| {
                session.tensor(&mut Rng(5), dtype, dims, Style::Packed, |rng| rng.range(-3, 4) as f64)
            };
            let [a, b, d] = [[m, 2 * k], [k, 2 * n], [m, 2 * n]].map(|dims| make(&dims));
            let [x, y, before] = [&a, &b, &d].map(|t| session.read(t));
            let view = |t: &Tensor, dims: &[i64]| with_dims(weft_tensor { dtype: code, ..t.desc }, dims, &[]);
            let [a_view, b_view, d_view] = [view(&a, &[m, k]), view(&b, &[k, n]), view(&d, &[m, n])];
            let desc = weft_matmul_desc { a: a_view, b: b_view, c: d_view, d: d_view, beta: 1.0, ..desc() };
            session.run(weft_matmul, &desc);
            let [n, k] = [n, k].map(|size| size as usize);
            for (i, (z, before)) in session.read(&d).chunks(2).zip(before.chunks(2)).enumerate() {
                let want = (0..k).fold([before[0], before[1]], |[re, im], l| {
                    let (p, q) = (&x[(i / n * k + l) * 2..], &y[(l * n + i % n) * 2..]);
                    [re + p[0] * q[0] - p[1] * q[1], im + p[0] * q[1] + p[1] * q[0]]
                });
                assert_eq!(z, want, "{dtype:?} {m} {n} {k} at {i}");
            }
            session.free(&[&a, &b, &d]);
        }
    }
}

/// Sums beyond 32 bits wrap, and those that become floats do not.
#[test]
fn sums_of_integers_wrap_only_in_integers() {
    let session = Session::new(2);
    for [m, k, n] in [[3, 140_000, 5], [40, 131_073, 33]] {
        let least = |dims: &[i64]| session.tensor(&mut Rng(1), Dtype::I8, dims, Style::Packed, |_| -128.0);
        let (a, b) = (least(&[m, k]), least(&[k, n]));
        let [wraps, holds] = [Dtype::I32, Dtype::F32].map(|dtype| output(&session, dtype, &[m, n]));
        for d in [&wraps, &holds] {
            session.run(weft_matmul, &weft_matmul_desc { a: a.desc, b: b.desc, d: d.desc, ..desc() });
        }
        let exact = 128 * 128 * k;
        assert!(session.read(&wraps).iter().all(|&x| x == f64::from(exact as i32)));
        assert!(session.read(&holds).iter().all(|&x| (x - exact as f64).abs() <= 1e-6 * exact as f64));
        session.free(&[&a, &b, &wraps, &holds]);
    }
}

/// The same bits for any number of threads.
#[test]
fn threads_do_not_matter() {
    let sessions = [Session::new(1), Session::new(2), Session::new(5)];
    for (from, to) in [
        (Dtype::F8E4m3, Dtype::F32),
        (Dtype::F8E5m2, Dtype::Bf16),
        (Dtype::I8, Dtype::F16),
        (Dtype::C32, Dtype::C32),
    ] {
        for [m, k, n] in [[1, 700, 500], [150, 700, 170], [70, 2100, 70]] {
            let run = |session: &Session| bytes_of(session, from, to, [m, k, n]);
            let all: Vec<_> = sessions.iter().map(run).collect();
            assert!(all[0] == all[1] && all[1] == all[2], "{from:?} {m} {k} {n}");
        }
    }
}

/// What a multiplication of random bytes, scaled in blocks, with a gradient, leaves.
fn bytes_of(session: &Session, from: Dtype, to: Dtype, [m, k, n]: [i64; 3]) -> Vec<Vec<u8>> {
    let mut rng = Rng(9);
    let complex = i64::from(from == Dtype::C32);
    let carrier = if complex == 1 { Dtype::F32 } else { Dtype::U8 };
    let bytes = |rng: &mut Rng, dims: [i64; 2]| {
        let wide = [dims[0], dims[1] * (1 + complex)];
        let t = session.tensor(rng, carrier, &wide, Style::Packed, |rng| rng.range(0, 0x7b) as f64);
        let view = with_dims(seen_as(&t, from), &dims, &[]);
        (t, view)
    };
    let ((a, a_view), (b, b_view)) = (bytes(&mut rng, [m, k]), bytes(&mut rng, [k, n]));
    let scale =
        session.tensor(&mut rng, Dtype::F32, &[m, (k + 127) / 128], Style::Packed, |rng| rng.uniform());
    let aux = session.normal(&mut rng, if complex == 1 { Dtype::F32 } else { to }, &[m, n], Style::Packed);
    let (d, grad) = (session.buffer((m * n) as usize * to.size()), session.buffer(n as usize * 4));
    let tensor = |buffer, dtype: Dtype, dims: &[i64]| {
        with_dims(weft_tensor { buffer, dtype: dtype.code(), ..Default::default() }, dims, &[])
    };
    let mut desc = weft_matmul_desc { a: a_view, b: b_view, d: tensor(d, to, &[m, n]), ..desc() };
    if complex == 0 {
        (desc.a_scale, desc.aux, desc.epilogue) = (scale.desc, aux.desc, WEFT_EPILOGUE_DGELU);
    }
    if matches!(from, Dtype::F8E4m3 | Dtype::F8E5m2) {
        desc.bias_grad = tensor(grad, Dtype::F32, &[n]);
    }
    session.write_bytes(grad, &vec![0; n as usize * 4]);
    session.run(weft_matmul, &desc);
    let got =
        vec![session.read_bytes(d, (m * n) as usize * to.size()), session.read_bytes(grad, n as usize * 4)];
    session.free(&[&a, &b, &scale, &aux]);
    [d, grad].into_iter().for_each(|buffer| ok(weft::api::buffer::weft_buffer_release(buffer)));
    got
}

//! What few multiplications ask for, against a naive f64 oracle: 8-bit floats and their scales, 8-bit integers, complex numbers,
//! epilogues with a second matrix, gradients of a bias, the largest magnitude; by every choice that takes it.

#[path = "matmul_extras/array.rs"]
mod array;
#[path = "matmul_extras/draw.rs"]
mod draw;
#[path = "matmul_extras/oracle.rs"]
mod oracle;
mod support;

use array::{Array, Lie};
use draw::Case;
use oracle::{TOGETHER, Want, oracle, rounding};
use support::eight::small_format;
use support::*;
use weft::api::operations::weft_matmul;
use weft::dtype::Dtype::*;
use weft::ops::matmul::*;
use weft::status::*;

/// The choices that a case is run by: of the CPU the one that it makes, and another.
fn choices(number: usize) -> Vec<&'static str> {
    const OTHERS: [&str; 6] = ["packed", "bytes", "gemv", "gemm", "direct", "naive"];
    by_device(vec!["", OTHERS[number % 7 % 6]], vec!["cublaslt", "wgmma", "simt"])
}

impl Case {
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
    on_each_isa(&["every_choice_agrees_with_the_oracle"], ("WEFT_MATMUL_TEST_CHILD", "1"));
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

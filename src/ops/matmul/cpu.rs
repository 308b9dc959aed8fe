//! The choices on the CPU, best first, and how batches and tiles spread over threads.

use super::problem::Problem;
use super::{Matmul, bytes, complex, direct, gemm, gemv, gradient, integer, naive, packed, quantised};
use crate::device::{Cpu, cpu::Scratch};
use crate::dtype::Dtype;
use crate::op::{Choice, first};
use crate::status::{Error, Result};
use parking_lot::Mutex;

/// For factors that are real floats.
const CHOICES: &[Choice<Problem, Cpu>] = &[
    Choice { name: "bytes", accepts: bytes::accepts, run: |p, cpu| each(p, cpu, bytes::run) },
    Choice { name: "gemv", accepts: gemv::accepts, run: |p, cpu| each(p, cpu, gemv::run) },
    Choice { name: "direct", accepts: direct::accepts, run: |p, cpu| each(p, cpu, direct::run) },
    Choice { name: "packed", accepts: packed::accepts, run: |p, cpu| each(p, cpu, packed::run) },
    Choice { name: "gemm", accepts: gemm::accepts, run: |p, cpu| each(p, cpu, gemm::run) },
    Choice { name: "naive", accepts: |_, _| true, run: |p, cpu| each(p, cpu, naive::run) },
];
const INTEGERS: &[Choice<Problem, Cpu>] = &[
    Choice { name: "bytes", accepts: bytes::accepts, run: |p, cpu| each(p, cpu, bytes::run) },
    Choice { name: "packed", accepts: packed::accepts, run: |p, cpu| each(p, cpu, packed::run) },
    Choice { name: "naive", accepts: |_, _| true, run: |p, cpu| each(p, cpu, integer::naive) },
];
const COMPLEX: &[Choice<Problem, Cpu>] = &[
    Choice { name: "gemm", accepts: complex::accepts, run: |p, cpu| each(p, cpu, complex::run) },
    Choice { name: "naive", accepts: |_, _| true, run: |p, cpu| each(p, cpu, complex::naive) },
];

/// Those for weights in blocks.
const QUANTISED: &[Choice<Problem, Cpu>] = &[
    Choice { name: "gemv", accepts: quantised::accepts, run: |p, cpu| each(p, cpu, quantised::run) },
    Choice { name: "packed", accepts: packed::accepts, run: |p, cpu| each(p, cpu, packed::run) },
    Choice { name: "naive", accepts: |_, _| true, run: |p, cpu| each(p, cpu, naive::run) },
];

/// Below this many multiplications a matrix is not worth several threads.
const SMALL: f64 = 4e6;

/// Runs a checked multiplication.
pub fn run(op: &Matmul, cpu: &Cpu) -> Result<()> {
    let values = gradient::values(op)?;
    if let Some(amax) = op.extra.as_ref().and_then(|extra| extra.amax.as_ref()) {
        // SAFETY: an f32 of its own.
        unsafe { amax.ptr::<f32>().write(0.0) };
    }
    if !op.d.layout().is_empty() {
        multiply(op, values.as_ref(), cpu)?;
    }
    gradient::run(op, values.as_ref(), cpu);
    Ok(())
}

fn multiply(op: &Matmul, values: Option<&Scratch<f32>>, cpu: &Cpu) -> Result<()> {
    let values = values.map_or(std::ptr::null_mut(), |values| values.ptr().cast());
    let choices = match op.a.dtype() {
        Dtype::I8 => INTEGERS,
        Dtype::C32 | Dtype::C64 => COMPLEX,
        _ if op.b.dtype().is_quantised() => QUANTISED,
        _ => CHOICES,
    };
    first("matmul", choices, &Problem::new(op, values), cpu)
}

/// One matrix after another on all threads, or, if they are small or many, each on one thread.
fn each(p: &Problem, cpu: &Cpu, run: fn(&Problem, &Cpu) -> Result<()>) -> Result<()> {
    let batches = p.batches();
    if batches == 1 {
        return if p.is_single() { run(p, cpu) } else { run(&p.matrix(0), cpu) };
    }
    if p.work() > SMALL && batches < 4 * cpu.threads() {
        return (0..batches).try_for_each(|number| run(&p.matrix(number), cpu));
    }
    let tiles = batches.min(cpu.threads() * 16);
    let cut = |tile: usize| (tile as u128 * batches as u128 / tiles as u128) as usize;
    let ns = (p.work() / 20.0 + 100.0) * batches as f64;
    try_parallel(cpu, tiles, ns as u64, |tile| {
        let serial = Cpu::new(1);
        (cut(tile)..cut(tile + 1)).try_for_each(|number| run(&p.matrix(number), &serial))
    })
}

/// [`Cpu::parallel`] for tiles that can fail: the first error.
pub fn try_parallel(
    cpu: &Cpu,
    tiles: usize,
    ns: u64,
    work: impl Fn(usize) -> Result<()> + Sync,
) -> Result<()> {
    let failed: Mutex<Option<Error>> = Mutex::new(None);
    cpu.parallel(tiles, ns, |tile| {
        if let Err(error) = work(tile) {
            *failed.lock() = Some(error);
        }
    });
    failed.into_inner().map_or(Ok(()), Err)
}

//! The vendor's library, for what it takes: rows or columns that are contiguous. Where it has all that D asks for it writes D
//! itself; else it can write sums, which kernels of our own finish.

use super::columns::bytes_of_sums;
use super::full::{self, FullArgs};
use super::product::Call;
use super::real::sum_of;
use super::{Task, finish, simt};
use crate::device::cuda::Stream;
use crate::device::cuda::cublaslt::{Addresses, blas};
use crate::status::{Result, WEFT_ERROR_UNSUPPORTED};

/// Whether the library is there and has an algorithm that writes D.
pub fn accepts(task: &Task, stream: &Stream) -> bool {
    has(Call::whole(task), stream)
}

/// Whether it has one that writes sums.
pub fn accepts_sums(task: &Task, stream: &Stream) -> bool {
    has(Call::sums(task), stream)
}

fn has(call: Option<Call>, stream: &Stream) -> bool {
    call.is_some_and(|call| blas(stream).is_ok_and(|blas| blas.has(stream, &call.product)))
}

/// Multiplies.
pub fn run(task: &Task, stream: &Stream) -> Result<()> {
    let Some(call) = Call::whole(task) else { return simt::run(task, stream) };
    or_else_simt(task, stream, run_whole(&call, task, stream))
}

/// Multiplies to sums, and finishes them.
pub fn run_sums(task: &Task, stream: &Stream) -> Result<()> {
    let Some(call) = Call::sums(task) else { return simt::run(task, stream) };
    or_else_simt(task, stream, run_to_sums(&call, task, stream))
}

/// What the library refuses after all is done without it.
fn or_else_simt(task: &Task, stream: &Stream, done: Result<()>) -> Result<()> {
    match done {
        Err(error) if error.status == WEFT_ERROR_UNSUPPORTED => simt::run(task, stream),
        done => done,
    }
}

fn run_whole(call: &Call, task: &Task, stream: &Stream) -> Result<()> {
    let scales = call.scales(stream)?;
    call_all(call, stream, |number| call.addresses(number, scales))?;
    task.end(stream, 0, 0)
}

fn run_to_sums(call: &Call, task: &Task, stream: &Stream) -> Result<()> {
    let p = &task.problem;
    let scales = call.scales(stream)?;
    let sums = task.scratch(stream, bytes_of_sums(p))?;
    let each = call.bytes_of_sums();
    call_all(call, stream, |number| {
        let d = sums + number as u64 * each;
        Addresses { c: d, d, ..call.addresses(number, scales) }
    })?;
    if task.is_plain() {
        return finish::run(p, stream, sums, 1);
    }
    task.begin(stream)?;
    let columns = if task.sums_columns() { sums } else { 0 };
    let mut args = FullArgs { columns, ..task.arguments() };
    args.base.sums = sums;
    full::finish(p, stream, &args, sum_of(p.a.dtype, true))?;
    task.end(stream, columns, p.m as u64)
}

/// Queues all calls of the library.
fn call_all(call: &Call, stream: &Stream, at: impl Fn(usize) -> Addresses) -> Result<()> {
    let blas = blas(stream)?;
    for number in 0..call.count() {
        // SAFETY: the operands live as long as the request's work, and so do scratch memory and sums; each matrix lies inside
        // them.
        unsafe { blas.run(stream, &call.product, &at(number), &call.factors)? };
    }
    Ok(())
}

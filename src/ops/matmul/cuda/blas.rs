//! The vendor's library, for what it takes: rows or columns that are contiguous. Where it has all that D asks for it writes D
//! itself; else it can write sums, which kernels of our own finish.

use super::columns::bytes_of_sums;
use super::full::{self, FullArgs};
use super::product::Call;
use super::real::sum_of;
use super::{Task, finish, simt};
use crate::device::cuda::Stream;
use crate::device::cuda::cublaslt::{Addresses, Blas, Found, blas};
use crate::status::{Result, WEFT_ERROR_UNSUPPORTED};
use std::sync::Arc;

/// Calls of the library, and its plan for them.
pub struct Ready {
    call: Call,
    blas: Arc<Blas>,
    plan: Found,
}

impl Ready {
    fn new(call: Option<Call>, stream: &Stream) -> Option<Self> {
        let (call, blas) = (call?, blas(stream)?.clone());
        let plan = blas.find(stream, &call.product)?;
        Some(Self { call, blas, plan })
    }

    /// Queues all calls.
    fn run(&self, stream: &Stream, at: impl Fn(usize) -> Addresses) -> Result<()> {
        (0..self.call.count()).try_for_each(|number| {
            // SAFETY: the operands live as long as the request's work, and so do scratch memory and sums; each matrix lies
            // inside them.
            unsafe { self.blas.run(stream, &self.plan, &at(number), &self.call.factors) }
        })
    }
}

/// That which writes D, looked for once.
fn whole<'t>(task: &'t Task, stream: &Stream) -> Option<&'t Ready> {
    let whole = |with_gradient| Ready::new(Call::whole(task, with_gradient), stream);
    let init = || if task.has_gradient() { whole(true).or_else(|| whole(false)) } else { whole(false) };
    task.whole.get_or_init(init).as_ref()
}

/// That which writes sums.
fn sums<'t>(task: &'t Task, stream: &Stream) -> Option<&'t Ready> {
    task.sums.get_or_init(|| Ready::new(Call::sums(task), stream)).as_ref()
}

/// Whether the library is there and has an algorithm that writes D.
pub fn accepts(task: &Task, stream: &Stream) -> bool {
    whole(task, stream).is_some()
}

/// Whether it has one that writes sums.
pub fn accepts_sums(task: &Task, stream: &Stream) -> bool {
    sums(task, stream).is_some()
}

/// Multiplies.
pub fn run(task: &Task, stream: &Stream) -> Result<()> {
    let Some(ready) = whole(task, stream) else { return simt::run(task, stream) };
    or_else_simt(task, stream, run_whole(ready, task, stream))
}

/// Multiplies to sums, and finishes them.
pub fn run_sums(task: &Task, stream: &Stream) -> Result<()> {
    let Some(ready) = sums(task, stream) else { return simt::run(task, stream) };
    or_else_simt(task, stream, run_to_sums(ready, task, stream))
}

/// What the library refuses after all is done without it.
fn or_else_simt(task: &Task, stream: &Stream, done: Result<()>) -> Result<()> {
    match done {
        Err(error) if error.status == WEFT_ERROR_UNSUPPORTED => simt::run(task, stream),
        done => done,
    }
}

fn run_whole(ready: &Ready, task: &Task, stream: &Stream) -> Result<()> {
    let call = &ready.call;
    let scales = call.scales(stream)?;
    ready.run(stream, |number| call.addresses(number, scales))?;
    if call.with_gradient { Ok(()) } else { task.end(stream, 0, 0) }
}

fn run_to_sums(ready: &Ready, task: &Task, stream: &Stream) -> Result<()> {
    let (p, call) = (&task.problem, &ready.call);
    let scales = call.scales(stream)?;
    let sums = task.scratch(stream, bytes_of_sums(p))?;
    let each = call.bytes_of_sums();
    ready.run(stream, |number| {
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

//! The plain way: a row at a time in double precision, keys in order, the running maximum and sum of online softmax
//! (Milakov, Gimelshein: Online normalizer calculation for softmax, 2018). Takes everything.

use super::keys::{BiasRow, Rows, query_row, row_at};
use super::plan::{Plan, Sequence};
use super::{Attention, Operand};
use crate::device::Cpu;
use crate::device::cpu::Scratch;
use crate::dtype::Float;
use crate::status::{Error, Result};
use crate::with_float;
use parking_lot::Mutex;

/// Rough nanoseconds a multiplication.
const ITEM_NS: f64 = 1.0;

/// Runs `op`.
pub(super) fn run(op: &Attention, cpu: &Cpu) -> Result<()> {
    let plan = Plan::new(op)?;
    with_float!(op.q.dtype(), T => rows::<T>(op, &plan, cpu), _ => unreachable!("checked"))
}

/// Every row of every sequence and head.
fn rows<T: Float>(op: &Attention, plan: &Plan, cpu: &Cpu) -> Result<()> {
    clear_outside::<T>(op, plan);
    let failed = Mutex::new(None);
    for (b, sequence) in plan.sequences.iter().enumerate() {
        let row_ns = (sequence.keys * (op.shape.dim + op.shape.dim_v)) as f64 * ITEM_NS + 100.0;
        cpu.parallel_ranges(op.shape.heads * sequence.rows, row_ns, |start, end| {
            if let Err(error) = range::<T>(op, plan, b, start, end) {
                *failed.lock() = Some(error);
            }
        });
    }
    failed.into_inner().map_or(Ok(()), Err::<(), Error>)
}

/// Rows `start..end` of sequence `b`, counted over heads.
fn range<T: Float>(op: &Attention, plan: &Plan, b: usize, start: usize, end: usize) -> Result<()> {
    let sum = Scratch::<f64>::new(op.shape.dim_v)?;
    for number in start..end {
        let (head, i) = (number / plan.sequences[b].rows, number % plan.sequences[b].rows);
        row::<T>(&Row { op, plan, b, sequence: &plan.sequences[b], head, i }, sum.ptr());
    }
    Ok(())
}

/// One row of the result.
struct Row<'a> {
    op: &'a Attention,
    plan: &'a Plan,
    b: usize,
    sequence: &'a Sequence,
    head: usize,
    i: usize,
}

fn row<T: Float>(row: &Row, sum: *mut f64) {
    let (op, dim_v) = (row.op, row.op.shape.dim_v);
    // SAFETY: the scratch holds `dim_v` elements and belongs to this thread; nobody else has a reference to it.
    let sum = unsafe {
        sum.write_bytes(0, dim_v);
        std::slice::from_raw_parts_mut(sum, dim_v)
    };
    let (greatest, total) =
        if row.i < row.sequence.queries { attend::<T>(row, sum) } else { (f64::NEG_INFINITY, 0.0) };
    let weight = if total == 0.0 { 0.0 } else { op.dropout.gain / total };
    let o = query_row::<T>(&op.o, row.sequence, row.head, row.i);
    for (d, &x) in sum.iter().enumerate() {
        // SAFETY: (batch, head, row, d) is an index of o, whose elements are inside its buffer; `d` is below Dv.
        unsafe { o.wrapping_offset(d as isize * op.o.layout().stride(3)).write(T::from_f64(x * weight)) };
    }
    if let Some(lse) = &op.lse {
        let at = query_row::<f32>(lse, row.sequence, row.head, row.i);
        // SAFETY: lse has the first axes of o.
        unsafe { at.write((greatest + total.ln()) as f32) };
    }
}

/// Sums weighted values; returns the greatest logit and the sum of exp(logit - greatest).
fn attend<T: Float>(row: &Row, sum: &mut [f64]) -> (f64, f64) {
    let op = row.op;
    let group = row.head / op.shape.group();
    let keys = Rows::<T>::new(op, &op.k, row.plan, row.b, group);
    let values = Rows::<T>::new(op, &op.v, row.plan, row.b, group);
    let seen = op.mask.visible(row.i, row.sequence);
    let sink = op.sinks.as_ref().map(|sinks| element(sinks, 0, row.head));
    let (mut greatest, mut total) =
        sink.map_or((f64::NEG_INFINITY, 0.0), |sink| (sink, f64::from(u8::from(sink > f64::NEG_INFINITY))));
    for j in (0..seen.kept).chain(seen.from..seen.to) {
        let logit = logit::<T>(row, keys.row(j), keys.stride, j);
        if logit == f64::NEG_INFINITY {
            continue;
        }
        if logit > greatest {
            let shrink = (greatest - logit).exp();
            total *= shrink;
            sum.iter_mut().for_each(|x| *x *= shrink);
            greatest = logit;
        }
        let weight = if greatest == f64::NEG_INFINITY { logit } else { (logit - greatest).exp() };
        total += weight;
        if !op.dropout.is_on() || op.dropout.keeps(row.b * op.shape.heads + row.head, row.i, j / 4)[j % 4] {
            add::<T>(sum, weight, values.row(j), values.stride);
        }
    }
    (greatest, total)
}

/// The final logit of key `j`.
fn logit<T: Float>(row: &Row, key: *const T, stride: isize, j: usize) -> f64 {
    let op = row.op;
    // SAFETY: `j` is a key in use, for which the plan checked that the bias has an element.
    let bias =
        op.bias.as_ref().map(|bias| f64::from(unsafe { BiasRow::new(bias, row.b, row.head, row.i).at(j) }));
    if bias == Some(f64::NEG_INFINITY) {
        return f64::NEG_INFINITY;
    }
    let mut logit = op.scale * dot(op, row, key, stride);
    if op.softcap > 0.0 {
        logit = op.softcap * (logit / op.softcap).tanh();
    }
    let far = (op.mask.position(row.i, row.sequence) - j as i64).abs() as f64;
    let slope = op.slopes.as_ref().map_or(0.0, |slopes| element(slopes, row.b, row.head) * far);
    logit + bias.unwrap_or(0.0) - slope
}

fn dot<T: Float>(op: &Attention, row: &Row, key: *const T, stride: isize) -> f64 {
    let q = query_row::<T>(&op.q, row.sequence, row.head, row.i).cast_const();
    let q_stride = op.q.layout().stride(3);
    // SAFETY: both rows have D elements inside their buffers.
    let at = |from: *const T, stride: isize, d: usize| unsafe {
        from.wrapping_offset(d as isize * stride).read().to_f64()
    };
    (0..op.shape.dim).map(|d| at(q, q_stride, d) * at(key, stride, d)).sum()
}

fn add<T: Float>(sum: &mut [f64], weight: f64, value: *const T, stride: isize) {
    for (d, x) in sum.iter_mut().enumerate() {
        // SAFETY: a row of values has Dv elements inside its buffer.
        *x += weight * unsafe { value.wrapping_offset(d as isize * stride).read().to_f64() };
    }
}

/// The element of a head in an f32 operand of [Hq], or [B, Hq] for batch entry `b`.
pub(super) fn element(operand: &Operand, b: usize, head: usize) -> f64 {
    let layout = operand.layout();
    let last = layout.rank() - 1;
    let batch = if last == 0 { 0 } else { b as isize * layout.stride(0) };
    // SAFETY: checked dims, so (b, head) is an index of the operand, whose elements are inside its buffer.
    f64::from(unsafe {
        operand.ptr::<f32>().wrapping_offset(batch + head as isize * layout.stride(last)).read()
    })
}

/// Rows of a packed q that belong to no sequence: o = 0, lse = -infinity.
pub(super) fn clear_outside<T: Float>(op: &Attention, plan: &Plan) {
    let rows = op.q.layout().dim(2);
    let (before, after) = plan.outside;
    for (head, row) in
        (0..op.shape.heads).flat_map(|head| (0..before).chain(after..rows).map(move |row| (head, row)))
    {
        let o = row_at::<T>(&op.o, 0, head, row);
        for d in 0..op.shape.dim_v as isize {
            // SAFETY: (0, head, row, d) is an index of o.
            unsafe { o.wrapping_offset(d * op.o.layout().stride(3)).write(T::from_f32(0.0)) };
        }
        if let Some(lse) = &op.lse {
            // SAFETY: lse has the first axes of o.
            unsafe { row_at::<f32>(lse, 0, head, row).write(f32::NEG_INFINITY) };
        }
    }
}

//! Gather and scatter on the CPU. Gather shares the indices among threads; scatter shares the elements of a row, so that
//! each thread meets all indices in their order.

use super::add::add;
use super::index::Stray;
use super::{Rows, WEFT_ROWS_ADD};
use crate::device::Cpu;
use crate::kernels::moves::{Run, copy};
use crate::op::Choice;
use crate::status::Result;

/// Best first.
pub(super) const GATHER: &[Choice<Rows, Cpu>] = &[
    Choice { name: "whole", accepts: |op, _| op.is_whole(), run: gather_whole },
    Choice { name: "strided", accepts: |_, _| true, run: gather_strided },
];
/// Best first.
pub(super) const SCATTER: &[Choice<Rows, Cpu>] =
    &[Choice { name: "rows", accepts: |_, _| true, run: scatter }];

/// Rough nanoseconds a byte moved, and a row.
const BYTE_NS: f64 = 0.1;
const ROW_NS: f64 = 5.0;
/// Bytes of a row that are worth a thread of their own.
const SLICE: usize = 512;

impl Rows {
    /// Whether a row lies in one piece in both.
    pub(super) fn is_whole(&self) -> bool {
        let beside = self.elements.run == 1 || self.elements.strides == [1, 1];
        beside && self.elements.runs() == 1
    }

    fn row_ns(&self) -> f64 {
        (self.elements.count() * self.size()) as f64 * BYTE_NS + ROW_NS
    }

    /// Calls `part(table, rows, count)` for each run among the elements `start..end` of the rows that begin at these
    /// addresses.
    fn slices(&self, start: usize, end: usize, rows: [*mut u8; 2], part: impl Fn(Run, Run, usize)) {
        let size = self.size() as isize;
        let strides = self.elements.strides;
        self.elements.parts(start, end, |at, count| {
            let run = |n: usize| Run { at: rows[n].wrapping_offset(at[n] * size), step: strides[n] * size };
            part(run(0), run(1), count);
        });
    }
}

fn gather_whole(op: &Rows, cpu: &Cpu) -> Result<()> {
    let length = op.elements.count() * op.size();
    gather(op, cpu, |table, row| {
        // SAFETY: a row of the table and one of rows, each in one piece, apart from each other.
        unsafe { std::ptr::copy_nonoverlapping(table.cast_const(), row, length) };
    })
}

fn gather_strided(op: &Rows, cpu: &Cpu) -> Result<()> {
    gather(op, cpu, |table, row| {
        op.slices(0, op.elements.count(), [table, row], |table, row, count| {
            // SAFETY: `count` elements of a row of the table and of one of rows, apart from each other.
            unsafe { copy(op.size(), table, row, count) };
        });
    })
}

/// Calls `row` for each index with the addresses of its row in table and in rows.
fn gather(op: &Rows, cpu: &Cpu, row: impl Fn(*mut u8, *mut u8) + Sync) -> Result<()> {
    let stray = Stray::default();
    cpu.parallel_ranges(op.count(), op.row_ns(), |start, end| op.visit(start, end, &stray, &row));
    stray.report(op)
}

fn scatter(op: &Rows, cpu: &Cpu) -> Result<()> {
    let stray = Stray::default();
    let elements = op.elements.count();
    let total = (op.count() as f64 * op.row_ns()) as u64;
    let pieces = (elements * op.size() / SLICE).clamp(1, cpu.threads());
    let cut = |piece: usize| (elements as u128 * piece as u128 / pieces as u128) as usize;
    cpu.parallel(pieces, total, |piece| {
        op.visit(0, op.count(), &stray, |table, row| {
            op.slices(cut(piece), cut(piece + 1), [table, row], |table, row, count| {
                // SAFETY: `count` elements of both rows, apart from each other; no other piece has them.
                unsafe { put(op, row, table, count) };
            });
        });
    });
    stray.report(op)
}

/// # Safety
///
/// Both runs hold `count` elements of the operation's dtype and do not overlap.
unsafe fn put(op: &Rows, row: Run, table: Run, count: usize) {
    // SAFETY: this function's contract; what is to be added was checked.
    unsafe {
        if op.flags & WEFT_ROWS_ADD != 0 {
            add(op.table.dtype(), row, table, count);
        } else {
            copy(op.size(), row, table, count);
        }
    }
}

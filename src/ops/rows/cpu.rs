//! Gather and scatter on the CPU. Gather shares the indices among threads; scatter shares the elements of a row, so that
//! each thread meets all indices in their order.

use super::add::add;
use super::index::Stray;
use super::{Rows, WEFT_ROWS_ADD};
use crate::device::Cpu;
use crate::kernels::moves::{Run, copy};
use crate::op::{Choice, Operand};
use crate::status::Result;

/// Best first.
pub(super) const GATHER: &[Choice<Rows>] = &[
    Choice { name: "whole", accepts: |op, _| op.is_whole(), run: gather_whole },
    Choice { name: "strided", accepts: |_, _| true, run: gather_strided },
];
/// Best first.
pub(super) const SCATTER: &[Choice<Rows>] = &[Choice { name: "rows", accepts: |_, _| true, run: scatter }];

/// Rough nanoseconds a byte moved, and a row.
const BYTE_NS: f64 = 0.1;
const ROW_NS: f64 = 5.0;
/// Bytes of a row that are worth a thread of their own.
const SLICE: usize = 512;

/// Addresses of table and rows that threads may share.
#[derive(Clone, Copy)]
struct Ends {
    table: *mut u8,
    rows: *mut u8,
}

// SAFETY: addresses inside the operands' buffers; every thread writes elements of its own.
unsafe impl Send for Ends {}
// SAFETY: as above.
unsafe impl Sync for Ends {}

impl Rows {
    /// Whether a row lies in one piece in both.
    fn is_whole(&self) -> bool {
        let beside = self.elements.run == 1 || self.elements.strides == [1, 1];
        beside && self.elements.runs() == 1
    }

    fn ends(&self) -> Ends {
        Ends { table: bytes(&self.table), rows: bytes(&self.rows) }
    }

    fn row_ns(&self) -> f64 {
        (self.elements.count() * self.size()) as f64 * BYTE_NS + ROW_NS
    }

    /// Where the table's `row` starts, in elements.
    fn table_at(&self, row: isize) -> isize {
        row * self.table.layout().stride(0)
    }
}

/// The address of an operand's element (0, ..., 0).
fn bytes(operand: &Operand) -> *mut u8 {
    match operand.dtype().size() {
        1 => operand.ptr::<u8>(),
        2 => operand.ptr::<u16>().cast(),
        4 => operand.ptr::<u32>().cast(),
        8 => operand.ptr::<u64>().cast(),
        _ => operand.ptr::<[u64; 2]>().cast(),
    }
}

fn gather_whole(op: &Rows, cpu: &Cpu) -> Result<()> {
    let length = op.elements.count() * op.size();
    let size = op.size() as isize;
    gather(op, cpu, |ends, table, rows| {
        let from = ends.table.wrapping_offset(table * size);
        let to = ends.rows.wrapping_offset(rows * size);
        // SAFETY: a row of the table and one of rows, each in one piece, apart from each other.
        unsafe { std::ptr::copy_nonoverlapping(from.cast_const(), to, length) };
    })
}

fn gather_strided(op: &Rows, cpu: &Cpu) -> Result<()> {
    let whole = op.elements.count();
    gather(op, cpu, |ends, table, rows| {
        slices(op, 0, whole, ends, table, rows, |table, rows, count| {
            // SAFETY: `count` elements of a row of the table and of one of rows, apart from each other.
            unsafe { copy(op.size(), table, rows, count) };
        });
    })
}

/// Calls `row(ends, table, rows)` for each index: where its row starts in both, in elements.
fn gather(op: &Rows, cpu: &Cpu, row: impl Fn(Ends, isize, isize) + Sync) -> Result<()> {
    let (ends, stray) = (op.ends(), Stray::default());
    cpu.parallel_ranges(op.count(), op.row_ns(), |start, end| {
        let ends = ends;
        op.visit(start, end, &stray, |number, at| row(ends, op.table_at(number), at));
    });
    stray.report(op)
}

/// Calls `part(table, rows, count)` for each run among the elements `start..end` of a row.
fn slices(
    op: &Rows,
    start: usize,
    end: usize,
    ends: Ends,
    table: isize,
    rows: isize,
    part: impl Fn(Run, Run, usize),
) {
    let size = op.size() as isize;
    let run = |at: *mut u8, offset: isize, n: usize| Run {
        at: at.wrapping_offset(offset.wrapping_mul(size)),
        step: op.elements.strides[n].wrapping_mul(size),
    };
    op.elements.parts(start, end, |at, count| {
        part(run(ends.table, table + at[0], 0), run(ends.rows, rows + at[1], 1), count);
    });
}

fn scatter(op: &Rows, cpu: &Cpu) -> Result<()> {
    let (ends, stray) = (op.ends(), Stray::default());
    let elements = op.elements.count();
    let total = (op.count() as f64 * op.row_ns()) as u64;
    let pieces = (elements * op.size() / SLICE).clamp(1, cpu.threads() * 4);
    let cut = |piece: usize| (elements as u128 * piece as u128 / pieces as u128) as usize;
    cpu.parallel(pieces, total, |piece| {
        let ends = ends;
        op.visit(0, op.count(), &stray, |number, at| {
            slices(op, cut(piece), cut(piece + 1), ends, op.table_at(number), at, |table, rows, count| {
                // SAFETY: `count` elements of both rows, apart from each other; no other piece has them.
                unsafe { put(op, rows, table, count) };
            });
        });
    });
    stray.report(op)
}

/// # Safety
///
/// Both runs hold `count` elements of the operation's dtype and do not overlap.
unsafe fn put(op: &Rows, rows: Run, table: Run, count: usize) {
    // SAFETY: this function's contract; what is to be added was checked.
    unsafe {
        if op.flags & WEFT_ROWS_ADD != 0 {
            add(op.table.dtype(), rows, table, count);
        } else {
            copy(op.size(), rows, table, count);
        }
    }
}

//! ger on the CPU: rows of A (or columns, where those lie nearer), each with a multiple of a vector.

use super::view::{CHUNK, Matrix, Room, Vector, batch};
use super::{BYTE_NS, lanes};
use crate::device::Cpu;
use crate::kernels::walk::Walk;
use crate::op::Choice;
use crate::ops::blas::ger::Ger;
use crate::ops::blas::number::{Number, with_number};
use crate::status::Result;

/// Best first.
pub(in crate::ops::blas) const CHOICES: &[Choice<Ger, Cpu>] =
    &[Choice { name: "rows", accepts: |_, _| true, run }];

fn run(op: &Ger, cpu: &Cpu) -> Result<()> {
    with_number!(op.a.dtype(), N => rows::<N>(op, cpu));
    Ok(())
}

/// One matrix, turned so that its rows' elements are the nearer ones.
struct Task<N> {
    a: Matrix<N>,
    /// One element a row, and whether to conjugate it.
    down: (Vector<N>, bool),
    /// One element a column.
    across: (Vector<N>, bool),
    columns: usize,
    alpha: N,
}

impl<N: Number> Task<N> {
    fn new(op: &Ger, at: [isize; 3], turned: bool) -> Self {
        let (a, rank) = (Matrix::of(&op.a, at[2]), op.a.dims().len());
        let (x, y) = ((Vector::of(&op.x, at[0]), false), (Vector::of(&op.y, at[1]), op.conjugate));
        let alpha = N::of(op.alpha.re, op.alpha.im);
        let [rows, columns] = [rank - 2, rank - 1].map(|axis| op.a.layout().dim(axis));
        if turned {
            return Self { a: a.turned(), down: y, across: x, columns: rows, alpha };
        }
        Self { a, down: x, across: y, columns, alpha }
    }

    fn row(&self, row: usize, columns: (usize, usize), room: &mut Room<N>) {
        let (to, (down, conjugate)) = (self.a.row(row), self.down);
        // SAFETY: an element of the vector's checked layout.
        let factor = unsafe { *down.element(row) };
        let factor = self.alpha * if conjugate { factor.conjugate() } else { factor };
        for from in (columns.0..columns.1).step_by(CHUNK) {
            let count = CHUNK.min(columns.1 - from);
            // SAFETY: elements of the vector's checked layout, a chunk at the most.
            let line = unsafe { self.across.0.skip(from).packed(count, self.across.1, room) };
            if to.step == 1 {
                lanes::axpy(factor, line, to.element(from), count);
                continue;
            }
            for i in 0..count {
                let to = to.element(from + i);
                // SAFETY: an element of a's checked layout, and of the line.
                unsafe { to.write(factor * *line.add(i) + *to) };
            }
        }
    }
}

/// Columns of a piece of a row.
const PIECE: usize = 16 * CHUNK;

fn rows<N: Number>(op: &Ger, cpu: &Cpu) {
    let walk = Walk::new([&batch(&op.x, 1), &batch(&op.y, 1), &batch(&op.a, 2)]);
    let (a, rank) = (Matrix::<N>::of(&op.a, 0), op.a.dims().len());
    let sides = [rank - 2, rank - 1].map(|axis| op.a.layout().dim(axis));
    let turned = sides[1] == 1 || (sides[0] != 1 && a.row.unsigned_abs() < a.col.unsigned_abs());
    let [rows, columns] = if turned { [sides[1], sides[0]] } else { sides };
    let pieces = columns.div_ceil(PIECE);
    let ns = 2.0 * BYTE_NS * (columns.min(PIECE) * size_of::<N>()) as f64 + 20.0;
    cpu.parallel_ranges(walk.count() * rows * pieces, ns, |start, end| {
        let (mut room, each) = (Room::new(), rows * pieces);
        let mut item = start;
        while item < end {
            let (matrix, stop) = (item / each, end.min((item / each + 1) * each));
            let task = Task::<N>::new(op, walk.at(matrix), turned);
            for item in item..stop {
                let (row, from) = (item / pieces % rows, item % pieces * PIECE);
                task.row(row, (from, (from + PIECE).min(task.columns)), &mut room);
            }
            item = stop;
        }
    });
}

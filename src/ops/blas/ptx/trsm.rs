//! trsm: rows of the solution in blocks of 32, by blocks of threads that have 32 columns each; and the subtraction of what is known
//! from the rows below, by tiles.

use super::THREADS;
use super::tile::{Panel, Tile, edge};
use super::value::{Part, Plane, Value};
use crate::dtype::Dtype;
use crate::kernels::gpu::Space;
use crate::ptx::{Builder, Kernel, Reg, Shape, Target, Words, params};
use crate::status::Result;

/// Words of the batch axes of two operands.
const WORDS: usize = Space::<2>::word_count(8);
/// Rows and columns of a block of the triangle, and columns of B of a block of threads.
pub(in crate::ops::blas) const SIDE: u32 = 32;
/// Elements from one row to the next in shared memory: neighbours in a column lie in different banks.
const LINE: u32 = SIDE + 1;
/// Columns of a warp.
const EACH: u32 = SIDE * 32 / THREADS;

params! {
    /// Systems with `order` unknowns and `columns` right-hand sides, of which the rows from `begin` to `end` are solved, or
    /// subtracted from those from `end` on.
    pub struct Args / Vals {
        /// Addresses of a and b.
        at: [u64; 2],
        /// From a row of a, and of b, to the next, in bytes.
        rows: [u64; 2],
        /// From a column of a, and of b, to the next, in bytes.
        columns: [u64; 2],
        /// Unknowns.
        order: u64,
        /// Right-hand sides.
        sides: u64,
        /// The first row.
        begin: u64,
        /// The row behind the last.
        end: u64,
        /// Blocks' worth of work of a matrix, and tiles from one side to the other.
        tiles: [u32; 2],
        /// Matrices.
        matrices: u64,
        /// What B is multiplied with first.
        alpha: [f64; 2],
        /// The batch axes of a and b, in elements.
        batch: Words<WORDS>,
    }
}

/// What a kernel is written for.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// The operands' dtype.
    pub dtype: Dtype,
    /// Whether A is conjugated.
    pub conjugate: bool,
    /// Whether its diagonal is taken as ones.
    pub unit: bool,
}

impl Spec {
    /// All of it, for a kernel's key.
    pub fn words(&self) -> [u32; 8] {
        [self.dtype as u32, u32::from(self.conjugate), u32::from(self.unit), 0, 0, 0, 0, 0]
    }

    fn shape(&self, kind: &str, target: Target) -> Shape {
        let words = self.words()[..3].iter().map(u32::to_string).collect::<Vec<_>>().join("_");
        Shape::new(format!("blas_trsm_{kind}_{words}"), target, [THREADS, 1, 1]).min_blocks(1)
    }
}

/// Runs `body` with the addresses of each matrix of this row of the grid, and the number of each unit of this block.
fn each_unit<'k>(
    k: &'k Builder,
    v: &Vals<'k>,
    spec: Spec,
    body: impl FnOnce([Reg<'k, u64>; 2], Reg<'k, u32>),
) {
    let matrix = k.var(k.block_y().to::<u64>());
    k.repeat_while(
        || matrix.lt(v.matrices),
        || {
            let at = Space::<2>::locate_all(k, &v.batch, true, &[matrix])[0];
            let at = std::array::from_fn(|n| k.mad(at[n], spec.dtype.size() as u64, v.at[n]));
            k.steps(k.block_x(), v.tiles[0], k.grid_blocks_x(), |number| body(at, number));
            matrix.set(matrix + k.grid_blocks_y().to::<u64>());
        },
    );
}

/// Solves the rows from `begin` to `end`.
pub fn solve<R: Part>(target: Target, spec: Spec) -> Result<Kernel<Args>> {
    Kernel::build(&spec.shape("solve", target), |k, v: Vals<'_>| solve_units::<R>(k, &v, spec))
}

fn solve_units<'k, R: Part>(k: &'k Builder, v: &Vals<'k>, spec: Spec) {
    let plane = || Plane::<R>::new(k, spec.dtype, SIDE * LINE);
    let (triangle, known) = (plane(), plane());
    each_unit(k, v, spec, |at, number| {
        let group = Group { k, v, spec, at, column: number.to::<u64>() * u64::from(SIDE), triangle, known };
        let row = k.var(v.begin);
        k.repeat_while(
            || row.lt(v.end),
            || {
                group.rows(row);
                row.set(row + u64::from(SIDE));
            },
        );
    });
}

/// Some columns of B, of which a warp has [`EACH`], and a lane of it a row.
struct Group<'a, 'k, R: Part> {
    k: &'k Builder,
    v: &'a Vals<'k>,
    spec: Spec,
    at: [Reg<'k, u64>; 2],
    column: Reg<'k, u64>,
    triangle: Plane<'k, R>,
    known: Plane<'k, R>,
}

impl<'k, R: Part> Group<'_, 'k, R> {
    /// Solves the block of rows that begins at `row`.
    fn rows(&self, row: Reg<'k, u64>) {
        let (k, v) = (self.k, self.v);
        self.bring(1, self.known, [row, self.column]);
        k.barrier();
        let alpha = Value::of(self.spec.dtype, v.alpha);
        let x: Vec<_> = (0..EACH).map(|n| alpha.times(k, self.mine(n).load()).var(k)).collect();
        k.barrier(); // so that all have read what is overwritten next
        let before = k.var(v.begin);
        k.repeat_while(
            || before.lt(row),
            || {
                self.subtract(&x, [row, before]);
                before.set(before + u64::from(SIDE));
            },
        );
        self.bring(0, self.triangle, [row, row]);
        k.barrier();
        self.substitute(&x, row);
        x.iter().zip(0..).for_each(|(&x, n)| self.mine(n).store(x));
        k.barrier();
        self.take_back([row, self.column]);
        k.barrier(); // so that the next rows see these
    }

    /// The place of this thread's row in its warp's column `n`.
    fn mine(&self, n: u32) -> Plane<'k, R> {
        let column = self.k.warp() * EACH + n;
        self.known.at(self.k.mad(self.k.lane(), LINE, column))
    }

    /// Subtracts the products of a block of the triangle with rows that are known.
    fn subtract(&self, x: &[Value<'k, R>], [row, before]: [Reg<'k, u64>; 2]) {
        let k = self.k;
        self.bring(0, self.triangle, [row, before]);
        self.bring(1, self.known, [before, self.column]);
        k.barrier();
        let (line, columns) = (self.triangle.at(k.lane() * LINE), self.known.at(k.warp() * EACH));
        for depth in 0..SIDE {
            let minus = line.plus(depth).load().negative();
            for (x, n) in x.iter().zip(0..) {
                x.set(x.plus_product(k, minus, columns.plus(depth * LINE + n).load()));
            }
        }
        k.barrier(); // so that the next block does not overwrite what others still read
    }

    /// Substitutes row by row: a lane that is behind takes what the one before found.
    fn substitute(&self, x: &[Value<'k, R>], row: Reg<'k, u64>) {
        let (k, lane) = (self.k, self.k.lane());
        let line = self.triangle.at(lane * LINE);
        let rows = k.min(self.v.order - row, u64::from(SIDE)).to::<u32>();
        k.steps(0u32, rows, 1u32, |i| {
            let (diagonal, minus) = (self.triangle.at(i * (LINE + 1)).load(), line.at(i).load().negative());
            let (here, behind) = (lane.eq(i), lane.gt(i));
            for x in x {
                if !self.spec.unit {
                    x.set(Value::select(k, here, x.over(k, diagonal), *x));
                }
                let share = |part: Reg<'k, R>| k.broadcast(part, i);
                let found = Value { re: share(x.re), im: x.im.map(share) };
                x.set(Value::select(k, behind, x.plus_product(k, minus, found), *x));
            }
        });
    }

    /// Runs `body` for the elements of a block of A (0) or B (1) that are this thread's. Neighbouring threads take neighbours in
    /// memory.
    fn each_element(&self, n: usize, first: [Reg<'k, u64>; 2], body: impl Fn(Element<'k>)) {
        let (k, v) = (self.k, self.v);
        let reach = |stride: Reg<'k, u64>| k.abs(stride.bits::<i64>());
        let down = reach(v.rows[n]).lt(reach(v.columns[n]));
        let ends = [v.order, if n == 0 { v.order } else { v.sides }];
        for number in (0..SIDE * SIDE).step_by(THREADS as usize) {
            let number = k.thread_x() + number;
            let [major, minor] = [number / SIDE, number & (SIDE - 1)];
            let (i, j) = (k.select(down, minor, major), k.select(down, major, minor));
            let index = [first[0] + i.to::<u64>(), first[1] + j.to::<u64>()];
            let at = k.mad(index[1], v.columns[n], k.mad(index[0], v.rows[n], self.at[n]));
            let inside = index[0].lt(ends[0]) & index[1].lt(ends[1]);
            body(Element { place: k.mad(i, LINE, j), index, at, inside });
        }
    }

    /// Brings a block of A (0) or B (1) to shared memory: of A what is on and below the diagonal, zeros elsewhere.
    fn bring(&self, n: usize, plane: Plane<'k, R>, first: [Reg<'k, u64>; 2]) {
        self.each_element(n, first, |element| {
            let [row, column] = element.index;
            let there = match n {
                0 if self.spec.unit => element.inside & column.lt(row),
                0 => element.inside & column.le(row),
                _ => element.inside,
            };
            let value = Value::<R>::load_if(element.at, self.spec.dtype, there);
            plane.at(element.place).store(value.conjugate_if(n == 0 && self.spec.conjugate));
        });
    }

    /// Writes the block of B in shared memory to its place.
    fn take_back(&self, first: [Reg<'k, u64>; 2]) {
        self.each_element(1, first, |element| {
            let value = self.known.at(element.place).load();
            self.k.when(element.inside, || value.store(element.at));
        });
    }
}

/// An element of a block.
struct Element<'k> {
    /// In shared memory.
    place: Reg<'k, u32>,
    /// Row and column.
    index: [Reg<'k, u64>; 2],
    /// Its address.
    at: Reg<'k, u64>,
    /// Whether there is one.
    inside: Reg<'k, bool>,
}

/// Subtracts the rows from `begin` to `end`, which are solved, from those below: B = alpha B - A X.
pub fn update<R: Part>(target: Target, spec: Spec) -> Result<Kernel<Args>> {
    Kernel::build(&spec.shape("update", target), |k, v: Vals<'_>| update_units::<R>(k, &v, spec))
}

fn update_units<'k, R: Part>(k: &'k Builder, v: &Vals<'k>, spec: Spec) {
    let (tile, edge) = (Tile::<R>::new(k, spec.dtype), u64::from(edge(spec.dtype)));
    let alpha = Value::<R>::of(spec.dtype, v.alpha);
    each_unit(k, v, spec, |at, number| {
        let down = number / v.tiles[1];
        let column = (number - down * v.tiles[1]).to::<u64>() * edge;
        let row = down.to::<u64>() * edge + v.end;
        let left = Panel {
            at: k.mad(v.begin, v.columns[0], k.mad(row, v.rows[0], at[0])),
            step: v.rows[0],
            depth: v.columns[0],
            count: v.order - row,
            conjugate: spec.conjugate,
        };
        let right = Panel {
            at: k.mad(column, v.columns[1], k.mad(v.begin, v.rows[1], at[1])),
            step: v.columns[1],
            depth: v.rows[1],
            count: v.sides - column,
            conjugate: false,
        };
        tile.sum_up([left, right], v.end - v.begin);
        tile.each_sum(|place, sum| {
            let (i, j) = (place[0] + row, place[1] + column);
            k.when(i.lt(v.order) & j.lt(v.sides), || {
                let to = k.mad(j, v.columns[1], k.mad(i, v.rows[1], at[1]));
                alpha.times(k, Value::load(to, spec.dtype)).plus(sum.negative()).store(to);
            });
        });
    });
}

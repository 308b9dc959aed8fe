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
/// Elements from one row of A to the next in shared memory: neighbours in a column lie in different banks; and of B, whose pairs
/// in a row are read at once.
const LINES: [u32; 2] = [SIDE + 1, SIDE + 2];
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
    /// Of few unknowns, how many at the most: a power of two; and columns of B that a lane has.
    pub side: u32,
    pub each: u32,
    /// Whether rows of A and B, of few unknowns, lie element by element in aligned groups.
    pub packed: bool,
}

impl Spec {
    /// All of it, for a kernel's key.
    pub fn words(&self) -> [u32; 8] {
        let flags = u32::from(self.conjugate) | u32::from(self.unit) << 1 | u32::from(self.packed) << 2;
        [self.dtype as u32, flags, self.side, self.each, 0, 0, 0, 0]
    }

    pub(super) fn shape(&self, kind: &str, target: Target) -> Shape {
        let words = self.words()[..4].iter().map(u32::to_string).collect::<Vec<_>>().join("_");
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
    let plane = |n: usize| Plane::<R>::new(k, spec.dtype, SIDE * LINES[n]);
    let (left, known) = (plane(0), plane(1));
    // There is not room for all of those of complex f64.
    let ahead = spec.dtype != Dtype::C64;
    let (triangle, own) = if ahead { (plane(0), plane(1)) } else { (left, known) };
    each_unit(k, v, spec, |at, number| {
        let column = number.to::<u64>() * u64::from(SIDE);
        let group = Group { k, v, spec, at, column, triangle, left, known, own, ahead };
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
    /// The block of A on the diagonal, and one to the left of it.
    triangle: Plane<'k, R>,
    left: Plane<'k, R>,
    /// Rows of B that are known, and those that are solved.
    known: Plane<'k, R>,
    own: Plane<'k, R>,
    /// Whether what comes next is fetched before what is there is multiplied.
    ahead: bool,
}

impl<'k, R: Part> Group<'_, 'k, R> {
    /// Solves the block of rows that begins at `row`.
    fn rows(&self, row: Reg<'k, u64>) {
        let (k, v) = (self.k, self.v);
        self.bring(1, self.own, [row, self.column]);
        if self.ahead {
            self.bring(0, self.triangle, [row, row]);
            k.when(v.begin.lt(row), || self.bring_known([row, v.begin]));
        }
        k.barrier();
        let alpha = Value::of(self.spec.dtype, v.alpha);
        let x: Vec<_> = (0..EACH).map(|n| alpha.times(k, self.mine(n).load()).var(k)).collect();
        if !self.ahead {
            k.barrier(); // so that all have read what is overwritten next
        }
        let before = k.var(v.begin);
        k.repeat_while(|| before.lt(row), || self.subtract(&x, row, before));
        if !self.ahead {
            self.bring(0, self.triangle, [row, row]);
            k.barrier();
        }
        self.substitute(&x, row);
        x.iter().zip(0..).for_each(|(&x, n)| self.mine(n).store(x));
        k.barrier();
        self.take_back([row, self.column]);
        k.barrier(); // so that the next rows see these
    }

    /// The place of this thread's row in its warp's column `n`.
    fn mine(&self, n: u32) -> Plane<'k, R> {
        let column = self.k.warp() * EACH + n;
        self.own.at(self.k.mad(self.k.lane(), LINES[1], column))
    }

    /// Brings a block of the triangle, and the rows that are known there.
    fn bring_known(&self, [row, before]: [Reg<'k, u64>; 2]) {
        self.bring(0, self.left, [row, before]);
        self.bring(1, self.known, [before, self.column]);
    }

    /// Subtracts the products of a block of the triangle with rows that are known, from `before` on, which goes on to the next.
    fn subtract(&self, x: &[Value<'k, R>], row: Reg<'k, u64>, before: Reg<'k, u64>) {
        let k = self.k;
        if !self.ahead {
            self.bring_known([row, before]);
            k.barrier();
        }
        let (line, columns) = (self.left.at(k.lane() * LINES[0]), self.known.at(k.warp() * EACH));
        for depth in 0..SIDE {
            let minus = line.plus(depth).load().negative();
            for (x, known) in x.iter().zip(columns.plus(depth * LINES[1]).run(EACH)) {
                x.set(x.plus_product(k, minus, known));
            }
        }
        k.barrier(); // so that the next block does not overwrite what others still read
        before.set(before + u64::from(SIDE));
        if self.ahead {
            k.when(before.lt(row), || self.bring_known([row, before]));
            k.barrier();
        }
    }

    /// Substitutes row by row, where this warp has columns.
    fn substitute(&self, x: &[Value<'k, R>], row: Reg<'k, u64>) {
        let (k, v, lane) = (self.k, self.v, self.k.lane());
        let line = self.triangle.at(lane * LINES[0]);
        let rows = k.min(v.order - row, u64::from(SIDE)).to::<u32>();
        k.when((self.column + (k.warp() * EACH).to::<u64>()).lt(v.sides), || {
            if self.spec.unit {
                return self.steps(x, line, rows, |x| *x);
            }
            let own = Diagonal::new(k, self.spec, line.at(lane).load(), lane.lt(rows));
            let quick = || self.steps(x, line, rows, |x| x.times(k, own.inverse));
            let exact = || {
                k.steps(0u32, rows, 1u32, |i| self.step(x, (line, i), &|x| x.over(k, own.value)));
                x.iter().for_each(|x| x.set(x.over(k, own.value)));
            };
            k.if_else(k.ballot(own.fine, u32::MAX).eq(u32::MAX), quick, exact);
        });
    }

    /// All steps, written one by one; those of the second half where there are as many rows. What is found is what `found` makes of
    /// a lane's value.
    fn steps(
        &self,
        x: &[Value<'k, R>],
        line: Plane<'k, R>,
        rows: Reg<'k, u32>,
        found: impl Fn(&Value<'k, R>) -> Value<'k, R>,
    ) {
        let (k, half) = (self.k, SIDE / 2);
        let some = |from: u32| (from..from + half).for_each(|i| self.step(x, (line, k.var(i)), &found));
        some(0);
        k.when(rows.gt(half), || some(half));
        x.iter().for_each(|x| x.set(found(x)));
    }

    /// Step `i`: lanes that are behind take what lane `i` found.
    fn step(
        &self,
        x: &[Value<'k, R>],
        (line, i): (Plane<'k, R>, Reg<'k, u32>),
        found: &dyn Fn(&Value<'k, R>) -> Value<'k, R>,
    ) {
        step(self.k, x, line.at(i).load().negative(), (self.k.lane(), i, 32), found);
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
            body(Element { place: k.mad(i, LINES[n], j), index, at, inside });
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
            let value = self.own.at(element.place).load();
            self.k.when(element.inside, || value.store(element.at));
        });
    }
}

/// Step `i` of `width` neighbouring lanes: those that are behind, of rows behind `i`, take what lane `i` found, `minus` times.
pub(super) fn step<'k, R: Part>(
    k: &'k Builder,
    x: &[Value<'k, R>],
    minus: Value<'k, R>,
    (row, i, width): (Reg<'k, u32>, Reg<'k, u32>, u32),
    found: &dyn Fn(&Value<'k, R>) -> Value<'k, R>,
) {
    let behind = row.gt(i);
    for x in x {
        let found = found(x);
        let share = |part: Reg<'k, R>| k.broadcast_among(part, i, width);
        let found = Value { re: share(found.re), im: found.im.map(share) };
        x.set(Value::select(k, behind, x.plus_product(k, minus, found), *x));
    }
}

/// An element of the diagonal, its inverse, and whether that is as good: far from where it would overflow or lose digits.
pub(super) struct Diagonal<'k, R: Part> {
    pub value: Value<'k, R>,
    pub inverse: Value<'k, R>,
    pub fine: Reg<'k, bool>,
}

impl<'k, R: Part> Diagonal<'k, R> {
    /// The largest size that is inverted, and the least one's inverse.
    const MOST: f64 = (1u64 << 60) as f64;

    /// That of `value`, or of 1 where there is none.
    pub fn new(k: &'k Builder, spec: Spec, value: Value<'k, R>, there: Reg<'k, bool>) -> Self {
        let one = Value::of(spec.dtype, [k.var(1.0f64), k.var(0.0f64)]);
        let value = if spec.unit { one } else { Value::select(k, there, value, one) };
        let (size, inverse) = (R::wide(value.size(k)), one.over(k, value));
        Self { value, inverse, fine: size.ge(1.0 / Self::MOST) & size.le(Self::MOST) }
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

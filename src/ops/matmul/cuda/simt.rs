//! Any multiplication: tiles of A and B go through shared memory, each thread sums up 4 x 4 elements of D in f32, or f64.
//! Sums are fused steps in the order of k.

use super::Task;
use super::arguments::{Args, Place, Vals, arguments, each};
use super::finish::finish;
use super::real::{Bits, Real};
use crate::device::cuda::{Key, Stream};
use crate::dtype::Dtype;
use crate::ptx::{Builder, Kernel, Ptr, Reg, Shape, Shared, Target};
use crate::status::Result;

/// Threads of a block: 16 x 16, each with 4 x 4 elements.
const THREADS: u32 = 256;
/// Rows and columns of D that a block computes at once.
const EDGE: u32 = 64;
/// Columns of A and rows of B that lie in shared memory at once.
const DEPTH: u32 = 16;
/// Elements of A, and of B, that a thread fetches at once.
const EACH: u32 = EDGE * DEPTH / THREADS;

/// Multiplies.
pub fn run(task: &Task, stream: &Stream) -> Result<()> {
    let p = &task.problem;
    let tiles = |size: usize| (size as u64).div_ceil(u64::from(EDGE));
    // Neighbouring threads fetch along k where A's columns, or B's rows, are the nearer ones.
    let along_k = [nearer(p.a.col, p.a.row), nearer(p.b.row, p.b.col)].map(u32::from);
    let args = Args { more: [tiles(p.n) as u32, along_k[0], along_k[1]], ..arguments(p) };
    let types = [p.a.dtype, p.b.dtype];
    let [a, b] = types.map(|dtype| dtype as u32);
    let key = Key("matmul_simt", [a, b, 0, 0, 0, 0, 0, 0]);
    let kernel = stream.kernel(key, |target| write(target, types))?;
    each(p, stream, tiles(p.m) * tiles(p.n), &args, |stream, grid, args| {
        // SAFETY: the operands live as long as the request's work; the kernel stays inside them.
        unsafe { kernel.launch(stream, grid, args) }
    })
}

fn nearer(stride: isize, other: isize) -> bool {
    stride.unsigned_abs() <= other.unsigned_abs()
}

/// The kernel for these types of A and B.
pub fn write(target: Target, types: [Dtype; 2]) -> Result<Kernel<Args>> {
    let name = format!("matmul_simt_{}", types.map(|dtype| dtype.name().to_lowercase()).join("_"));
    let shape = Shape::new(name, target, [THREADS, 1, 1]);
    match types[0] {
        Dtype::F64 => build::<f64>(&shape.min_blocks(1), types),
        _ => build::<f32>(&shape, types),
    }
}

fn build<R: Real>(shape: &Shape, types: [Dtype; 2]) -> Result<Kernel<Args>> {
    Kernel::build(shape, |k, v: Vals<'_>| {
        let block = Block::<R>::new(k, &v);
        v.each_place(k, |place| block.tile(place, types));
    })
}

/// Elements from one k to the next in shared memory: rows that are stored by 16 threads at once lie in different banks.
fn line<R: Real>() -> u32 {
    EDGE + 16 / R::SIZE
}

/// What a block keeps from tile to tile.
struct Block<'v, 'k, R: Real> {
    k: &'k Builder,
    v: &'v Vals<'k>,
    /// Tiles of A and B, DEPTH lines each; later a tile of sums.
    shared: Ptr<'k, Shared<R>>,
    thread: Reg<'k, u32>,
    /// The first of the four columns and rows that are this thread's.
    corner: [Reg<'k, u32>; 2],
    sums: Vec<Reg<'k, R>>,
}

impl<'v, 'k, R: Real> Block<'v, 'k, R> {
    fn new(k: &'k Builder, v: &'v Vals<'k>) -> Self {
        let thread = k.thread_x();
        let shared = k.shared::<R>((2 * DEPTH * line::<R>()).max(EDGE * EDGE));
        let corner = [(thread & 15u32) * 4u32, (thread >> 4u32) * 4u32];
        let sums = (0..16).map(|_| k.var(R::constant(0.0))).collect();
        Self { k, v, shared, thread, corner, sums }
    }

    /// One tile of D.
    fn tile(&self, place: &Place<'k>, types: [Dtype; 2]) {
        let (k, v) = (self.k, self.v);
        let [across, a_along, b_along] = v.more;
        let down = k.div(place.part, across);
        let across = place.part - down * across;
        let [row, col] = [down, across].map(|tile| tile.to::<u64>() * u64::from(EDGE));
        self.sums.iter().for_each(|sum| sum.set(R::constant(0.0)));
        let stride = |index| v.strides.get(index);
        let (a_at, b_at) = (place.at[0], place.at[1]);
        let outer = Outer { from: row, end: v.m, stride: stride(0), stride_k: stride(1), along_k: a_along };
        let a = Panel::<R>::new(self, types[0], a_at, outer, 0);
        let outer = Outer { from: col, end: v.n, stride: stride(3), stride_k: stride(2), along_k: b_along };
        let b = Panel::<R>::new(self, types[1], b_at, outer, DEPTH * line::<R>());
        self.sum_up(&a, &b);
        self.finish_tile(place, row, col);
    }

    /// The sums over all of k. What comes next is fetched while what is there is multiplied.
    fn sum_up(&self, a: &Panel<'k, R>, b: &Panel<'k, R>) {
        let k = self.k;
        let at = k.var(0u64);
        let fetch = || [a, b].iter().for_each(|panel| panel.fetch(at, self.v.k));
        fetch();
        k.repeat_while(
            || at.lt(self.v.k),
            || {
                [a, b].iter().for_each(|panel| panel.put());
                k.barrier();
                at.set(at + u64::from(DEPTH));
                fetch();
                self.multiply();
                k.barrier(); // so that the next elements do not overwrite what others still read
            },
        );
    }

    /// Adds the products of what lies in shared memory.
    fn multiply(&self) {
        let [col, row] = self.corner;
        let (a, b) = (self.shared.at(row), self.shared.plus((DEPTH * line::<R>()) as i32).at(col));
        for depth in 0..DEPTH {
            let offset = (depth * line::<R>()) as i32;
            let (a, b) = (R::load4(a.plus(offset)), R::load4(b.plus(offset)));
            for (sum, index) in self.sums.iter().zip(0..) {
                sum.set(self.k.fma(a[index / 4], b[index % 4], *sum));
            }
        }
    }

    /// Brings the sums to their places through shared memory, so that neighbouring threads write neighbouring columns.
    fn finish_tile(&self, place: &Place<'k>, row: Reg<'k, u64>, col: Reg<'k, u64>) {
        let (k, v) = (self.k, self.v);
        let corner = self.shared.at(k.mad(self.corner[1], EDGE, self.corner[0]));
        for (line, sums) in self.sums.chunks(4).enumerate() {
            R::store4(corner.plus(line as i32 * EDGE as i32), [sums[0], sums[1], sums[2], sums[3]]);
        }
        k.barrier();
        k.steps(self.thread, EDGE * EDGE, THREADS, |number| {
            let row = row + (number >> EDGE.ilog2()).to::<u64>();
            let col = col + (number & (EDGE - 1)).to::<u64>();
            let sum = self.shared.at(number).load();
            k.when(row.lt(v.m) & col.lt(v.n), || finish(k, v, place, [row, col], sum));
        });
        k.barrier(); // so that the next tile does not overwrite what others still read
    }
}

/// The axis of A or B that is not k, from where on, and strides in bytes.
struct Outer<'k> {
    from: Reg<'k, u64>,
    end: Reg<'k, u64>,
    stride: Reg<'k, u64>,
    stride_k: Reg<'k, u64>,
    /// Not 0 where neighbouring threads fetch along k.
    along_k: Reg<'k, u32>,
}

/// The elements of A or B that a thread brings to shared memory, DEPTH further along k each time.
struct Panel<'k, R: Real> {
    dtype: Dtype,
    items: Vec<Item<'k, R>>,
    /// Bytes to the next.
    step: Reg<'k, u64>,
}

/// One of them.
struct Item<'k, R: Real> {
    bits: Bits<'k>,
    /// Where the next one is.
    at: Reg<'k, u64>,
    /// How far along k it is in each tile.
    depth: Reg<'k, u64>,
    inside: Reg<'k, bool>,
    to: Ptr<'k, Shared<R>>,
}

impl<'k, R: Real> Panel<'k, R> {
    fn new(block: &Block<'_, 'k, R>, dtype: Dtype, at: Reg<'k, u64>, outer: Outer<'k>, offset: u32) -> Self {
        let k = block.k;
        let shared = block.shared.plus(offset as i32);
        let item = |number| Item::new(k, dtype, at, &outer, shared, block.thread + number * THREADS);
        let items = (0..EACH).map(item).collect();
        Self { dtype, items, step: outer.stride_k * u64::from(DEPTH) }
    }

    /// Fetches those of the tile that begins at `at` along k; zeros beyond the ends.
    fn fetch(&self, at: Reg<'k, u64>, end: Reg<'k, u64>) {
        for item in &self.items {
            let there = item.inside & (at + item.depth).lt(end);
            item.bits.fetch(item.at, there);
            item.at.set(item.at + self.step);
        }
    }

    /// Stores what was fetched.
    fn put(&self) {
        self.items.iter().for_each(|item| item.to.store(R::of_bits(self.dtype, item.bits)));
    }
}

impl<'k, R: Real> Item<'k, R> {
    /// Number `number` of a tile.
    fn new(
        k: &'k Builder,
        dtype: Dtype,
        at: Reg<'k, u64>,
        outer: &Outer<'k>,
        shared: Ptr<'k, Shared<R>>,
        number: Reg<'k, u32>,
    ) -> Self {
        let along = outer.along_k.ne(0u32);
        let depth = k.select(along, number & (DEPTH - 1), number >> EDGE.ilog2());
        let place = k.select(along, number >> DEPTH.ilog2(), number & (EDGE - 1));
        let to = shared.at(k.mad(depth, line::<R>(), place));
        let (depth, outside) = (depth.to::<u64>(), outer.from + place.to::<u64>());
        let at = k.var(k.mad(outside, outer.stride, k.mad(depth, outer.stride_k, at)));
        Self { bits: Bits::zero(k, dtype), at, depth, inside: outside.lt(outer.end), to }
    }
}

//! Tiles of a product of two panels: both go through shared memory, a thread sums up a few rows and columns.

use super::THREADS;
use super::value::{Part, Plane, Value};
use crate::dtype::Dtype;
use crate::ptx::{Builder, Reg};

/// Rows and columns of threads.
const SIDE: u32 = 16;
/// Products that lie in shared memory at once.
const DEPTH: u32 = 16;

/// Rows and columns of a thread.
const fn each(dtype: Dtype) -> u32 {
    if matches!(dtype, Dtype::C64) { 2 } else { 4 }
}

/// Rows and columns of a tile.
pub const fn edge(dtype: Dtype) -> u32 {
    SIDE * each(dtype)
}

/// The rows of a tile of one factor, or the columns of the other.
#[derive(Clone, Copy)]
pub struct Panel<'k> {
    /// The address of the first of them, at the first product.
    pub at: Reg<'k, u64>,
    /// From one to the next, in bytes.
    pub step: Reg<'k, u64>,
    /// From a product to the next, in bytes.
    pub depth: Reg<'k, u64>,
    /// How many there are, from the tile's first on.
    pub count: Reg<'k, u64>,
    /// Whether they are conjugated.
    pub conjugate: bool,
}

/// An element that a thread brings to shared memory, [`DEPTH`] products further each time.
struct Item<'k, R: Part> {
    at: Reg<'k, u64>,
    depth: Reg<'k, u64>,
    inside: Reg<'k, bool>,
    to: Plane<'k, R>,
    value: Value<'k, R>,
}

/// What a block keeps from tile to tile.
pub struct Tile<'k, R: Part> {
    k: &'k Builder,
    dtype: Dtype,
    planes: [Plane<'k, R>; 2],
    sums: Vec<Value<'k, R>>,
}

impl<'k, R: Part> Tile<'k, R> {
    /// Reserves shared memory.
    pub fn new(k: &'k Builder, dtype: Dtype) -> Self {
        let plane = || Plane::new(k, dtype, DEPTH * Self::line(dtype));
        let sums = (0..each(dtype) * each(dtype)).map(|_| Value::zero(k, dtype)).collect();
        Self { k, dtype, planes: [plane(), plane()], sums }
    }

    /// Elements from one product to the next in shared memory: those that are stored at once lie in different banks, and pairs
    /// are aligned.
    fn line(dtype: Dtype) -> u32 {
        edge(dtype) + 2
    }

    /// The sums over `depth` products of the panels.
    pub fn sum_up(&self, panels: [Panel<'k>; 2], depth: Reg<'k, u64>) {
        let (k, at) = (self.k, self.k.var(0u64));
        let zero = Value::zero(k, self.dtype);
        self.sums.iter().for_each(|sum| sum.set(zero));
        let items: Vec<_> =
            panels.into_iter().zip(self.planes).flat_map(|(panel, plane)| self.items(panel, plane)).collect();
        let fetch = || items.iter().for_each(|(item, panel)| self.fetch(item, panel, (at, depth)));
        fetch();
        k.repeat_while(
            || at.lt(depth),
            || {
                items.iter().for_each(|(item, _)| item.to.store(item.value));
                k.barrier();
                at.set(at + u64::from(DEPTH));
                fetch();
                self.multiply();
                k.barrier(); // so that the next elements do not overwrite what others still read
            },
        );
    }

    fn items(&self, panel: Panel<'k>, plane: Plane<'k, R>) -> Vec<(Item<'k, R>, Panel<'k>)> {
        let (k, edge) = (self.k, edge(self.dtype));
        // Neighbouring threads fetch along the products where those lie nearer.
        let reach = |stride: Reg<'k, u64>| k.abs(stride.bits::<i64>());
        let along = reach(panel.depth).lt(reach(panel.step));
        let item = |number: Reg<'k, u32>| {
            let depth = k.select(along, number & (DEPTH - 1), number / edge);
            let place = k.select(along, number / DEPTH, number & (edge - 1));
            let to = plane.at(k.mad(depth, Self::line(self.dtype), place));
            let (depth, place) = (depth.to::<u64>(), place.to::<u64>());
            let at = k.var(k.mad(place, panel.step, k.mad(depth, panel.depth, panel.at)));
            (Item { at, depth, inside: place.lt(panel.count), to, value: Value::zero(k, self.dtype) }, panel)
        };
        let each = edge * DEPTH / THREADS;
        (0..each).map(|n| item(k.thread_x() + n * THREADS)).collect()
    }

    /// Fetches the element that is `at` products on, or 0 beyond the ends.
    fn fetch(&self, item: &Item<'k, R>, panel: &Panel<'k>, (at, end): (Reg<'k, u64>, Reg<'k, u64>)) {
        let there = item.inside & (at + item.depth).lt(end);
        item.value.set(Value::load_if(item.at, self.dtype, there).conjugate_if(panel.conjugate));
        item.at.set(item.at + panel.depth * u64::from(DEPTH));
    }

    /// The first row, and the first column, of this thread.
    fn corner(&self) -> [Reg<'k, u32>; 2] {
        let thread = self.k.thread_x();
        [(thread >> 4u32) * each(self.dtype), (thread & 15u32) * each(self.dtype)]
    }

    /// Adds the products of what lies in shared memory.
    fn multiply(&self) {
        let (k, [row, column], count) = (self.k, self.corner(), each(self.dtype));
        let [left, right] = [self.planes[0].at(row), self.planes[1].at(column)];
        for depth in 0..DEPTH {
            let offset = depth * Self::line(self.dtype);
            let (a, b) = (left.plus(offset).run(count), right.plus(offset).run(count));
            for (n, sum) in self.sums.iter().enumerate() {
                sum.set(sum.plus_product(k, a[n / count as usize], b[n % count as usize]));
            }
        }
    }

    /// Runs `body` for each sum of this thread, with its row and column in the tile.
    pub fn each_sum(&self, body: impl Fn([Reg<'k, u64>; 2], Value<'k, R>)) {
        let (corner, count) = (self.corner().map(|place| place.to::<u64>()), each(self.dtype) as usize);
        for (n, &sum) in self.sums.iter().enumerate() {
            body([corner[0] + (n / count) as u64, corner[1] + (n % count) as u64], sum);
        }
    }
}

//! Order along an axis as kernels: the extreme of a line, the first few of one by selection, and all of one by sorting.

mod composite;
mod extreme;
mod list;
mod select;
mod sieve;
mod sorting;

pub use composite::Order;
pub use extreme::extreme;
pub(crate) use select::{ROOM, select};
pub(crate) use sorting::{CHUNK, Step, sorting};

use crate::kernels::gpu::{Space, load_words, store_words, turns};
use crate::ptx::{Builder, Global, Load, Ptr, Reg, Shape, Target, Words, params};
use composite::Composite;
use list::List;

/// Threads of a block, but where more share a line.
pub(crate) const THREADS: u32 = 256;
/// Words of the lines: in x, values and indices.
pub(crate) const LINES: usize = Space::<3>::word_count(8);

params! {
    /// `lines` lines of `count` elements.
    pub struct Args / Vals {
        /// Addresses of x, values and indices.
        at: [u64; 3],
        /// Strides along the axis, in elements.
        steps: [u64; 3],
        /// Lines.
        lines: u64,
        /// Elements, or candidates, of a line.
        count: u64,
        /// How many are wanted.
        wanted: u64,
        /// Pieces of a line, of `length` elements but for the last.
        pieces: u64,
        /// See above.
        length: u64,
        /// Candidates that are read: low and high halves.
        from: [u64; 2],
        /// Candidates that are written.
        to: [u64; 2],
        /// Of a sort: the first line, the logarithm of the room of a line, and the sizes and distance of comparisons.
        first: u64,
        /// See above.
        room: u32,
        /// See above.
        sizes: [u64; 2],
        /// See above.
        apart: u64,
        /// Where lines start: in x, values and indices.
        starts: Words<LINES>,
    }
}

/// What a kernel is specialised on.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// How elements compare.
    pub order: Order,
    /// Whether candidates are read in place of elements.
    pub candidates: bool,
    /// Whether candidates are written in place of results.
    pub partial: bool,
    /// Whether there are values.
    pub values: bool,
    /// Bytes of an index, 0 without.
    pub index: u32,
    /// Axes of the lines.
    pub rank: u32,
    /// Threads that share a line.
    pub width: u32,
    /// Whether the elements of a line lie side by side, for comparing.
    pub packed: bool,
    /// Whether there are 2^32 lines.
    pub many: bool,
}

impl Spec {
    /// All of it, for a kernel's key.
    pub fn words(&self) -> [u32; 8] {
        let Self { order, candidates, partial, values, index, rank, width, packed, many } = *self;
        let flags = [order.smallest, order.last, order.wide, candidates, partial, values, many, packed];
        let bits = flags.iter().enumerate().map(|(i, &flag)| u32::from(flag) << i).sum();
        [order.dtype as u32, bits, index, rank, width, 0, 0, 0]
    }

    /// Threads of a block.
    pub fn block(&self) -> u32 {
        self.width.max(THREADS)
    }

    /// The shape of the kernel of this kind, which may have all the registers it likes.
    pub fn shape(&self, kind: &str, target: Target) -> Shape {
        let words = self.words().map(|word| word.to_string());
        let name = format!("rank_{kind}_{}", words.join("_"));
        Shape::new(name, target, [self.block(), 1, 1]).min_blocks(1)
    }
}

/// Where a line's elements, or candidates, come from.
struct Line<'k> {
    /// Its first element's address, or the number of its first candidate.
    start: Reg<'k, u64>,
    /// Bytes from one to the next.
    step: Reg<'k, u64>,
    /// The number of the first that is looked at.
    first: Reg<'k, u64>,
}

impl<'k> Line<'k> {
    /// Line `line` from its element `first` on.
    fn new(k: &'k Builder, v: &Vals<'k>, spec: Spec, line: Reg<'k, u64>, first: Reg<'k, u64>) -> Self {
        if spec.candidates {
            return Self { start: k.mad(line, v.count, first), step: k.var(1u64), first };
        }
        let [at, _, _] = Space::<3>::locate(k, &v.starts, spec.rank as usize, spec.many, line);
        let size = spec.order.dtype.size() as u64;
        let step = v.steps[0] * size;
        Self { start: k.mad(first, step, k.mad(at, size, v.at[0])), step, first }
    }

    /// The composite of number `index` from the first on.
    fn get(&self, k: &'k Builder, v: &Vals<'k>, spec: Spec, index: Reg<'k, u64>) -> Composite<'k> {
        if spec.candidates {
            return List::far(spec.order, v.from[0], v.from[1]).get(self.start + index);
        }
        let raw = spec.order.load(k, k.mad(index, self.step, self.start));
        spec.order.composite(k, raw, self.first + index)
    }

    /// Visits the first `length`, shared by `lanes` threads, of which this is number `lane`.
    fn visit(
        &self,
        (v, spec): (&Vals<'k>, Spec),
        (lanes, lane): (u32, Reg<'k, u32>),
        length: Reg<'k, u64>,
        visit: impl Fn(Composite<'k>),
    ) {
        let k = v.kernel;
        let load = |number, displaced| self.get(k, v, spec, number + u64::from(displaced));
        turns(k, lanes, lane, length, load, visit);
    }
}

/// Writes that the `nth` of line `line` is its element `index`.
fn put<'k>(v: &Vals<'k>, spec: Spec, line: Reg<'k, u64>, [nth, index]: [Reg<'k, u64>; 2]) {
    let k = v.kernel;
    let starts = Space::<3>::locate(k, &v.starts, spec.rank as usize, spec.many, line);
    let size = spec.order.dtype.size() as u32;
    let at =
        |n: usize, number, size: u32| k.mad(k.mad(number, v.steps[n], starts[n]), u64::from(size), v.at[n]);
    if spec.values {
        let words = load_words(at(0, index, size), size, Load::ReadOnly);
        store_words(at(1, nth, size), size, &words);
    }
    match spec.index {
        0 => {}
        4 => Ptr::<Global<u32>>::new(at(2, nth, 4)).store(index.to::<u32>()),
        _ => Ptr::<Global<u64>>::new(at(2, nth, 8)).store(index),
    }
}

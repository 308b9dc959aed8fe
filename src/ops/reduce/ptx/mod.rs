//! Reductions as kernels: along rows (a thread, a warp or a block a result), down columns (neighbouring results
//! together), and the joining of pieces.

mod columns;
mod merge;
mod number;
mod real;
mod rows;
mod state;
mod terms;

pub use columns::columns;
pub use merge::merge;
pub use number::Number;
pub(super) use number::with_number;
pub use rows::rows;
pub use state::{Facts, Fold, State};

use crate::kernels::gpu::{Array, Space};
use crate::ptx::{Builder, Element, Global, Ptr, Reg, Shape, Target, Words, params};

/// Threads of every block.
pub(crate) const THREADS: u32 = 256;
/// Words of the kept axes: of x and y.
pub(crate) const KEPT: usize = Space::<2>::word_count(8);
/// Words of the reduced axes.
pub(crate) const REDUCED: usize = Space::<1>::word_count(8);

params! {
    /// A reduction of `count` elements each to `results`, each cut into `pieces` of `length` elements (the last may be
    /// shorter).
    pub struct Args / Vals {
        /// Address of x.
        x: u64,
        /// Address of y.
        y: u64,
        /// Running values of pieces, [result][piece], where there are several.
        mains: u64,
        /// And their sums of exponentials.
        sums: u64,
        /// Results.
        results: u64,
        /// Pieces of each.
        pieces: u64,
        /// Elements of a piece.
        length: u64,
        /// Elements of a result.
        count: u64,
        /// The same, as a number to divide by.
        divisor: f64,
        /// How often each element counts.
        repeats: u64,
        /// The same, as a number to multiply by.
        times: f64,
        /// The kept axes.
        kept: Words<KEPT>,
        /// The reduced axes.
        reduced: Words<REDUCED>,
    }
}

/// What a kernel is specialised on.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// What is computed.
    pub fold: Fold,
    /// Threads that share a result (1, 32 or all of a block), along rows.
    pub width: u32,
    /// Bytes of a load, at least an element.
    pub bytes: u32,
    /// Whether each result's elements lie side by side, at any alignment.
    pub packed: bool,
    /// Axes that are kept.
    pub kept: u32,
    /// Axes that are reduced.
    pub reduced: u32,
    /// Whether the running values go to `mains` and `sums`.
    pub partial: bool,
    /// Whether there are 2^32 results or elements of a result.
    pub wide: bool,
}

impl Spec {
    /// Elements of a load.
    pub fn vector(&self) -> u32 {
        self.bytes / self.fold.dtype.size() as u32
    }

    /// All of it, for a kernel's key.
    pub fn words(&self) -> [u32; 8] {
        let Self { fold, width, bytes, packed, kept, reduced, partial, wide } = *self;
        let flags = u32::from(packed) | u32::from(partial) << 1 | u32::from(wide) << 2;
        [fold.function, fold.dtype as u32, width, bytes, kept, reduced, flags, 0]
    }

    /// The shape of the kernel of this kind, which may have all the registers it likes but where more threads are worth more.
    pub fn shape(&self, kind: &str, target: Target) -> Shape {
        let words = self.words().map(|word| word.to_string());
        let name = format!("reduce_{kind}_{}", words.join("_"));
        let narrow = kind == "rows" && self.packed && terms::is_narrow(self.fold);
        let blocks = if narrow { 4 } else { 1 };
        Shape::new(name, target, [THREADS, 1, 1]).min_blocks(blocks)
    }

    /// The array of x from the address `base` on.
    pub fn array<'k>(&self, k: &'k Builder, base: Reg<'k, u64>) -> Array<'k> {
        Array::new(k, self.fold.dtype, base)
    }
}

/// Leaves what `state` came to: as result number `result`, which lies `place` elements from y's origin, or as its
/// running value of `piece`.
fn leave<'k, A: Number>(
    v: &Vals<'k>,
    spec: Spec,
    state: &State<'k, A>,
    (result, piece, place): (Reg<'k, u64>, Reg<'k, u64>, Reg<'k, u64>),
) {
    let k = v.kernel;
    if !spec.partial {
        return state.finish(
            &Facts { count: v.divisor, repeats: v.repeats, times: v.times },
            spec.array(k, v.y).at(place),
        );
    }
    let slot = k.mad(result, v.pieces, piece);
    far(v.mains, slot).store(state.main);
    if spec.fold.has_sum() {
        far(v.sums, slot).store(state.sum);
    }
}

/// Element `slot` of the numbers at `base`.
fn far<'k, T: Element>(base: Reg<'k, u64>, slot: Reg<'k, u64>) -> Ptr<'k, Global<T>> {
    Ptr::new(base).at_far(slot)
}

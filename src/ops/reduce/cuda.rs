//! Reducing on a GPU: down columns where neighbouring results lie side by side, else along rows; long results in pieces,
//! whose running values meet in scratch memory. Where they are cut depends on the shape alone.

use super::ptx::{self, Args, Fold, Spec, THREADS, with_number};
use super::*;
use crate::device::cuda::{Key, Stream};
use crate::kernels::gpu::Space;
use crate::op::Choice;
use crate::ptx::{Kernel, Target, Text};

/// Best first.
pub(super) const CHOICES: &[Choice<Reduce, Stream>] = &[
    Choice { name: "columns", accepts: |op, _| Shaped::new(op).down(), run: columns },
    Choice { name: "rows", accepts: |_, _| true, run: rows },
];

/// Blocks that a reduction is cut for, if it has the elements.
const BLOCKS: u64 = 1024;
/// The same down columns: as many as 132 multiprocessors have at once, for all of them take equally long.
const ABREAST: u64 = 528;
/// Least elements of a piece, along rows and down columns, and what its length is a multiple of.
const PIECE: u64 = 16384;
const TALL: u64 = 256;
/// Elements of a result that a thread, or a warp, reduces by itself.
const FEW: u64 = 16;
const SOME: u64 = 1024;
const MANY: u64 = 65536;
/// Pieces of a result that a warp joins by itself.
const WARPS_OWN: u64 = 128;
/// Bytes of the longest load.
const LOAD: usize = 16;

/// A reduction as kernels see it.
struct Shaped<'a> {
    op: &'a Reduce,
    kept: Space<2>,
    reduced: Space<1>,
}

impl<'a> Shaped<'a> {
    fn new(op: &'a Reduce) -> Self {
        Self { op, kept: Space::from(&op.plan.kept), reduced: Space::from(&op.plan.reduced) }
    }

    fn results(&self) -> u64 {
        self.kept.count()
    }

    fn count(&self) -> u64 {
        self.reduced.count()
    }

    fn size(&self) -> usize {
        self.op.x.dtype().size()
    }

    /// Whether neighbouring results' elements lie side by side, enough of them for most of a warp.
    fn down(&self) -> bool {
        let inner =
            self.kept.strides(0).next_back() == Some(1) && self.kept.dims().next_back() >= Some(FEW as usize);
        inner && self.count() > 1
    }

    /// Whether all elements of a result lie side by side.
    fn is_packed(&self) -> bool {
        self.reduced.rank() == 1 && self.reduced.strides(0).next() == Some(1)
    }

    /// Bytes of a load of elements along an innermost axis of this dim and stride in x: the most, if such loads are always
    /// aligned and whole, else an element. Nothing between, so that there are few kernels.
    fn load(&self, inner: Option<(usize, isize)>) -> u32 {
        let Some((dim, 1)) = inner else { return self.size() as u32 };
        let (kept, reduced) = (self.kept.strides(0), self.reduced.strides(0));
        // That axis alone may have stride 1: of two, every element begins a load.
        let ones = kept.clone().chain(reduced.clone()).filter(|&stride| stride == 1).count();
        let others = kept.chain(reduced).filter(|&stride| ones > 1 || stride != 1);
        let steps = others.fold(dim, |all, stride| all | stride.unsigned_abs()).wrapping_mul(self.size());
        let longest = LOAD.min(self.fold().abreast() * self.size());
        let aligned = (steps | self.op.x.at() as usize).is_multiple_of(longest);
        if aligned { longest as u32 } else { self.size() as u32 }
    }

    fn fold(&self) -> Fold {
        Fold { function: self.op.function, dtype: self.op.x.dtype() }
    }

    fn spec(&self, width: u32, bytes: u32, packed: bool, partial: bool) -> Spec {
        let fold = self.fold();
        let (kept, reduced) = (self.kept.class(), self.reduced.class());
        let wide = self.results().max(self.count()) >= 1 << 32;
        Spec { fold, width, bytes, packed, kept, reduced, partial, wide }
    }

    /// The arguments, for pieces of `length` elements.
    fn args(&self, length: u64) -> Args {
        let (count, length) = (self.count(), length.max(1));
        Args {
            x: self.op.x.at(),
            y: self.op.y.at(),
            mains: 0,
            sums: 0,
            results: self.results(),
            pieces: count.div_ceil(length).max(1),
            length,
            count,
            divisor: count as f64,
            repeats: self.op.repeats,
            times: self.op.repeats as f64,
            kept: self.kept.words(),
            reduced: self.reduced.words(),
        }
    }
}

/// How long pieces are if `units` blocks are there without cutting and `wanted` would be good, pieces have at least `least`
/// elements, and their length is a multiple of that.
fn length(units: u64, count: u64, (wanted, least): (u64, u64)) -> u64 {
    let pieces = wanted.div_ceil(units).min(count / least).max(1);
    count.div_ceil(pieces).next_multiple_of(least)
}

fn columns(op: &Reduce, stream: &Stream) -> Result<()> {
    let shaped = Shaped::new(op);
    let inner = shaped.kept.dims().next_back().zip(shaped.kept.strides(0).next_back());
    let spec = shaped.spec(THREADS, shaped.load(inner), false, false);
    let strips = shaped.results().div_ceil(u64::from(32 * spec.vector()));
    let args = shaped.args(length(strips, shaped.count(), (ABREAST, TALL)));
    let write = |target, spec: Spec| with_number!(spec.fold, A => ptx::columns::<A>(target, spec));
    launch(stream, spec, args, strips * args.pieces, ("reduce_columns", write))
}

fn rows(op: &Reduce, stream: &Stream) -> Result<()> {
    let shaped = Shaped::new(op);
    let (results, count) = (shaped.results(), shaped.count());
    let width = match count {
        ..=FEW => 1,
        _ if count <= SOME => 32,
        _ if count <= MANY && results >= 8 * BLOCKS => 32,
        _ => THREADS,
    };
    let packed = width > 1 && shaped.is_packed();
    let inner = shaped.reduced.dims().next_back().zip(shaped.reduced.strides(0).next_back());
    let bytes = match packed {
        true => LOAD as u32,
        false if width == 1 => shaped.size() as u32,
        false => shaped.load(inner),
    };
    let spec = shaped.spec(width, bytes, packed, false);
    let longest = if width == THREADS { length(results, count, (BLOCKS, PIECE)) } else { count };
    let args = shaped.args(longest);
    let write = |target, spec: Spec| with_number!(spec.fold, A => ptx::rows::<A>(target, spec));
    let blocks = (results * args.pieces).div_ceil(u64::from(THREADS / width));
    launch(stream, spec, args, blocks, ("reduce_rows", write))
}

/// Writes the kernel of a spec.
type Write = fn(Target, Spec) -> Result<Kernel<Args>>;

/// Queues `write`'s kernel, and the joining of pieces where there are several.
fn launch(stream: &Stream, spec: Spec, args: Args, blocks: u64, kind: (&'static str, Write)) -> Result<()> {
    let (name, write) = kind;
    let grid = |blocks: u64| [blocks.min(1 << 20) as u32, 1, 1];
    let run = |name, spec: Spec, args: &Args, blocks, write: Write| {
        let kernel = stream.kernel(Key(name, spec.words()), |target| write(target, spec))?;
        // SAFETY: x and y were checked to lie in their buffers, which the operation keeps; the scratch memory below has a
        // number for every piece of every result.
        unsafe { kernel.launch(stream, grid(blocks), args) }
    };
    if args.pieces == 1 {
        return run(name, spec, &args, blocks, write);
    }
    let bytes = (args.results * args.pieces) as usize * 8;
    let mains = stream.scratch(bytes)?;
    let sums = if spec.fold.has_sum() { stream.scratch(bytes)? } else { 0 };
    let args = Args { mains, sums, ..args };
    run(name, Spec { partial: true, ..spec }, &args, blocks, write)?;
    let write = |target, spec: Spec| with_number!(spec.fold, A => ptx::merge::<A>(target, spec));
    let width = if args.pieces > WARPS_OWN { THREADS } else { 32 };
    let spec = Spec { width, bytes: spec.fold.dtype.size() as u32, packed: false, reduced: 0, ..spec };
    run("reduce_merge", spec, &args, args.results.div_ceil(u64::from(THREADS / width)), write)
}

/// Kernels of every kind, for the tests.
#[doc(hidden)]
pub fn texts(target: Target) -> Vec<Result<Text>> {
    let mut texts = Vec::new();
    for (fold, most) in folds() {
        let size = fold.dtype.size() as u32;
        let longest = 16.min(fold.abreast() as u32 * size);
        let spec = |width, bytes, packed, partial| {
            let ranks = if packed { (1, 1) } else { (2, 2) };
            Spec { fold, width, bytes, packed, kept: ranks.0, reduced: ranks.1, partial, wide: false }
        };
        with_number!(fold, A => {
            texts.push(ptx::rows::<A>(target, spec(THREADS, 16, true, true)).map(Text::from));
            texts.push(ptx::columns::<A>(target, spec(THREADS, longest, false, false)).map(Text::from));
            if most {
                let wide = Spec { wide: true, kept: 8, reduced: 8, ..spec(THREADS, size, false, false) };
                texts.push(ptx::rows::<A>(target, wide).map(Text::from));
                texts.push(ptx::rows::<A>(target, spec(1, size, false, false)).map(Text::from));
                texts.push(ptx::rows::<A>(target, spec(32, longest, false, false)).map(Text::from));
                texts.push(ptx::columns::<A>(target, spec(THREADS, size, false, true)).map(Text::from));
                for width in [32, THREADS] {
                    texts.push(ptx::merge::<A>(target, spec(width, size, false, false)).map(Text::from));
                }
            }
        });
    }
    texts
}

/// Every function, every dtype, and those that get every kind of kernel.
fn folds() -> Vec<(Fold, bool)> {
    let functions = WEFT_REDUCE_SUM..=WEFT_REDUCE_LOG_SUM_EXP;
    let some = [F64, Bf16, U64, I8].into_iter();
    let all = some.flat_map(|dtype| functions.clone().map(move |function| (function, dtype, false)));
    let sums = DTYPES.iter().filter(|&&dtype| dtype != Bool).map(|&dtype| (WEFT_REDUCE_SUM, dtype, false));
    let largest = [F32, F16, Bool].map(|dtype| (WEFT_REDUCE_MAX, dtype, true));
    let others = [(WEFT_REDUCE_LOG_SUM_EXP, F32, true), (WEFT_REDUCE_MEAN, U32, true)];
    let sums = sums.filter(|row| ![F64, Bf16, U64, I8].contains(&row.1));
    let rows = all.chain(sums).chain(largest).chain(others);
    rows.map(|(function, dtype, most)| (Fold { function, dtype }, most)).collect()
}

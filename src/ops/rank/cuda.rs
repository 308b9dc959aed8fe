//! Order on a GPU: the extreme by comparing, the first few by selection, many by sorting. A long line is cut into pieces when
//! there are few of them, and the best of its pieces are compared once more.

use super::ptx::{self, Args, CHUNK, Order, ROOM, Spec, Step, THREADS};
use super::*;
use crate::device::cuda::{Key, Stream};
use crate::kernels::gpu::Space;
use crate::op::Choice;
use crate::ptx::{Kernel, Target, Text};

/// Best first.
pub(super) const TOP_K: &[Choice<Rank, Stream>] = &[
    Choice { name: "select", accepts: |op, _| op.k <= ROOM as usize, run: select },
    Choice { name: "sort", accepts: |_, _| true, run: sort },
];
/// Best first.
pub(super) const ARG_REDUCE: &[Choice<Rank, Stream>] =
    &[Choice { name: "extreme", accepts: |_, _| true, run: extreme }];

/// Blocks that work is cut for.
const BLOCKS: u64 = 1024;
/// Elements of a line that a thread, or a warp, compares by itself.
const FEW: u64 = 16;
const SOME: u64 = 1024;
const MANY: u64 = 65536;
/// Least elements of a piece for a block, and for a thread.
const PIECE: u64 = 4096;
const TALL: u64 = 256;
/// Bytes of a line, of few, that a block of most threads compares by itself.
const ALONE: u64 = 192 << 10;
const MOST: u32 = 1024;
/// A block counts the elements of a piece in 32 bits.
const LONGEST: u64 = 1 << 30;
/// Scratch memory for the lines that are sorted together, if one line takes less.
const SORTED: u64 = 256 << 20;

impl Rank {
    fn starts(&self) -> Space<3> {
        Space::from(&self.lines)
    }

    fn spec(&self) -> Spec {
        let dtype = self.x.dtype();
        let wide = dtype.size() == 8 || self.length as u64 >= u64::from(u32::MAX);
        let (smallest, last) = (self.flags & WEFT_RANK_SMALLEST != 0, self.flags & WEFT_RANK_LAST != 0);
        Spec {
            order: Order { dtype, smallest, last, wide },
            candidates: false,
            partial: false,
            values: self.values.is_some(),
            index: self.indices.as_ref().map_or(0, |indices| indices.operand.dtype().size() as u32),
            rank: self.starts().class(),
            width: THREADS,
            packed: false,
            many: self.lines.count() as u64 >= 1 << 32,
        }
    }

    fn args(&self) -> Args {
        let at = |output: &Option<Output>| output.as_ref().map_or(0, |output| output.operand.at());
        let step = |output: &Option<Output>| output.as_ref().map_or(0, |output| output.step as u64);
        Args {
            at: [self.x.at(), at(&self.values), at(&self.indices)],
            steps: [self.step as u64, step(&self.values), step(&self.indices)],
            lines: self.lines.count() as u64,
            count: self.length as u64,
            wanted: self.k as u64,
            pieces: 1,
            length: self.length as u64,
            from: [0; 2],
            to: [0; 2],
            first: 0,
            room: self.k.next_power_of_two().ilog2(),
            sizes: [0; 2],
            apart: 0,
            starts: self.starts().words(),
        }
    }

    /// Whether lines lie closer together than the elements of each.
    fn across(&self) -> bool {
        self.lines.strides[0].abs() < self.step.abs() && self.lines.run >= FEW as usize
    }
}

/// Scratch memory for `count` composites: the low halves, and the high ones where there are some.
fn list(stream: &Stream, spec: Spec, count: u64) -> Result<[u64; 2]> {
    let bytes = count as usize * 8;
    Ok([stream.scratch(bytes)?, if spec.order.wide { stream.scratch(bytes)? } else { 0 }])
}

/// Cut into pieces of `length`.
fn cut(args: Args, length: u64) -> Args {
    Args { pieces: args.count.div_ceil(length), length, ..args }
}

/// Queues a kernel on at most so many blocks.
fn queue(
    stream: &Stream,
    (name, spec, args): (&'static str, Spec, &Args),
    blocks: u64,
    write: impl FnOnce(Target, Spec) -> Result<Kernel<Args>>,
) -> Result<()> {
    let kernel = stream.kernel(Key(name, spec.words()), |target| write(target, spec))?;
    // SAFETY: the operands were checked to lie in their buffers, which the operation keeps; lists in scratch memory have room
    // for what the arguments say.
    unsafe { kernel.launch(stream, [blocks.min(1 << 20) as u32, 1, 1], args) }
}

/// Queues `kernel` on the elements, and again on the best of the pieces where there are several.
fn stages(
    stream: &Stream,
    (name, spec, args): (&'static str, Spec, Args),
    last_width: u32,
    write: fn(Target, Spec) -> Result<Kernel<Args>>,
) -> Result<()> {
    let blocks =
        |args: &Args, width: u32| (args.lines * args.pieces).div_ceil(u64::from((THREADS / width).max(1)));
    if args.pieces == 1 {
        return queue(stream, (name, spec, &args), blocks(&args, spec.width), write);
    }
    let count = args.pieces * args.wanted;
    let to = list(stream, spec, args.lines * count)?;
    let first = Args { to, ..args };
    queue(stream, (name, Spec { partial: true, ..spec }, &first), blocks(&first, spec.width), write)?;
    let spec = Spec { candidates: true, width: last_width, packed: false, ..spec };
    let last = Args { from: to, count, pieces: 1, length: count, ..args };
    queue(stream, (name, spec, &last), blocks(&last, last_width), write)
}

fn extreme(op: &Rank, stream: &Stream) -> Result<()> {
    let (args, across) = (op.args(), op.across());
    let width = match args.count {
        _ if across => 1,
        ..=FEW => 1,
        _ if args.count <= SOME => 32,
        _ if args.count <= MANY && args.lines >= 8 * BLOCKS => 32,
        _ if !across && args.lines <= 8 && args.count * op.x.dtype().size() as u64 <= ALONE => MOST,
        _ => THREADS,
    };
    let (wanted, least) = match width {
        THREADS => (BLOCKS.div_ceil(args.lines), PIECE),
        _ if across => ((BLOCKS * u64::from(THREADS)).div_ceil(args.lines), TALL),
        _ => (1, 1),
    };
    let pieces = wanted.min(args.count / least).max(1);
    let args = cut(args, args.count.div_ceil(pieces));
    let spec = Spec { width, packed: width > 1 && op.step == 1, ..op.spec() };
    stages(stream, ("rank_extreme", spec, args), 32, ptx::extreme)
}

fn select(op: &Rank, stream: &Stream) -> Result<()> {
    let args = op.args();
    let least = PIECE.max(8 * args.wanted);
    let pieces = BLOCKS.div_ceil(2 * args.lines).min(args.count / least).max(args.count.div_ceil(LONGEST));
    let args = cut(args, args.count.div_ceil(pieces.max(1)));
    stages(stream, ("rank_select", op.spec(), args), THREADS, ptx::select)
}

fn sort(op: &Rank, stream: &Stream) -> Result<()> {
    let (spec, args) = (op.spec(), op.args());
    let room = args.count.next_power_of_two().max(2 * u64::from(CHUNK));
    let together = (SORTED / (16 * room)).clamp(1, args.lines);
    let to = list(stream, spec, together * room)?;
    for first in (0..args.lines).step_by(together as usize) {
        let lines = together.min(args.lines - first);
        sort_lines(stream, spec, Args { lines, first, to, room: room.ilog2(), ..args })?;
    }
    Ok(())
}

/// Sorts the lines that are in scratch memory together.
fn sort_lines(stream: &Stream, spec: Spec, args: Args) -> Result<()> {
    let (room, chunk) = (1u64 << args.room, u64::from(CHUNK));
    let step = |step: Step, args: &Args| {
        let (name, blocks) = match step {
            Step::Fill => ("rank_fill", (args.lines * room).div_ceil(u64::from(THREADS))),
            Step::Compare => ("rank_compare", (args.lines * room / 2).div_ceil(u64::from(THREADS))),
            Step::Chunks => ("rank_chunks", args.lines * room / chunk),
            Step::Leave => ("rank_leave", (args.lines * args.wanted).div_ceil(u64::from(THREADS))),
        };
        queue(stream, (name, spec, args), blocks, |target, spec| ptx::sorting(target, spec, step))
    };
    step(Step::Fill, &args)?;
    step(Step::Chunks, &Args { sizes: [2, chunk], ..args })?;
    let mut size = 2 * chunk;
    while size <= room {
        let args = Args { sizes: [size, size], ..args };
        let mut apart = size / 2;
        while apart >= chunk {
            step(Step::Compare, &Args { apart, ..args })?;
            apart /= 2;
        }
        step(Step::Chunks, &args)?;
        size *= 2;
    }
    step(Step::Leave, &args)
}

/// Kernels of every kind, for the tests.
#[doc(hidden)]
pub fn texts(target: Target) -> Vec<Result<Text>> {
    let mut texts = Vec::new();
    for (number, &dtype) in DTYPES.iter().enumerate() {
        let wide = dtype.size() == 8;
        let order = Order { dtype, smallest: number % 2 == 1, last: false, wide };
        let index = if wide { 8 } else { 4 };
        let some = Spec {
            order,
            candidates: false,
            partial: false,
            values: true,
            index,
            rank: 1,
            width: THREADS,
            packed: false,
            many: false,
        };
        texts.push(ptx::extreme(target, some).map(Text::from));
        texts.push(ptx::extreme(target, Spec { packed: true, ..some }).map(Text::from));
        texts.push(ptx::select(target, some).map(Text::from));
        if [F32, F16, Bf16].contains(&dtype) {
            let order = Order { last: !order.smallest, ..order };
            texts.push(
                ptx::extreme(target, Spec { order, packed: true, width: MOST, ..some }).map(Text::from),
            );
            texts.push(ptx::extreme(target, Spec { packed: true, width: 32, ..some }).map(Text::from));
        }
        if ![F32, F64, I8].contains(&dtype) {
            continue;
        }
        let far = Spec { order: Order { wide: true, last: true, ..order }, many: true, rank: 4, ..some };
        let partial = Spec { partial: true, values: false, index: 0, ..some };
        let candidates = Spec { candidates: true, width: 32, ..some };
        texts.push(ptx::extreme(target, Spec { packed: true, width: 32, ..far }).map(Text::from));
        for spec in [far, partial, candidates, Spec { width: 1, ..some }, Spec { width: 32, ..far }] {
            texts.push(ptx::extreme(target, spec).map(Text::from));
            texts.push(ptx::select(target, spec).map(Text::from));
        }
        for step in [Step::Fill, Step::Compare, Step::Chunks, Step::Leave] {
            texts.push(ptx::sorting(target, some, step).map(Text::from));
            texts.push(ptx::sorting(target, far, step).map(Text::from));
        }
    }
    texts
}

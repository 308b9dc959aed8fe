//! On CUDA: cosines and sines of a stretch of positions, computed into scratch memory unless they are given, then the rows
//! of these positions.

use super::ptx::{AXES, Args, LOCATED, Spec, THREADS, WORDS};
use super::tables::{self, Check, Copy, Frequencies, PASSED, key};
use super::{Rope, Waves, tiling};
use crate::device::cuda::Stream;
use crate::dtype::Dtype;
use crate::kernels::gpu::piece_len;
use crate::op::{Choice, Operand};
use crate::status::Result;

/// Ways to compute.
pub(super) const CHOICES: &[Choice<Rope, Stream>] = &[
    Choice { name: "tiles", accepts: |rope, _| tiling::suits(rope), run: tiling::tiles },
    Choice { name: "rows", accepts: |_, _| true, run: rows },
];

/// Bytes of computed cosines that should stay in the cache.
const STRETCH: usize = 8 << 20;
/// Heads that a thread turns at most.
const HEADS: usize = 16;

/// The cosines and sines of a stretch of positions.
#[derive(Clone, Copy)]
pub(super) struct Tables {
    /// Of cos and sin, as all that follows.
    pub dtypes: [Dtype; 2],
    pub at: [u64; 2],
    /// Of both, along batch, positions and pairs; along rows and pairs where positions index them.
    pub strides: [[isize; 3]; 2],
}

/// Positions `first..first + count` of every batch.
#[derive(Clone, Copy)]
struct Stretch {
    first: usize,
    count: usize,
}

fn rows(rope: &Rope, stream: &Stream) -> Result<()> {
    let [batches, heads, positions, width] = [0, 1, 2, 3].map(|axis| rope.x.layout().dim(axis));
    if [batches, heads, positions, width].contains(&0) {
        return Ok(());
    }
    let bad = check(rope, stream)?;
    if rope.pairs > 0 {
        match &rope.waves {
            Waves::Tables { cos, sin } => {
                let tables = given([cos, sin]);
                turn(rope, stream, &tables, Stretch { first: 0, count: positions }, bad)?;
            }
            Waves::Computed { .. } => computed(rope, stream)?,
        }
    }
    if rope.pairs * 2 < width && !rope.y.same_as(&rope.x) { copy(rope, stream, bad) } else { Ok(()) }
}

pub(super) fn given(tables: [&Operand; 2]) -> Tables {
    let strides = tables.map(|table| {
        let (layout, rank) = (table.layout(), table.layout().rank());
        let outer = if rank == 3 { layout.stride(0) } else { 0 };
        [outer, layout.stride(rank - 2), layout.stride(rank - 1)]
    });
    Tables { dtypes: tables.map(Operand::dtype), at: tables.map(Operand::at), strides }
}

/// Where a word says whether all positions have their row in the tables, if they index them; else 0.
pub(super) fn check(rope: &Rope, stream: &Stream) -> Result<u64> {
    let (Some(positions), Waves::Tables { cos, .. }) = (&rope.positions, &rope.waves) else { return Ok(0) };
    let (layout, bad) = (positions.layout(), stream.scratch(4)?);
    let kernel = stream.kernel(key("rope_check", [positions.dtype() as u32, 0, 0]), |target| {
        tables::check(target, positions.dtype())
    })?;
    let check = Check {
        count: layout.count() as u64,
        end: cos.dims()[0].cast_unsigned(),
        positions: positions.at(),
        bad,
        verdict: stream.verdict(),
        space: space([1, 0].map(|axis| (layout.dim(axis), [layout.stride(axis)]))),
    };
    // SAFETY: the positions' elements, and two words of the stream's.
    unsafe { kernel.launch(stream, [1, 1, 1], &check)? };
    Ok(bad)
}

/// Words of a space: from the innermost axis on, its dim and strides.
fn space<const A: usize, const N: usize, const W: usize>(axes: [(usize, [isize; N]); A]) -> [u64; W] {
    let mut words = [0; W];
    for (place, (dim, strides)) in words.chunks_mut(1 + N).zip(axes) {
        place[0] = dim as u64;
        place[1..].iter_mut().zip(strides).for_each(|(word, stride)| *word = stride as u64);
    }
    words
}

/// Blocks for `count` threads.
fn grid(count: u64) -> [u32; 3] {
    [count.div_ceil(u64::from(THREADS)).clamp(1, 1 << 30) as u32, 1, 1]
}

/// Stretch by stretch, so that the tables stay small.
fn computed(rope: &Rope, stream: &Stream) -> Result<()> {
    let layout = rope.x.layout();
    let dtype = if rope.x.dtype() == Dtype::F64 { Dtype::F64 } else { Dtype::F32 };
    let batched = rope.positions.as_ref().is_some_and(|positions| positions.layout().stride(0) != 0);
    let batches = if batched { layout.dim(0) } else { 1 };
    let most = (STRETCH / dtype.size() / rope.pairs / batches).clamp(1, layout.dim(2));
    let bytes = batches * most * rope.pairs * dtype.size();
    let frequencies = frequencies(rope, stream)?;
    let at = [stream.scratch(bytes)?, stream.scratch(bytes)?];
    for first in (0..layout.dim(2)).step_by(most) {
        let stretch = Stretch { first, count: most.min(layout.dim(2) - first) };
        waves(rope, stream, frequencies, at, batches, stretch)?;
        let batch = if batched { stretch.count * rope.pairs } else { 0 };
        let strides = [[batch as isize, rope.pairs as isize, 1]; 2];
        turn(rope, stream, &Tables { dtypes: [dtype; 2], at, strides }, stretch, 0)?;
    }
    Ok(())
}

/// Where the frequency of each pair lies, as the CPU computes it.
fn frequencies(rope: &Rope, stream: &Stream) -> Result<u64> {
    let Waves::Computed { base, frequency_scale, factors } = &rope.waves else { return Ok(0) };
    let to = stream.scratch(rope.pairs * 8)?;
    let kernel = stream.kernel(key("rope_frequencies", [0; 3]), tables::frequencies)?;
    let factor_stride = factors.as_ref().map_or(0, |factors| factors.layout().stride(0));
    for first in (0..rope.pairs).step_by(PASSED) {
        let value = |i: usize| frequency_scale * base.powf(-((first + i) as f64) / rope.pairs as f64);
        let behind = (first as isize * factor_stride * 4) as u64;
        let args = Frequencies {
            count: PASSED.min(rope.pairs - first) as u32,
            to: to + first as u64 * 8,
            factors: factors.as_ref().map_or(0, |factors| factors.at().wrapping_add(behind)),
            factor_stride: factor_stride as u64,
            values: std::array::from_fn(|i| value(i).to_bits()),
        };
        // SAFETY: the scratch has room for all, and the factors are as many.
        unsafe { kernel.launch(stream, [1, 1, 1], &args)? };
    }
    Ok(to)
}

/// Computes the cosines and sines of a stretch.
fn waves(
    rope: &Rope,
    stream: &Stream,
    frequencies: u64,
    to: [u64; 2],
    batches: usize,
    stretch: Stretch,
) -> Result<()> {
    let dtype = if rope.x.dtype() == Dtype::F64 { Dtype::F64 } else { Dtype::F32 };
    let indexed = rope.positions.as_ref().map(Operand::dtype);
    let [batch, step] = rope
        .positions
        .as_ref()
        .map_or([0, 0], |positions| [positions.layout().stride(0), positions.layout().stride(1)]);
    let behind = stretch.first as isize * step * indexed.map_or(0, Dtype::size) as isize;
    let count = (batches * stretch.count * rope.pairs) as u64;
    let wide = count >> 32 != 0;
    let code = indexed.map_or(0, |dtype| dtype as u32 + 1);
    let kernel = stream.kernel(key("rope_waves", [dtype as u32, code, u32::from(wide)]), |target| {
        tables::waves(target, dtype, indexed, wide)
    })?;
    let args = tables::Waves {
        count,
        frequencies,
        positions: rope.positions.as_ref().map_or(0, |positions| positions.at().wrapping_add(behind as u64)),
        start: rope.position_start.wrapping_add(stretch.first as i64),
        to,
        space: space([(rope.pairs, [0, 0, 1]), (stretch.count, [step, 1, 0]), (batches, [batch, 0, 0])]),
    };
    // SAFETY: the scratch has room for the stretch; positions and frequencies are read where they are.
    unsafe { kernel.launch(stream, grid(count), &args) }
}

/// Turns the rows of a stretch.
fn turn(rope: &Rope, stream: &Stream, tables: &Tables, stretch: Stretch, bad: u64) -> Result<()> {
    let layout = rope.x.layout();
    let pieces = in_pieces(rope);
    let indexes = matches!(rope.waves, Waves::Tables { .. });
    let indexed = rope.positions.as_ref().filter(|_| indexes).map(Operand::dtype);
    let (dtype, half_split) = (rope.x.dtype(), rope.half_split);
    let spec =
        Spec { dtype, tables: tables.dtypes, indexed, half_split, pieces, wide: layout.count() >> 32 != 0 };
    let parts = rope.pairs / spec.pairs() as usize;
    let around = layout.dim(0) * stretch.count * parts;
    let some = heads_of_thread(stream, around, layout.dim(1));
    let groups = layout.dim(1).div_ceil(some);
    let args = Turning { rope, tables, stretch, spec, some, groups, parts, bad }.arguments();
    let kernel = stream.kernel(spec.key(), |target| spec.write(target))?;
    // SAFETY: the operands were checked, and the space names their elements alone.
    unsafe { kernel.launch(stream, grid(args.count), &args) }
}

/// As many as leave work for the whole GPU.
fn heads_of_thread(stream: &Stream, around: usize, heads: usize) -> usize {
    let enough = stream.gpu().description.multiprocessors as usize * 2048;
    let mut some = heads.min(HEADS);
    while some > 1 && around.saturating_mul(heads.div_ceil(some)) < enough {
        some = some.div_ceil(2);
    }
    some
}

/// Whether pieces of 16 bytes can be turned: packed rows of whole pieces, aligned.
pub(super) fn in_pieces(rope: &Rope) -> bool {
    let len = piece_len(rope.x.dtype()) as usize;
    let fine = |operand: &Operand| {
        let layout = operand.layout();
        let starts = (0..3)
            .all(|axis| layout.dim(axis) == 1 || layout.stride(axis).unsigned_abs().is_multiple_of(len));
        starts && layout.stride(3) == 1 && operand.at().is_multiple_of(16)
    };
    rope.pairs.is_multiple_of(len) && fine(&rope.x) && fine(&rope.y)
}

/// What a launch of the kernel that turns is made of.
struct Turning<'a> {
    rope: &'a Rope,
    tables: &'a Tables,
    stretch: Stretch,
    spec: Spec,
    some: usize,
    groups: usize,
    parts: usize,
    bad: u64,
}

impl Turning<'_> {
    fn arguments(&self) -> Args {
        let Self { rope, tables, stretch, spec, .. } = *self;
        let layouts = [rope.x.layout(), rope.y.layout()];
        let from = [&rope.x, &rope.y].map(|operand| {
            let behind =
                stretch.first as isize * operand.layout().stride(2) * operand.dtype().size() as isize;
            operand.at().wrapping_add(behind as u64)
        });
        let second = if rope.half_split { rope.pairs } else { spec.pairs() as usize } as isize;
        let factor = rope.attention_factor;
        Args {
            count: (self.parts * stretch.count * self.groups * layouts[0].dim(0)) as u64,
            rows: from,
            seconds: layouts.map(|layout| (second * layout.stride(3)) as u64),
            strides: layouts.map(|layout| layout.stride(1) as u64),
            heads: layouts[0].dim(1) as u64,
            some: self.some as u64,
            positions: rope.positions.as_ref().map_or(0, Operand::at),
            tables: tables.at,
            pair_strides: tables.strides.map(|strides| strides[2] as u64),
            position_strides: tables.strides.map(|strides| strides[1] as u64),
            positions_end: rows_of_tables(rope),
            factors: [factor, if rope.inverse { -factor } else { factor }],
            bad: self.bad,
            space: self.space(),
        }
    }

    /// Pairs, positions, groups of heads, batch: where x, y, the position, cos and sin are, and which is the first head.
    fn space(&self) -> [u64; WORDS] {
        let Self { rope, tables, spec, some, .. } = *self;
        let [x, y] =
            [rope.x.layout(), rope.y.layout()].map(|layout| [0, 1, 2, 3].map(|axis| layout.stride(axis)));
        let taken = spec.pairs() as isize;
        let along = if rope.half_split { taken } else { 2 * taken };
        let group = some as isize;
        let [cos, sin] = tables.strides;
        // Tables that positions index are found by the kernel.
        let direct = isize::from(spec.indexed.is_none());
        let [batch, step] = match &rope.positions {
            Some(positions) => [positions.layout().stride(0), positions.layout().stride(1)],
            None => [0, 0],
        };
        let axes: [(usize, [isize; LOCATED]); AXES] = [
            (self.parts, [x[3] * along, y[3] * along, 0, cos[2] * taken, sin[2] * taken, 0]),
            (self.stretch.count, [x[2], y[2], step, cos[1] * direct, sin[1] * direct, 0]),
            (self.groups, [x[1] * group, y[1] * group, 0, 0, 0, group]),
            (x_dim(rope, 0), [x[0], y[0], batch, cos[0] * direct, sin[0] * direct, 0]),
        ];
        space(axes)
    }
}

/// Rows that positions index.
pub(super) fn rows_of_tables(rope: &Rope) -> u64 {
    match &rope.waves {
        Waves::Tables { cos, .. } => cos.dims()[0].cast_unsigned(),
        Waves::Computed { .. } => 0,
    }
}

fn x_dim(rope: &Rope, axis: usize) -> usize {
    rope.x.layout().dim(axis)
}

/// Copies what is not turned.
pub(super) fn copy(rope: &Rope, stream: &Stream, bad: u64) -> Result<()> {
    let (x, y) = (rope.x.layout(), rope.y.layout());
    let turned = rope.pairs * 2;
    let rest = x.dim(3) - turned;
    let count = (x.dim(0) * x.dim(1) * x.dim(2) * rest) as u64;
    let size = rope.x.dtype().size();
    let wide = count >> 32 != 0;
    let kernel = stream.kernel(key("rope_copy", [size as u32, u32::from(wide), 0]), |target| {
        tables::copy(target, rope.x.dtype(), wide)
    })?;
    let from = |operand: &Operand| {
        let behind = turned as isize * operand.layout().stride(3) * size as isize;
        operand.at().wrapping_add(behind as u64)
    };
    let axis = |axis| (if axis == 3 { rest } else { x.dim(axis) }, [x.stride(axis), y.stride(axis)]);
    let args = Copy { count, x: from(&rope.x), y: from(&rope.y), bad, space: space([3, 2, 1, 0].map(axis)) };
    // SAFETY: the operands were checked, and the space names their elements alone.
    unsafe { kernel.launch(stream, grid(count), &args) }
}

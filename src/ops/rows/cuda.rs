//! Gather and scatter on a GPU. Both take as many threads a place as its row keeps busy; scatter first learns the first and
//! the last place that name each row.

use super::ptx::{self, Args, Kind, Spec, THREADS};
use super::*;
use crate::device::cuda::{Key, Stream};
use crate::kernels::gpu::Space;
use crate::op::Choice;
use crate::ptx::{Target, Text};

/// Best first.
pub(super) const GATHER: &[Choice<Rows, Stream>] =
    &[Choice { name: "rows", accepts: |_, _| true, run: |op, stream| op.launch(stream, &[Kind::Gather]) }];
/// Best first.
pub(super) const SCATTER: &[Choice<Rows, Stream>] =
    &[Choice { name: "rows", accepts: |_, _| true, run: |op, stream| op.launch(stream, op.kinds()) }];

/// Bytes of the largest unit.
const UNIT: usize = 16;
/// Blocks that long rows are cut for, and units of each that a thread moves at least.
const BLOCKS: u64 = 1024;
const EACH: u64 = 4;
/// Grids are no larger.
const GRID: [u64; 2] = [1 << 20, 65535];

impl Rows {
    /// The kernels of a scatter.
    fn kinds(&self) -> &'static [Kind] {
        match self.flags & WEFT_ROWS_ADD {
            0 => &[Kind::Clear, Kind::Mark, Kind::Scatter],
            _ => &[Kind::Clear, Kind::Mark, Kind::Add],
        }
    }

    /// Bytes of a unit: all places where one begins are multiples of it.
    fn unit(&self) -> usize {
        if !self.is_whole() {
            return self.size();
        }
        let steps = self.places_space().strides(1).fold(0, |all, step| all | step.unsigned_abs());
        let pitch = self.table.layout().stride(0).unsigned_abs();
        let bytes = (steps | pitch | self.elements.count()).wrapping_mul(self.size());
        let aligned = bytes | self.table.at() as usize | self.rows.at() as usize | UNIT;
        1 << aligned.trailing_zeros()
    }

    fn places_space(&self) -> Space<2> {
        Space::from(&self.places)
    }

    fn spec(&self, kind: Kind) -> Spec {
        let elements = if self.is_whole() { u32::MAX } else { Space::from(&self.elements).rank() as u32 };
        Spec {
            kind,
            flags: self.flags,
            dtype: self.table.dtype(),
            index: self.indices.dtype().size() as u32,
            unit: self.unit() as u32,
            places: self.places_space().rank() as u32,
            elements,
            wide: self.count().max(self.elements.count()) >= 1 << 32,
        }
    }

    /// The arguments, with scratch memory where `kinds` learn of places.
    fn args(&self, stream: &Stream, kinds: &[Kind]) -> Result<Args> {
        let (count, height) = (self.count() as u64, self.table.dims()[0] as u64);
        let slots = height as usize * if self.spec(kinds[0]).wide { 8 } else { 4 };
        let scratch = |needed: bool| if needed { stream.scratch(slots.max(8)) } else { Ok(0) };
        let units = self.elements.count() as u64 * self.size() as u64 / self.unit() as u64;
        // The lanes of a warp add together.
        let least = if kinds.contains(&Kind::Add) { 32 } else { 1 };
        let lanes = units.clamp(least, u64::from(THREADS)).next_power_of_two();
        Ok(Args {
            table: self.table.at(),
            indices: self.indices.at(),
            rows: self.rows.at(),
            verdict: stream.verdict(),
            first: scratch(kinds.contains(&Kind::Add))?,
            last: scratch(kinds.len() > 1)?,
            count,
            height,
            pitch: (self.table.layout().stride(0) * self.size() as isize) as u64,
            units,
            lanes: lanes.ilog2(),
            places: self.places_space().words(),
            elements: Space::from(&self.elements).words(),
        })
    }

    fn launch(&self, stream: &Stream, kinds: &[Kind]) -> Result<()> {
        let _ = self.gpu.set(stream.gpu().clone());
        let args = self.args(stream, kinds)?;
        kinds.iter().try_for_each(|&kind| self.queue(stream, kind, args))
    }

    /// Queues one kernel.
    fn queue(&self, stream: &Stream, kind: Kind, args: Args) -> Result<()> {
        let alone = matches!(kind, Kind::Clear | Kind::Mark);
        let args = if alone { Args { lanes: 0, ..args } } else { args };
        let (spec, lanes) = (self.spec(kind), 1u64 << args.lanes);
        let across = args.count.div_ceil(u64::from(THREADS) / lanes);
        let cuts = args.units.div_ceil(lanes * EACH).min(BLOCKS.div_ceil(across)).max(1);
        let down = if alone { 1 } else { cuts };
        let grid = [across.min(GRID[0]) as u32, down.min(GRID[1]) as u32, 1];
        let kernel = stream.kernel(Key("rows", spec.words()), |target| ptx::kernel(target, spec))?;
        // SAFETY: the operands were checked to lie in their buffers, which the operation keeps; indices outside of the
        // table are not followed; the scratch memory has a slot for every row of the table.
        unsafe { kernel.launch(stream, grid, &args) }
    }
}

/// Kernels of every kind, for the tests.
#[doc(hidden)]
pub fn texts(target: Target) -> Vec<Result<Text>> {
    let whole = |kind, flags, dtype, index, unit| Spec {
        kind,
        flags,
        dtype,
        index,
        unit,
        places: 1,
        elements: u32::MAX,
        wide: false,
    };
    let strided =
        |spec: Spec| Spec { unit: spec.dtype.size() as u32, places: 3, elements: 2, wide: true, ..spec };
    let both = |spec: Spec| [spec, strided(spec)];
    let moves = [Kind::Gather, Kind::Scatter, Kind::Clear, Kind::Mark].into_iter().flat_map(|kind| {
        let some = [(0, 4), (WEFT_ROWS_FROM_END, 8), (WEFT_ROWS_SKIP_NEGATIVE, 4)];
        some.into_iter().flat_map(move |(flags, index)| both(whole(kind, flags, Dtype::Bf16, index, 16)))
    });
    let units = [1, 2, 4, 8].map(|unit| whole(Kind::Gather, 0, Dtype::U8, 4, unit));
    let adds = add::DTYPES.iter().flat_map(|&dtype| both(whole(Kind::Add, WEFT_ROWS_ADD, dtype, 4, 16)));
    let learns = [Kind::Clear, Kind::Mark].map(|kind| whole(kind, WEFT_ROWS_ADD, Dtype::F32, 8, 16));
    let all = moves.chain(units).chain(adds).chain(learns.into_iter().flat_map(both));
    all.map(|spec| ptx::kernel(target, spec).map(Text::from)).collect()
}

//! Gather and scatter on a GPU. Both take as many threads a place as its row keeps busy, or a block for each piece of a long
//! row. A scatter of many places first learns the first and the last place that name each row, one of few is a single kernel.

use super::ptx::{self, Args, Kind, Spec, THREADS, THREADS_LONG};
use super::*;
use crate::device::cuda::{EPOCH_BITS, Key, Stream};
use crate::kernels::gpu::Space;
use crate::op::Choice;
use crate::ptx::{Target, Text};

/// Best first.
pub(super) const GATHER: &[Choice<Rows, Stream>] =
    &[Choice { name: "rows", accepts: |_, _| true, run: |op, stream| op.launch(stream, &[Kind::Gather]) }];
/// Best first.
pub(super) const SCATTER: &[Choice<Rows, Stream>] = &[
    Choice { name: "few", accepts: |op, _| op.count() <= FEW, run: |op, stream| op.launch(stream, op.few()) },
    Choice { name: "rows", accepts: |_, _| true, run: |op, stream| op.launch(stream, op.kinds()) },
];

/// Places that are compared with each other.
const FEW: usize = 1024;

/// Bytes of the largest unit.
const UNIT: usize = 16;
/// Blocks that long rows are cut for, and units of each that a thread moves at least.
const BLOCKS: u64 = 1024;
const EACH: u64 = 4;
/// Places of short rows that a thread has under way at once.
const TOGETHER: u64 = ptx::AHEAD as u64;
/// Grids are no larger.
const GRID: [u64; 2] = [1 << 20, 65535];

impl Rows {
    /// The kernels of a scatter.
    fn kinds(&self) -> &'static [Kind] {
        match self.adds() {
            false => &[Kind::Mark, Kind::Scatter],
            true => &[Kind::Mark, Kind::Add],
        }
    }

    /// The kernel of a scatter of few places.
    fn few(&self) -> &'static [Kind] {
        if self.adds() { &[Kind::AddFew] } else { &[Kind::ScatterFew] }
    }

    fn adds(&self) -> bool {
        self.flags & WEFT_ROWS_ADD != 0
    }

    /// A dtype that moves, or adds, as this one does.
    fn alike(&self) -> Dtype {
        match (self.table.dtype(), self.size()) {
            (dtype, _) if dtype.is_float() && self.adds() => dtype,
            (_, 1) => Dtype::U8,
            (_, 2) => Dtype::U16,
            (_, 4) => Dtype::U32,
            (_, 8) => Dtype::U64,
            (dtype, _) => dtype,
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

    /// Whether a thread moves a unit of each of its places.
    fn is_short(&self, kind: Kind) -> bool {
        matches!(kind, Kind::Gather | Kind::Scatter) && !self.is_long(kind)
    }

    /// Whether a row is enough for a block or more.
    fn is_long(&self, kind: Kind) -> bool {
        matches!(kind, Kind::Gather | Kind::Scatter) && self.units() >= u64::from(THREADS_LONG) * EACH
    }

    /// Units of a row.
    fn units(&self) -> u64 {
        self.elements.count() as u64 * self.size() as u64 / self.unit() as u64
    }

    fn places_space(&self) -> Space<2> {
        Space::from(&self.places)
    }

    fn spec(&self, kind: Kind) -> Spec {
        let moves = !matches!(kind, Kind::Zero | Kind::Mark);
        let strided = moves && !self.is_whole();
        let elements = if strided { Space::from(&self.elements).class() } else { u32::MAX };
        Spec {
            kind,
            adds: self.adds(),
            dtype: if moves { self.alike() } else { Dtype::U8 },
            index: self.indices.dtype().size() as u32,
            unit: if moves { self.unit() as u32 } else { 1 },
            places: self.places_space().class(),
            elements,
            wide: self.count().max(self.elements.count()) >= 1 << 32,
            short: self.is_short(kind),
            long: self.is_long(kind),
        }
    }

    /// The arguments, but for what is learnt of places.
    fn args(&self, stream: &Stream, kinds: &[Kind]) -> Args {
        let units = self.units();
        // The lanes of a warp look at the places, and add, together.
        let least = if kinds.iter().any(|kind| kind.by_warps()) { 32 } else { 1 };
        let lanes = units.clamp(least, u64::from(THREADS)).next_power_of_two();
        Args {
            table: self.table.at(),
            indices: self.indices.at(),
            rows: self.rows.at(),
            verdict: stream.verdict(),
            first: 0,
            last: 0,
            epoch: 0,
            count: self.count() as u64,
            height: self.table.dims()[0] as u64,
            pitch: (self.table.layout().stride(0) * self.size() as isize) as u64,
            units,
            lanes: lanes.ilog2(),
            flags: self.flags,
            places: self.places_space().words(),
            elements: Space::from(&self.elements).words(),
        }
    }

    fn launch(&self, stream: &Stream, kinds: &[Kind]) -> Result<()> {
        let args = self.args(stream, kinds);
        let args = if kinds.contains(&Kind::Mark) { self.marked(stream, args)? } else { args };
        kinds.iter().try_for_each(|&kind| self.queue(stream, kind, args))
    }

    /// With slots for the first and the last place that name each row.
    fn marked(&self, stream: &Stream, args: Args) -> Result<Args> {
        let height = args.height as usize;
        let (at, slots, epoch) = stream.marks(height.saturating_mul(if self.adds() { 2 } else { 1 }))?;
        let args = Args { last: at, first: at + 8 * args.height, ..args };
        let epoch = match epoch {
            0 => {
                self.queue(stream, Kind::Zero, Args { count: slots as u64, ..args })?;
                stream.marks_are_zero()
            }
            epoch => epoch,
        };
        Ok(Args { epoch: epoch << (64 - EPOCH_BITS), ..args })
    }

    /// Queues one kernel.
    fn queue(&self, stream: &Stream, kind: Kind, args: Args) -> Result<()> {
        let spec = self.spec(kind);
        let args = match kind {
            Kind::Zero | Kind::Mark => Args { lanes: 0, ..args },
            _ if spec.long => Args { lanes: THREADS_LONG.ilog2(), ..args },
            _ => args,
        };
        let grid = if spec.long { pieces(&args) } else { grid(stream, spec, &args) };
        let kernel = stream.kernel(Key("rows", spec.words()), |target| ptx::kernel(target, spec))?;
        // SAFETY: the operands were checked to lie in their buffers, which the operation keeps; indices outside of the
        // table are not followed; the scratch memory has a slot for every row of the table.
        unsafe { kernel.launch(stream, grid, &args) }
    }
}

/// A block for each piece of a row; those of a row begin together.
fn pieces(args: &Args) -> [u32; 3] {
    let pieces = args.units.div_ceil(u64::from(THREADS_LONG) * EACH);
    [pieces.min(GRID[0]) as u32, args.count.min(GRID[1]) as u32, 1]
}

/// As many threads a place as `lanes` says.
fn grid(stream: &Stream, spec: Spec, args: &Args) -> [u32; 3] {
    let lanes = 1u64 << args.lanes;
    let together = if spec.short { TOGETHER } else { 1 };
    let across = args.count.div_ceil(u64::from(THREADS) / lanes * together);
    // What waits for several loads in turn is better off without a beginning for each place.
    let resident = 8 * u64::from(stream.gpu().description.multiprocessors);
    let most = if spec.kind == Kind::Add { resident } else { GRID[0] };
    let cuts = args.units.div_ceil(lanes * EACH).min(BLOCKS.div_ceil(across)).max(1);
    let down = match spec.kind {
        Kind::Zero | Kind::Mark => 1,
        _ if spec.short => args.units.div_ceil(lanes).max(1),
        _ => cuts,
    };
    [across.min(most) as u32, down.min(GRID[1]) as u32, 1]
}

/// Kernels of every kind, for the tests.
#[doc(hidden)]
pub fn texts(target: Target) -> Vec<Result<Text>> {
    let whole = |kind, adds, dtype, index, unit| Spec {
        kind,
        adds,
        dtype,
        index,
        unit,
        places: 1,
        elements: u32::MAX,
        wide: false,
        short: false,
        long: false,
    };
    let strided =
        |spec: Spec| Spec { unit: spec.dtype.size() as u32, places: 4, elements: 2, wide: true, ..spec };
    let both = |spec: Spec| [spec, strided(spec)];
    let moves = [Kind::Mark, Kind::ScatterFew];
    let moves = moves.into_iter().flat_map(|kind| {
        [4, 8].into_iter().flat_map(move |index| both(whole(kind, false, Dtype::U16, index, 16)))
    });
    let short = |spec: Spec| Spec { short: true, ..spec };
    let units = [1, 2, 4, 8].map(|unit| short(whole(Kind::Gather, false, Dtype::U8, 4, unit)));
    let shorts = [Kind::Gather, Kind::Scatter]
        .into_iter()
        .flat_map(|kind| both(whole(kind, false, Dtype::U16, 8, 16)).map(short));
    let longs = [Kind::Gather, Kind::Scatter]
        .into_iter()
        .flat_map(|kind| both(whole(kind, false, Dtype::U16, 8, 16)));
    let longs = longs.map(|spec| Spec { long: true, ..spec });
    let adds = [Kind::Add, Kind::AddFew]
        .into_iter()
        .flat_map(|kind| add::DTYPES.iter().flat_map(move |&dtype| both(whole(kind, true, dtype, 4, 16))));
    let learns = [Kind::Zero, Kind::Mark].map(|kind| whole(kind, true, Dtype::U8, 8, 1));
    let all =
        moves.chain(units).chain(shorts).chain(longs).chain(adds).chain(learns.into_iter().flat_map(both));
    all.map(|spec| ptx::kernel(target, spec).map(Text::from)).collect()
}

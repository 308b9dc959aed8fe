//! On CUDA: rows turned in tiles, how the threads of a block share one, and what the kernel is launched with.

use super::cuda::{Tables, check, copy, given, in_pieces, rows_of_tables};
use super::ptx::THREADS;
use super::{Rope, Waves, tiles};
use crate::device::cuda::Stream;
use crate::dtype::Dtype;
use crate::kernels::gpu::piece_len;
use crate::op::Operand;
use crate::status::Result;

/// Whether rows are turned in pieces, the cosines of a position fit a block, and every number is below 2^31.
pub(super) fn suits(rope: &Rope) -> bool {
    let most = match rope.waves {
        Waves::Computed { .. } => tiles::PASSED,
        Waves::Tables { .. } => tiles::HELD,
    };
    let [batches, heads, positions, width] = [0, 1, 2, 3].map(|axis| rope.x.layout().dim(axis));
    let small = [heads.saturating_mul(width), batches.saturating_mul(positions)].iter().all(|&n| n < 1 << 31);
    let parts = 2 * rope.pairs / piece_len(rope.x.dtype()) as usize;
    let held = (1..=most).contains(&rope.pairs) && parts <= THREADS as usize;
    rope.x.dtype() != Dtype::F64 && held && small && in_pieces(rope)
}

pub(super) fn tiles(rope: &Rope, stream: &Stream) -> Result<()> {
    let layout = rope.x.layout();
    if layout.is_empty() {
        return Ok(());
    }
    let bad = check(rope, stream)?;
    let spec = tiles::Spec {
        dtype: rope.x.dtype(),
        tables: match &rope.waves {
            Waves::Tables { cos, sin } => Some([cos.dtype(), sin.dtype()]),
            Waves::Computed { .. } => None,
        },
        indexed: rope.positions.as_ref().map(Operand::dtype),
        half_split: rope.half_split,
    };
    let args = Shares::new(rope, stream, spec).arguments(rope, bad);
    let kernel = stream.kernel(spec.key(), |target| spec.write(target))?;
    // SAFETY: the operands were checked; tiles are of their elements alone.
    unsafe { kernel.launch(stream, [args.tiles[0], 1, 1], &args)? };
    let whole = rope.pairs * 2 == layout.dim(3) || rope.y.same_as(&rope.x);
    if whole { Ok(()) } else { copy(rope, stream, bad) }
}

/// How the threads of a block share a tile.
struct Shares {
    parts: usize,
    /// Heads, and positions, that all threads together have at a time.
    abreast: usize,
    apart: usize,
    /// Positions of a tile: as many as a thread has under way, fewer where blocks would be too few.
    positions: usize,
}

impl Shares {
    fn new(rope: &Rope, stream: &Stream, spec: tiles::Spec) -> Self {
        let (layout, threads) = (rope.x.layout(), THREADS as usize);
        let parts = 2 * rope.pairs / (piece_len(rope.x.dtype()) * spec.pieces()) as usize;
        let abreast = layout.dim(1).min(threads / parts);
        let apart = threads / (parts * abreast);
        let turns = (spec.flight() as usize / layout.dim(1).div_ceil(abreast)).max(1);
        let blocks = 2 * stream.gpu().description.multiprocessors as usize;
        let few = (layout.dim(0) * layout.dim(2)).div_ceil(blocks);
        let positions = (apart * turns).min(few).min(tiles::HELD / rope.pairs).clamp(1, layout.dim(2));
        Self { parts, abreast, apart, positions }
    }

    /// To the next heads, and to the next positions.
    fn steps(&self, [_, head, position]: [i64; 3]) -> [u64; 2] {
        [self.abreast as i64 * head, self.apart as i64 * position].map(i64::cast_unsigned)
    }

    fn arguments(&self, rope: &Rope, bad: u64) -> tiles::Args {
        let [batches, heads, length, _] = [0, 1, 2, 3].map(|axis| rope.x.layout().dim(axis));
        let tiles = length.div_ceil(self.positions);
        let rows = [&rope.x, &rope.y];
        let strides = rows.map(|row| {
            let size = row.dtype().size() as i64;
            [0, 1, 2].map(|axis| row.layout().stride(axis) as i64 * size)
        });
        let numbers = rope.positions.as_ref();
        let (given, (factors, factor_stride, frequencies)) = (given_tables(rope), passed(rope));
        let factor = rope.attention_factor;
        tiles::Args {
            tiles: [tiles * batches, tiles].map(|tiles| tiles as u32),
            positions: [self.positions, length].map(|positions| positions as u32),
            heads: heads as u32,
            pairs: rope.pairs as u32,
            parts: self.parts as u32,
            abreast: self.abreast as u32,
            apart: self.apart as u32,
            rows: rows.map(Operand::at),
            strides: strides.map(|strides| strides.map(i64::cast_unsigned)),
            steps: strides.map(|strides| self.steps(strides)),
            numbers: numbers.map_or(0, Operand::at),
            number_strides: numbers.map_or([0; 2], |n| [0, 1].map(|axis| n.layout().stride(axis) as u64)),
            start: rope.position_start,
            factors,
            factor_stride,
            tables: given.map_or([0; 2], |given| given.at),
            table_strides: given
                .map_or([[0; 3]; 2], |given| given.strides.map(|all| all.map(|one| one as u64))),
            tables_end: rows_of_tables(rope),
            scales: [factor, if rope.inverse { -factor } else { factor }],
            bad,
            frequencies,
        }
    }
}

fn given_tables(rope: &Rope) -> Option<Tables> {
    match &rope.waves {
        Waves::Tables { cos, sin } => Some(given([cos, sin])),
        Waves::Computed { .. } => None,
    }
}

/// The factors and the frequencies that they divide, as the CPU computes them.
fn passed(rope: &Rope) -> (u64, u64, [u64; tiles::PASSED]) {
    let Waves::Computed { base, frequency_scale, factors } = &rope.waves else {
        return (0, 0, [0; tiles::PASSED]);
    };
    let value = |i: usize| frequency_scale * base.powf(-(i as f64) / rope.pairs as f64);
    let frequencies = std::array::from_fn(|i| if i < rope.pairs { value(i).to_bits() } else { 0 });
    let stride = factors.as_ref().map_or(0, |factors| factors.layout().stride(0));
    (factors.as_ref().map_or(0, Operand::at), stride as u64, frequencies)
}

//! Which tiles a multiplication is cut into, into how many parts along k, and what becomes of the sums.

use super::block::{Args, DEPTH};
use super::{LONGEST, arguments, bytes_of_sums, factors, result};
use crate::dtype::Dtype;
use crate::ops::matmul::problem::Problem;

/// What a block computes at once, and how many blocks of a cluster, one below the other, share their columns of B.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// 128, of which each of the two warpgroups has a half; or 64, of which each has half the columns.
    pub rows: u32,
    /// A multiple of 64 for each warpgroup.
    pub columns: u32,
    pub blocks: u32,
}

/// The tiles that there are kernels for.
pub(super) const TILES: [Tile; 4] = [
    Tile { rows: 128, columns: 256, blocks: 2 },
    Tile { rows: 128, columns: 128, blocks: 1 },
    Tile { rows: 64, columns: 256, blocks: 1 },
    Tile { rows: 64, columns: 128, blocks: 1 },
];

/// What becomes of sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// They are scaled and written by the accelerator.
    Tiles,
    /// They stay sums: there are several parts.
    Sums,
    /// Anything that a multiplication can ask for.
    Any,
}

/// All that a kernel is specialised on.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    pub dtype: Dtype,
    /// Of A and B, whether lines along k are contiguous.
    pub along: [bool; 2],
    pub tile: Tile,
    pub end: End,
}

/// How a multiplication is done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub form: Form,
    /// Parts along k.
    pub parts: u32,
    /// Steps of `DEPTH` of such a part.
    depth: u32,
    /// Clusters' tiles down and across.
    tiles: [u32; 2],
    /// Blocks.
    pub grid: u32,
}

/// Bytes of sums that wait to be finished, at most.
const SUMS: usize = 1 << 30;
/// Tiles of all parts and matrices, at most.
const MOST: u64 = 1 << 30;

impl Plan {
    /// The one that should take the least time.
    pub fn of(p: &Problem, multiprocessors: u32) -> Option<Self> {
        let along = factors(p, [64; 2])?.map(|factor| factor.0);
        let parts = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32];
        let pairs = TILES.iter().flat_map(|tile| parts.map(|parts| (*tile, parts)));
        let plans = pairs.filter_map(|(tile, parts)| {
            let plan = Self::new(p, along, tile, parts, multiprocessors)?;
            Some((plan, plan.cycles(p, multiprocessors)))
        });
        plans.min_by(|a, b| a.1.total_cmp(&b.1)).map(|best| best.0)
    }

    fn new(p: &Problem, along: [bool; 2], tile: Tile, parts: u32, multiprocessors: u32) -> Option<Self> {
        let steps = (p.k as u32).div_ceil(DEPTH);
        let depth = steps.div_ceil(parts);
        let parts = steps.div_ceil(depth);
        if parts > 1 && bytes_of_sums(p).checked_mul(parts as usize)? > SUMS {
            return None;
        }
        let tiles = [(p.m as u32).div_ceil(tile.rows * tile.blocks), (p.n as u32).div_ceil(tile.columns)];
        let all =
            [tiles[1], parts].iter().try_fold(u64::from(tiles[0]), |all, &n| all.checked_mul(n.into()))?;
        let all = all.checked_mul(p.batches() as u64).filter(|&all| all <= MOST)?;
        let clusters = (multiprocessors / tile.blocks).max(1).min(all as u32);
        let end = if parts > 1 { End::Sums } else { end(p) };
        let form = Form { dtype: p.a.dtype, along, tile, end };
        Some(Self { form, parts, depth, tiles, grid: clusters * tile.blocks })
    }

    /// How long it should take, in cycles: a model of what was measured.
    fn cycles(&self, p: &Problem, multiprocessors: u32) -> f64 {
        let Tile { rows, columns, blocks } = self.form.tile;
        let all = f64::from(self.tiles[0]) * f64::from(self.tiles[1]) * f64::from(self.parts);
        let clusters = f64::from((multiprocessors / blocks).max(1));
        let waves = (all * p.batches() as f64 / clusters).ceil();
        let multiply = f64::from(rows * columns) / 32.0;
        let fetch = f64::from((rows + columns / blocks) * 128) / 40.0;
        let store = f64::from(rows * columns) / 16.0 + 1500.0;
        let finish = if self.parts > 1 {
            6000.0 + (bytes_of_sums(p) * self.parts as usize * 2) as f64 / 3000.0
        } else {
            0.0
        };
        waves * (f64::from(self.depth) * multiply.max(fetch) + store) + finish
    }

    /// What the kernel is launched with.
    pub fn arguments(&self, p: &Problem, maps: [[u8; 128]; 3]) -> Args {
        let axes = p.axes();
        let apart = |operand: usize| u32::from(axes.iter().any(|axis| axis.1[operand] != 0));
        let steps = (p.k as u32).div_ceil(DEPTH);
        let matrices = p.batches() as u32;
        let total = self.tiles[0] * self.tiles[1] * self.parts * matrices;
        debug_assert!(p.batches() <= LONGEST);
        Args {
            maps,
            rest: arguments(p),
            apart: [apart(0), apart(1)],
            tiles: self.tiles,
            matrices,
            steps: [steps, self.depth],
            total,
        }
    }
}

/// What becomes of sums that are whole.
fn end(p: &Problem) -> End {
    let scaled = p.after.epilogue == 0 && p.c.is_none() && p.bias.is_none();
    if scaled && result(p).is_some() { End::Tiles } else { End::Any }
}

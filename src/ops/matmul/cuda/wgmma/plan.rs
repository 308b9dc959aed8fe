//! Which tiles a multiplication is cut into, into how many parts along k, and what becomes of the sums.

use super::block::{Args, CONSUMERS, GROUP, LINE};
use super::{Task, bytes, factors, result};
use crate::dtype::Dtype;
use crate::ops::matmul::cuda::full::FullArgs;
use crate::ops::matmul::problem::{Problem, View};
use crate::ops::matmul::{WEFT_EPILOGUE_SILU, WEFT_MATMUL_FAST_ACCUMULATION};

/// What a block computes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// 128, of which each of the two warpgroups has a half; or 64, of which each has half the columns.
    pub rows: u32,
    /// A multiple of 64 for each warpgroup.
    pub columns: u32,
}

/// The tiles that there are kernels for.
pub(super) const TILES: [Tile; 5] = [
    Tile { rows: 128, columns: 256 },
    Tile { rows: 128, columns: 192 },
    Tile { rows: 128, columns: 128 },
    Tile { rows: 64, columns: 256 },
    Tile { rows: 64, columns: 128 },
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
    /// The same, of sums of several parts: the blocks of a cluster have one each.
    Joined,
}

/// Scales of 8-bit floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaled {
    /// There are none.
    No,
    /// Of whole rows of A and columns of B.
    Lines,
    /// Of blocks of k: of a step each.
    Blocks,
}

/// All that a kernel is specialised on.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// Of A and B.
    pub types: [Dtype; 2],
    /// Of A and B, whether lines along k are contiguous.
    pub along: [bool; 2],
    pub tile: Tile,
    pub end: End,
    /// Parts along k that the blocks of a cluster have, one each.
    pub joined: u32,
    /// D's dtype, where several neighbours of it are written at once.
    pub lines: Option<Dtype>,
    pub scaled: Scaled,
    /// Whether each column of B has scales of its own.
    pub own: bool,
    /// Whether each step's sums are added to those of the tile.
    pub promoted: bool,
    /// Whether D may ask for all that there is, and whether sums of its columns are wanted.
    pub full: bool,
    pub columns: bool,
}

impl Form {
    /// The part of it that a task asks for, its tile aside.
    fn of(task: &Task, along: [bool; 2]) -> Self {
        let p = &task.problem;
        let extras = task.extras.as_ref();
        let scales = extras.map_or([None; 2], |extras| extras.scales);
        let scaled = match scales {
            [None, None] => Scaled::No,
            _ if task.has_block_scales() => Scaled::Blocks,
            _ => Scaled::Lines,
        };
        let fast = task.flags & WEFT_MATMUL_FAST_ACCUMULATION != 0 && scaled != Scaled::Blocks;
        let full = asks_all(task);
        let end = end(p, full);
        Self {
            types: [p.a.dtype, p.b.dtype],
            along,
            tile: TILES[0],
            end,
            joined: 1,
            lines: if end == End::Tiles { Some(p.d.dtype) } else { lines(p).filter(|_| !full) },
            scaled,
            own: scales[1].is_some_and(|share| share.lines == 1),
            promoted: p.a.dtype.is_small_float() && !fast,
            full,
            columns: task.sums_columns(),
        }
    }

    /// Elements along k of a step.
    pub fn depth(&self) -> u32 {
        LINE / self.types[0].size() as u32
    }

    /// Whether the sums of such a tile, and what is added to them, fit into registers.
    fn fits(&self, tile: Tile) -> bool {
        let most = match self.scaled {
            Scaled::Blocks if self.own || self.full => 128,
            Scaled::Blocks => 256,
            _ if self.promoted => 192,
            _ => 256,
        };
        tile.own_columns() <= most
    }

    /// Columns that a warpgroup multiplies at once: with the sums of all columns of the largest tiles, products of half of them
    /// fit into registers.
    pub fn columns_at_once(&self) -> u32 {
        let own = self.tile.own_columns();
        if self.scaled == Scaled::Blocks && own > 192 { own / 2 } else { own }
    }

    /// Lines of sums of columns that a tile of D makes.
    fn lines_of_columns(&self) -> u32 {
        match self.end {
            End::Joined => self.joined * self.lines_of_block(),
            _ => self.tile.rows / 16,
        }
    }

    /// Those of a block of a cluster: a thread has one column.
    pub fn lines_of_block(&self) -> u32 {
        CONSUMERS * GROUP / self.tile.columns
    }

    /// Rows of A that are fetched of a tile. Those beyond the last need not be: what is made of them is not written.
    pub fn rows_fetched(&self, m: usize) -> u32 {
        let most = self.tile.rows;
        if self.along[0] && m < most as usize { (m as u32).next_multiple_of(8) } else { most }
    }
}

/// D's dtype, where its rows are contiguous and aligned to four elements, as those of everything that is added to it.
fn lines(p: &Problem) -> Option<Dtype> {
    let four = |view: &View, operand: usize| {
        let size = view.dtype.size() as u64;
        let row = bytes(view, if p.m == 1 { 0 } else { view.row });
        let batch = p.axes().iter().fold(0, |all, axis| all | bytes(view, axis.1[operand]));
        view.col == 1 && (view.at as u64 | row | batch).is_multiple_of(4 * size)
    };
    let same = p.axes().iter().all(|axis| axis.1[4] == 0);
    let per_column = |bias: &View| (p.m == 1 || bias.row == 0) && same && four(bias, 4);
    let added = p.c.is_none_or(|c| four(&c, 3)) && p.bias.is_none_or(|bias| per_column(&bias));
    let known = p.bias.is_none_or(|bias| [Dtype::F32, p.d.dtype].contains(&bias.dtype));
    (p.n.is_multiple_of(4) && four(&p.d, 2) && added && known).then_some(p.d.dtype)
}

/// Whether D asks for more than scales, C, a bias and a short epilogue.
fn asks_all(task: &Task) -> bool {
    let p = &task.problem;
    let more = task.extras.as_ref().is_some_and(|extras| {
        extras.aux.is_some() || extras.d_scale != 0 || extras.amax != 0 || extras.sums_columns()
    });
    let other = p.c.is_some_and(|c| c.dtype != p.d.dtype);
    more || other || p.d.dtype.is_small_float() || p.after.epilogue > WEFT_EPILOGUE_SILU
}

/// How a multiplication is done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub form: Form,
    /// Parts along k.
    pub parts: u32,
    /// Steps of such a part.
    depth: u32,
    /// Tiles down and across.
    pub tiles: [u32; 2],
    /// Blocks.
    pub grid: u32,
    /// Tiles of all parts and matrices.
    total: u32,
}

/// Bytes of sums that wait to be finished, at most.
const SUMS: u64 = 1 << 30;
/// Tiles of all parts and matrices, at most.
const MOST: u64 = 1 << 30;

/// Parts along k: as many as there are blocks of a cluster, or any number with sums in memory.
const JOINED: [u32; 3] = [2, 4, 8];
const APART: [u32; 6] = [4, 8, 12, 16, 24, 32];

/// How k is cut.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Whole,
    Joined(u32),
    Apart(u32),
}

/// What all plans for a multiplication have in common.
struct Sizes {
    /// With what becomes of sums that are whole.
    form: Form,
    m: u32,
    n: u32,
    /// Along k.
    steps: u32,
    /// Bytes of an element of D.
    written: u32,
    batches: u64,
    multiprocessors: u32,
}

impl Plan {
    /// The one that should take the least time.
    pub fn of(task: &Task, multiprocessors: u32) -> Option<Self> {
        let sizes = Sizes::of(task, multiprocessors)?;
        let mut best: Option<(Self, f64)> = None;
        for tile in TILES.into_iter().filter(|tile| sizes.form.fits(*tile)) {
            let whole = sizes.plan(tile, Cut::Whole)?;
            let idle = whole.total < multiprocessors && tile.columns.is_power_of_two();
            let joined = JOINED.iter().filter(|_| idle).map(|&parts| Cut::Joined(parts));
            let plain = !sizes.form.full && sizes.form.scaled == Scaled::No;
            let apart = APART.iter().filter(|_| idle && plain).map(|&parts| Cut::Apart(parts));
            let cuts = joined.chain(apart).filter_map(|cut| sizes.plan(tile, cut));
            for plan in std::iter::once(whole).chain(cuts) {
                let cycles = sizes.cycles(&plan);
                if best.is_none_or(|best| cycles < best.1) {
                    best = Some((plan, cycles));
                }
            }
        }
        best.map(|best| best.0)
    }
}

impl Sizes {
    fn of(task: &Task, multiprocessors: u32) -> Option<Self> {
        let p = &task.problem;
        let form = Form::of(task, factors(p, [64; 2])?.map(|factor| factor.0));
        let (m, n, steps) = (p.m as u32, p.n as u32, (p.k as u32).div_ceil(form.depth()));
        let (batches, written) = (p.batches() as u64, p.d.dtype.size() as u32);
        Some(Self { form, m, n, steps, written, batches, multiprocessors })
    }

    fn bytes_of_sums(&self) -> u64 {
        u64::from(self.m) * u64::from(self.n) * self.batches * 4
    }

    fn plan(&self, tile: Tile, cut: Cut) -> Option<Plan> {
        let (wanted, end, joined) = match cut {
            Cut::Whole => (1, self.form.end, 1),
            Cut::Joined(parts) => (parts, End::Joined, parts),
            Cut::Apart(parts) => (parts, End::Sums, 1),
        };
        let depth = self.steps.div_ceil(wanted);
        // The last part may not be empty.
        let parts = Some(self.steps.div_ceil(depth)).filter(|&parts| parts == wanted)?;
        if end == End::Sums && self.bytes_of_sums().saturating_mul(u64::from(parts)) > SUMS {
            return None;
        }
        let tiles = [self.m.div_ceil(tile.rows), self.n.div_ceil(tile.columns)];
        let all =
            [tiles[0], tiles[1], parts].iter().try_fold(self.batches, |all, &n| all.checked_mul(n.into()))?;
        let all = Some(all).filter(|&all| all <= MOST)? as u32;
        let grid = match cut {
            Cut::Joined(_) => all,
            _ => self.multiprocessors.max(1).min(all),
        };
        let lines = self.form.lines.filter(|_| end != End::Sums);
        let form = Form { tile, end, joined, lines, ..self.form };
        Some(Plan { form, parts, depth, tiles, grid, total: all })
    }

    /// How long it should take, in cycles: a model that was fitted to an H200.
    fn cycles(&self, plan: &Plan) -> f64 {
        let Tile { rows, columns } = plan.form.tile;
        // A cluster lies within a part of the device, and the parts differ.
        let at_once = match plan.form.joined {
            1 => self.multiprocessors,
            2 => self.multiprocessors / 2 * 2,
            joined => self.multiprocessors * 3 / 4 / joined * joined,
        };
        let waves = f64::from(plan.total.div_ceil(at_once.max(1)));
        // Flat tiles are read more often.
        let multiply = f64::from(rows * columns) / 32.0 * if rows < 128 { 1.15 } else { 1.1 };
        // Rows beyond the last are fetched slowly: as zeros.
        let there = f64::from(self.m) / f64::from(plan.tiles[0] * rows);
        let fetched = if self.m < rows { 1.0 } else { 1.0 + 1.2 * (1.0 - there) };
        // What one warpgroup adds up is not all hidden behind what the other multiplies.
        let multiply = multiply + if self.form.scaled == Scaled::Blocks { 75.0 } else { 0.0 };
        let fetch = f64::from((rows + columns) * 128) / 75.0;
        let store = f64::from(rows * columns) / 20.0 + 1000.0;
        let [m, n, k] = [self.m, self.n, self.steps * LINE].map(f64::from);
        let memory = (m * k + n * k + m * n * f64::from(self.written)) * self.batches as f64 / 2000.0;
        let compute = waves * (f64::from(plan.depth) * fetched * multiply.max(fetch) + store);
        let finish = match plan.form.end {
            End::Sums => 16000.0 + (self.bytes_of_sums() * u64::from(plan.parts) * 2) as f64 / 2000.0,
            End::Joined => 6500.0 * waves,
            _ => 0.0,
        };
        compute.max(memory) + 0.3 * compute.min(memory) + finish
    }
}

impl Plan {
    /// What the kernel is launched with.
    pub fn arguments(&self, task: &Task, maps: [[u8; 128]; 3]) -> Args {
        let (p, axes) = (&task.problem, task.problem.axes());
        let apart = |operand: usize| u32::from(axes.iter().any(|axis| axis.1[operand] != 0));
        Args {
            maps,
            rest: FullArgs { scaled_sums: 0, down: self.lines_of_columns(), ..task.arguments() },
            apart: [apart(0), apart(1)],
            tiles: self.tiles,
            matrices: p.batches() as u32,
            steps: [(p.k as u32).div_ceil(self.form.depth()), self.depth],
            total: self.total,
            bytes: (self.form.rows_fetched(p.m) + self.form.tile.columns) * LINE,
        }
    }

    /// Lines of sums of columns for each matrix.
    pub fn lines_of_columns(&self) -> u64 {
        u64::from(self.tiles[0]) * u64::from(self.form.lines_of_columns())
    }
}

/// What becomes of sums that are whole.
fn end(p: &Problem, full: bool) -> End {
    let scaled = !full && p.after.epilogue == 0 && p.c.is_none() && p.bias.is_none();
    if scaled && result(p).is_some() { End::Tiles } else { End::Any }
}

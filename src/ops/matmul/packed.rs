//! The blocked product of packed panels, in f32: B is packed once for a block of columns, then tiles of rows pack their
//! part of A and run the register tiles. k is cut into blocks of fixed size, so that a panel of B fits the first cache;
//! sums wait between blocks in scratch memory and leave for D through the epilogue after the last.

use super::cpu::try_parallel;
use super::finish::{Part, finish};
use super::pack::{Lines, SLACK, pack};
use super::problem::Problem;
use super::tile::{Kernel, Run};
use crate::device::{Cpu, cpu::Scratch};
use crate::dtype::Dtype;
use crate::status::{Error, Result};
use std::ops::Range;

/// Units of k in a block.
const DEPTH: usize = 256;
/// Units of packed B at the most, but at least a few panels where k has at most LONG units.
const B_UNITS: usize = 1 << 20;
const LONG: usize = 1 << 16;
/// Panels of A in a tile of rows at the most: with the sums that wait between blocks they fit a second-level cache.
const A_PANELS: usize = 6;
/// Panels of B that are packed together, and units at a time: rows are read in long pieces.
const GROUP: usize = 8;
const FEW_UNITS: usize = 16;
/// Rough units a nanosecond: multiplied, and packed.
const RATE: f64 = 60.0;
const PACK_RATE: f64 = 2.0;
/// The most elements that a tile has.
const TILE: usize = 14 * 32;

/// Whether sums are f32.
pub fn accepts(p: &Problem, _: &Cpu) -> bool {
    p.k > 0 && p.a.dtype != Dtype::F64
}

/// A block of columns, its B packed.
struct Block<'a> {
    p: &'a Problem,
    kernel: &'static Kernel,
    /// Units along k.
    units: usize,
    col: usize,
    cols: usize,
    b: *mut u32,
}

// SAFETY: `b` is scratch memory: written by tiles that each own their panels, then only read.
unsafe impl Sync for Block<'_> {}

/// Multiplies one matrix.
pub fn run(p: &Problem, cpu: &Cpu) -> Result<()> {
    let kernel = Kernel::best(p.a.dtype == Dtype::Bf16 && p.b.dtype == Dtype::Bf16);
    let units = if kernel.pairs { p.k.div_ceil(2) } else { p.k };
    // A is packed again for each block of columns, so that a long k still needs some panels.
    let least = if units <= LONG { 8 } else { 1 };
    let most = (B_UNITS / units / kernel.cols).max(least) * kernel.cols;
    let cols = most.min(p.n.next_multiple_of(kernel.cols));
    let size = cols.checked_mul(units).and_then(|size| size.checked_add(SLACK));
    let b = Scratch::<u32>::new(size.ok_or_else(|| Error::out_of_memory(usize::MAX))?)?;
    for col in (0..p.n).step_by(cols) {
        let block = Block { p, kernel, units, col, cols: cols.min(p.n - col), b: b.ptr() };
        block.pack(cpu);
        block.multiply(cpu)?;
    }
    Ok(())
}

impl Block<'_> {
    fn panels(&self) -> usize {
        self.cols.div_ceil(self.kernel.cols)
    }

    /// Where the panel of B is for the k from this unit.
    fn panel(&self, panel: usize, unit: usize, depth: usize) -> *mut u32 {
        self.b.wrapping_add((unit * self.panels() + panel * depth) * self.kernel.cols)
    }

    /// Elements of k from a unit on, at most `depth` units of them.
    fn elements(&self, unit: usize, depth: usize) -> (usize, usize) {
        let pair = 1 + usize::from(self.kernel.pairs);
        (unit * pair, (depth * pair).min(self.p.k - unit * pair))
    }

    fn pack(&self, cpu: &Cpu) {
        let ns = self.cols as f64 * self.units as f64 / PACK_RATE;
        cpu.parallel(self.panels().div_ceil(GROUP), ns as u64, |group| {
            let first = group * GROUP;
            let panels = first..self.panels().min(first + GROUP);
            for unit in (0..self.units).step_by(DEPTH) {
                self.pack_group(panels.clone(), unit, DEPTH.min(self.units - unit));
            }
        });
    }

    /// Packs one block of k of some panels: a few rows of B at a time across all of them where rows are contiguous,
    /// panel after panel where columns are.
    fn pack_group(&self, panels: Range<usize>, unit: usize, depth: usize) {
        let at_once = if self.p.b.row == 1 { depth } else { FEW_UNITS };
        for from in (0..depth).step_by(at_once) {
            for panel in panels.clone() {
                let to = self.panel(panel, unit, depth).wrapping_add(from * self.kernel.cols);
                self.pack_panel(panel, unit + from, at_once.min(depth - from), to);
            }
        }
    }

    fn pack_panel(&self, panel: usize, unit: usize, depth: usize, to: *mut u32) {
        let (b, first) = (&self.p.b, panel * self.kernel.cols);
        let count = self.kernel.cols.min(self.cols - first);
        let (k, elements) = self.elements(unit, depth);
        let at = element(b.dtype, b, k, self.col + first);
        let lines = Lines { at, dtype: b.dtype, line: b.col, step: b.row, count, k: elements };
        // SAFETY: these columns of B exist; a panel is as wide as a tile, so nothing falls past its end.
        unsafe { pack(self.kernel, lines, self.kernel.cols, to) };
    }

    /// Rows of a tile and panels of B of a tile, so that all threads have tiles.
    fn tile(&self, cpu: &Cpu) -> (usize, usize) {
        let most = self.kernel.rows();
        let wanted = 4 * cpu.threads();
        let (mut rows, mut across) = (A_PANELS.min(self.p.m.div_ceil(most)), self.panels());
        if cpu.threads() == 1 {
            return (rows * most, across);
        }
        let tiles =
            |rows: usize, across: usize| self.p.m.div_ceil(rows * most) * self.panels().div_ceil(across);
        while tiles(rows, across) < wanted && (rows > 4 || across > 4) {
            if rows > 4 && rows * 2 > across { rows = rows.div_ceil(2) } else { across = across.div_ceil(2) }
        }
        (rows * most, across)
    }

    fn multiply(&self, cpu: &Cpu) -> Result<()> {
        let (rows, panels) = self.tile(cpu);
        let across = self.panels().div_ceil(panels);
        let ns = self.p.m as f64 * self.cols as f64 * self.units as f64 / RATE;
        try_parallel(cpu, self.p.m.div_ceil(rows) * across, ns as u64, |tile| {
            let (row, panel) = (tile / across * rows, tile % across * panels);
            Rows::new(self, row, rows.min(self.p.m - row), panel, panels.min(self.panels() - panel))?.run();
            Ok(())
        })
    }
}

/// A tile of rows by panels of B, with its packed A and the sums between blocks of k.
struct Rows<'a> {
    block: &'a Block<'a>,
    row: usize,
    rows: usize,
    panel: usize,
    panels: usize,
    a: Scratch<u32>,
    sums: Option<Scratch<f32>>,
}

impl<'a> Rows<'a> {
    fn new(block: &'a Block, row: usize, rows: usize, panel: usize, panels: usize) -> Result<Self> {
        let a = Scratch::new(rows * DEPTH.min(block.units) + SLACK)?;
        let count = rows.div_ceil(block.kernel.rows()) * panels * TILE;
        let sums = if block.units > DEPTH { Some(Scratch::new(count)?) } else { None };
        Ok(Self { block, row, rows, panel, panels, a, sums })
    }

    fn run(&self) {
        for unit in (0..self.block.units).step_by(DEPTH) {
            let depth = DEPTH.min(self.block.units - unit);
            self.pack(unit, depth);
            for panel in 0..self.panels {
                let b = self.block.panel(self.panel + panel, unit, depth);
                for (index, row) in (0..self.rows).step_by(self.block.kernel.rows()).enumerate() {
                    let a = self.a.ptr().wrapping_add(row * depth);
                    let number = panel * self.rows.div_ceil(self.block.kernel.rows()) + index;
                    self.tile(Spot { unit, depth, row, panel, number }, a, b);
                }
            }
        }
    }

    /// Packs these rows of A; their panels follow one another, row r at `r depth` or in the panel that begins there.
    fn pack(&self, unit: usize, depth: usize) {
        let (a, most) = (&self.block.p.a, self.block.kernel.rows());
        let (k, elements) = self.block.elements(unit, depth);
        for row in (0..self.rows).step_by(most) {
            let count = most.min(self.rows - row);
            let at = element(a.dtype, a, self.row + row, k);
            let lines = Lines { at, dtype: a.dtype, line: a.row, step: a.col, count, k: elements };
            // SAFETY: these rows of A exist; a panel's spill falls on panels packed later or on the slack at the end.
            unsafe { pack(self.block.kernel, lines, count, self.a.ptr().wrapping_add(row * depth)) };
        }
    }

    fn tile(&self, spot: Spot, a: *const u32, b: *const u32) {
        let kernel = self.block.kernel;
        let rows = kernel.rows().min(self.rows - spot.row);
        let cols = kernel.cols as isize;
        let waiting = self.sums.as_ref().map(|sums| sums.ptr().wrapping_add(spot.number * TILE));
        let from = waiting.filter(|_| spot.unit > 0).map_or(std::ptr::null(), |sums| sums.cast_const());
        let run = Run {
            depth: spot.depth,
            a,
            b,
            from,
            from_stride: cols,
            to: std::ptr::null_mut(),
            to_stride: cols,
        };
        let tile = kernel.tiles[rows - 1];
        let mut own = [std::mem::MaybeUninit::<f32>::uninit(); TILE];
        let last = spot.unit + spot.depth == self.block.units;
        let part = self.part(&spot, rows);
        let direct =
            last && part.cols == kernel.cols && self.block.p.d.col == 1 && self.block.p.d.dtype == Dtype::F32;
        // SAFETY: the panels were packed for this depth; sums and `own` hold a tile; where the tile goes to D itself,
        // all of it lies inside D, in rows of f32 that follow `row`; this part of D is this call's alone.
        unsafe {
            match waiting {
                Some(sums) if !last => tile(Run { to: sums, ..run }),
                _ if direct && self.block.p.is_plain() => {
                    let d = &self.block.p.d;
                    tile(Run { to: d.ptr(part.row, part.col), to_stride: d.row, ..run });
                }
                _ => {
                    tile(Run { to: own.as_mut_ptr().cast(), ..run });
                    finish(self.block.p, Part { sums: own.as_ptr().cast::<f32>(), ..part });
                }
            }
        }
    }

    /// The part of D that a tile is.
    fn part(&self, spot: &Spot, rows: usize) -> Part<f32> {
        let (block, panel) = (self.block, self.panel + spot.panel);
        let first = panel * block.kernel.cols;
        let cols = block.kernel.cols.min(block.cols - first);
        let stride = block.kernel.cols;
        Part { row: self.row + spot.row, col: block.col + first, rows, cols, sums: std::ptr::null(), stride }
    }
}

/// Which register tile.
struct Spot {
    unit: usize,
    depth: usize,
    /// Its first row, and its panel, in the tile of rows.
    row: usize,
    panel: usize,
    /// Its number in the tile of rows.
    number: usize,
}

fn element(dtype: Dtype, view: &super::problem::View, i: usize, j: usize) -> *const u8 {
    if dtype.size() == 2 { view.ptr::<u16>(i, j).cast() } else { view.ptr::<u32>(i, j).cast() }
}

//! The blocked product of packed panels, in f32 or i32: B is packed once for a block of columns, then tiles of rows pack their
//! part of A and run the register tiles. k is cut into blocks of fixed size, so that panels of A fit the second cache;
//! sums wait between blocks in scratch memory and leave for D through the epilogue after the last. Where scales differ between
//! blocks of k, those are the blocks, and each one's sums are scaled on their way to those that wait. Where rows are few and
//! B's columns are contiguous, each tile packs its panels of B when it comes to them: they are still in cache when the rows
//! meet them.

use super::cpu::try_parallel;
use super::extra::BLOCK;
use super::finish::{Part, finish};
use super::integer;
use super::more::block;
use super::pack::{Lines, SLACK, pack};
use super::problem::Problem;
use super::quantised;
use super::tile::{Kernel, LINE, Run, Units};
use crate::device::{Cpu, cpu::Scratch};
use crate::dtype::Dtype;
use crate::for_each_isa;
use crate::status::{Error, Result};
use std::ops::Range;

/// Units of k in a block: panels of A and B stream from the second-level cache, and sums seldom wait.
const DEPTH: usize = 1024;
/// Units of packed B at the most, but at least a few panels where k has at most LONG units.
const B_UNITS: usize = 1 << 21;
/// Columns at the most where sums wait between blocks of k: those of a tile of rows stay in the second-level cache.
const WAITING_COLS: usize = 1024;
const LONG: usize = 1 << 16;
/// Panels of A in a tile of rows at the most: with the sums that wait between blocks they fit a second-level cache.
const A_PANELS: usize = 6;
/// Panels of B that are packed together, and units at a time: rows are read in long pieces.
const GROUP: usize = 8;
const FEW_UNITS: usize = 16;
/// Units of A at the most, and columns for each row at the least, where panels of B are packed one by one.
const FEW_A: usize = 1 << 17;
const WIDE: usize = 4;
/// Rough units a nanosecond: multiplied, and packed.
const RATE: f64 = 100.0;
const PACK_RATE: f64 = 8.0;
/// The most elements that a tile has.
const TILE: usize = 14 * COLS;
/// The most columns that a tile has.
const COLS: usize = 32;

/// Elements of k whose products of i8 can be added up in i32.
const EXACT: usize = 1 << 16;

/// Whether sums are f32 or i32, and there is room for a packed B.
pub fn accepts(p: &Problem, _: &Cpu) -> bool {
    p.k > 0
        && !matches!(p.a.dtype, Dtype::F64 | Dtype::C32 | Dtype::C64)
        && Plan::new(p).bytes() <= p.workspace
}

/// How a problem is cut.
struct Plan {
    kernel: &'static Kernel,
    /// Units along k.
    units: usize,
    /// Units of k in a block.
    depth: usize,
    /// Columns in a block.
    cols: usize,
    /// Whether each block's sums are scaled (and made f32 of) before they are added up.
    scales: bool,
    /// Whether tiles pack their own panels of B.
    alone: bool,
}

impl Plan {
    fn new(p: &Problem) -> Self {
        let kernel = Kernel::best(p.a.dtype, p.b.dtype);
        let per = kernel.units.per();
        let units = p.k.div_ceil(per);
        let long = p.a.dtype == Dtype::I8 && p.d.dtype != Dtype::I32 && p.k > EXACT;
        let depth = if p.has_blocks() { BLOCK / per } else { DEPTH };
        // A is packed again for each block of columns, so that a long k still needs some panels.
        let least = if units <= LONG { 8 } else { 1 };
        let most = (B_UNITS / units / kernel.cols).max(least) * kernel.cols;
        let most = if units > depth { most.min(WAITING_COLS) } else { most };
        let cols = most.min(p.n.next_multiple_of(kernel.cols));
        let scales = p.has_blocks() || long;
        let few = p.m <= FEW_A / units && p.m <= p.n / WIDE;
        let few = few && p.b.row == 1 && !p.b.dtype.is_quantised();
        let alone = few && units <= depth && !scales && kernel.units != Units::Quads;
        Self { kernel, units, depth, cols, scales, alone }
    }

    /// How many sets of sums of B's columns there are: those that A's bytes have too much.
    fn offsets(&self) -> usize {
        match (self.kernel.units, self.scales) {
            (Units::Quads, true) => self.units.div_ceil(self.depth),
            (Units::Quads, false) => 1,
            _ => 0,
        }
    }

    /// Of scratch memory that threads share.
    fn bytes(&self) -> u64 {
        let words = (self.cols as u128) * (self.units as u128 + self.offsets() as u128) + SLACK as u128;
        u64::try_from(words.saturating_mul(4)).unwrap_or(u64::MAX)
    }
}

/// A block of columns, its B packed.
struct Block<'a> {
    p: &'a Problem,
    plan: &'a Plan,
    kernel: &'static Kernel,
    /// Units along k.
    units: usize,
    col: usize,
    cols: usize,
    b: *mut u32,
    /// For each block of k that is scaled, or once, -128 times the sum of each column of B.
    offsets: *mut i32,
}

// SAFETY: `b` and `offsets` are scratch memory: written by tiles that each own their panels, then only read.
unsafe impl Sync for Block<'_> {}

/// Multiplies one matrix.
pub fn run(p: &Problem, cpu: &Cpu) -> Result<()> {
    let plan = Plan::new(p);
    let Plan { kernel, units, cols, .. } = plan;
    // What blocks have been scaled by is not for the end.
    let scaled = plan.scales.then(|| p.scaled_before(true));
    let p = scaled.as_ref().unwrap_or(p);
    let shared = if plan.alone { 0 } else { cols };
    let size = shared.checked_mul(units).and_then(|size| size.checked_add(SLACK));
    let b = Scratch::<u32>::new(size.ok_or_else(|| Error::out_of_memory(usize::MAX))?)?;
    let offsets = if plan.offsets() > 0 { Some(Scratch::<i32>::new(plan.offsets() * cols)?) } else { None };
    let offsets = offsets.as_ref().map_or(std::ptr::null_mut(), Scratch::ptr);
    for col in (0..p.n).step_by(cols) {
        let (plan, cols) = (&plan, cols.min(p.n - col));
        let block = Block { p, plan, kernel, units, col, cols, b: b.ptr(), offsets };
        if !plan.alone {
            block.pack(cpu);
        }
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
        let per = self.kernel.units.per();
        (unit * per, (depth * per).min(self.p.k - unit * per))
    }

    fn pack(&self, cpu: &Cpu) {
        let ns = self.cols as f64 * self.units as f64 / PACK_RATE;
        cpu.parallel(self.panels().div_ceil(GROUP), ns as u64, |group| {
            let first = group * GROUP;
            let panels = first..self.panels().min(first + GROUP);
            for unit in (0..self.units).step_by(self.plan.depth) {
                let depth = self.plan.depth.min(self.units - unit);
                self.pack_group(panels.clone(), unit, depth);
                if self.kernel.units == Units::Quads {
                    panels.clone().for_each(|panel| self.sum_up(panel, unit, depth));
                }
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

    /// The sums of a panel's columns over a block of k, -128 times: what A's bytes, which have 128 added, multiply too much.
    /// Sums of tiles begin with them.
    fn sum_up(&self, panel: usize, unit: usize, depth: usize) {
        static ONES: [u32; DEPTH] = [0x8080_8080; DEPTH];
        let (b, to) =
            (self.panel(panel, unit, depth).cast_const(), self.offsets_of(panel, unit).cast::<f32>());
        let fresh = unit == 0 || self.plan.scales;
        let (from, ahead) = (if fresh { std::ptr::null() } else { to.cast_const() }, b);
        let (a, cols) = (ONES.as_ptr(), self.kernel.cols as isize);
        // SAFETY: the panel is packed, and this tile's alone, and so are its offsets; a block has at most DEPTH units.
        unsafe {
            self.kernel.tiles[0](Run { depth, a, b, ahead, from, from_stride: cols, to, to_stride: cols });
            if self.plan.scales || unit + depth == self.units {
                let sums = std::slice::from_raw_parts_mut(to.cast::<i32>(), self.kernel.cols);
                sums.iter_mut().for_each(|sum| *sum = sum.wrapping_neg());
            }
        };
    }

    /// Where the offsets of a panel's columns are, for the block of k from this unit.
    fn offsets_of(&self, panel: usize, unit: usize) -> *mut i32 {
        let set = if self.plan.scales { unit / self.plan.depth } else { 0 };
        self.offsets.wrapping_add(set * self.plan.cols + panel * self.kernel.cols)
    }

    fn pack_panel(&self, panel: usize, unit: usize, depth: usize, to: *mut u32) {
        let (b, first) = (&self.p.b, panel * self.kernel.cols);
        let count = self.kernel.cols.min(self.cols - first);
        let (k, elements) = self.elements(unit, depth);
        if b.dtype.is_quantised() {
            return self.decode_panel(self.col + first, count, k..k + elements, to);
        }
        let at = b.address(k, self.col + first);
        let lines = Lines { at, dtype: b.dtype, line: b.col, step: b.row, count, k: elements, flip: 0 };
        // SAFETY: these columns of B exist; a panel is as wide as a tile, so nothing falls past its end.
        unsafe { pack(self.kernel, lines, self.kernel.cols, to) };
    }

    /// Packs `count` columns of blocks: a few of the blocks are decoded into memory that stays in the first cache.
    fn decode_panel(&self, col: usize, count: usize, k: Range<usize>, to: *mut u32) {
        const AT_ONCE: usize = 256;
        let (b, cols) = (&self.p.b, self.kernel.cols);
        let mut items = [std::mem::MaybeUninit::<f32>::uninit(); AT_ONCE * COLS];
        let items = items.as_mut_ptr().cast::<f32>();
        for from in k.clone().step_by(AT_ONCE) {
            let length = AT_ONCE.min(k.end - from);
            let (first, blocks) = (from / b.dtype.block(), length / b.dtype.block());
            for line in 0..count {
                let column = b.moved(((col + line) as isize).wrapping_mul(b.col));
                // SAFETY: these blocks of the column exist; `items` holds AT_ONCE elements of each of COLS lines.
                unsafe {
                    let from = column.moved(first as isize).at;
                    quantised::decode(b.dtype, from, blocks, items.wrapping_add(line * AT_ONCE));
                }
            }
            let line = AT_ONCE as isize;
            let lines =
                Lines { at: items.cast(), dtype: Dtype::F32, line, step: 1, count, k: length, flip: 0 };
            // SAFETY: these lines were written; a panel is as wide as a tile, so nothing falls past its end.
            unsafe { pack(self.kernel, lines, cols, to.wrapping_add((from - k.start) * cols)) };
        }
    }

    fn multiply(&self, cpu: &Cpu) -> Result<()> {
        let cut = if self.plan.alone { self.cut_across(cpu.threads()) } else { self.cut(cpu.threads()) };
        let ns = self.p.m as f64 * self.cols as f64 * self.units as f64 / RATE;
        try_parallel(&cpu.lending(), cut.down * cut.across, ns as u64, |tile| {
            let rows = piece(self.p.m.div_ceil(cut.height), cut.down, tile / cut.across);
            let rows = rows.start * cut.height..self.p.m.min(rows.end * cut.height);
            let panels = piece(self.panels(), cut.across, tile % cut.across);
            Rows::new(self, cut.height, rows, panels)?.run();
            Ok(())
        })
    }

    /// All rows in one, a thread's columns in two.
    fn cut_across(&self, threads: usize) -> Cut {
        let height = self.p.m.div_ceil(self.p.m.div_ceil(self.kernel.rows()));
        let across = if threads > 1 { (2 * threads).min(self.panels()) } else { 1 };
        Cut { height, down: 1, across }
    }

    /// Tiles alike for all threads, four each if they are not too small for it.
    fn cut(&self, threads: usize) -> Cut {
        let least = self.p.m.div_ceil(self.kernel.rows());
        let height = self.p.m.div_ceil(if least > threads { least.next_multiple_of(threads) } else { least });
        let panels = self.p.m.div_ceil(height);
        let (mut down, mut across) = (panels.div_ceil(A_PANELS).next_multiple_of(threads).min(panels), 1);
        while threads > 1 && down * across < 4 * threads {
            match (panels.div_ceil(down), self.panels().div_ceil(across)) {
                (rows, cols) if rows > 4 && 2 * rows > cols => down *= 2,
                (rows, cols) if rows > 4 || cols > 4 => across *= 2,
                _ => break,
            }
        }
        Cut { height, down, across }
    }
}

/// How a block is cut: rows of a register tile, pieces of its rows and of its panels.
struct Cut {
    height: usize,
    down: usize,
    across: usize,
}

/// One of the pieces, as equal as can be, of a count.
pub fn piece(count: usize, pieces: usize, number: usize) -> Range<usize> {
    let cut = |number: usize| (number as u128 * count as u128 / pieces as u128) as usize;
    cut(number)..cut(number + 1)
}

/// A tile of rows by panels of B, with its packed A and the sums between blocks of k.
struct Rows<'a> {
    block: &'a Block<'a>,
    /// Rows of a register tile.
    height: usize,
    rows: Range<usize>,
    panels: Range<usize>,
    a: Scratch<u32>,
    /// A panel of B of its own.
    b: Option<Scratch<u32>>,
    sums: Option<Scratch<f32>>,
}

impl<'a> Rows<'a> {
    fn new(block: &'a Block, height: usize, rows: Range<usize>, panels: Range<usize>) -> Result<Self> {
        let depth = block.plan.depth;
        let a = Scratch::new(rows.len() * depth.min(block.units) + SLACK)?;
        let count = rows.len().div_ceil(height) * panels.len() * TILE;
        let waits = block.units > depth || block.plan.scales;
        let sums = if waits { Some(Scratch::new(count)?) } else { None };
        let panel = block.kernel.cols * block.units + SLACK;
        let b = if block.plan.alone { Some(Scratch::new(panel)?) } else { None };
        Ok(Self { block, height, rows, panels, a, b, sums })
    }

    fn run(&self) {
        for unit in (0..self.block.units).step_by(self.block.plan.depth) {
            let depth = self.block.plan.depth.min(self.block.units - unit);
            self.pack(unit, depth);
            let mut number = 0;
            for panel in self.panels.clone() {
                let b = self.panel(panel, unit, depth);
                for row in (0..self.rows.len()).step_by(self.height) {
                    let a = self.a.ptr().wrapping_add(row * depth);
                    self.tile(Spot { unit, depth, row, panel, number }, a, b);
                    number += 1;
                }
            }
        }
    }

    /// A panel of B, packed now if it is to be this tile's own.
    fn panel(&self, panel: usize, unit: usize, depth: usize) -> *const u32 {
        let Some(own) = &self.b else { return self.block.panel(panel, unit, depth) };
        self.block.pack_panel(panel, unit, depth, own.ptr());
        own.ptr()
    }

    /// Packs these rows of A; their panels follow one another, row r at `r depth` or in the panel that begins there.
    fn pack(&self, unit: usize, depth: usize) {
        let a = &self.block.p.a;
        let (k, elements) = self.block.elements(unit, depth);
        let flip = if self.block.kernel.units == Units::Quads { 0x8080_8080 } else { 0 };
        for row in (0..self.rows.len()).step_by(self.height) {
            let count = self.height.min(self.rows.len() - row);
            let at = a.address(self.rows.start + row, k);
            let lines = Lines { at, dtype: a.dtype, line: a.row, step: a.col, count, k: elements, flip };
            // SAFETY: these rows of A exist; a panel's spill falls on panels packed later or on the slack at the end.
            unsafe { pack(self.block.kernel, lines, count, self.a.ptr().wrapping_add(row * depth)) };
        }
    }

    fn tile(&self, spot: Spot, a: *const u32, b: *const u32) {
        let kernel = self.block.kernel;
        let rows = self.height.min(self.rows.len() - spot.row);
        let cols = kernel.cols as isize;
        let waiting = self.sums.as_ref().map(|sums| sums.ptr().wrapping_add(spot.number * TILE));
        let (from, from_stride) = match waiting {
            Some(sums) if spot.unit > 0 && !self.block.plan.scales => (sums.cast_const(), cols),
            _ => (self.first_sums(&spot), 0),
        };
        let ahead = self.ahead(&spot, b);
        let run = Run {
            depth: spot.depth,
            a,
            b,
            ahead,
            from,
            from_stride,
            to: std::ptr::null_mut(),
            to_stride: cols,
        };
        let tile = kernel.tiles[rows - 1];
        let mut own = [std::mem::MaybeUninit::<f32>::uninit(); TILE];
        let last = spot.unit + spot.depth == self.block.units;
        let part = self.part(&spot, rows);
        let d = &self.block.p.d;
        let direct = last && part.cols == kernel.cols && d.col == 1 && d.dtype == self.sums_of();
        // SAFETY: the panels were packed for this depth; sums and `own` hold a tile; where the tile goes to D itself,
        // all of it lies inside D, in rows of sums that follow `row`; this part of D is this call's alone.
        unsafe {
            match waiting {
                Some(sums) if self.block.plan.scales => {
                    let own = own.as_mut_ptr().cast();
                    tile(Run { to: own, ..run });
                    self.add_scaled(&spot, &part, own, sums);
                    if last {
                        finish(self.block.p, part.of(sums));
                    }
                }
                Some(sums) if !last => tile(Run { to: sums, ..run }),
                _ if direct && self.block.p.is_plain() => {
                    tile(Run { to: d.ptr(part.row, part.col), to_stride: d.row, ..run });
                }
                _ => {
                    tile(Run { to: own.as_mut_ptr().cast(), ..run });
                    let sums = own.as_mut_ptr().cast::<f32>();
                    if d.dtype == Dtype::I32 {
                        integer::finish(self.block.p, part.of(sums.cast()));
                    } else {
                        self.widen(rows, sums);
                        finish(self.block.p, part.of(sums));
                    }
                }
            }
        }
    }

    /// The element type of the kernel's sums.
    fn sums_of(&self) -> Dtype {
        match self.block.kernel.units {
            Units::Singles | Units::Pairs => Dtype::F32,
            Units::Quads | Units::Words => Dtype::I32,
        }
    }

    /// What each row of a tile's sums begins with, in bits; null for zeros.
    fn first_sums(&self, spot: &Spot) -> *const f32 {
        match self.block.kernel.units {
            Units::Quads => self.block.offsets_of(spot.panel, spot.unit).cast_const().cast(),
            _ => std::ptr::null(),
        }
    }

    /// Makes f32 of sums of integers.
    ///
    /// # Safety
    ///
    /// `sums` holds `rows` rows of a tile.
    unsafe fn widen(&self, rows: usize, sums: *mut f32) {
        if self.sums_of() == Dtype::I32 {
            // SAFETY: as many sums: the caller's.
            unsafe { integer::widen(sums, rows * self.block.kernel.cols) };
        }
    }

    /// Adds the sums of one block of k, scaled, to those that wait.
    ///
    /// # Safety
    ///
    /// `own` and `sums` hold a tile.
    unsafe fn add_scaled(&self, spot: &Spot, part: &Part<f32>, own: *mut f32, sums: *mut f32) {
        let (cols, scales) = (self.block.kernel.cols, self.block.p.scales());
        let k = block(spot.unit * self.block.kernel.units.per());
        let mut columns = [1f32; 32];
        // SAFETY: the part's rows and columns and this block of k exist; both tiles hold `part.rows` rows.
        unsafe {
            self.widen(part.rows, own);
            if let Some(scale) = scales[1] {
                (0..part.cols).for_each(|j| columns[j] = scale.at(part.col + j, k));
            }
            let mut rows = [1f32; 14];
            if let Some(scale) = scales[0] {
                (0..part.rows).for_each(|i| rows[i] = scale.at(part.row + i, k));
            }
            add_tile(own, sums, &rows[..part.rows], &columns[..cols], spot.unit == 0);
        }
    }

    /// Where a tile begins to ask for the panel of B after its own: the first tiles of a panel share that.
    fn ahead(&self, spot: &Spot, b: *const u32) -> *const u32 {
        let (cols, lines) = (self.block.kernel.cols, spot.depth * LINE);
        let asked = spot.row / self.height * lines;
        if self.b.is_none() && asked < spot.depth * cols {
            b.wrapping_add(spot.depth * cols + asked)
        } else {
            b
        }
    }

    /// The part of D that a tile is.
    fn part(&self, spot: &Spot, rows: usize) -> Part<f32> {
        let block = self.block;
        let first = spot.panel * block.kernel.cols;
        let cols = block.kernel.cols.min(block.cols - first);
        let stride = block.kernel.cols;
        Part {
            row: self.rows.start + spot.row,
            col: block.col + first,
            rows,
            cols,
            sums: std::ptr::null(),
            stride,
        }
    }
}

/// Which register tile.
struct Spot {
    unit: usize,
    depth: usize,
    /// Its first row in the tile of rows.
    row: usize,
    /// Its panel of B.
    panel: usize,
    /// Its number in the tile of rows.
    number: usize,
}

for_each_isa! {
    /// Adds the sums of a tile, times the factors of their rows and columns; the first ones are there instead.
    fn add_tile(own: *mut f32, sums: *mut f32, rows: &[f32], columns: &[f32], first: bool) {
        for (i, row) in rows.iter().enumerate() {
            let from = i * columns.len();
            // SAFETY: both tiles hold as many rows and columns: `add_scaled`, the only caller.
            let (own, sums) = unsafe { (
                std::slice::from_raw_parts(own.add(from), columns.len()),
                std::slice::from_raw_parts_mut(sums.add(from), columns.len()),
            ) };
            for ((own, sum), column) in own.iter().zip(sums).zip(columns) {
                let before = if first { 0.0 } else { *sum };
                *sum = before + own * (row * column);
            }
        }
    }
}

//! Scales of blocks of k: two warps copy those of each step to where its tiles are fetched to, as far ahead, so that the threads
//! that multiply have neither to ask memory for them nor to wait for it.

use super::block::{Block, CONSUMERS, GROUP, Ring, Work};
use super::plan::{Form, Scaled};
use super::scale::{Loaded, SHARED};
use super::sum::Group;
use crate::ptx::{Global, Ptr, Reg, Shared};

/// Lanes that copy.
const LANES: u32 = 32;

impl Form {
    /// Scales of a stage: of each row of A; then of each column of B, or of 64 columns each.
    pub fn staged_scales(&self) -> u32 {
        let columns =
            if self.own { self.tile.columns } else { (self.tile.columns / SHARED).next_multiple_of(4) };
        if self.scaled == Scaled::Blocks { self.tile.rows + columns } else { 0 }
    }

    /// Lanes of whose copies a stage is told.
    pub fn scale_copies(&self) -> u32 {
        if self.scaled == Scaled::Blocks { 2 * LANES } else { 0 }
    }
}

/// Where a lane's scales of A or B begin, 32 lines apart, and where they go in a stage.
struct Copies<'k> {
    from: Vec<Reg<'k, u64>>,
    to: Reg<'k, u32>,
    wanted: Reg<'k, bool>,
}

impl<'k> Block<'_, 'k> {
    /// Lets all scales be 1: those of a factor that has none stay so.
    pub fn begin_scales(&self) {
        let (k, all) = (self.k, self.stage_count() * self.form.staged_scales());
        if all > 0 {
            k.steps(k.thread_x(), all, GROUP * (1 + CONSUMERS), |i| self.scales.at(i).store(1.0f32));
        }
    }

    /// The second warp copies those of A, the third one those of B.
    pub fn produce_scales(&self) {
        let k = self.k;
        for operand in 0..2 {
            k.when((k.thread_x() / LANES).eq(1 + operand as u32), || {
                let ring = Ring::new(k, 1);
                self.each(|work| {
                    let copies = self.copies(operand, work);
                    self.fill(&ring, work, |step| self.copy(operand, &copies, step, ring.stage));
                });
            });
        }
    }

    fn copies(&self, operand: usize, work: &Work<'k>) -> Copies<'k> {
        let (k, lane, tile, v) = (self.k, self.k.lane(), self.form.tile, &self.v.rest);
        let at = v.locate_more(k, work.matrix.to::<u64>())[1 + operand];
        let (first, to, lines) = match operand {
            0 => (work.row, lane, tile.rows),
            _ => (work.col, lane + tile.rows, tile.columns),
        };
        if operand == 0 || self.form.own {
            let from = |n| self.scale_at(operand, at, first + lane + n * LANES);
            return Copies { from: (0..lines / LANES).map(from).collect(), to, wanted: v.has_scale(operand) };
        }
        let from = vec![self.scale_at(operand, at, first + lane * SHARED)];
        Copies { from, to, wanted: v.has_scale(operand) & lane.lt(lines / SHARED) }
    }

    fn copy(&self, operand: usize, copies: &Copies<'k>, step: Reg<'k, u32>, stage: Reg<'k, u32>) {
        let far = step.to::<u64>() * self.v.rest.scale_step(operand);
        let to = self.scales.at(stage * self.form.staged_scales() + copies.to);
        for (n, &from) in (0..).zip(&copies.from) {
            let from = Ptr::<Global<f32>>::new(from + far);
            self.k.only(copies.wanted, || to.plus(n * LANES as i32).copy_from::<4>(&from));
        }
        self.full.at(stage).arrive_after_copies();
    }

    /// Where a thread's scales of the first stage begin, of rows and of columns.
    pub fn staged_at(&self, group: &Group<'k>) -> [Ptr<'k, Shared<f32>>; 2] {
        let (tile, own, [line, across]) = (self.form.tile, self.form.own, self.first(group));
        let share = if own { 1 } else { SHARED };
        let [row, col] = match tile.rows {
            128 => [line + group.number * 64u32, self.k.var(0u32)],
            _ => [line, group.number * (tile.own_columns() / share)],
        };
        let col = col + tile.rows;
        [row, if own { col + across } else { col }].map(|first| self.scales.at(first).walking())
    }

    /// Those of a stage that is there.
    pub fn scales_of_stage(&self, at: &[Ptr<'k, Shared<f32>>; 2], stage: Reg<'k, u32>) -> Loaded<'k> {
        let [rows, columns] = at.map(|at| at.at(stage * self.form.staged_scales()));
        let count = self.form.tile.own_columns() as i32;
        let columns = match self.form.own {
            true => (0..count / 8).flat_map(|n| columns.plus(n * 8).load_vec::<2>()).collect(),
            false => (0..count / SHARED as i32).map(|n| columns.plus(n).load()).collect(),
        };
        Loaded { rows: [0, 8].map(|below| rows.plus(below).load()), columns, own: self.form.own }
    }
}

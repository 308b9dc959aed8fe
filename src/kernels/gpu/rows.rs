//! Work on rows in kernels: a thread, a warp or a block works on one, and each thread finds its part of it.

use super::{Chunk, Fill, Plan, Real, Space, Way, fold_team, piece_len};
use crate::dtype::Dtype;
use crate::kernels::gpu::Array;
use crate::ptx::{Builder, Element, Reg, WordList};

/// Pieces or elements that a thread has in flight.
const FLIGHT: u32 = 4;

/// The threads that work on one row, in the kernel.
#[derive(Clone, Copy)]
pub struct Team<'k> {
    /// The kernel.
    pub k: &'k Builder,
    /// How they work.
    pub plan: Plan,
    /// What the rows are of.
    pub dtype: Dtype,
}

/// How far a row goes.
#[derive(Clone, Copy)]
pub struct Extent<'k> {
    /// Its elements.
    pub count: Reg<'k, u64>,
    /// Those ahead of the first whole piece, where there may be some.
    head: Option<Reg<'k, u64>>,
}

/// One piece or element of a row, of `N` operands.
#[derive(Clone, Copy)]
pub struct Place<'k, const N: usize> {
    /// Where it is from the row's origin, in elements, of each, but for `more`.
    at: [Reg<'k, u64>; N],
    /// Elements beyond, the same of each.
    more: u32,
    /// Whether the row reaches so far, where that is not known; where it does not, an element's place is the row's first.
    pub there: Option<Reg<'k, bool>>,
    /// Whether it is an element.
    pub single: bool,
}

impl<'k, const N: usize> Place<'k, N> {
    /// The array from here on, of operand `n`, from whose row `array` begins.
    pub fn of(&self, array: Array<'k>, n: usize) -> Array<'k> {
        array.at(self.at[n]).plus(self.more)
    }

    /// `value` if it is there.
    pub fn or<T: Element>(&self, k: &'k Builder, value: Reg<'k, T>, otherwise: Reg<'k, T>) -> Reg<'k, T> {
        self.there.map_or(value, |there| k.select(there, value, otherwise))
    }

    /// Runs `body` if it is there, by a branch.
    pub fn when(&self, k: &'k Builder, body: impl FnOnce()) {
        match self.there {
            Some(there) => k.when(there, body),
            None => body(),
        }
    }
}

impl<'k> Team<'k> {
    /// This thread's number in its team.
    pub fn member(&self) -> Reg<'k, u32> {
        match self.plan.team {
            1 => self.k.var(0u32),
            32 => self.k.lane(),
            _ => self.k.thread_x(),
        }
    }

    /// Runs `body` for each row of this team, by its number.
    pub fn each_row(&self, rows: Reg<'k, u64>, body: impl FnOnce(Reg<'k, u64>)) {
        let (k, teams) = (self.k, self.plan.block() / self.plan.team);
        let within = match self.plan.team {
            1 => k.thread_x(),
            32 => k.warp(),
            _ => k.var(0u32),
        };
        let row = k.var(k.mad_wide(k.block_x(), teams, within.to::<u64>()));
        let step = k.mul_wide(k.grid_blocks_x(), teams);
        k.repeat_while(
            || row.lt(rows),
            || {
                body(row);
                row.set(row + step);
                // So that the next row's folds do not overwrite what others still read.
                if self.plan.team > 32 {
                    k.when(row.lt(rows), || k.barrier());
                }
            },
        );
    }

    /// Where row `row` begins, of each of `N` operands.
    pub fn begin<const N: usize>(&self, words: &WordList<'k>, row: Reg<'k, u64>) -> [Reg<'k, u64>; N] {
        self.locate(words, 0, &[row])[0]
    }

    /// Numbers in the space of the rows (0) or of a row's elements (1).
    fn locate<const N: usize>(
        &self,
        words: &WordList<'k>,
        which: usize,
        numbers: &[Reg<'k, u64>],
    ) -> Vec<[Reg<'k, u64>; N]> {
        let (k, wide) = (self.k, self.plan.wide);
        match self.plan.axes[which] {
            true => Space::locate_all(k, words, wide, numbers),
            false => numbers.iter().map(|&number| Space::locate(k, words, 1, wide, number)).collect(),
        }
    }

    /// The fold of `value` over the team, in every thread of it. All of them must come here, once a row.
    pub fn fold<T: Element>(
        &self,
        value: Reg<'k, T>,
        join: impl Fn(Reg<'k, T>, Reg<'k, T>) -> Reg<'k, T>,
    ) -> Reg<'k, T> {
        let [all] = self.fold_all([value], join);
        all
    }

    /// The folds of several values, at once.
    pub fn fold_all<T: Element, const N: usize>(
        &self,
        values: [Reg<'k, T>; N],
        join: impl Fn(Reg<'k, T>, Reg<'k, T>) -> Reg<'k, T>,
    ) -> [Reg<'k, T>; N] {
        self.fold_by(values, |value| self.k.reduce_lanes(value, 32, &join), &join)
    }

    /// The same, where `lanes` folds over a warp.
    pub fn fold_by<T: Element, const N: usize>(
        &self,
        values: [Reg<'k, T>; N],
        lanes: impl Fn(Reg<'k, T>) -> Reg<'k, T>,
        join: impl Fn(Reg<'k, T>, Reg<'k, T>) -> Reg<'k, T>,
    ) -> [Reg<'k, T>; N] {
        match self.plan.team {
            1 => values,
            threads => fold_team(self.k, threads, values, lanes, join),
        }
    }

    /// Whether a chunk is a piece.
    pub fn takes_pieces(&self) -> bool {
        self.plan.way != Way::Elements
    }

    /// The extent of a row of `count` elements that begins at `row`.
    pub fn extent(&self, count: Reg<'k, u64>, row: Array<'k>) -> Extent<'k> {
        let head = self.plan.edged.then(|| {
            let ahead = (self.k.var(0u64) - row.address()) & 15u64;
            self.k.min(ahead >> (self.dtype.size() as u32).ilog2(), count)
        });
        Extent { count, head }
    }

    /// The places that are held of a row.
    pub fn held<const N: usize>(&self, extent: Extent<'k>) -> Option<Vec<Place<'k, N>>> {
        let Way::Held(pieces) = self.plan.way else { return None };
        let (member, total) = (self.member(), self.pieces(extent).to::<u32>());
        let at = self.piece_at(member.to::<u64>(), extent);
        let piece = |i: u32| {
            let there = (!self.plan.full).then(|| (member + i * self.plan.team).lt(total));
            Place { at: [at; N], more: self.elements_of(i), there, single: false }
        };
        Some((0..pieces).map(piece).chain(self.edge(extent)).collect())
    }

    /// Runs `body` for the places of this thread, some at a time, where they are not held.
    pub fn each_place<const N: usize>(
        &self,
        extent: Extent<'k>,
        words: &WordList<'k>,
        body: impl Fn(&[Place<'k, N>]),
    ) {
        let (k, team) = (self.k, self.plan.team);
        let first = k.var(self.member().to::<u64>());
        let total = if self.takes_pieces() { self.pieces(extent) } else { extent.count };
        k.repeat_while(
            || first.lt(total),
            || {
                let numbers: Vec<_> = (0..FLIGHT).map(|i| first + u64::from(i * team)).collect();
                let at = self.piece_at(first, extent);
                let piece = |(number, i): (&Reg<'k, u64>, u32)| {
                    let there = Some(number.lt(total));
                    Place { at: [at; N], more: self.elements_of(i), there, single: false }
                };
                match self.takes_pieces() {
                    true => body(&numbers.iter().zip(0..).map(piece).collect::<Vec<_>>()),
                    false => body(&self.elements(&numbers, extent.count, words)),
                }
                first.set(first + u64::from(FLIGHT * team));
            },
        );
        if let Some(edge) = self.edge(extent) {
            body(&[edge]);
        }
    }

    /// Whole pieces of a row.
    fn pieces(&self, extent: Extent<'k>) -> Reg<'k, u64> {
        let behind = extent.head.map_or(extent.count, |head| extent.count - head);
        behind >> piece_len(self.dtype).ilog2()
    }

    /// Where whole piece `number` begins.
    fn piece_at(&self, number: Reg<'k, u64>, extent: Extent<'k>) -> Reg<'k, u64> {
        let at = number << piece_len(self.dtype).ilog2();
        extent.head.map_or(at, |head| at + head)
    }

    /// Elements of `rounds` pieces of each thread.
    fn elements_of(&self, rounds: u32) -> u32 {
        rounds * self.plan.team * piece_len(self.dtype)
    }

    /// An element ahead of the pieces or behind them; at most 7 of each, so that a team has threads for all.
    fn edge<const N: usize>(&self, extent: Extent<'k>) -> Option<Place<'k, N>> {
        let (k, len, head) = (self.k, u64::from(piece_len(self.dtype)), extent.head?);
        let member = self.member().to::<u64>();
        let pieces_end = head + (self.pieces(extent) << len.ilog2());
        let ahead = member.lt(head);
        let at = k.select(ahead, member, pieces_end + member - len);
        let there = ahead | (member.ge(len) & at.lt(extent.count));
        Some(Place { at: [k.select(there, at, 0u64); N], more: 0, there: Some(there), single: true })
    }

    fn elements<const N: usize>(
        &self,
        numbers: &[Reg<'k, u64>],
        count: Reg<'k, u64>,
        words: &WordList<'k>,
    ) -> Vec<Place<'k, N>> {
        let there: Vec<_> = numbers.iter().map(|number| number.lt(count)).collect();
        let inside: Vec<_> =
            numbers.iter().zip(&there).map(|(&n, &there)| self.k.select(there, n, 0u64)).collect();
        let places = self.locate(words, 1, &inside).into_iter().zip(there);
        places.map(|(at, there)| Place { at, more: 0, there: Some(there), single: true }).collect()
    }

    /// What this thread takes of operand `n`, from whose row `array` begins, at `place`; where the row does not reach so far,
    /// `otherwise`.
    pub fn load<F: Real, const N: usize>(
        &self,
        (array, n): (Array<'k>, usize),
        place: &Place<'k, N>,
        otherwise: Fill,
    ) -> Chunk<'k, F> {
        let at = place.of(array, n);
        match place.single {
            true => {
                Chunk::One(at.dtype, place.or(self.k, at.load(), self.k.var(F::constant(otherwise.value()))))
            }
            false => Chunk::piece_or(self.k, at, place.there, otherwise),
        }
    }
}

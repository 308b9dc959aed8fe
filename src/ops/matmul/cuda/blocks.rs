//! Few rows times columns of blocks: what `rows` does, but lanes decode what they read.

use super::format::{Format, Raw};
use super::real::Real;
use super::rows::{Block, COLUMNS, Lane};
use crate::ptx::Reg;

impl<'k, R: Real> Block<'_, 'k, R> {
    /// Sums up this lane's share of columns of blocks.
    pub(super) fn multiply_blocks(&self, lane: &Lane<'k, R>, format: Format) {
        let (k, split, lanes) = (self.k, self.v.more[0], format.lanes());
        let part = k.warp() & (k.shl(1u32, split) - 1u32);
        let within = k.lane() & (lanes - 1);
        let count = self.v.k >> format.items().ilog2();
        let at = k.var(k.mad(part, 32 / lanes, k.lane() >> lanes.ilog2()).to::<u64>());
        let step = k.shl(32 / lanes, split).to::<u64>();
        let turn = |unroll: u32| {
            k.repeat_while(
                || (at + step * u64::from(unroll - 1)).lt(count),
                || {
                    let numbers: Vec<_> = (0..unroll).map(|n| k.mad(step, u64::from(n), at)).collect();
                    self.turn_blocks(lane, format, &numbers, within);
                    at.set(k.mad(step, u64::from(unroll), at));
                },
            );
        };
        if lanes < 32 {
            turn(2);
        }
        turn(1);
    }

    /// The blocks with these numbers, of each column, all of them fetched before the first is multiplied.
    fn turn_blocks(
        &self,
        lane: &Lane<'k, R>,
        format: Format,
        numbers: &[Reg<'k, u64>],
        within: Reg<'k, u32>,
    ) {
        let k = self.k;
        let fetch = |number: &Reg<'k, u64>| -> Vec<Raw<'k>> {
            lane.b.iter().map(|&b| format.fetch(k, k.mad(*number, format.bytes(), b), within)).collect()
        };
        let all: Vec<Vec<Raw<'k>>> = numbers.iter().map(fetch).collect();
        for (&number, raws) in numbers.iter().zip(&all) {
            let columns: Vec<_> = raws.iter().map(|raw| format.values(k, raw, within)).collect();
            let first = number << format.items().ilog2();
            for (run, offset) in format.offsets(k, within).into_iter().enumerate() {
                let at = first + offset.to::<u64>();
                for (row, &a) in lane.a.iter().enumerate() {
                    let a = self.some_values(a, at, format.run());
                    for (column, b) in columns.iter().enumerate() {
                        let sum = lane.sums[row * COLUMNS as usize + column];
                        a.iter().zip(&b[run]).for_each(|(&a, &b)| sum.set(k.fma(a, R::of_single(b), sum)));
                    }
                }
            }
        }
    }

    /// `count` elements of a row of A from `at` on: 4 to 16 bytes, aligned to as many.
    fn some_values(&self, line: Reg<'k, u64>, at: Reg<'k, u64>, count: u32) -> Vec<Reg<'k, R>> {
        let words = self.words(0, line, at);
        match count as usize * self.types[0].size() {
            4 => self.values(0, &words.load_vec::<1>()),
            8 => self.values(0, &words.load_vec::<2>()),
            _ => self.values(0, &words.load_vec::<4>()),
        }
    }
}

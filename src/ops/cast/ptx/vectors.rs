//! Dense operands, 16 bytes of the larger dtype at a time, several vectors under way.

use super::convert::{Number, Source};
use super::{Spec, THREADS, Vals};
use crate::kernels::gpu::{load_words, store_words};
use crate::ptx::{Builder, Load, Reg};

impl Spec {
    /// A tile of vectors a block, and on by the size of the grid.
    pub(super) fn dense<'k>(self, k: &'k Builder, v: &Vals<'k>) {
        let tile = THREADS * self.unroll();
        let first = k.var(k.mad(k.block_x(), tile, k.thread_x()));
        let step = k.grid_blocks_x() * tile;
        let [from, to] = [self.conversion.from, self.conversion.to].map(|d| d.size() as u32 * self.lanes());
        k.repeat_while(
            || (first - k.thread_x()).lt(v.vectors),
            || {
                let places: Vec<_> = (0..self.unroll()).map(|u| first + u * THREADS).collect();
                // Beyond the end the last vector is read once more, and not written.
                let load = |&place: &Reg<'k, u32>| {
                    let at = k.mad_wide(k.min(place, v.vectors - 1u32), from, v.at[0]);
                    load_words(at, from, Load::NoAllocate)
                };
                let loads: Vec<_> = places.iter().map(load).collect();
                for (&place, words) in places.iter().zip(&loads) {
                    let y = self.vector(k, words);
                    let at = k.mad_wide(place, to, v.at[1]);
                    k.only(place.lt(v.vectors), || store_words(at, to, &y));
                }
                first.set(first + step);
            },
        );
        self.tail(k, v);
    }

    fn vector<'k>(self, k: &'k Builder, words: &[Reg<'k, u32>]) -> Vec<Reg<'k, u32>> {
        let number = |lane| self.conversion.number(k, self.conversion.value(k, Source::Vector(words, lane)));
        let numbers: Vec<_> = (0..self.lanes()).map(number).collect();
        Number::pack(k, self.conversion.to, &numbers)
    }

    /// The elements after the last vector: fewer than the block has threads.
    fn tail<'k>(self, k: &'k Builder, v: &Vals<'k>) {
        let number = k.mad_wide(v.vectors, self.lanes(), k.thread_x().to::<u64>());
        k.when(k.block_x().eq(0u32) & number.lt(v.count), || {
            let [x, y] = self.arrays(k, v);
            self.conversion.element(k, x.at(number), y.at(number));
        });
    }
}

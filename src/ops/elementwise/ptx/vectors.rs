//! The kernels of dense operands and of dense rows: 16 bytes of the largest dtype at a time, several under way.

use super::{Array, Spec, THREADS, Vals, Way};
use crate::kernels::gpu::{Lane, Space, load_words, store_words};
use crate::ptx::{Builder, Load, Reg};

impl Spec {
    /// Y of an A and of Ts, a tile of vectors a block and on by the size of the grid.
    pub(super) fn vectors<'k, A: Lane, T: Lane, Y: Lane>(
        self,
        k: &'k Builder,
        v: &Vals<'k>,
        formula: impl Fn((Reg<'k, A>, &[Reg<'k, T>]), ()) -> Reg<'k, Y>,
    ) {
        let unroll = self.unroll();
        let tile = THREADS * unroll;
        let first = k.var(k.mad(k.block_x(), tile, k.thread_x()));
        let step = k.grid_blocks_x() * tile;
        let bytes = self.vector_bytes(3) as u32;
        k.repeat_while(
            || (first - k.thread_x()).lt(v.vectors),
            || {
                let places: Vec<_> = (0..unroll).map(|u| first + u * THREADS).collect();
                // Beyond the end the last vector is read once more, and not written.
                let last = v.vectors - 1u32;
                let starts: Vec<_> = places.iter().map(|&at| self.starts(k, v, k.min(at, last))).collect();
                let loads: Vec<_> = starts.iter().map(|at| self.load(k, *at)).collect();
                for (n, &place) in places.iter().enumerate() {
                    let y = self.vector::<A, T, Y>(k, &loads[n], &formula);
                    k.only(place.lt(v.vectors), || store_words(starts[n][3].address(), bytes, &y));
                }
                first.set(first + step);
            },
        );
        if let Way::Dense { uniform } = self.way {
            self.tail::<A, T, Y>(k, v, uniform, &formula);
        }
    }

    /// The inputs that have one element for the whole of a vector.
    fn uniform(self) -> u32 {
        match self.way {
            Way::Dense { uniform } | Way::Rows { uniform, .. } => uniform,
            Way::Strided { .. } => 0,
        }
    }

    /// Where vector `number` of each operand and of y begins.
    fn starts<'k>(self, k: &'k Builder, v: &Vals<'k>, number: Reg<'k, u32>) -> [Array<'k>; 4] {
        if let Way::Rows { rank, .. } = self.way {
            let arrays = self.arrays(k, v);
            let at = Space::<4>::locate(k, &v.space, rank, false, number.to::<u64>());
            return std::array::from_fn(|n| arrays[n].at(at[n]));
        }
        let place = |n: usize| {
            let bytes = if self.uniform() >> n & 1 == 1 { 0 } else { self.vector_bytes(n) as u32 };
            Array::new(k, self.dtype_of(n), k.mad_wide(number, bytes, v.at[n]))
        };
        std::array::from_fn(place)
    }

    /// The words of each operand's vector.
    fn load<'k>(self, k: &'k Builder, starts: [Array<'k>; 4]) -> Vec<Vec<Reg<'k, u32>>> {
        let operand = |n: usize| {
            if self.uniform() >> n & 1 == 1 {
                return self.repeated(k, starts[n]);
            }
            load_words(starts[n].address(), self.vector_bytes(n) as u32, Load::NoAllocate)
        };
        (0..self.function.arity).map(operand).collect()
    }

    /// The words of a vector whose elements are all the operand's one.
    fn repeated<'k>(self, k: &'k Builder, at: Array<'k>) -> Vec<Reg<'k, u32>> {
        let words = (self.lanes() as usize * at.dtype.size()).div_ceil(4);
        match at.dtype.size() {
            8 => {
                let pair: [_; 2] = k.unpack(at.ptr::<u64>().load());
                (0..words).map(|word| pair[word % 2]).collect()
            }
            4 => vec![at.ptr::<u32>().load(); words],
            2 => vec![at.ptr::<u16>().load().to::<u32>() * 0x0001_0001u32; words],
            _ => vec![at.ptr::<u8>().load().to::<u32>() * 0x0101_0101u32; words],
        }
    }

    fn vector<'k, A: Lane, T: Lane, Y: Lane>(
        self,
        k: &'k Builder,
        words: &[Vec<Reg<'k, u32>>],
        formula: &impl Fn((Reg<'k, A>, &[Reg<'k, T>]), ()) -> Reg<'k, Y>,
    ) -> Vec<Reg<'k, u32>> {
        let value = |lane: u32| {
            let a = A::unpack(k, self.dtype_of(0), &words[0], lane);
            let operands = 1..self.function.arity;
            let rest: Vec<_> = operands.map(|n| T::unpack(k, self.dtype_of(n), &words[n], lane)).collect();
            formula((a, &rest), ())
        };
        let values: Vec<_> = (0..self.lanes()).map(value).collect();
        Y::pack(k, self.dtype_of(3), &values)
    }

    /// The elements after the last vector: fewer than the block has threads.
    fn tail<'k, A: Lane, T: Lane, Y: Lane>(
        self,
        k: &'k Builder,
        v: &Vals<'k>,
        uniform: u32,
        formula: &impl Fn((Reg<'k, A>, &[Reg<'k, T>]), ()) -> Reg<'k, Y>,
    ) {
        let number = k.mad_wide(v.vectors, self.lanes(), k.thread_x().to::<u64>());
        k.when(k.block_x().eq(0u32) & number.lt(v.count), || {
            let arrays = self.arrays(k, v);
            let one = |n: usize| if uniform >> n & 1 == 1 { arrays[n] } else { arrays[n].at(number) };
            self.element(k, std::array::from_fn(one), formula);
        });
    }
}

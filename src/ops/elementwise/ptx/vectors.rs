//! The kernels of dense operands and of dense rows: 16 bytes of the largest dtype at a time, several under way.

use super::{Array, Spec, THREADS, Vals, Way};
use crate::kernels::gpu::{Lane, Space, load_words_if, store_words_at};
use crate::ptx::{Builder, Global, Load, Ptr, Reg};

/// Where a vector begins.
type Start<'k> = Ptr<'k, Global<u32>>;

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
                let starts = self.starts(k, v, first);
                let there: Vec<_> = (0..unroll).map(|u| (first + u * THREADS).lt(v.vectors)).collect();
                let both = starts.iter().zip(&there);
                let loads: Vec<_> = both.map(|(starts, &there)| self.load(k, starts, there)).collect();
                for ((words, starts), &there) in loads.iter().zip(&starts).zip(&there) {
                    let y = self.vector::<A, T, Y>(k, words, &formula);
                    k.only(there, || store_words_at(starts[3], bytes, &y));
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

    /// Where the vectors that a thread has under way begin, of each operand and of y, from vector `first` on.
    fn starts<'k>(self, k: &'k Builder, v: &Vals<'k>, first: Reg<'k, u32>) -> Vec<[Start<'k>; 4]> {
        if let Way::Rows { rank, .. } = self.way {
            return (0..self.unroll()).map(|u| self.start_in_rows(k, v, rank, first + u * THREADS)).collect();
        }
        let bytes = |n: usize| if self.uniform() >> n & 1 == 1 { 0 } else { self.vector_bytes(n) as u32 };
        let bases: [Start<'k>; 4] = std::array::from_fn(|n| Ptr::new(k.mad_wide(first, bytes(n), v.at[n])));
        let behind = |n: usize, u: u32| bases[n].plus((u * THREADS * bytes(n) / 4) as i32);
        (0..self.unroll()).map(|u| std::array::from_fn(|n| behind(n, u))).collect()
    }

    /// The same of one vector in rows; of the last one behind the end.
    fn start_in_rows<'k>(
        self,
        k: &'k Builder,
        v: &Vals<'k>,
        rank: usize,
        number: Reg<'k, u32>,
    ) -> [Start<'k>; 4] {
        let (arrays, last) = (self.arrays(k, v), v.vectors - 1u32);
        let at = Space::<4>::locate(k, &v.space, rank, false, k.min(number, last).to::<u64>());
        std::array::from_fn(|n| Ptr::new(arrays[n].at(at[n]).address()))
    }

    /// The words of each operand's vector, where it is there.
    fn load<'k>(
        self,
        k: &'k Builder,
        starts: &[Start<'k>; 4],
        there: Reg<'k, bool>,
    ) -> Vec<Vec<Reg<'k, u32>>> {
        let operand = |n: usize| {
            if self.uniform() >> n & 1 == 1 {
                return self.repeated(k, Array::new(k, self.dtype_of(n), starts[n].address()));
            }
            load_words_if(starts[n], self.vector_bytes(n) as u32, Load::NoAllocate, there)
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

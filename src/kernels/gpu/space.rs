//! Strided operands walked together on a GPU: axes that are contiguous for all of them are merged on the host, and a
//! thread finds its element of each from a number.

use crate::kernels::walk::Walk;
use crate::layout::{Layout, WEFT_MAX_RANK};
use crate::ptx::{Builder, Reg, WordList};

/// The common iteration space of `N` layouts of the same dims: what a kernel is specialised on is the rank.
#[derive(Clone, Debug)]
pub struct Space<const N: usize> {
    /// Outermost first: dim and the stride of each operand, in elements.
    axes: Vec<(usize, [isize; N])>,
}

impl<const N: usize> From<&Walk<N>> for Space<N> {
    fn from(walk: &Walk<N>) -> Self {
        Self { axes: walk.axes() }
    }
}

impl<const N: usize> Space<N> {
    /// Numbers that [`words`](Self::words) gives for a rank.
    pub const fn word_count(rank: usize) -> usize {
        rank * (1 + N)
    }

    /// Of layouts that were all broadcast to the same dims.
    pub fn new(layouts: [&Layout; N]) -> Self {
        Self { axes: Walk::new(layouts).axes() }
    }

    /// Axes that are left after merging, 0 for a single element.
    pub fn rank(&self) -> usize {
        self.axes.len()
    }

    /// The rank that a kernel is written for: the next power of two, so that there are few of them. What
    /// [`words`](Self::words) has beyond the rank is 0 and adds nothing, whatever the index comes to.
    pub fn class(&self) -> u32 {
        self.rank().max(1).next_power_of_two() as u32
    }

    /// Elements.
    pub fn count(&self) -> u64 {
        self.axes.iter().map(|axis| axis.0 as u64).product()
    }

    /// The same space walked `lanes` elements at a time along the innermost axis, where they are packed or one for all in
    /// every operand: `None` where they are not, or fill no whole number of vectors.
    pub fn by_vectors(&self, lanes: usize) -> Option<Self> {
        let mut axes = self.axes.clone();
        let (dim, strides) = axes.last_mut()?;
        let fits = dim.is_multiple_of(lanes) && strides.iter().all(|stride| matches!(stride, 0 | 1));
        *dim /= lanes;
        strides.iter_mut().for_each(|stride| *stride *= lanes as isize);
        fits.then_some(Self { axes })
    }

    /// The dims, outermost first.
    pub fn dims(&self) -> impl DoubleEndedIterator<Item = usize> + '_ {
        self.axes.iter().map(|axis| axis.0)
    }

    /// The strides of operand `n`, in elements, outermost first.
    pub fn strides(&self, n: usize) -> impl DoubleEndedIterator<Item = isize> + Clone + '_ {
        self.axes.iter().map(move |axis| axis.1[n])
    }

    /// Whether every operand is one run of consecutive elements.
    pub fn is_dense(&self) -> bool {
        self.axes.is_empty() || (self.axes.len() == 1 && self.axes[0].1.iter().all(|&stride| stride == 1))
    }

    /// What a kernel takes of it, as [`Words`](crate::ptx::Words): of each axis, from the innermost, the dim and the strides.
    pub fn words<const W: usize>(&self) -> [u64; W] {
        let mut words = [0; W];
        for (place, (dim, strides)) in words.chunks_mut(1 + N).zip(self.axes.iter().rev()) {
            place[0] = *dim as u64;
            place[1..].iter_mut().zip(strides).for_each(|(word, &stride)| *word = stride as u64);
        }
        words
    }

    /// On the device: where element `number` lies of each operand, in elements from its origin (negative ones wrap). All
    /// numbers are below 2^32 unless `wide`.
    pub fn locate<'k>(
        k: &'k Builder,
        words: &WordList<'k>,
        rank: usize,
        wide: bool,
        number: Reg<'k, u64>,
    ) -> [Reg<'k, u64>; N] {
        debug_assert!(rank <= WEFT_MAX_RANK);
        let at = std::array::from_fn(|_| k.var(0u64));
        let mut left = number;
        for axis in 0..rank {
            let base = axis * (1 + N);
            let dim = words.get(base);
            // The outermost index is what is left.
            let (next, index) = if axis + 1 == rank { (left, left) } else { divide(k, left, dim, wide) };
            (0..N).for_each(|n| at[n].set(k.mad(index, words.get(base + 1 + n), at[n])));
            left = next;
        }
        at
    }

    /// As [`locate`](Self::locate), of any rank, and for several numbers at once.
    pub fn locate_all<'k>(
        k: &'k Builder,
        words: &WordList<'k>,
        wide: bool,
        numbers: &[Reg<'k, u64>],
    ) -> Vec<[Reg<'k, u64>; N]> {
        let (axis, left): (_, Vec<_>) = (k.var(words.start()), numbers.iter().map(|&n| k.var(n)).collect());
        let at: Vec<[_; N]> = numbers.iter().map(|_| std::array::from_fn(|_| k.var(0u64))).collect();
        // Nothing is left behind the outermost axis at the latest.
        let some_left = || left[1..].iter().fold(left[0], |all, &one| all | one).ne(0u64);
        k.repeat_while(some_left, || {
            let (dim, strides) = (words.behind(axis, 0), (1..=N).map(|n| words.behind(axis, n)));
            let strides: Vec<_> = strides.collect();
            for (left, at) in left.iter().zip(&at) {
                let (next, index) = divide(k, *left, dim, wide);
                at.iter().zip(&strides).for_each(|(at, &stride)| at.set(k.mad(index, stride, *at)));
                left.set(next);
            }
            axis.set(axis + Self::word_count(1) as u64 * 8);
        });
        at
    }
}

/// Quotient and remainder.
fn divide<'k>(k: &'k Builder, a: Reg<'k, u64>, b: Reg<'k, u64>, wide: bool) -> (Reg<'k, u64>, Reg<'k, u64>) {
    if wide {
        let quotient = k.div(a, b);
        return (quotient, a - quotient * b);
    }
    let (a, b) = (a.to::<u32>(), b.to::<u32>());
    let quotient = k.div(a, b);
    (quotient.to::<u64>(), (a - quotient * b).to::<u64>())
}

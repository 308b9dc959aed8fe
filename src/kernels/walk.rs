//! Walking several strided operands together: axes that are contiguous for all of them are merged, the innermost one
//! becomes a run, and the runs are numbered so that threads can share them.

use crate::layout::{Layout, WEFT_MAX_RANK};

/// The common iteration space of `N` layouts of the same dims.
#[derive(Clone, Debug)]
pub struct Walk<const N: usize> {
    /// Outer axes, outermost first: dim and the stride of each operand, in elements.
    outer: Vec<(usize, [isize; N])>,
    /// Elements in a run.
    pub run: usize,
    /// The stride of each operand along a run.
    pub strides: [isize; N],
}

impl<const N: usize> Walk<N> {
    /// Of layouts that were all broadcast to the same dims.
    pub fn new(layouts: [&Layout; N]) -> Self {
        let mut axes: Vec<(usize, [isize; N])> = Vec::with_capacity(WEFT_MAX_RANK);
        for axis in 0..layouts[0].rank() {
            let dim = layouts[0].dim(axis);
            let strides = layouts.map(|layout| layout.stride(axis));
            match axes.last_mut() {
                _ if dim == 1 => {}
                Some(last) if (0..N).all(|n| last.1[n] == strides[n] * dim as isize) => {
                    *last = (last.0 * dim, strides);
                }
                _ => axes.push((dim, strides)),
            }
        }
        let (run, strides) = axes.pop().unwrap_or((1, [0; N]));
        Self { outer: axes, run, strides }
    }

    /// All axes, the run's last, outermost first.
    pub fn axes(&self) -> Vec<(usize, [isize; N])> {
        let mut axes = self.outer.clone();
        if self.run != 1 {
            axes.push((self.run, self.strides));
        }
        axes
    }

    /// How many runs.
    pub fn runs(&self) -> usize {
        self.outer.iter().map(|axis| axis.0).product()
    }

    /// Where each operand's run `number` starts, in elements from its origin.
    pub fn start(&self, mut number: usize) -> [isize; N] {
        let mut at = [0; N];
        for (dim, strides) in self.outer.iter().rev() {
            let index = (number % dim) as isize;
            number /= dim;
            (0..N).for_each(|n| at[n] += index * strides[n]);
        }
        at
    }

    /// Elements in all runs.
    pub fn count(&self) -> usize {
        self.runs() * self.run
    }

    /// Calls `part(at, count)` for each stretch of a run within the elements `start..end`, in order.
    pub fn parts(&self, start: usize, end: usize, mut part: impl FnMut([isize; N], usize)) {
        if start >= end {
            return;
        }
        let (number, mut skipped) = (start / self.run, start % self.run);
        let (mut at, mut left) = (self.start(number), end - start);
        let mut index = self.index(number);
        loop {
            let count = (self.run - skipped).min(left);
            part(std::array::from_fn(|n| at[n] + skipped as isize * self.strides[n]), count);
            left -= count;
            if left == 0 {
                return;
            }
            skipped = 0;
            self.advance(&mut index, &mut at);
        }
    }

    /// The outer index of run `number`.
    fn index(&self, mut number: usize) -> [usize; WEFT_MAX_RANK] {
        let mut index = [0; WEFT_MAX_RANK];
        for (axis, (dim, _)) in self.outer.iter().enumerate().rev() {
            index[axis] = number % dim;
            number /= dim;
        }
        index
    }

    /// To the next run, without dividing.
    fn advance(&self, index: &mut [usize; WEFT_MAX_RANK], at: &mut [isize; N]) {
        for (axis, (dim, strides)) in self.outer.iter().enumerate().rev() {
            index[axis] += 1;
            if index[axis] < *dim {
                (0..N).for_each(|n| at[n] += strides[n]);
                return;
            }
            (0..N).for_each(|n| at[n] -= (*dim as isize - 1) * strides[n]);
            index[axis] = 0;
        }
    }
}

impl<const N: usize> Walk<N> {
    /// Whether every run of operand `n` starts at the same element.
    pub fn repeats(&self, n: usize) -> bool {
        self.outer.iter().all(|axis| axis.0 == 1 || axis.1[n] == 0)
    }

    /// Where element `number`, in row-major order, lies of each operand.
    pub fn at(&self, number: usize) -> [isize; N] {
        let (mut at, along) = (self.start(number / self.run), (number % self.run) as isize);
        (0..N).for_each(|n| at[n] += along * self.strides[n]);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contiguous_axes_merge_and_every_element_is_met_once() {
        let packed = Layout::packed(&[2, 3, 5]);
        assert_eq!(Walk::new([&packed, &packed]).run, 30);
        let turned = Layout::strided(&[2, 3, 5], &[1, 2, 6]);
        let walk = Walk::new([&packed, &turned]);
        let mut seen: Vec<isize> = (0..walk.runs())
            .flat_map(|run| (0..walk.run).map(move |i| (run, i)))
            .map(|(run, i)| walk.start(run)[1] + i as isize * walk.strides[1])
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..30).collect::<Vec<_>>());
    }
}

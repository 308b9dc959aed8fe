//! The logarithm of the sum of exponentials: the largest element first, then the sum of e^(x - largest), piece by piece.

use super::cpu::{Cursor, Facts, Reducer};
use super::fold::{Exponentials, Largest, Real};
use super::plan::{Block, WIDTH};
use std::marker::PhantomData;

/// The largest element so far and the sum of e^(x - largest).
#[derive(Clone, Copy)]
pub struct Sum {
    largest: f64,
    sum: f64,
}

/// Of elements read as `N`.
pub struct LogSumExp<N>(PhantomData<N>);

impl Sum {
    /// The sum seen from a larger number; nothing at all where there were no elements.
    fn seen_from(self, largest: f64) -> f64 {
        if self.largest == f64::NEG_INFINITY { 0.0 } else { self.sum * (self.largest - largest).exp() }
    }
}

impl<N: Real> Reducer for LogSumExp<N> {
    type In = N;
    type Acc = Sum;
    type Out = f64;
    const START: Sum = Sum { largest: f64::NEG_INFINITY, sum: 0.0 };

    fn block(cursor: &mut Cursor, block: Block, piece: usize, accs: &mut [Sum]) {
        let mut largest = [N::ENDS[0]; WIDTH];
        let largest = &mut largest[..accs.len()];
        // Read as a number of its own type: the shift does not count here.
        cursor.fold::<Largest<N>>(block, piece, None, largest);
        let mut shifts = [0.0; WIDTH];
        shifts.iter_mut().zip(&*largest).for_each(|(shift, x)| *shift = x.wide());
        let mut sums = [0.0; WIDTH];
        cursor.fold::<Exponentials<N>>(block, piece, Some(&shifts[..accs.len()]), &mut sums[..accs.len()]);
        let pairs = shifts.iter().zip(sums);
        accs.iter_mut().zip(pairs).for_each(|(acc, (&largest, sum))| *acc = Sum { largest, sum });
    }

    fn merge(a: Sum, b: Sum) -> Sum {
        let nan = a.largest.is_nan() || b.largest.is_nan();
        let largest = if nan { f64::NAN } else { a.largest.max(b.largest) };
        Sum { largest, sum: a.seen_from(largest) + b.seen_from(largest) }
    }

    fn finish(acc: Sum, facts: &Facts) -> f64 {
        let sum = acc.sum * facts.repeats as f64;
        if acc.largest.is_finite() { acc.largest + sum.ln() } else { acc.largest }
    }
}

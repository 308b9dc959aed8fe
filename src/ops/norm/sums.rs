//! Sums of what a thread has of a row, as instructions: in f64 two by two, in f32 with what rounding lost, and of squares.

use crate::kernels::gpu::{Chunk, Real};
use crate::ptx::{Builder, Reg};

/// Those of the elements of two chunks.
pub(super) fn sums<'k, F: Real>(a: &Chunk<'k, F>, b: &Chunk<'k, F>) -> Vec<Reg<'k, F>> {
    a.values().into_iter().zip(b.values()).map(|(a, b)| a + b).collect()
}

/// Their sum, joined two by two.
pub(super) fn tree<'k>(values: &[Reg<'k, f64>]) -> Reg<'k, f64> {
    match values {
        [one] => *one,
        _ => {
            let (low, high) = values.split_at(values.len() / 2);
            tree(low) + tree(high)
        }
    }
}

/// A sum, and what its rounding lost (Knuth).
pub(super) fn two_sum<'k, F: Real>(k: &'k Builder, a: Reg<'k, F>, b: Reg<'k, F>) -> (Reg<'k, F>, Reg<'k, F>) {
    let sum = k.add(a, b);
    let of_b = k.sub(sum, a);
    let of_a = k.sub(sum, of_b);
    (sum, k.add(k.sub(a, of_a), k.sub(b, of_b)))
}

/// The sum of their squares.
pub(super) fn squares<'k, F: Real>(k: &'k Builder, values: &[Reg<'k, F>]) -> Reg<'k, F> {
    match values.split_at(values.len() / 2) {
        ([], all) => chain(k, all),
        (low, high) => k.add(chain(k, low), chain(k, high)),
    }
}

/// The sum of their squares, one after another.
fn chain<'k, F: Real>(k: &'k Builder, values: &[Reg<'k, F>]) -> Reg<'k, F> {
    let first = values[0] * values[0];
    values[1..].iter().fold(first, |sum, &value| k.fma(value, value, sum))
}

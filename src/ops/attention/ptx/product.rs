//! The product of a row of q and a row of k, in one thread: the row of q is the same for all threads, so it comes from the
//! nearest cache.

use super::{Spec, at};
use crate::dtype::{Dtype, bf16, f16};
use crate::kernels::gpu::Array;
use crate::ptx::{Bf16x2, Builder, F16x2, Global, Ptr, Reg, WordList};

/// Vectors of 16 bytes, or elements, taken at once.
const UNROLL: usize = 4;

/// Sum of q_d k_d, the rows beginning at these addresses.
pub(super) fn product<'k>(
    k: &'k Builder,
    words: &WordList<'k>,
    spec: &Spec,
    rows: [Reg<'k, u64>; 2],
) -> Reg<'k, f32> {
    // Two chains of sums, as an addition takes a few cycles.
    let sums = [k.var(0.0f32), k.var(0.0f32)];
    let rows = rows.map(|row| k.var(row));
    let each = if spec.wide { 16 / spec.dtype.size() as u64 } else { 1 };
    let left = k.var(k.div(words.get(at::DIM), each));
    let steps =
        if spec.wide { [k.var(16u64); 2] } else { [at::Q, at::K].map(|tensor| words.get(tensor + 4)) };
    for turns in [UNROLL, 1] {
        k.repeat_while(
            || left.ge(turns as u64),
            || {
                let pairs: Vec<_> = (0..turns).map(|_| next(k, spec, &rows, &steps)).collect();
                for (n, (x, y)) in pairs.iter().flatten().enumerate() {
                    sums[n % 2].set(k.fma(*x, *y, sums[n % 2]));
                }
                left.set(left - turns as u64);
            },
        );
    }
    sums[0] + sums[1]
}

/// The next elements of both rows, and on by one step.
fn next<'k>(
    k: &'k Builder,
    spec: &Spec,
    rows: &[Reg<'k, u64>; 2],
    steps: &[Reg<'k, u64>; 2],
) -> Vec<(Reg<'k, f32>, Reg<'k, f32>)> {
    let [x, y] = [0, 1].map(|n| {
        let elements = load(k, spec, rows[n]);
        rows[n].set(rows[n] + steps[n]);
        elements
    });
    x.into_iter().zip(y).collect()
}

fn load<'k>(k: &'k Builder, spec: &Spec, address: Reg<'k, u64>) -> Vec<Reg<'k, f32>> {
    let from = Ptr::<Global<u32>>::new(address);
    if !spec.wide {
        return vec![Array::new(k, spec.dtype, address).load()];
    }
    let words = from.load_vec::<4>();
    match spec.dtype {
        Dtype::F16 => words.iter().flat_map(|word| word.bits::<F16x2>().widen()).collect(),
        Dtype::Bf16 => words.iter().flat_map(|word| word.bits::<Bf16x2>().widen()).collect(),
        _ => words.iter().map(|word| word.bits::<f32>()).collect(),
    }
}

/// The element at `address` as f32 where `condition` holds, else 0.
pub(super) fn load_if<'k>(dtype: Dtype, address: Reg<'k, u64>, condition: Reg<'k, bool>) -> Reg<'k, f32> {
    match dtype {
        Dtype::F16 => Ptr::<Global<f16>>::new(address).load_if(condition, f16::ZERO).to::<f32>(),
        Dtype::Bf16 => Ptr::<Global<bf16>>::new(address).load_if(condition, bf16::ZERO).widen(),
        _ => Ptr::<Global<f32>>::new(address).load_if(condition, 0.0f32),
    }
}

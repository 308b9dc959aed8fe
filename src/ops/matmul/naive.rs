//! Each element by its definition, whatever the strides: the last choice.

use super::element::{Real, read};
use super::finish::{Part, finish};
use super::more::{Factor, block};
use super::problem::Problem;
use super::quantised;
use crate::device::Cpu;
use crate::dtype::Dtype;
use crate::status::Result;

const RUN: usize = 64;

/// Multiplies one matrix.
pub fn run(p: &Problem, cpu: &Cpu) -> Result<()> {
    let item = p.n as f64 * p.k.max(1) as f64 * 4.0;
    cpu.parallel_ranges(p.m, item, |from, to| {
        for i in from..to {
            match p.a.dtype {
                Dtype::F64 => row::<f64>(p, i),
                _ => row::<f32>(p, i),
            }
        }
    });
    Ok(())
}

fn row<R: Real>(p: &Problem, i: usize) {
    for j in (0..p.n).step_by(RUN) {
        let cols = RUN.min(p.n - j);
        let mut sums = [R::ZERO; RUN];
        sums.iter_mut().take(cols).enumerate().for_each(|(index, sum)| *sum = dot(p, i, j + index));
        // SAFETY: columns j to j + cols of row i, which is this call's alone; `sums` holds as many.
        unsafe {
            finish(
                &p.scaled_before(true),
                Part { row: i, col: j, rows: 1, cols, sums: sums.as_ptr(), stride: RUN },
            )
        };
    }
}

fn dot<R: Real>(p: &Problem, i: usize, j: usize) -> R {
    let mut sum = R::ZERO;
    if p.b.dtype.is_quantised() {
        return dot_blocks(p, i, j);
    }
    for k in 0..p.k {
        // SAFETY: elements (i, k) of A and (k, j) of B exist.
        let product = unsafe { element::<R>(&p.a, i, k) * element::<R>(&p.b, k, j) };
        sum += if p.more.is_some() { product * scale(p, i, j, k) } else { product };
    }
    sum
}

/// What a product of elements is scaled by.
pub fn scale<R: Real>(p: &Problem, i: usize, j: usize, k: usize) -> R {
    let [a, b] = p.scales();
    // SAFETY: row i of A, column j of B and element k of either exist.
    let of =
        |scale: Option<Factor>, line: usize| scale.map_or(1.0, |scale| unsafe { scale.at(line, block(k)) });
    R::of(of(a, i) * of(b, j))
}

/// The same with a column of blocks.
fn dot_blocks<R: Real>(p: &Problem, i: usize, j: usize) -> R {
    let (mut sum, mut items) = (R::ZERO, [0f32; 256]);
    let column = p.b.moved((j as isize).wrapping_mul(p.b.col));
    for k in 0..p.k {
        let (block, item) = (k / p.b.dtype.block(), k % p.b.dtype.block());
        // SAFETY: block `block` of the column exists, and `items` holds the largest; element (i, k) of A exists.
        unsafe {
            if item == 0 {
                quantised::decode(p.b.dtype, column.moved(block as isize).at, 1, items.as_mut_ptr());
            }
            sum += element::<R>(&p.a, i, k) * R::of(items[item]);
        }
    }
    sum
}

unsafe fn element<R: Real>(view: &super::problem::View, i: usize, j: usize) -> R {
    // SAFETY: the caller's: the element exists.
    unsafe { read(view.dtype, view.address(i, j)) }
}

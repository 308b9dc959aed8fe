//! From sums to D: act(alpha x + beta C + bias), rounded once, while the sums are still in cache.

use super::element::{Element, Real};
use super::problem::{Problem, View};
use crate::dtype::{Dtype, bf16, f16};
use crate::for_each_isa;

/// Columns at a time.
const RUN: usize = 64;

/// Which part of D, and where its sums are.
#[derive(Clone, Copy)]
pub struct Part<R> {
    pub row: usize,
    pub col: usize,
    pub rows: usize,
    pub cols: usize,
    /// Sum (i, j) of the part is at `sums + i stride + j`.
    pub sums: *const R,
    pub stride: usize,
}

/// Writes a part of D.
///
/// # Safety
///
/// The part lies inside D, the problem's views are valid, the sums are readable, and no other thread writes this part.
pub unsafe fn finish<R: Real>(p: &Problem, part: Part<R>) {
    match p.d.dtype {
        Dtype::F16 => typed::<R, f16>(p, part),
        Dtype::Bf16 => typed::<R, bf16>(p, part),
        Dtype::F64 => typed::<R, f64>(p, part),
        _ => typed::<R, f32>(p, part),
    }
}

for_each_isa! {
    fn typed<R: Real, T: Element>(p: &Problem, part: Part<R>) {
        let mut values = [R::ZERO; RUN];
        for i in 0..part.rows {
            let mut j = 0;
            while j < part.cols {
                let values = &mut values[..RUN.min(part.cols - j)];
                // SAFETY: inside the sums and inside D, by the contract of `finish`, the only caller.
                unsafe {
                    scale(values, part.sums.wrapping_add(i * part.stride + j), R::from_f64(p.after.alpha));
                    run::<R, T>(p, part.row + i, part.col + j, values);
                }
                j += values.len();
            }
        }
    }
}

#[inline(always)]
unsafe fn scale<R: Real>(values: &mut [R], sums: *const R, alpha: R) {
    // SAFETY: the caller's: as many sums as values.
    let sums = unsafe { std::slice::from_raw_parts(sums, values.len()) };
    values.iter_mut().zip(sums).for_each(|(x, sum)| *x = *sum * alpha);
}

/// One run of one row.
#[inline(always)]
unsafe fn run<R: Real, T: Element>(p: &Problem, i: usize, j: usize, values: &mut [R]) {
    // SAFETY: the caller's: the run is inside D, to which C and bias were broadcast, and its own.
    unsafe {
        if let Some(c) = &p.c {
            add::<R, T>(c, i, j, R::from_f64(p.after.beta), values);
        }
        match &p.bias {
            Some(bias) if bias.dtype == T::DTYPE => add::<R, T>(bias, i, j, R::from_f64(1.0), values),
            Some(bias) => add::<R, f32>(bias, i, j, R::from_f64(1.0), values),
            None => {}
        }
        R::activate(p.after.epilogue, values);
        store::<R, T>(&p.d, i, j, values);
    }
}

#[inline(always)]
unsafe fn add<R: Real, T: Element>(view: &View, i: usize, j: usize, factor: R, values: &mut [R]) {
    let at = view.ptr::<T>(i, j);
    // SAFETY: the caller's. Elements are read through pointers: another queue may write them.
    let read = |index: isize| unsafe { R::of(at.wrapping_offset(index.wrapping_mul(view.col)).read()) };
    match view.col {
        // SAFETY: as above; the elements follow one another.
        1 => values
            .iter_mut()
            .enumerate()
            .for_each(|(index, x)| *x += factor * unsafe { R::of(at.wrapping_add(index).read()) }),
        0 => {
            let term = factor * read(0);
            values.iter_mut().for_each(|x| *x += term);
        }
        _ => values.iter_mut().enumerate().for_each(|(index, x)| *x += factor * read(index as isize)),
    }
}

#[inline(always)]
unsafe fn store<R: Real, T: Element>(d: &View, i: usize, j: usize, values: &[R]) {
    let at = d.ptr::<T>(i, j);
    for (index, x) in values.iter().enumerate() {
        let at = if d.col == 1 {
            at.wrapping_add(index)
        } else {
            at.wrapping_offset((index as isize).wrapping_mul(d.col))
        };
        // SAFETY: the caller's: an element of D.
        unsafe { at.write(x.to::<T>()) };
    }
}

//! What few problems do to a run of values on its way to D: scale the sums, meet the epilogue's second matrix, leave copies.

use super::activation::Activate;
use super::element::{Element, Real};
use super::finish::{RUN, fetch, multiply, store};
use super::more::More;
use super::problem::{Problem, View};
use super::vector::Vector;
use super::*;
use crate::dtype::{Dtype, bf16, f16};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Multiplies the sums from (row, col) by what their rows of A and columns of B are scaled by, unless that is done.
///
/// # Safety
///
/// `count` elements of D from there exist, and the views are valid; so for all of this file.
#[inline(always)]
pub unsafe fn scale<V: Vector>(more: &More, row: usize, col: usize, x: &mut [V::Real; RUN], count: usize) {
    if more.early {
        return;
    }
    let [of_row, of_column] = more.scales;
    // SAFETY: the row and these columns exist: this file's contract.
    unsafe {
        if let Some(all) = of_column.and_then(|scale| scale.of_all()) {
            multiply::<V>(x, V::Real::of(all));
        } else if let Some(scale) = of_column {
            for (j, x) in x.iter_mut().enumerate().take(count) {
                *x = *x * V::Real::of(scale.at(col + j, 0));
            }
        }
        if let Some(scale) = of_row {
            multiply::<V>(x, V::Real::of(scale.at(row, 0)));
        }
    }
}

/// Writes aux, or multiplies by what it makes of it.
///
/// # Safety
///
/// As for [`scale`]; a mask's columns begin at a multiple of 8, and its bytes are this thread's.
#[inline(always)]
pub unsafe fn meet_aux<V: Vector, T: Element>(
    p: &Problem,
    more: &More,
    row: usize,
    col: usize,
    x: &mut [V::Real; RUN],
    count: usize,
) {
    let Some(aux) = &more.aux else { return };
    // SAFETY: this function's contract; aux is of one of these types.
    unsafe {
        match (p.after.epilogue, aux.dtype) {
            (WEFT_EPILOGUE_RELU_AUX, _) => write_mask(aux, row, col, x, count),
            (WEFT_EPILOGUE_DRELU, _) => apply_mask(aux, row, col, x, count),
            (WEFT_EPILOGUE_GELU_AUX | WEFT_EPILOGUE_GELU_TANH_AUX, dtype) => match dtype {
                Dtype::F16 => store::<V, f16>(aux, row, col, x, count),
                Dtype::Bf16 => store::<V, bf16>(aux, row, col, x, count),
                _ => store::<V, V::Real>(aux, row, col, x, count),
            },
            (epilogue, dtype) => {
                let from = |count| match dtype {
                    Dtype::F16 => widened::<V::Real, f16>(aux, row, col, count),
                    Dtype::Bf16 => widened::<V::Real, bf16>(aux, row, col, count),
                    _ => widened::<V::Real, V::Real>(aux, row, col, count),
                };
                V::Real::derive(epilogue == WEFT_EPILOGUE_DGELU_TANH, x, &from(count));
            }
        }
    }
}

#[inline(always)]
unsafe fn widened<R: Real, T: Element>(aux: &View, row: usize, col: usize, count: usize) -> [R; RUN] {
    // SAFETY: this file's contract.
    let run = unsafe { fetch::<T>(aux.ptr(row, col), aux.col, count) };
    run.map(R::of)
}

/// Bit j of a row: byte j / 8, from the lowest.
#[inline(always)]
unsafe fn write_mask<R: Real>(aux: &View, row: usize, col: usize, x: &[R; RUN], count: usize) {
    for (byte, values) in x[..count].chunks(8).enumerate() {
        let bit = |(j, x): (usize, &R)| u8::from(x.positive()) << j;
        let bits = values.iter().enumerate().map(bit).fold(0, |bits, bit| bits | bit);
        // SAFETY: this byte holds bits of these columns alone: the contract of `meet_aux`.
        unsafe { aux.ptr::<u8>(row, col / 8 + byte).write(bits) };
    }
}

#[inline(always)]
unsafe fn apply_mask<R: Real>(aux: &View, row: usize, col: usize, x: &mut [R; RUN], count: usize) {
    for (byte, values) in x[..count].chunks_mut(8).enumerate() {
        // SAFETY: this byte holds bits of these columns.
        let bits = unsafe { aux.ptr::<u8>(row, col / 8 + byte).read() };
        for (j, x) in values.iter_mut().enumerate() {
            *x = if bits >> j & 1 == 1 { *x } else { R::ZERO };
        }
    }
}

/// Leaves the values where they are wanted before they are rounded, keeps the largest, and scales them for D.
///
/// # Safety
///
/// As for [`scale`].
#[inline(always)]
pub unsafe fn leave<V: Vector>(more: &More, row: usize, col: usize, x: &mut [V::Real; RUN], count: usize) {
    // SAFETY: this function's contract; amax is an f32 that only finishing reaches.
    unsafe {
        if let Some(values) = &more.values {
            store::<V, f32>(values, row, col, x, count);
        }
        if !more.amax.is_null() {
            let bits = |x: &V::Real| x.widen().to_bits() & 0x7fff_ffff;
            let largest = x[..count].iter().map(bits).max().unwrap_or(0);
            AtomicU32::from_ptr(more.amax.cast()).fetch_max(largest, Relaxed);
        }
        if !more.d_scale.is_null() {
            multiply::<V>(x, V::Real::of(more.d_scale.read()));
        }
    }
}

//! From sums to D: act(alpha x + beta C + bias), rounded once, while the sums are still in cache.

use super::activation::Activate;
use super::after;
use super::element::{Element, Real};
use super::problem::{After, Problem, View};
use super::vector::{Plain, Vector};
use crate::device::cpu::{Isa, isa};
use crate::dtype::{Dtype, Float, bf16, f16};
use crate::kernels::narrow::{E4m3, E5m2};

/// Columns at a time: a run. Shorter ones are padded with zeros.
pub(crate) const RUN: usize = 32;

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

impl<R> Part<R> {
    /// The same part, of other sums.
    pub fn of<S>(&self, sums: *const S) -> Part<S> {
        let Self { row, col, rows, cols, stride, .. } = *self;
        Part { row, col, rows, cols, sums, stride }
    }
}

/// Writes a part of D.
///
/// # Safety
///
/// The part lies inside D, the problem's views are valid, the sums are readable, and no other thread writes this part.
pub unsafe fn finish<R: Real>(p: &Problem, part: Part<R>) {
    let kernel = R::finisher(p.d.dtype);
    // SAFETY: this function's contract; the kernel is this machine's.
    unsafe { kernel(p, part) };
}

/// Writes a part of D of one dtype.
pub type Finisher<R> = unsafe fn(&Problem, Part<R>);

/// Sums that can be finished.
pub trait Finish: Sized {
    /// The kernel for D of this dtype on this machine.
    fn finisher(dtype: Dtype) -> Finisher<Self>;
}

impl Finish for f32 {
    fn finisher(dtype: Dtype) -> Finisher<f32> {
        match dtype {
            Dtype::F16 => f32_kernel::<f16>(),
            #[cfg(target_arch = "x86_64")]
            Dtype::Bf16 if isa() == Isa::Avx512Bf16 => bf16_rows,
            Dtype::Bf16 => f32_kernel::<bf16>(),
            Dtype::F8E4m3 => f32_kernel::<E4m3>(),
            Dtype::F8E5m2 => f32_kernel::<E5m2>(),
            _ => f32_kernel::<f32>(),
        }
    }
}

impl Finish for f64 {
    fn finisher(_: Dtype) -> Finisher<f64> {
        f64_kernel::<f64>()
    }
}

macro_rules! kernel {
    ($name:ident, $R:ty, $avx512:ident, $avx2:ident, $plain:ty) => {
        fn $name<T: Element>() -> Finisher<$R> {
            #[cfg(target_arch = "x86_64")]
            {
                use std::arch::x86_64::*;
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
                unsafe fn avx512<T: Element>(p: &Problem, part: Part<$R>) {
                    // SAFETY: the caller's.
                    unsafe { rows::<$avx512, T>(p, part) }
                }
                #[target_feature(enable = "avx2,fma,f16c")]
                unsafe fn avx2<T: Element>(p: &Problem, part: Part<$R>) {
                    // SAFETY: the caller's.
                    unsafe { rows::<$avx2, T>(p, part) }
                }
                match isa() {
                    Isa::Avx512 | Isa::Avx512Bf16 => return avx512::<T>,
                    Isa::Avx2 => return avx2::<T>,
                    Isa::Scalar => {}
                }
            }
            rows::<$plain, T>
        }
    };
}
kernel!(f32_kernel, f32, __m512, __m256, Plain<f32, 8>);
kernel!(f64_kernel, f64, __m512d, __m256d, Plain<f64, 4>);

/// [`rows`] with the instruction that rounds to bf16, for whole runs. It takes subnormals for 0: runs that hold any are
/// rounded as everywhere else.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
unsafe fn bf16_rows(p: &Problem, part: Part<f32>) {
    use std::arch::x86_64::{
        __m512, __m512bh, __m512i, _mm512_cvtne2ps_pbh, _mm512_fpclass_ps_mask, _mm512_loadu_ps,
        _mm512_storeu_si512,
    };
    const SUBNORMAL: i32 = 0x20;
    if !p.is_plain() || p.d.col != 1 || part.cols != RUN {
        // SAFETY: the caller's.
        return unsafe { rows::<__m512, bf16>(p, part) };
    }
    for i in 0..part.rows {
        let from = part.sums.wrapping_add(i.wrapping_mul(part.stride));
        let to = p.d.ptr::<bf16>(part.row + i, part.col);
        // SAFETY: a whole run of sums, and of D, whose row is contiguous, by the contract of `finish`; two vectors of
        // bf16 are as large as one of integers.
        unsafe {
            let (low, high) = (_mm512_loadu_ps(from), _mm512_loadu_ps(from.wrapping_add(RUN / 2)));
            let tiny = _mm512_fpclass_ps_mask::<SUBNORMAL>(low) | _mm512_fpclass_ps_mask::<SUBNORMAL>(high);
            if tiny != 0 {
                round::<__m512, bf16>(from, to);
                continue;
            }
            let rounded = _mm512_cvtne2ps_pbh(high, low);
            _mm512_storeu_si512(to.cast(), std::mem::transmute::<__m512bh, __m512i>(rounded));
        }
    }
}

#[inline(always)]
unsafe fn rows<V: Vector, T: Element>(p: &Problem, part: Part<V::Real>) {
    let only_round = p.is_plain() && p.d.col == 1 && part.cols % RUN == 0;
    for i in 0..part.rows {
        for j in (0..part.cols).step_by(RUN) {
            let sums = part.sums.wrapping_add(i * part.stride + j);
            if only_round {
                // SAFETY: a whole run of sums, and of D, whose row is contiguous, by the contract of `finish`.
                unsafe { round::<V, T>(sums, p.d.ptr(part.row + i, part.col + j)) };
                continue;
            }
            let count = RUN.min(part.cols - j);
            let (row, col) = (part.row + i, part.col + j);
            // SAFETY: `count` sums, and as many elements of D and of what was broadcast to it, by the contract of
            // `finish`.
            unsafe {
                let mut x = fetch::<V::Real>(sums, 1, count);
                if let Some(more) = &p.more {
                    after::scale::<V>(more, row, col, &mut x, count);
                }
                add_terms::<V, T>(p, row, col, &mut x, count);
                if let Some(more) = &p.more {
                    after::meet_aux::<V, T>(p, more, row, col, &mut x, count);
                }
                V::Real::activate(p.after.epilogue, &mut x);
                if let Some(more) = &p.more {
                    after::leave::<V>(more, row, col, &mut x, count);
                }
                store::<V, T>(&p.d, row, col, &x, count);
            }
        }
    }
}

/// alpha x + beta C + bias.
#[inline(always)]
unsafe fn add_terms<V: Vector, T: Element>(
    p: &Problem,
    row: usize,
    col: usize,
    x: &mut [V::Real; RUN],
    count: usize,
) {
    let After { alpha, beta, .. } = p.after;
    // SAFETY: the caller's.
    unsafe {
        if alpha != 1.0 {
            multiply::<V>(x, V::Real::from_f64(alpha));
        }
        if let Some(c) = &p.c {
            add_any::<V, T>(c, row, col, beta, x, count);
        }
        if let Some(bias) = &p.bias {
            add_any::<V, T>(bias, row, col, 1.0, x, count);
        }
    }
}

/// Adds what may be of another type than D: of f32, or, where that is an 8-bit float, of a half type.
#[inline(always)]
unsafe fn add_any<V: Vector, T: Element>(
    view: &View,
    row: usize,
    col: usize,
    factor: f64,
    x: &mut [V::Real; RUN],
    count: usize,
) {
    let factor = V::Real::from_f64(factor);
    // SAFETY: the caller's.
    unsafe {
        match view.dtype {
            dtype if dtype == T::DTYPE => add::<V, T>(view, row, col, factor, x, count),
            Dtype::F16 => add::<V, f16>(view, row, col, factor, x, count),
            Dtype::Bf16 => add::<V, bf16>(view, row, col, factor, x, count),
            _ => add::<V, f32>(view, row, col, factor, x, count),
        }
    }
}

/// Multiplies a run.
///
/// # Safety
///
/// The machine has the vectors' instruction set.
#[inline(always)]
pub unsafe fn multiply<V: Vector>(x: &mut [V::Real; RUN], factor: V::Real) {
    for lane in (0..RUN).step_by(V::LANES) {
        // SAFETY: LANES values of the run from `lane`.
        unsafe {
            let at = x.as_mut_ptr().add(lane);
            V::zero().add_product(V::load(at.cast_const()), V::splat(factor)).store(at);
        }
    }
}

#[inline(always)]
unsafe fn add<V: Vector, T: Element>(
    view: &View,
    row: usize,
    col: usize,
    factor: V::Real,
    x: &mut [V::Real; RUN],
    count: usize,
) {
    // SAFETY: the caller's; LANES values of each run from `lane`.
    unsafe {
        let terms = fetch::<T>(view.ptr(row, col), view.col, count);
        for lane in (0..RUN).step_by(V::LANES) {
            let at = x.as_mut_ptr().add(lane);
            V::load(at.cast_const())
                .add_product(V::load(terms.as_ptr().add(lane)), V::splat(factor))
                .store(at);
        }
    }
}

/// A run, copied: what lies in a buffer may change under a reference.
///
/// # Safety
///
/// `count` elements are readable.
#[inline(always)]
pub unsafe fn fetch<T: Element>(from: *const T, stride: isize, count: usize) -> [T; RUN] {
    let mut to = [T::narrow(0.0); RUN];
    // SAFETY: `count` elements are readable: the caller's.
    unsafe {
        match stride {
            1 if count == RUN => std::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), RUN),
            1 => std::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), count),
            _ => to
                .iter_mut()
                .take(count)
                .enumerate()
                .for_each(|(i, to)| *to = from.wrapping_offset((i as isize).wrapping_mul(stride)).read()),
        }
    }
    to
}

/// Writes a run to a matrix, rounded.
///
/// # Safety
///
/// `count` elements from (row, col) are this thread's; the machine has the vectors' instruction set.
#[inline(always)]
pub unsafe fn store<V: Vector, T: Element>(
    d: &View,
    row: usize,
    col: usize,
    x: &[V::Real; RUN],
    count: usize,
) {
    let at = d.ptr::<T>(row, col);
    // SAFETY: `count` elements of D are this thread's: the caller's.
    unsafe {
        if d.col == 1 && count == RUN {
            return round::<V, T>(x.as_ptr(), at);
        }
        let mut rounded = [T::narrow(0.0); RUN];
        round::<V, T>(x.as_ptr(), rounded.as_mut_ptr());
        if d.col == 1 {
            return std::ptr::copy_nonoverlapping(rounded.as_ptr(), at, count);
        }
        for (i, x) in rounded.iter().take(count).enumerate() {
            at.wrapping_offset((i as isize).wrapping_mul(d.col)).write(*x);
        }
    }
}

/// Rounds a run.
#[inline(always)]
unsafe fn round<V: Vector, T: Element>(from: *const V::Real, to: *mut T) {
    for lane in (0..RUN).step_by(V::LANES) {
        // SAFETY: LANES values of the runs from `lane`: the caller's.
        unsafe { V::load(from.wrapping_add(lane)).store_rounded(to.wrapping_add(lane)) };
    }
}

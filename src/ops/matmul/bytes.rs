//! Few rows of 8-bit elements, B's columns contiguous in k: dot products by the instructions that multiply pairs of bf16, or
//! four bytes at once, straight from where B lies. Bound by reading B once.

use super::extra::BLOCK;
use super::problem::Problem;
use crate::device::Cpu;
use crate::device::cpu::{Isa, isa};
use crate::dtype::Dtype;
use crate::status::Result;

/// The most rows.
const ROWS: usize = 8;
/// Elements of k whose products of i8 can be added up in i32.
const EXACT: usize = 1 << 16;

/// Whether there are few rows of 8-bit elements and the instructions for them.
pub fn accepts(p: &Problem, _: &Cpu) -> bool {
    let eight = |dtype| matches!(dtype, Dtype::F8E4m3 | Dtype::F8E5m2 | Dtype::I8);
    let few = p.k > 0 && p.m <= ROWS && p.b.row == 1 && eight(p.a.dtype) && eight(p.b.dtype);
    let room = (2 * p.m * p.k.next_multiple_of(BLOCK)) as u64 <= p.workspace;
    let exact = p.a.dtype != Dtype::I8 || !p.has_blocks() && (p.d.dtype == Dtype::I32 || p.k <= EXACT);
    few && room && exact && has_instructions(p.a.dtype)
}

#[cfg(target_arch = "x86_64")]
fn has_instructions(dtype: Dtype) -> bool {
    match dtype {
        Dtype::I8 => isa() >= Isa::Avx512 && std::arch::is_x86_feature_detected!("avx512vnni"),
        _ => isa() == Isa::Avx512Bf16,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn has_instructions(_: Dtype) -> bool {
    isa() > Isa::Scalar
}

/// Multiplies one matrix.
pub fn run(p: &Problem, cpu: &Cpu) -> Result<()> {
    #[cfg(target_arch = "x86_64")]
    return x86::run(p, cpu);
    #[cfg(not(target_arch = "x86_64"))]
    super::naive::run(p, cpu)
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    use crate::device::cpu::Scratch;
    use crate::kernels::narrow::{E4m3, E5m2};
    use crate::kernels::prefetch::prefetch;
    use crate::ops::matmul::cpu::try_parallel;
    use crate::ops::matmul::element::Element;
    use crate::ops::matmul::finish::{Part, finish};
    use crate::ops::matmul::fp8::{bf16_bits, x86 as fp8};
    use crate::ops::matmul::gemv::Shared;
    use crate::ops::matmul::integer;
    use crate::ops::matmul::more::{Factor, block};
    use std::arch::x86_64::*;

    /// Columns of a strip.
    const STRIP: usize = 64;
    /// How far ahead memory is asked for, in bytes.
    const AHEAD: usize = 8192;
    /// Rough bytes of B a nanosecond and thread.
    const BYTES: f64 = 15.0;

    /// The sums of one column with each row of `x`, whose rows hold k rounded up to BLOCK: row i's to `to + i STRIP`.
    type Dots = unsafe fn(p: &Problem, x: *const u8, col: usize, to: *mut u32);

    pub fn run(p: &Problem, cpu: &Cpu) -> Result<()> {
        let long = p.k.next_multiple_of(BLOCK);
        let x = Scratch::<u16>::new(p.m * long)?;
        let dots = prepare(p, &x, long);
        let x = Shared::new(x);
        // What blocks have been scaled by is not for the end.
        let scaled = p.has_blocks().then(|| p.scaled_before(true));
        let scaled = scaled.as_ref().unwrap_or(p);
        let strips = p.n.div_ceil(STRIP);
        let ns = p.n as f64 * p.k as f64 * p.m.div_ceil(4) as f64 / BYTES;
        try_parallel(cpu, strips, ns as u64, |strip| {
            let (col, cols) = (strip * STRIP, STRIP.min(p.n - strip * STRIP));
            let mut sums = [[0u32; STRIP]; ROWS];
            let sums = sums.as_mut_ptr().cast::<u32>();
            for j in 0..cols {
                // SAFETY: column `col + j` of B exists; `x` holds `m` rows; the sums hold column j of as many.
                unsafe { dots(p, x.get().cast(), col + j, sums.add(j)) };
            }
            let part =
                Part { row: 0, col, rows: p.m, cols, sums: sums.cast_const().cast::<f32>(), stride: STRIP };
            // SAFETY: these columns of D are this tile's alone; there are as many sums, of the type that D's are made of.
            unsafe {
                match (p.a.dtype, p.d.dtype) {
                    (Dtype::I8, Dtype::I32) => integer::finish(p, part.of(sums.cast_const().cast())),
                    (Dtype::I8, _) => {
                        integer::widen(sums.cast(), p.m * STRIP);
                        finish(p, part);
                    }
                    _ => finish(scaled, part),
                }
            }
            Ok(())
        })
    }

    macro_rules! of_rows {
        ($rows:expr, $dots:ident $(, $T:ty)?) => {
            match $rows {
                1 => $dots::<$($T,)? 1>,
                2 => $dots::<$($T,)? 2>,
                3 => $dots::<$($T,)? 3>,
                4 => $dots::<$($T,)? 4>,
                5 => $dots::<$($T,)? 5>,
                6 => $dots::<$($T,)? 6>,
                7 => $dots::<$($T,)? 7>,
                _ => $dots::<$($T,)? 8>,
            }
        };
    }
    /// Writes A to `x`, bf16 or bytes, 0 past the end of each row; and who multiplies that.
    fn prepare(p: &Problem, x: &Scratch<u16>, long: usize) -> Dots {
        match p.a.dtype {
            Dtype::F8E4m3 => fill(p, x.ptr(), long, bf16_bits::<E4m3>),
            Dtype::F8E5m2 => fill(p, x.ptr(), long, bf16_bits::<E5m2>),
            // With 128 added, so without a sign.
            _ => fill(p, x.ptr().cast::<u8>(), long, |x: u8| x ^ 0x80),
        }
        match p.b.dtype {
            Dtype::F8E4m3 => of_rows!(p.m, floats, E4m3),
            Dtype::F8E5m2 => of_rows!(p.m, floats, E5m2),
            _ => of_rows!(p.m, integers),
        }
    }

    fn fill<T: Copy, X: Copy + Default>(p: &Problem, x: *mut X, long: usize, of: impl Fn(T) -> X) {
        for i in 0..p.m {
            for k in 0..long {
                // SAFETY: the scratch holds `m` rows of `long`; element (i, k) of A exists below k.
                unsafe {
                    let value = if k < p.k { of(p.a.ptr::<T>(i, k).read()) } else { X::default() };
                    x.add(i * long + k).write(value);
                }
            }
        }
    }

    /// Of 8-bit floats T, through bf16; scaled after each block of k where scales differ between those.
    #[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn floats<T: Element, const M: usize>(p: &Problem, x: *const u8, col: usize, to: *mut u32) {
        const STEP: usize = 32;
        let (w, long) = (p.b.ptr::<u8>(0, col).cast_const(), p.k.next_multiple_of(BLOCK));
        let x = x.cast::<u16>();
        let scales = if p.has_blocks() { p.scales() } else { [None; 2] };
        let mut totals = [_mm512_setzero_ps(); M];
        for from in (0..p.k).step_by(BLOCK) {
            let mut sums = [[_mm512_setzero_ps(); M]; 2];
            prefetch(w.wrapping_add(from + AHEAD));
            prefetch(w.wrapping_add(from + AHEAD + 64));
            for (number, at) in (from..p.k.min(from + BLOCK)).step_by(STEP).enumerate() {
                // SAFETY: the mask admits the elements of the column that are there; rows of x are longer.
                unsafe {
                    let mask = u32::MAX >> (STEP - STEP.min(p.k - at));
                    let bytes = _mm256_maskz_loadu_epi8(mask, w.wrapping_add(at).cast());
                    let column = std::mem::transmute::<__m512i, __m512bh>(fp8::widen32::<T>(bytes));
                    for (i, sum) in sums[number % 2].iter_mut().enumerate() {
                        let row = _mm512_loadu_si512(x.wrapping_add(i * long + at).cast());
                        *sum = _mm512_dpbf16_ps(*sum, std::mem::transmute::<__m512i, __m512bh>(row), column);
                    }
                }
            }
            for (i, total) in totals.iter_mut().enumerate() {
                let of = |scale: Option<Factor>, line: usize| {
                    // SAFETY: the line and this block of k exist.
                    scale.map_or(1.0, |scale| unsafe { scale.at(line, block(from)) })
                };
                let factor = _mm512_set1_ps(of(scales[0], i) * of(scales[1], col));
                *total = _mm512_fmadd_ps(_mm512_add_ps(sums[0][i], sums[1][i]), factor, *total);
            }
        }
        for (i, total) in totals.into_iter().enumerate() {
            // SAFETY: each row has a sum of this column: the caller's.
            unsafe { to.add(i * STRIP).write(_mm512_reduce_add_ps(total).to_bits()) };
        }
    }

    /// Of integers: A's bytes have 128 too much, so 128 times the sum of the column is taken off.
    #[target_feature(enable = "avx512vnni,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn integers<const M: usize>(p: &Problem, x: *const u8, col: usize, to: *mut u32) {
        const STEP: usize = 64;
        let (w, long) = (p.b.ptr::<u8>(0, col).cast_const(), p.k.next_multiple_of(BLOCK));
        let high = _mm512_set1_epi8(i8::MIN);
        let (mut sums, mut excess) = ([_mm512_setzero_si512(); M], _mm512_setzero_si512());
        for at in (0..p.k).step_by(STEP) {
            prefetch(w.wrapping_add(at + AHEAD));
            // SAFETY: the mask admits the elements of the column that are there; rows of x are longer.
            unsafe {
                let mask = u64::MAX >> (STEP - STEP.min(p.k - at));
                let column = _mm512_maskz_loadu_epi8(mask, w.wrapping_add(at).cast());
                excess = _mm512_dpbusd_epi32(excess, high, column);
                for (i, sum) in sums.iter_mut().enumerate() {
                    let row = _mm512_loadu_si512(x.wrapping_add(i * long + at).cast());
                    *sum = _mm512_dpbusd_epi32(*sum, row, column);
                }
            }
        }
        for (i, sum) in sums.into_iter().enumerate() {
            let sum = _mm512_reduce_add_epi32(_mm512_sub_epi32(sum, excess));
            // SAFETY: each row has a sum of this column: the caller's.
            unsafe { to.add(i * STRIP).write(sum.cast_unsigned()) };
        }
    }
}

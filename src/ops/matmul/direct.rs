//! Small matrices, straight from where they lie: packing them would not pay. Register tiles of up to 13 rows by two
//! vectors read B's rows whole and A's elements one by one (the kernels for small matrices of BLIS and OpenBLAS do the
//! same); columns past the last are masked. Sums are added in the order of k, as by packed panels.

use super::element::Real;
use super::finish::{Finish, Part, finish};
use super::problem::Problem;
use crate::device::Cpu;
use crate::device::cpu::{Isa, isa};
use crate::dtype::Dtype;
use crate::status::Result;

/// Multiplications with addition at the most.
const MOST: f64 = 2.2e6;
/// Bytes at the most from one row of B to the next: further apart, a panel of B falls out of the first cache.
const APART: usize = 1024;
/// The most rows of a tile, whose sums then fit the registers beside two vectors of B and one of A, and its elements.
const ROWS: usize = 13;
const TILE: usize = ROWS * 32;

/// Whether the matrices are small, B's rows contiguous, and vectors masked.
pub fn accepts(p: &Problem, _: &Cpu) -> bool {
    let types = p.a.dtype == p.b.dtype && matches!(p.a.dtype, Dtype::F32 | Dtype::F64);
    let near = p.b.row.unsigned_abs() <= APART / p.b.dtype.size();
    types && near && p.k > 0 && p.b.col == 1 && p.work() <= MOST && isa() >= Isa::Avx512
}

/// Multiplies one matrix.
pub fn run(p: &Problem, _: &Cpu) -> Result<()> {
    #[cfg(target_arch = "x86_64")]
    match p.a.dtype {
        Dtype::F64 => tiles::<f64>(p, &x86::F64),
        _ => tiles::<f32>(p, &x86::F32),
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
    Ok(())
}

/// The operands of one tile, strides in elements. The mask's upper half is of the second vector.
#[derive(Clone, Copy)]
struct Run<T> {
    depth: usize,
    a: *const T,
    a_row: isize,
    a_col: isize,
    b: *const T,
    b_row: isize,
    to: *mut T,
    to_row: isize,
    mask: u32,
}

/// Computes one tile.
type Tile<T> = unsafe fn(Run<T>);

/// All tiles; `kernels` are those of one vector and of two, for each number of rows.
fn tiles<T: Real + Finish>(p: &Problem, kernels: &[[Tile<T>; ROWS]; 2]) {
    let rows = p.m.div_ceil(p.m.div_ceil(ROWS));
    let vector = 64 / size_of::<T>();
    for col in (0..p.n).step_by(2 * vector) {
        let cols = (p.n - col).min(2 * vector);
        let kernels = &kernels[usize::from(cols > vector)];
        for row in (0..p.m).step_by(rows) {
            let rows = rows.min(p.m - row);
            let part = Part { row, col, rows, cols, sums: std::ptr::null(), stride: 2 * vector };
            // SAFETY: rows and columns of the problem, whose A and B are of type T.
            unsafe { tile(p, kernels[rows - 1], part) };
        }
    }
}

/// # Safety
///
/// The part lies inside D, A and B are of type T, and the kernel is one of this machine for the part's rows.
unsafe fn tile<T: Real + Finish>(p: &Problem, kernel: Tile<T>, part: Part<T>) {
    let mut own = [std::mem::MaybeUninit::<T>::uninit(); TILE];
    let direct = p.is_plain() && p.d.col == 1 && p.d.dtype == p.a.dtype;
    let (to, to_row) = match direct {
        true => (p.d.ptr(part.row, part.col), p.d.row),
        false => (own.as_mut_ptr().cast(), part.stride as isize),
    };
    let (a, b) = (p.a.ptr::<T>(part.row, 0).cast_const(), p.b.ptr::<T>(0, part.col).cast_const());
    let mask = u32::MAX >> (32 - part.cols);
    let run = Run { depth: p.k, a, a_row: p.a.row, a_col: p.a.col, b, b_row: p.b.row, to, to_row, mask };
    // SAFETY: these rows of A, columns of B and of D exist (the caller's); `own` holds a tile.
    unsafe {
        kernel(run);
        if !direct {
            finish(p, Part { sums: own.as_ptr().cast::<T>(), ..part });
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    use std::arch::x86_64::*;

    macro_rules! kernels {
        ($table:ident, $name:ident, $T:ty, $M:ty, $lanes:literal, $zero:ident, $load:ident, $splat:ident, $fma:ident, $store:ident) => {
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
            unsafe fn $name<const W: usize, const R: usize>(run: Run<$T>) {
                let masks: [$M; W] = std::array::from_fn(|half| (run.mask >> (half * $lanes)) as $M);
                let mut sums = [[$zero(); W]; R];
                let (mut a, mut b) = (run.a, run.b);
                for _ in 0..run.depth {
                    let mut columns = [$zero(); W];
                    for (half, columns) in columns.iter_mut().enumerate() {
                        // SAFETY: the masked elements of a row of B exist: the caller's.
                        *columns = unsafe { $load(masks[half], b.wrapping_add(half * $lanes)) };
                    }
                    // Three rows an address: few registers, and the strides of the others fit the instruction.
                    let mut third = a;
                    for (i, sums) in sums.iter_mut().enumerate() {
                        // SAFETY: each k has R elements of A: the caller's.
                        let x = $splat(unsafe {
                            third.wrapping_offset(((i % 3) as isize).wrapping_mul(run.a_row)).read()
                        });
                        for (sums, columns) in sums.iter_mut().zip(columns) {
                            *sums = $fma(x, columns, *sums);
                        }
                        if i % 3 == 2 {
                            third = third.wrapping_offset(run.a_row.wrapping_mul(3));
                        }
                    }
                    (a, b) = (a.wrapping_offset(run.a_col), b.wrapping_offset(run.b_row));
                }
                for (i, sums) in sums.into_iter().enumerate() {
                    let to = run.to.wrapping_offset((i as isize).wrapping_mul(run.to_row));
                    for (half, sums) in sums.into_iter().enumerate() {
                        // SAFETY: the masked columns of the row are writable: the caller's.
                        unsafe { $store(to.wrapping_add(half * $lanes), masks[half], sums) };
                    }
                }
            }

pub static $table: [[Tile<$T>; ROWS]; 2] = [kernels!($name 1), kernels!($name 2)];
        };
        ($name:ident $W:literal) => {
            [
                $name::<$W, 1>,
                $name::<$W, 2>,
                $name::<$W, 3>,
                $name::<$W, 4>,
                $name::<$W, 5>,
                $name::<$W, 6>,
                $name::<$W, 7>,
                $name::<$W, 8>,
                $name::<$W, 9>,
                $name::<$W, 10>,
                $name::<$W, 11>,
                $name::<$W, 12>,
                $name::<$W, 13>,
            ]
        };
    }
    kernels!(
        F32,
        f32_tile,
        f32,
        __mmask16,
        16,
        _mm512_setzero_ps,
        _mm512_maskz_loadu_ps,
        _mm512_set1_ps,
        _mm512_fmadd_ps,
        _mm512_mask_storeu_ps
    );
    kernels!(
        F64,
        f64_tile,
        f64,
        __mmask8,
        8,
        _mm512_setzero_pd,
        _mm512_maskz_loadu_pd,
        _mm512_set1_pd,
        _mm512_fmadd_pd,
        _mm512_mask_storeu_pd
    );
}

//! Small matrices, straight from where they lie: packing them would not pay. Register tiles of up to 13 rows by two
//! vectors read B's rows whole and A's elements one by one (the kernels for small matrices of BLIS and OpenBLAS do the
//! same); columns past the last are masked, in tiles that have such: a masked load takes a multiplication's turn on
//! AMD's Zen 4. Of somewhat larger ones B's panels are packed, each when it is come to, and A is not: each of its
//! elements is used too seldom. Sums are added in the order of k, as by packed panels.

use super::cpu::try_parallel;
use super::element::Real;
use super::finish::{Finish, Part, finish};
use super::pack::{Lines, SLACK, pack};
use super::packed::piece;
use super::problem::Problem;
use super::tile::Kernel;
use crate::device::Cpu;
use crate::device::cpu::{Isa, Scratch, isa};
use crate::dtype::Dtype;
use crate::status::Result;
use std::ops::Range;

/// Multiplications with addition at the most.
const MOST: f64 = 2.2e6;
/// Bytes at the most from one row of B to the next: further apart, a panel of B falls out of the first cache.
const APART: usize = 1024;
/// The most rows of a tile, whose sums then fit the registers beside two vectors of B and one of A, and its elements.
const ROWS: usize = 13;
const TILE: usize = ROWS * 32;

/// Rows, columns and depth at the most where panels of B are packed: A is read again for each of them, from the second cache.
const LONGEST: usize = 512;
/// Rows and columns at the least.
const SHORTEST: usize = 48;
/// A's rows that lie multiples of so many bytes apart fall into the same few places of the first cache.
const CROWDED: usize = 2048;
/// Rough multiplications with addition a nanosecond.
const RATE: f64 = 50.0;

/// Whether the matrices are small, or A's need not be packed, and vectors masked.
pub fn accepts(p: &Problem, _: &Cpu) -> bool {
    let types = p.a.dtype == p.b.dtype && matches!(p.a.dtype, Dtype::F32 | Dtype::F64);
    types && p.k > 0 && isa() >= Isa::Avx512 && (is_small(p) || is_middling(p))
}

/// Whether B is read in place.
fn is_small(p: &Problem) -> bool {
    let near = p.b.row.unsigned_abs() <= APART / p.b.dtype.size();
    p.b.col == 1 && near && p.work() <= MOST
}

/// Whether B's panels are packed, by rows or by columns.
fn is_middling(p: &Problem) -> bool {
    let size = size_of::<f32>();
    let fits = [p.m, p.n].iter().all(|side| (SHORTEST..=LONGEST).contains(side)) && p.k <= LONGEST;
    let near = p.a.col == 1 && !p.a.row.unsigned_abs().wrapping_mul(size).is_multiple_of(CROWDED);
    let memory = (LONGEST * LONGEST * size) as u64 <= p.workspace;
    p.a.dtype == Dtype::F32 && fits && near && memory && (p.b.col == 1 || p.b.row == 1)
}

/// Multiplies one matrix.
pub fn run(p: &Problem, cpu: &Cpu) -> Result<()> {
    #[cfg(target_arch = "x86_64")]
    match p.a.dtype {
        Dtype::F64 => small(p, &x86::F64),
        _ if is_small(p) => small(p, &x86::F32),
        _ => return middling(p, cpu, &x86::F32),
    }
    let _ = (p, cpu);
    Ok(())
}

/// The operands of one tile, strides in elements. The mask is of the columns.
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

/// Those of one vector and of two, for each number of rows: first with columns that are masked in the last vector, then without.
type Tiles<T> = [[[Tile<T>; ROWS]; 2]; 2];

/// A panel of B: where its first row is, and elements from there to the next.
type Panel<T> = (*const T, isize);

/// Columns of a panel: two vectors.
const fn width<T>() -> usize {
    128 / size_of::<T>()
}

/// Rows of a tile: the last is as high as the others, or a little lower.
fn height(p: &Problem) -> usize {
    p.m.div_ceil(p.m.div_ceil(ROWS))
}

fn small<T: Real + Finish>(p: &Problem, tiles: &Tiles<T>) {
    for col in (0..p.n).step_by(width::<T>()) {
        panel(p, tiles, (col, 0..p.m), (p.b.ptr::<T>(0, col), p.b.row));
    }
}

/// Panels by threads; where there are fewer than those, several take one.
fn middling(p: &Problem, cpu: &Cpu, tiles: &Tiles<f32>) -> Result<()> {
    let (width, height) = (width::<f32>(), height(p));
    let (across, rows) = (p.n.div_ceil(width), p.m.div_ceil(height));
    let down = cpu.threads().div_ceil(across).min(rows);
    try_parallel(&cpu.lending(), across * down, (p.work() / RATE) as u64, |number| {
        let (col, part) = (number / down * width, piece(rows, down, number % down));
        let b = packed(p, col)?;
        let of = part.start * height..p.m.min(part.end * height);
        panel(p, tiles, (col, of), (b.ptr().cast(), width as isize));
        Ok(())
    })
}

/// The panel of the columns from `col` on.
fn packed(p: &Problem, col: usize) -> Result<Scratch<u32>> {
    let width = width::<f32>();
    let packed = Scratch::new(p.k * width + SLACK)?;
    let (at, count) = (p.b.address(0, col), width.min(p.n - col));
    let lines = Lines { at, dtype: Dtype::F32, line: p.b.col, step: p.b.row, count, k: p.k, flip: 0 };
    // SAFETY: these columns of B exist; the scratch is as wide as a panel for each k.
    unsafe { pack(Kernel::best(Dtype::F32, Dtype::F32), lines, width, packed.ptr()) };
    Ok(packed)
}

/// These rows of D's columns from `col` on, which the panel is of.
fn panel<T: Real + Finish>(p: &Problem, tiles: &Tiles<T>, (col, of): (usize, Range<usize>), b: Panel<T>) {
    let (width, height) = (width::<T>(), height(p));
    let cols = width.min(p.n - col);
    let tiles = &tiles[usize::from((2 * cols).is_multiple_of(width))][usize::from(2 * cols > width)];
    for row in of.clone().step_by(height) {
        let rows = height.min(of.end - row);
        let part = Part { row, col, rows, cols, sums: std::ptr::null(), stride: width };
        // SAFETY: rows and columns of the problem, whose A and B are of type T.
        unsafe { tile(p, b, tiles[rows - 1], part) };
    }
}

/// # Safety
///
/// The part lies inside D, A and B are of type T, `b` is the panel of the part's columns, and the kernel is one of this machine
/// for the part's rows.
unsafe fn tile<T: Real + Finish>(p: &Problem, (b, b_row): Panel<T>, kernel: Tile<T>, part: Part<T>) {
    let mut own = [std::mem::MaybeUninit::<T>::uninit(); TILE];
    let direct = p.is_plain() && p.d.col == 1 && p.d.dtype == p.a.dtype;
    let (to, to_row) = match direct {
        true => (p.d.ptr(part.row, part.col), p.d.row),
        false => (own.as_mut_ptr().cast(), part.stride as isize),
    };
    let (a, mask) = (p.a.ptr::<T>(part.row, 0).cast_const(), u32::MAX >> (32 - part.cols));
    // SAFETY: these rows of A, columns of B and of D exist (the caller's); `own` holds a tile.
    unsafe {
        kernel(Run { depth: p.k, a, a_row: p.a.row, a_col: p.a.col, b, b_row, to, to_row, mask });
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
        ($table:ident, $name:ident, $T:ty, $M:ty, $lanes:literal, $zero:ident, $load:ident, $load_some:ident, $splat:ident, $fma:ident, $store:ident, $store_some:ident) => {
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
            unsafe fn $name<const W: usize, const R: usize, const WHOLE: bool>(run: Run<$T>) {
                let mask = (run.mask >> ((W - 1) * $lanes)) as $M;
                let whole = |half| WHOLE || half + 1 < W;
                let mut sums = [[$zero(); W]; R];
                let (mut a, mut b) = (run.a, run.b);
                for _ in 0..run.depth {
                    let mut columns = [$zero(); W];
                    for (half, columns) in columns.iter_mut().enumerate() {
                        let at = b.wrapping_add(half * $lanes);
                        // SAFETY: the elements of a row of B exist, of the last vector the masked ones: the caller's.
                        *columns = unsafe { if whole(half) { $load(at) } else { $load_some(mask, at) } };
                    }
                    // Three rows an address: all rows' addresses do not fit the registers.
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
                        let at = to.wrapping_add(half * $lanes);
                        // SAFETY: the columns of the row are writable, of the last vector the masked ones: the caller's.
                        unsafe { if whole(half) { $store(at, sums) } else { $store_some(at, mask, sums) } };
                    }
                }
            }

            pub static $table: Tiles<$T> = [
    [kernels!($name 1 false), kernels!($name 2 false)],
    [kernels!($name 1 true), kernels!($name 2 true)],
            ];
        };
        ($name:ident $W:literal $whole:literal) => {
            [
                $name::<$W, 1, $whole>,
                $name::<$W, 2, $whole>,
                $name::<$W, 3, $whole>,
                $name::<$W, 4, $whole>,
                $name::<$W, 5, $whole>,
                $name::<$W, 6, $whole>,
                $name::<$W, 7, $whole>,
                $name::<$W, 8, $whole>,
                $name::<$W, 9, $whole>,
                $name::<$W, 10, $whole>,
                $name::<$W, 11, $whole>,
                $name::<$W, 12, $whole>,
                $name::<$W, 13, $whole>,
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
        _mm512_loadu_ps,
        _mm512_maskz_loadu_ps,
        _mm512_set1_ps,
        _mm512_fmadd_ps,
        _mm512_storeu_ps,
        _mm512_mask_storeu_ps
    );
    kernels!(
        F64,
        f64_tile,
        f64,
        __mmask8,
        8,
        _mm512_setzero_pd,
        _mm512_loadu_pd,
        _mm512_maskz_loadu_pd,
        _mm512_set1_pd,
        _mm512_fmadd_pd,
        _mm512_storeu_pd,
        _mm512_mask_storeu_pd
    );
}

//! Few rows (up to 8): bound by reading B once, so B is read in order, widened on the fly and never packed.
//!
//! Where B's columns are contiguous in k (weights stored [N, K]) sums are dot products, also of some more rows, a few of
//! them at a time with columns that stay in the first cache: to turn B for panels would take longer. Where its rows are
//! contiguous in n, rows of B are added up, eight at a time, into a strip of D's row that stays in the first cache.

use super::cpu::try_parallel;
use super::element::{Element, Real, with_element};
use super::finish::{Part, finish};
use super::problem::Problem;
use super::vector::{Plain, Vector};
use crate::device::Cpu;
use crate::device::cpu::{Isa, Scratch, isa};
use crate::dtype::{Dtype, bf16, f16};
use crate::kernels::narrow::{E4m3, E5m2};
use crate::kernels::prefetch::prefetch_second;
use crate::status::Result;

/// The most rows.
const ROWS: usize = 8;
/// The most rows of dot products, with so many elements at least, and those that are taken at a time where there are more
/// than ROWS, each time with so many columns.
const DOT_ROWS: usize = 16;
const DOT_LENGTH: usize = 128;
const ROWS_AT_ONCE: usize = 4;
const COLS_AT_ONCE: usize = 8;
/// Columns of dot products in a strip.
const DOT_STRIP: usize = 64;
/// Columns of fewer elements are read four side by side: the ends of their sums weigh more than a single stream gains.
const LONG: usize = 512;
/// Sums of a strip of added rows.
const ADD_SUMS: usize = 2048;
/// So are those beside which a row of A of so many bytes presses upon the first cache, or of twice as many if they are narrow.
const HEAVY: usize = 16384;
/// How far ahead of a dot product memory is asked for, in bytes: into the second cache, for in the first lie rows of A. Where
/// columns are read side by side it is for the next of them, if those are no farther than this.
const AHEAD: usize = 32768;
const NEXT: usize = 1 << 18;
/// Rough bytes of B a nanosecond and thread.
const BYTES: f64 = 15.0;

/// Whether there are few rows, and B is contiguous in a direction.
pub fn accepts(p: &Problem, _: &Cpu) -> bool {
    let few = p.m <= ROWS || (p.m <= DOT_ROWS && has_cheap_dots(p));
    let near = p.k > 0 && few && (p.b.row == 1 || p.b.col == 1);
    near && !p.has_blocks() && (p.m * p.k) as u64 * p.b.dtype.size().max(4) as u64 <= p.workspace
}

/// Whether dot products of some more rows take less time than panels: not where the panels' tiles multiply twice as fast.
fn has_cheap_dots(p: &Problem) -> bool {
    let wide = matches!(p.a.dtype, Dtype::F32 | Dtype::F64 | Dtype::F16);
    wide && p.b.row == 1 && p.k >= DOT_LENGTH && isa() >= Isa::Avx512
}

/// Multiplies one matrix.
pub fn run(p: &Problem, cpu: &Cpu) -> Result<()> {
    match (p.a.dtype, p.b.dtype) {
        (Dtype::F64, _) => strips::<f64, f64>(p, cpu),
        (_, Dtype::F16) => strips::<f32, f16>(p, cpu),
        (_, Dtype::Bf16) => strips::<f32, bf16>(p, cpu),
        (_, Dtype::F8E4m3) => strips::<f32, E4m3>(p, cpu),
        (_, Dtype::F8E5m2) => strips::<f32, E5m2>(p, cpu),
        _ => strips::<f32, f32>(p, cpu),
    }
}

/// What a strip needs to know; `x` is A widened: row i at `x + i k`.
#[derive(Clone, Copy)]
struct Strip<R, W> {
    x: *const R,
    w: *const W,
    rows: usize,
    k: usize,
    cols: usize,
    /// From one column (dot products) or row (added rows) of B to the next.
    step: isize,
    sums: *mut R,
    /// From one row of sums to the next.
    stride: usize,
}

impl<R, W> Strip<R, W> {
    /// Has `kernel` compute it, some rows and columns at a time if there are many rows.
    ///
    /// # Safety
    ///
    /// Rows and columns exist, and so do the sums; the kernel is one of this machine.
    unsafe fn compute(self, kernel: Kernel<R, W>)
    where
        Self: Copy,
    {
        if self.rows <= ROWS {
            // SAFETY: this function's contract.
            return unsafe { kernel(self) };
        }
        for col in (0..self.cols).step_by(COLS_AT_ONCE) {
            for row in (0..self.rows).step_by(ROWS_AT_ONCE) {
                let part = Self {
                    x: self.x.wrapping_add(row * self.k),
                    w: self.w.wrapping_offset((col as isize).wrapping_mul(self.step)),
                    rows: ROWS_AT_ONCE.min(self.rows - row),
                    cols: COLS_AT_ONCE.min(self.cols - col),
                    sums: self.sums.wrapping_add(row * self.stride + col),
                    ..self
                };
                // SAFETY: a part of it.
                unsafe { kernel(part) };
            }
        }
    }
}

type Kernel<R, W> = unsafe fn(Strip<R, W>);

fn strips<R: Real + Wide, W: Element>(p: &Problem, cpu: &Cpu) -> Result<()> {
    let x = widen::<R>(p)?;
    let dots = p.b.row == 1;
    let kernel = R::kernel::<W>(dots);
    // Two for each thread: one that is late then holds up half as much.
    let pieces = if cpu.threads() > 1 { 2 * cpu.threads() } else { 1 };
    let cols = if dots {
        DOT_STRIP
    } else {
        (ADD_SUMS / p.m / 64 * 64).min(p.n.div_ceil(pieces).next_multiple_of(64))
    };
    let step = if dots { p.b.col } else { p.b.row };
    let bytes = p.n as f64 * p.k as f64 * (size_of::<W>() * p.m.div_ceil(4)) as f64;
    let x = Shared::new(x);
    // Strips that are next to each other go to one thread: it reads B in order.
    let strips = p.n.div_ceil(cols);
    let tiles = strips.min(cpu.threads() * 8);
    let cut = |tile: usize| tile * strips / tiles;
    try_parallel(&cpu.lending(), tiles, (bytes / BYTES) as u64, |tile| {
        let mut sums = [R::ZERO; ADD_SUMS];
        let sums = sums.as_mut_ptr();
        for strip in cut(tile)..cut(tile + 1) {
            let col = strip * cols;
            let width = cols.min(p.n - col);
            // SAFETY: columns col to col + width of B exist and lie as `step` says; `sums` holds m rows of `width`;
            // these columns of D are this tile's alone.
            unsafe {
                let (w, stride) = (p.b.ptr(0, col), width);
                Strip { x: x.get(), w, rows: p.m, k: p.k, cols: width, step, sums, stride }.compute(kernel);
                finish(p, Part { row: 0, col, rows: p.m, cols: width, sums, stride: width });
            }
        }
        Ok(())
    })
}

/// Scratch memory that tiles only read.
pub struct Shared<R>(*const R, #[allow(dead_code)] Scratch<R>);

// SAFETY: the memory was written before the tiles started and is only read by them.
unsafe impl<R> Sync for Shared<R> {}

impl<R: Copy> Shared<R> {
    /// Of memory that is written.
    pub fn new(scratch: Scratch<R>) -> Self {
        Self(scratch.ptr(), scratch)
    }

    /// Where it begins.
    pub fn get(&self) -> *const R {
        self.0
    }
}

/// A, row after row, in the type of the sums.
pub fn widen<R: Real>(p: &Problem) -> Result<Scratch<R>> {
    let x = Scratch::<R>::new(p.m * p.k)?;
    for i in 0..p.m {
        // SAFETY: row i of the scratch, which holds m rows of k.
        let row = unsafe { std::slice::from_raw_parts_mut(x.ptr().add(i * p.k), p.k) };
        with_element!(p.a.dtype, T => gather::<R, T>(p, i, row));
    }
    Ok(x)
}

fn gather<R: Real, T: Element>(p: &Problem, i: usize, row: &mut [R]) {
    let from = p.a.ptr::<T>(i, 0);
    if p.a.col == 1 {
        // A loop that becomes vectors.
        // SAFETY: row i of A has as many elements.
        row.iter_mut().enumerate().for_each(|(k, x)| *x = R::of(unsafe { from.wrapping_add(k).read() }));
        return;
    }
    for (k, x) in row.iter_mut().enumerate() {
        // SAFETY: element (i, k) of A exists.
        *x = unsafe { R::of(p.a.ptr::<T>(i, k).read()) };
    }
}

/// The kernel for this machine.
trait Wide: Real {
    fn kernel<W: Element>(dots: bool) -> Kernel<Self, W>;
}

macro_rules! kernels {
    ($R:ty, $avx512:ident, $avx2:ident, $plain:ty) => {
        impl Wide for $R {
            fn kernel<W: Element>(dots: bool) -> Kernel<$R, W> {
                #[cfg(target_arch = "x86_64")]
                {
                    use std::arch::x86_64::*;
                    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
                    unsafe fn dots512<W: Element>(strip: Strip<$R, W>) {
                        // SAFETY: the caller's.
                        unsafe { dot_rows::<$avx512, W>(strip) }
                    }
                    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
                    unsafe fn adds512<W: Element>(strip: Strip<$R, W>) {
                        // SAFETY: the caller's.
                        unsafe { add_rows::<$avx512, W>(strip) }
                    }
                    #[target_feature(enable = "avx2,fma,f16c")]
                    unsafe fn dots256<W: Element>(strip: Strip<$R, W>) {
                        // SAFETY: the caller's.
                        unsafe { dot_rows::<$avx2, W>(strip) }
                    }
                    #[target_feature(enable = "avx2,fma,f16c")]
                    unsafe fn adds256<W: Element>(strip: Strip<$R, W>) {
                        // SAFETY: the caller's.
                        unsafe { add_rows::<$avx2, W>(strip) }
                    }
                    match (isa(), dots) {
                        (Isa::Avx512 | Isa::Avx512Bf16, true) => return dots512::<W>,
                        (Isa::Avx512 | Isa::Avx512Bf16, false) => return adds512::<W>,
                        (Isa::Avx2, true) => return dots256::<W>,
                        (Isa::Avx2, false) => return adds256::<W>,
                        _ => {}
                    }
                }
                if dots { dot_rows::<$plain, W> } else { add_rows::<$plain, W> }
            }
        }
    };
}
kernels!(f32, __m512, __m256, Plain<f32, 8>);
kernels!(f64, __m512d, __m256d, Plain<f64, 4>);

/// Dot products of every row of x with every column of B: `M` rows known, so that sums stay in registers.
#[inline(always)]
unsafe fn dot_rows<V: Vector, W: Element>(strip: Strip<V::Real, W>) {
    // SAFETY: the caller's, handed on.
    unsafe {
        match strip.rows {
            1 if strip.k < LONG => dot_columns::<V, W, 1, 4, 2>(strip),
            1 if is_heavy::<V::Real, W>(strip.k) => dot_columns::<V, W, 1, 4, 4>(strip),
            1 => dot_columns::<V, W, 1, 1, 4>(strip),
            2 => dot_columns::<V, W, 2, 4, 1>(strip),
            3 => dot_columns::<V, W, 3, 4, 1>(strip),
            4 => dot_columns::<V, W, 4, 4, 1>(strip),
            5 => dot_columns::<V, W, 5, 2, 1>(strip),
            6 => dot_columns::<V, W, 6, 2, 1>(strip),
            7 => dot_columns::<V, W, 7, 2, 1>(strip),
            _ => dot_columns::<V, W, 8, 2, 1>(strip),
        }
    }
}

/// Whether a row of A leaves a column of B too little of the first cache.
fn is_heavy<R, W>(k: usize) -> bool {
    let narrow = size_of::<W>() < size_of::<R>();
    k * size_of::<R>() >= HEAVY << u32::from(narrow)
}

/// `C` columns at a time, the rest one by one. The order of a sum does not depend on which.
#[inline(always)]
unsafe fn dot_columns<V: Vector, W: Element, const M: usize, const C: usize, const U: usize>(
    s: Strip<V::Real, W>,
) {
    let mut col = 0;
    while col < s.cols {
        let at = s.w.wrapping_offset((col as isize).wrapping_mul(s.step));
        // SAFETY: columns col.. exist, by the caller.
        unsafe {
            if col + C <= s.cols {
                dot::<V, W, M, C, U>(&s, at, col);
                col += C;
            } else {
                dot::<V, W, M, 1, U>(&s, at, col);
                col += 1;
            }
        }
    }
}

/// The sums of each column with each row of x.
type Sums<V, const M: usize, const C: usize, const U: usize> = [[[V; U]; M]; C];

/// One vector from `at` of each column, times the same of each row of x, into the sums number `u`.
#[inline(always)]
unsafe fn step<V: Vector, W: Element, const M: usize, const C: usize, const U: usize>(
    s: &Strip<V::Real, W>,
    w: *const W,
    (at, ahead): (usize, usize),
    u: usize,
    sums: &mut Sums<V, M, C, U>,
) {
    for (c, sums) in sums.iter_mut().enumerate() {
        let column = w.wrapping_offset((c as isize).wrapping_mul(s.step)).wrapping_add(at);
        // Once a cache line.
        if (u * V::LANES * size_of::<W>()).is_multiple_of(64) {
            prefetch_second(column.wrapping_byte_add(ahead));
        }
        // SAFETY: LANES elements from `at` of the column and of each row of x exist: the caller's.
        unsafe {
            let weights = V::load(column);
            for (m, sums) in sums.iter_mut().enumerate() {
                sums[u] = sums[u].add_product(V::load(s.x.wrapping_add(m * s.k + at)), weights);
            }
        }
    }
}

#[inline(always)]
unsafe fn dot<V: Vector, W: Element, const M: usize, const C: usize, const U: usize>(
    s: &Strip<V::Real, W>,
    w: *const W,
    col: usize,
) {
    let mut sums: Sums<V, M, C, U> = [[[V::zero(); U]; M]; C];
    let next = C * size_of::<W>() * s.step.unsigned_abs();
    let ahead = if C > 1 && (AHEAD..=NEXT).contains(&next) { next } else { AHEAD };
    let mut k = 0;
    while k + V::LANES * U <= s.k {
        for u in 0..U {
            // SAFETY: LANES elements from here of each column, and of each row of x, exist.
            unsafe { step::<V, W, M, C, U>(s, w, (k + u * V::LANES, ahead), u, &mut sums) };
        }
        k += V::LANES * U;
    }
    while k + V::LANES <= s.k {
        // SAFETY: as above.
        unsafe { step::<V, W, M, C, U>(s, w, (k, ahead), 0, &mut sums) };
        k += V::LANES;
    }
    for (c, sums) in sums.into_iter().enumerate() {
        for (m, sums) in sums.into_iter().enumerate() {
            let mut total = sums.into_iter().fold(V::Real::ZERO, |total, sum| total + sum.total());
            for at in k..s.k {
                // SAFETY: element `at` of the column and of the row of x exists.
                let (x, w) = unsafe {
                    (
                        s.x.wrapping_add(m * s.k + at).read(),
                        w.wrapping_offset((c as isize).wrapping_mul(s.step)).wrapping_add(at).read(),
                    )
                };
                total += x * V::Real::of(w);
            }
            // SAFETY: sum (m, col + c) of the strip.
            unsafe { s.sums.wrapping_add(m * s.stride + col + c).write(total) };
        }
    }
}

/// Adds x[k] times row k of B to the sums, eight rows at a time.
#[inline(always)]
unsafe fn add_rows<V: Vector, W: Element>(s: Strip<V::Real, W>) {
    const AT_ONCE: usize = 8;
    // SAFETY: the strip's sums, and rows of B and elements of x below k: the caller's.
    unsafe {
        (0..s.rows * s.cols).for_each(|i| s.sums.wrapping_add(i).write(V::Real::ZERO));
        let mut k = 0;
        while k + AT_ONCE <= s.k {
            add_group::<V, W, AT_ONCE>(&s, k);
            k += AT_ONCE;
        }
        while k < s.k {
            add_group::<V, W, 1>(&s, k);
            k += 1;
        }
    }
}

#[inline(always)]
unsafe fn add_group<V: Vector, W: Element, const G: usize>(s: &Strip<V::Real, W>, k: usize) {
    let rows: [*const W; G] =
        std::array::from_fn(|g| s.w.wrapping_offset(((k + g) as isize).wrapping_mul(s.step)));
    for m in 0..s.rows {
        // SAFETY: elements k to k + G of row m of x exist.
        let x: [V::Real; G] = std::array::from_fn(|g| unsafe { s.x.wrapping_add(m * s.k + k + g).read() });
        let factors: [V; G] = std::array::from_fn(|g| V::splat(x[g]));
        let sums = s.sums.wrapping_add(m * s.cols);
        let mut col = 0;
        while col + V::LANES <= s.cols {
            // SAFETY: LANES columns from `col` exist in the sums and in each row of B.
            unsafe {
                let mut sum = V::load(sums.wrapping_add(col).cast_const());
                for g in 0..G {
                    // Once a cache line, and once a row of B: that row of the next group.
                    if m == 0 && G > 1 && (col * size_of::<W>()).is_multiple_of(64) {
                        prefetch_second(
                            rows[g].wrapping_add(col).wrapping_offset((G as isize).wrapping_mul(s.step)),
                        );
                    }
                    sum = sum.add_product(factors[g], V::load(rows[g].wrapping_add(col)));
                }
                sum.store(sums.wrapping_add(col));
            }
            col += V::LANES;
        }
        for col in col..s.cols {
            // SAFETY: column `col` exists in the sums and in each row of B.
            unsafe {
                let mut sum = sums.wrapping_add(col).read();
                for g in 0..G {
                    sum += x[g] * V::Real::of(rows[g].wrapping_add(col).read());
                }
                sums.wrapping_add(col).write(sum);
            }
        }
    }
}

//! Few rows (up to 8) times weights in blocks: bound by reading them once, so they are decoded in registers on the way.

use super::lanes::Lanes;
use super::{Format, Q4_0, Q4_1, Q4K, Q6K, Q8_0, Take};
use crate::device::Cpu;
use crate::device::cpu::{Isa, isa};
use crate::dtype::Dtype;
use crate::kernels::prefetch::prefetch_second;
use crate::ops::matmul::cpu::try_parallel;
use crate::ops::matmul::finish::{Part, finish};
use crate::ops::matmul::gemv::{Shared, widen};
use crate::ops::matmul::problem::Problem;
use crate::ops::matmul::vector::Plain;
use crate::status::Result;

/// The most rows.
const ROWS: usize = 8;
/// Columns of a strip.
const STRIP: usize = 64;
/// How far ahead memory is asked for, in bytes.
const AHEAD: usize = 16384;
/// Rough elements of B a nanosecond and thread.
const RATE: f64 = 20.0;

/// Whether there are few rows.
pub fn accepts(p: &Problem, _: &Cpu) -> bool {
    p.k > 0 && p.m <= ROWS
}

/// Multiplies one matrix.
pub fn run(p: &Problem, cpu: &Cpu) -> Result<()> {
    match p.b.dtype {
        Dtype::Q8_0 => strips::<Q8_0>(p, cpu),
        Dtype::Q4_0 => strips::<Q4_0>(p, cpu),
        Dtype::Q4_1 => strips::<Q4_1>(p, cpu),
        Dtype::Q4K => strips::<Q4K>(p, cpu),
        _ => strips::<Q6K>(p, cpu),
    }
}

/// What a strip needs to know; `x` is A widened: row i at `x + i k`.
#[derive(Clone, Copy)]
struct Strip {
    x: *const f32,
    w: *const u8,
    rows: usize,
    k: usize,
    cols: usize,
    /// Bytes from one column of B to the next.
    step: isize,
    sums: *mut f32,
}

type Kernel = unsafe fn(Strip);

fn strips<F: Format>(p: &Problem, cpu: &Cpu) -> Result<()> {
    let (x, kernel) = (Shared::new(widen::<f32>(p)?), kernel::<F>());
    let step = p.b.col.wrapping_mul(F::BYTES as isize);
    let ns = p.n as f64 * p.k as f64 * p.m.div_ceil(2) as f64 / RATE;
    // Strips that are next to each other go to one thread: it reads B in order.
    let strips = p.n.div_ceil(STRIP);
    let tiles = strips.min(cpu.threads() * 8);
    let cut = |tile: usize| tile * strips / tiles;
    try_parallel(cpu, tiles, ns as u64, |tile| {
        let mut sums = [0f32; ROWS * STRIP];
        let sums = sums.as_mut_ptr();
        for strip in cut(tile)..cut(tile + 1) {
            let col = strip * STRIP;
            let cols = STRIP.min(p.n - col);
            let w = p.b.at.wrapping_offset((col as isize).wrapping_mul(step));
            // SAFETY: columns col to col + cols of B exist and lie as `step` says; `sums` holds m rows of `cols`; these
            // columns of D are this tile's alone.
            unsafe {
                kernel(Strip { x: x.get(), w, rows: p.m, k: p.k, cols, step, sums });
                finish(p, Part { row: 0, col, rows: p.m, cols, sums, stride: cols });
            }
        }
        Ok(())
    })
}

/// The kernel for this machine.
fn kernel<F: Format>() -> Kernel {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__m256, __m512};
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
        unsafe fn avx512<F: Format>(strip: Strip) {
            // SAFETY: the caller's.
            unsafe { by_rows::<__m512, F>(strip) }
        }
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn avx2<F: Format>(strip: Strip) {
            // SAFETY: the caller's.
            unsafe { by_rows::<__m256, F>(strip) }
        }
        match isa() {
            Isa::Avx512 | Isa::Avx512Bf16 => return avx512::<F>,
            Isa::Avx2 => return avx2::<F>,
            Isa::Scalar => {}
        }
    }
    by_rows::<Plain<f32, 8>, F>
}

/// `M` rows known, so that sums stay in registers. Long blocks leave none for several columns, and bytes come fastest when
/// they are read straight ahead: then several blocks are under way instead.
#[inline(always)]
unsafe fn by_rows<V: Lanes, F: Format>(strip: Strip) {
    // SAFETY: the caller's, handed on.
    unsafe {
        match (strip.rows, F::ITEMS > 32, F::BYTES > 32) {
            (1, false, false) => columns::<V, F, 1, 4, 1, 2>(strip),
            (1, false, true) => columns::<V, F, 1, 1, 2, 4>(strip),
            (2, false, _) => columns::<V, F, 2, 2, 1, 2>(strip),
            (3, false, _) => columns::<V, F, 3, 2, 1, 1>(strip),
            (4, false, _) => columns::<V, F, 4, 2, 1, 1>(strip),
            (1, true, _) => columns::<V, F, 1, 1, 1, 4>(strip),
            (2, true, _) => columns::<V, F, 2, 1, 1, 4>(strip),
            (3, true, _) => columns::<V, F, 3, 1, 1, 2>(strip),
            (4, true, _) => columns::<V, F, 4, 1, 1, 2>(strip),
            (5, ..) => columns::<V, F, 5, 1, 1, 1>(strip),
            (6, ..) => columns::<V, F, 6, 1, 1, 1>(strip),
            (7, ..) => columns::<V, F, 7, 1, 1, 1>(strip),
            _ => columns::<V, F, 8, 1, 1, 1>(strip),
        }
    }
}

/// `C` columns at a time, the rest one by one. The order of a sum does not depend on which.
#[inline(always)]
unsafe fn columns<V: Lanes, F: Format, const M: usize, const C: usize, const B: usize, const U: usize>(
    s: Strip,
) {
    let mut col = 0;
    while col + C <= s.cols {
        // SAFETY: columns col.. exist, by the caller.
        unsafe { dot::<V, F, M, C, B, U>(&s, col) };
        col += C;
    }
    while col < s.cols {
        // SAFETY: as above.
        unsafe { dot::<V, F, M, 1, B, U>(&s, col) };
        col += 1;
    }
}

/// Of each column, for each row: the sums.
type Sums<V, const M: usize, const C: usize, const U: usize> = [[[V; U]; M]; C];

/// Dot products of every row of x with `C` columns, `U` sums each, `B` blocks at a time.
#[inline(always)]
unsafe fn dot<V: Lanes, F: Format, const M: usize, const C: usize, const B: usize, const U: usize>(
    s: &Strip,
    col: usize,
) {
    let mut sums: Sums<V, M, C, U> = [[[V::zero(); U]; M]; C];
    let column = |c: usize| s.w.wrapping_offset(((col + c) as isize).wrapping_mul(s.step));
    let mut at: [*const u8; C] = std::array::from_fn(column);
    let mut k = 0;
    while k + B * F::ITEMS <= s.k {
        for b in 0..B {
            // SAFETY: a block of each column is here, and as many elements of each row of x.
            unsafe { block::<V, F, M, C, U>(s, &mut at, k + b * F::ITEMS, b * F::ITEMS, &mut sums) };
        }
        k += B * F::ITEMS;
    }
    while B > 1 && k < s.k {
        // SAFETY: as above.
        unsafe { block::<V, F, M, C, U>(s, &mut at, k, 0, &mut sums) };
        k += F::ITEMS;
    }
    for (c, sums) in sums.into_iter().enumerate() {
        for (m, sums) in sums.into_iter().enumerate() {
            let total = sums.into_iter().fold(0.0, |total, sum| total + sum.total());
            // SAFETY: sum (m, col + c) of the strip.
            unsafe { s.sums.wrapping_add(m * s.cols + col + c).write(total) };
        }
    }
}

/// Adds the products of a block of each column with the elements of x from `k` on; `number` is that of the block's first
/// element among those that are under way.
#[inline(always)]
unsafe fn block<V: Lanes, F: Format, const M: usize, const C: usize, const U: usize>(
    s: &Strip,
    at: &mut [*const u8; C],
    k: usize,
    number: usize,
    sums: &mut Sums<V, M, C, U>,
) {
    let x = s.x.wrapping_add(k);
    for (at, sums) in at.iter_mut().zip(sums) {
        for line in (0..F::BYTES).step_by(64) {
            prefetch_second(at.wrapping_add(AHEAD + line));
        }
        // SAFETY: the block, and the elements of each row of x, exist: the caller's.
        unsafe { F::decode::<V>(*at, &mut Adder { x, k: s.k, number, sums }) };
        *at = at.wrapping_add(F::BYTES);
    }
}

/// Multiplies a block's elements with those of each row of x, which are `k` apart, and adds them to the sums.
struct Adder<'a, V, const M: usize, const U: usize> {
    x: *const f32,
    k: usize,
    number: usize,
    sums: &'a mut [[V; U]; M],
}

impl<V: Lanes, const M: usize, const U: usize> Take<V> for Adder<'_, V, M, U> {
    #[inline(always)]
    unsafe fn take(&mut self, at: usize, w: V) {
        for m in 0..M {
            let sum = &mut self.sums[m][(self.number + at) / V::LANES % U];
            // SAFETY: as many elements of each row of x are there: what `block` is called with.
            *sum = sum.add_product(unsafe { V::load(self.x.wrapping_add(m * self.k + at)) }, w);
        }
    }
}

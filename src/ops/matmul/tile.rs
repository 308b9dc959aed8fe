//! Register tiles: an R x 2V block of sums that stays in registers while it runs along k over two packed panels.
//!
//! A panel of A holds its R rows' units for each k, a panel of B its 2V columns'. A unit is 32 bits: an f32, or
//! neighbours in k: two bf16, or four or two integers, for the instructions that multiply those. Sums of integers are the bits
//! of i32 where those of floats would be.

use super::vector::{Plain, Vector};
use crate::device::cpu::{Isa, isa};
use crate::dtype::Dtype;
use crate::kernels::prefetch::{prefetch, prefetch_second};

/// Computes one tile: sums from `from` (null: zero), plus the panels' product over `depth` units, to `to`.
pub type Tile = unsafe fn(Run);

/// The operands of one tile.
#[derive(Clone, Copy)]
pub struct Run {
    pub depth: usize,
    pub a: *const u32,
    pub b: *const u32,
    /// A cache line from here is asked for with each unit of depth: what is read next.
    pub ahead: *const u32,
    pub from: *const f32,
    pub from_stride: isize,
    pub to: *mut f32,
    pub to_stride: isize,
}

/// The tiles of one instruction set.
pub struct Kernel {
    /// Columns of a tile.
    pub cols: usize,
    /// What a unit holds.
    pub units: Units,
    /// The tile of each number of rows, from 1.
    pub tiles: &'static [Tile],
}

/// What a unit holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Units {
    /// An f32.
    Singles,
    /// Two bf16.
    Pairs,
    /// Four i8 of B, or as many of A with 128 added: their products are of bytes without a sign and with one.
    Quads,
    /// Two i16.
    Words,
}

impl Units {
    /// Elements a unit.
    pub fn per(self) -> usize {
        match self {
            Self::Singles => 1,
            Self::Pairs | Self::Words => 2,
            Self::Quads => 4,
        }
    }
}

impl Kernel {
    /// The most rows of a tile.
    pub fn rows(&self) -> usize {
        self.tiles.len()
    }

    /// The best kernel of this machine for factors of these types.
    pub fn best(a: Dtype, b: Dtype) -> &'static Self {
        use Dtype::{Bf16, F8E4m3, F8E5m2, I8};
        if a == I8 {
            return Self::of_integers();
        }
        let short = [a, b].iter().all(|dtype| matches!(dtype, Bf16 | F8E4m3 | F8E5m2));
        #[cfg(target_arch = "x86_64")]
        match isa() {
            Isa::Avx512Bf16 if short => return &x86::BF16,
            Isa::Avx512Bf16 | Isa::Avx512 => return &x86::AVX512,
            Isa::Avx2 => return &x86::AVX2,
            Isa::Scalar => {}
        }
        let _ = short;
        &PLAIN
    }

    fn of_integers() -> &'static Self {
        #[cfg(target_arch = "x86_64")]
        match isa() {
            Isa::Avx512Bf16 | Isa::Avx512 if std::arch::is_x86_feature_detected!("avx512vnni") => {
                return &x86::VNNI;
            }
            Isa::Scalar => {}
            _ => return &x86::WORDS,
        }
        let _ = isa();
        &PLAIN_WORDS
    }
}

/// Units of a cache line.
pub(crate) const LINE: usize = 16;

/// How units are multiplied.
trait Multiply {
    /// Sums, a row of a tile's half, or as many units, of whatever type: loads and stores keep the bits.
    type Lanes: Vector<Real = f32>;
    fn add_product(sums: Self::Lanes, x: Self::Lanes, y: Self::Lanes) -> Self::Lanes;
}

/// One f32 a unit.
struct Single<V>(V);

impl<V: Vector<Real = f32>> Multiply for Single<V> {
    type Lanes = V;
    #[inline(always)]
    fn add_product(sums: V, x: V, y: V) -> V {
        sums.add_product(x, y)
    }
}

#[inline(always)]
unsafe fn tile<K: Multiply, const R: usize>(run: Run) {
    let lanes = K::Lanes::LANES;
    let mut sums = [[K::Lanes::zero(); 2]; R];
    let at = |base: *const f32, stride: isize, i: usize, half: usize| {
        base.wrapping_offset((i as isize).wrapping_mul(stride)).wrapping_add(half * lanes)
    };
    if !run.from.is_null() {
        for (i, row) in sums.iter_mut().enumerate() {
            // SAFETY: the tile's rows of sums are readable: the caller's.
            *row = unsafe { [0, 1].map(|half| K::Lanes::load(at(run.from, run.from_stride, i, half))) };
        }
    }
    // The rows of D lie a page apart, out of reach of the processor's prefetching.
    for i in 0..R {
        prefetch(at(run.to.cast_const(), run.to_stride, i, 0));
        prefetch(at(run.to.cast_const(), run.to_stride, i, 1));
    }
    let (mut a, mut b, mut ahead) = (run.a.cast::<f32>(), run.b.cast::<f32>(), run.ahead);
    for _ in 0..run.depth {
        prefetch_second(ahead);
        // SAFETY: each k of the panels holds R units of A and two vectors of B.
        unsafe {
            let columns = [K::Lanes::load(b), K::Lanes::load(b.wrapping_add(lanes))];
            for (i, row) in sums.iter_mut().enumerate() {
                let x = K::Lanes::splat(a.wrapping_add(i).read());
                *row = [K::add_product(row[0], x, columns[0]), K::add_product(row[1], x, columns[1])];
            }
        }
        (a, b, ahead) = (a.wrapping_add(R), b.wrapping_add(2 * lanes), ahead.wrapping_add(LINE));
    }
    for (i, row) in sums.into_iter().enumerate() {
        for (half, sums) in row.into_iter().enumerate() {
            // SAFETY: the tile's rows are writable: the caller's.
            unsafe { sums.store(at(run.to, run.to_stride, i, half).cast_mut()) };
        }
    }
}

static PLAIN: Kernel = {
    type K = Single<Plain<f32, 4>>;
    Kernel {
        cols: 8,
        units: Units::Singles,
        tiles: &[tile::<K, 1>, tile::<K, 2>, tile::<K, 3>, tile::<K, 4>],
    }
};

/// Two i16 a unit.
struct PlainWords;

impl Multiply for PlainWords {
    type Lanes = Plain<f32, 4>;
    #[inline(always)]
    fn add_product(sums: Self::Lanes, x: Self::Lanes, y: Self::Lanes) -> Self::Lanes {
        let bits = |lanes: Self::Lanes| lanes.lanes().map(|lane| lane.to_bits().cast_signed());
        let halves = |unit: i32| [i32::from(unit as i16), unit >> 16];
        let [sums, x, y] = [sums, x, y].map(bits);
        Plain::of(std::array::from_fn(|i| {
            let ([x, x2], [y, y2]) = (halves(x[i]), halves(y[i]));
            let sum = sums[i].wrapping_add(x.wrapping_mul(y)).wrapping_add(x2.wrapping_mul(y2));
            f32::from_bits(sum.cast_unsigned())
        }))
    }
}

static PLAIN_WORDS: Kernel = {
    type K = PlainWords;
    Kernel { cols: 8, units: Units::Words, tiles: &[tile::<K, 1>, tile::<K, 2>, tile::<K, 3>, tile::<K, 4>] }
};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    use std::arch::x86_64::*;

    /// Two bf16 a unit: the dot product of the pairs is added in f32.
    struct Pair;

    impl Multiply for Pair {
        type Lanes = __m512;
        #[inline(always)]
        fn add_product(sums: __m512, x: __m512, y: __m512) -> __m512 {
            // SAFETY: the instruction set is enabled where this is inlined; all are 64 bytes.
            unsafe {
                let [x, y] = [x, y].map(|pairs| std::mem::transmute::<__m512, __m512bh>(pairs));
                _mm512_dpbf16_ps(sums, x, y)
            }
        }
    }

    /// Four products of bytes a unit.
    struct Quad;

    impl Multiply for Quad {
        type Lanes = __m512;
        #[inline(always)]
        fn add_product(sums: __m512, x: __m512, y: __m512) -> __m512 {
            // SAFETY: as above.
            unsafe {
                let [sums, x, y] = [sums, x, y].map(|bits| _mm512_castps_si512(bits));
                _mm512_castsi512_ps(_mm512_dpbusd_epi32(sums, x, y))
            }
        }
    }

    /// Two products of i16 a unit.
    struct Words;

    impl Multiply for Words {
        type Lanes = __m256;
        #[inline(always)]
        fn add_product(sums: __m256, x: __m256, y: __m256) -> __m256 {
            // SAFETY: as above.
            unsafe {
                let [sums, x, y] = [sums, x, y].map(|bits| _mm256_castps_si256(bits));
                _mm256_castsi256_ps(_mm256_add_epi32(sums, _mm256_madd_epi16(x, y)))
            }
        }
    }

    #[target_feature(enable = "avx512vnni,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn vnni<const R: usize>(run: Run) {
        // SAFETY: the caller's.
        unsafe { tile::<Quad, R>(run) }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn words<const R: usize>(run: Run) {
        // SAFETY: the caller's.
        unsafe { tile::<Words, R>(run) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn avx512<const R: usize>(run: Run) {
        // SAFETY: the caller's.
        unsafe { tile::<Single<__m512>, R>(run) }
    }

    #[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    unsafe fn bf16<const R: usize>(run: Run) {
        // SAFETY: the caller's.
        unsafe { tile::<Pair, R>(run) }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    unsafe fn avx2<const R: usize>(run: Run) {
        // SAFETY: the caller's.
        unsafe { tile::<Single<__m256>, R>(run) }
    }

    macro_rules! tiles {
        ($f:ident: $($rows:literal)+) => { &[$($f::<$rows>),+] };
    }

    pub static AVX512: Kernel =
        Kernel { cols: 32, units: Units::Singles, tiles: tiles!(avx512: 1 2 3 4 5 6 7 8 9 10 11 12 13 14) };
    pub static BF16: Kernel =
        Kernel { cols: 32, units: Units::Pairs, tiles: tiles!(bf16: 1 2 3 4 5 6 7 8 9 10 11 12 13 14) };
    pub static AVX2: Kernel = Kernel { cols: 16, units: Units::Singles, tiles: tiles!(avx2: 1 2 3 4 5 6) };
    pub static VNNI: Kernel =
        Kernel { cols: 32, units: Units::Quads, tiles: tiles!(vnni: 1 2 3 4 5 6 7 8 9 10 11 12 13 14) };
    pub static WORDS: Kernel = Kernel { cols: 16, units: Units::Words, tiles: tiles!(words: 1 2 3 4 5 6) };
}

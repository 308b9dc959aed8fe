//! Squares of elements transposed: in vector registers where there are such, else element by element.

/// Lines of elements: the first one and the bytes from one to the next.
#[derive(Clone, Copy)]
pub struct Lines {
    /// The first line.
    pub at: *mut u8,
    /// In bytes.
    pub step: isize,
}

impl Lines {
    /// The address of element `column` of line `line`.
    #[inline(always)]
    fn element<T>(self, line: usize, column: usize) -> *mut T {
        self.at.wrapping_offset(line as isize * self.step).cast::<T>().wrapping_add(column)
    }

    /// From another element on.
    #[inline(always)]
    fn from<T>(self, line: usize, column: usize) -> Self {
        Self { at: self.element::<T>(line, column).cast(), ..self }
    }
}

/// Transposes `side` lines of `side` elements of `size` bytes (1, 2, 4 or 8), `side` a multiple of 8.
///
/// # Safety
///
/// Both have that many lines of elements, aligned, apart from each other.
pub unsafe fn transpose(size: usize, side: usize, x: Lines, y: Lines) {
    #[cfg(target_arch = "x86_64")]
    {
        use crate::device::cpu::{Isa, isa};
        let avx2 = isa() >= Isa::Avx2;
        match size {
            // SAFETY: this function's contract; SSE2 is there on every x86-64.
            2 => return unsafe { vector::halves(side, x, y) },
            // SAFETY: this function's contract; `isa` found AVX2.
            4 if avx2 => return unsafe { vector::singles(side, x, y) },
            // SAFETY: as above.
            8 if avx2 => return unsafe { vector::doubles(side, x, y) },
            _ => {}
        }
    }
    // SAFETY: this function's contract.
    unsafe {
        match size {
            1 => plain::<u8>(side, x, y),
            2 => plain::<u16>(side, x, y),
            4 => plain::<u32>(side, x, y),
            _ => plain::<u64>(side, x, y),
        }
    }
}

/// # Safety
///
/// As for [`transpose`], with elements that are `T`.
unsafe fn plain<T: Copy>(side: usize, x: Lines, y: Lines) {
    for line in 0..side {
        for column in 0..side {
            // SAFETY: inside both squares.
            unsafe { y.element::<T>(line, column).write(*x.element::<T>(column, line)) };
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod vector {
    use super::Lines;
    use std::arch::x86_64::*;
    use std::array::from_fn;

    /// Squares of 8 of 2 bytes, by doubling what stands together.
    ///
    /// # Safety
    ///
    /// As for [`transpose`](super::transpose).
    pub unsafe fn halves(side: usize, x: Lines, y: Lines) {
        for (line, column) in blocks(side, 8) {
            let (x, y) = (x.from::<u16>(column, line), y.from::<u16>(line, column));
            // SAFETY: 8 elements of each of 8 lines; SSE2 is there on every x86-64.
            unsafe {
                let r: [__m128i; 8] = from_fn(|i| _mm_loadu_si128(x.element::<u16>(i, 0).cast()));
                let a = pairs(r, |a, b| (_mm_unpacklo_epi16(a, b), _mm_unpackhi_epi16(a, b)));
                let b = pairs(evens(a), |a, b| (_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b)));
                let c = pairs(fours(b), |a, b| (_mm_unpacklo_epi64(a, b), _mm_unpackhi_epi64(a, b)));
                (0..8).for_each(|i| _mm_storeu_si128(y.element::<u16>(i, 0).cast(), c[i]));
            }
        }
    }

    /// Squares of 8 of 4 bytes.
    ///
    /// # Safety
    ///
    /// As for [`transpose`](super::transpose), on a machine with AVX2.
    #[target_feature(enable = "avx2")]
    pub unsafe fn singles(side: usize, x: Lines, y: Lines) {
        for (line, column) in blocks(side, 8) {
            let (x, y) = (x.from::<u32>(column, line), y.from::<u32>(line, column));
            let mut r = [_mm256_setzero_si256(); 8];
            for (i, r) in r.iter_mut().enumerate() {
                // SAFETY: 8 elements of each of 8 lines.
                *r = unsafe { _mm256_loadu_si256(x.element::<u32>(i, 0).cast()) };
            }
            let mut a = r;
            for i in [0, 2, 4, 6] {
                a[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
                a[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
            }
            for i in [0, 1, 4, 5] {
                let column = i / 4 * 4 + i % 2 * 2;
                r[column] = _mm256_unpacklo_epi64(a[i], a[i + 2]);
                r[column + 1] = _mm256_unpackhi_epi64(a[i], a[i + 2]);
            }
            for i in 0..4 {
                // SAFETY: lines `i` and `i + 4` of y.
                unsafe { join::<u32>(y, i, 4, r[i], r[i + 4]) };
            }
        }
    }

    /// Squares of 4 of 8 bytes.
    ///
    /// # Safety
    ///
    /// As for [`transpose`](super::transpose), on a machine with AVX2.
    #[target_feature(enable = "avx2")]
    pub unsafe fn doubles(side: usize, x: Lines, y: Lines) {
        for (line, column) in blocks(side, 4) {
            let (x, y) = (x.from::<u64>(column, line), y.from::<u64>(line, column));
            let mut r = [_mm256_setzero_si256(); 4];
            for (i, r) in r.iter_mut().enumerate() {
                // SAFETY: 4 elements of each of 4 lines.
                *r = unsafe { _mm256_loadu_si256(x.element::<u64>(i, 0).cast()) };
            }
            let low = [_mm256_unpacklo_epi64(r[0], r[1]), _mm256_unpackhi_epi64(r[0], r[1])];
            let high = [_mm256_unpacklo_epi64(r[2], r[3]), _mm256_unpackhi_epi64(r[2], r[3])];
            for i in 0..2 {
                // SAFETY: lines `i` and `i + 2` of y.
                unsafe { join::<u64>(y, i, 2, low[i], high[i]) };
            }
        }
    }

    /// Writes the lower halves of two vectors as one line of y, the upper ones as the line `apart` further.
    ///
    /// # Safety
    ///
    /// y has both lines, of 32 bytes at least.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn join<T>(y: Lines, line: usize, apart: usize, a: __m256i, b: __m256i) {
        // SAFETY: this function's contract.
        unsafe {
            _mm256_storeu_si256(y.element::<T>(line, 0).cast(), _mm256_permute2x128_si256::<0x20>(a, b));
            _mm256_storeu_si256(
                y.element::<T>(line + apart, 0).cast(),
                _mm256_permute2x128_si256::<0x31>(a, b),
            );
        }
    }

    /// The corners of the blocks of a square.
    #[inline(always)]
    fn blocks(side: usize, block: usize) -> impl Iterator<Item = (usize, usize)> {
        let starts = move || (0..side).step_by(block);
        starts().flat_map(move |line| starts().map(move |column| (line, column)))
    }

    /// Each two neighbours replaced by what `join` makes of them.
    #[inline(always)]
    fn pairs<V: Copy>(v: [V; 8], join: impl Fn(V, V) -> (V, V)) -> [V; 8] {
        let [a, b, c, d] = [(0, 1), (2, 3), (4, 5), (6, 7)].map(|(i, j)| join(v[i], v[j]));
        [a.0, a.1, b.0, b.1, c.0, c.1, d.0, d.1]
    }

    /// Neighbours at a distance of two made neighbours, in each half.
    #[inline(always)]
    fn evens<V: Copy>(v: [V; 8]) -> [V; 8] {
        [v[0], v[2], v[1], v[3], v[4], v[6], v[5], v[7]]
    }

    /// Neighbours at a distance of four made neighbours.
    #[inline(always)]
    fn fours<V: Copy>(v: [V; 8]) -> [V; 8] {
        [v[0], v[4], v[1], v[5], v[2], v[6], v[3], v[7]]
    }
}

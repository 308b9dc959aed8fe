//! Weights in blocks, as GGUF lays them out: what their bits mean. Decoding gives exactly what the format's definition gives
//! in f32.

mod lanes;
mod rows;

pub use rows::{accepts, run};

use crate::device::cpu::{Isa, isa};
use crate::dtype::Dtype;
use lanes::Lanes;

use super::vector::Plain;

/// What becomes of decoded elements. Not a closure, which the compiler need not inline: then every vector instruction would be
/// a call.
pub trait Take<V> {
    /// Takes a vector of elements, of which the first has this number in its block.
    ///
    /// # Safety
    ///
    /// What the implementation asks for, and the machine has the instruction set.
    unsafe fn take(&mut self, at: usize, x: V);
}

/// A block type.
pub trait Format {
    /// Elements of a block.
    const ITEMS: usize;
    /// Its bytes.
    const BYTES: usize;

    /// Hands out the elements of a block, a vector at a time, with the number of the first.
    ///
    /// # Safety
    ///
    /// The block is readable, and the machine has the instruction set.
    unsafe fn decode<V: Lanes>(block: *const u8, to: &mut impl Take<V>);
}

/// Two scales or offsets of 16 bits, and 16 bytes of 4-bit elements from `BYTES - 16` on.
#[inline(always)]
unsafe fn nibbles<V: Lanes>(at: *const u8, table: V::Table, to: &mut impl Take<V>) {
    for lane in (0..16).step_by(V::LANES) {
        // SAFETY: 16 bytes are readable: the caller's.
        unsafe { to.take(lane, V::low(at.wrapping_add(lane), table)) };
    }
    for lane in (0..16).step_by(V::LANES) {
        // SAFETY: as above.
        unsafe { to.take(16 + lane, V::high(at.wrapping_add(lane), table)) };
    }
}

/// d, then 32 signed bytes.
pub struct Q8_0;

impl Format for Q8_0 {
    const ITEMS: usize = 32;
    const BYTES: usize = 34;

    #[inline(always)]
    unsafe fn decode<V: Lanes>(block: *const u8, to: &mut impl Take<V>) {
        // SAFETY: a whole block is readable: the caller's.
        unsafe {
            let scale = V::splat(V::half(block));
            for lane in (0..32).step_by(V::LANES) {
                to.take(lane, V::signed(block.wrapping_add(2 + lane)).times(scale));
            }
        }
    }
}

/// d, then 4-bit elements: d (q - 8).
pub struct Q4_0;

impl Format for Q4_0 {
    const ITEMS: usize = 32;
    const BYTES: usize = 18;

    #[inline(always)]
    unsafe fn decode<V: Lanes>(block: *const u8, to: &mut impl Take<V>) {
        // SAFETY: a whole block is readable: the caller's. Adding -0 changes no number.
        unsafe { nibbles(block.wrapping_add(2), V::table(V::half(block), 8.0, -0.0), to) };
    }
}

/// d and m, then 4-bit elements: d q + m.
pub struct Q4_1;

impl Format for Q4_1 {
    const ITEMS: usize = 32;
    const BYTES: usize = 20;

    #[inline(always)]
    unsafe fn decode<V: Lanes>(block: *const u8, to: &mut impl Take<V>) {
        // SAFETY: a whole block is readable: the caller's.
        unsafe {
            let table = V::table(V::half(block), 0.0, V::half(block.wrapping_add(2)));
            nibbles(block.wrapping_add(4), table, to);
        }
    }
}

/// d and e, 8 scales s and 8 offsets m of 6 bits in 12 bytes, then 4-bit elements: d s q - e m for each 32 of them, of which
/// pairs share 32 bytes.
pub struct Q4K;

impl Q4K {
    /// The scales and the offsets.
    #[inline(always)]
    unsafe fn scales(block: *const u8) -> ([u8; 8], [u8; 8]) {
        // SAFETY: a whole block is readable: the caller's.
        let [low, middle, high] =
            [4, 8, 12].map(|at| unsafe { block.wrapping_add(at).cast::<u32>().read_unaligned() }.to_le());
        let join = |[low, high]: [u32; 2]| (u64::from(high) << 32 | u64::from(low)).to_le_bytes();
        let top = |of: u32| of >> 2 & 0x3030_3030;
        let scales = [low & 0x3f3f_3f3f, high & 0x0f0f_0f0f | top(low)];
        let offsets = [middle & 0x3f3f_3f3f, high >> 4 & 0x0f0f_0f0f | top(middle)];
        (join(scales), join(offsets))
    }
}

impl Format for Q4K {
    const ITEMS: usize = 256;
    const BYTES: usize = 144;

    #[inline(always)]
    unsafe fn decode<V: Lanes>(block: *const u8, to: &mut impl Take<V>) {
        // SAFETY: a whole block is readable: the caller's.
        unsafe {
            let (scale, offset) = (V::half(block), V::half(block.wrapping_add(2)));
            let (scales, offsets) = Self::scales(block);
            for pair in 0..4 {
                let bytes = block.wrapping_add(16 + 32 * pair);
                let (first, second) = (2 * pair, 2 * pair + 1);
                let low =
                    V::table(scale * f32::from(scales[first]), 0.0, -(offset * f32::from(offsets[first])));
                let high =
                    V::table(scale * f32::from(scales[second]), 0.0, -(offset * f32::from(offsets[second])));
                for lane in (0..32).step_by(V::LANES) {
                    to.take(64 * pair + lane, V::low(bytes.wrapping_add(lane), low));
                }
                for lane in (0..32).step_by(V::LANES) {
                    to.take(64 * pair + 32 + lane, V::high(bytes.wrapping_add(lane), high));
                }
            }
        }
    }
}

/// 128 bytes with the lower 4 bits of the elements, 64 with the upper 2, 16 signed scales s, and d: d s (q - 32) for each 16.
pub struct Q6K;

impl Q6K {
    /// The quarter of each 128 elements whose upper bits begin at bit 2 QUARTER.
    #[inline(always)]
    unsafe fn quarter<V: Lanes, const QUARTER: i32>(block: *const u8, to: &mut impl Take<V>) {
        // SAFETY: a whole block is readable: the caller's.
        unsafe {
            let scale = V::half(block.wrapping_add(208));
            for half in 0..2 {
                let low = block.wrapping_add(64 * half + 32 * (QUARTER as usize % 2));
                let high = block.wrapping_add(128 + 32 * half);
                let scales = block.wrapping_add(192 + 8 * half + 2 * QUARTER as usize);
                for lane in (0..32).step_by(V::LANES) {
                    let scale = scale * f32::from(scales.wrapping_add(lane / 16).read().cast_signed());
                    let x = V::six::<QUARTER>(low.wrapping_add(lane), high.wrapping_add(lane));
                    to.take(128 * half + 32 * QUARTER as usize + lane, x.times(V::splat(scale)));
                }
            }
        }
    }
}

impl Format for Q6K {
    const ITEMS: usize = 256;
    const BYTES: usize = 210;

    #[inline(always)]
    unsafe fn decode<V: Lanes>(block: *const u8, to: &mut impl Take<V>) {
        // SAFETY: a whole block is readable: the caller's.
        unsafe {
            Self::quarter::<V, 0>(block, to);
            Self::quarter::<V, 1>(block, to);
            Self::quarter::<V, 2>(block, to);
            Self::quarter::<V, 3>(block, to);
        }
    }
}

/// Writes the elements of `count` blocks of `dtype`, which follow one another from `from` on, to `to`.
///
/// # Safety
///
/// The blocks are readable, and `to` is writable for their elements.
pub unsafe fn decode(dtype: Dtype, from: *const u8, count: usize, to: *mut f32) {
    // SAFETY: this function's contract.
    unsafe {
        match dtype {
            Dtype::Q8_0 => decoder::<Q8_0>()(from, count, to),
            Dtype::Q4_0 => decoder::<Q4_0>()(from, count, to),
            Dtype::Q4_1 => decoder::<Q4_1>()(from, count, to),
            Dtype::Q4K => decoder::<Q4K>()(from, count, to),
            _ => decoder::<Q6K>()(from, count, to),
        }
    }
}

/// Decodes blocks.
type Decoder = unsafe fn(*const u8, usize, *mut f32);

/// Elements go to memory.
struct Store(*mut f32);

impl<V: Lanes> Take<V> for Store {
    #[inline(always)]
    unsafe fn take(&mut self, at: usize, x: V) {
        // SAFETY: a block's elements have a place there: that of `blocks`.
        unsafe { x.store(self.0.wrapping_add(at)) };
    }
}

#[inline(always)]
unsafe fn blocks<V: Lanes, F: Format>(from: *const u8, count: usize, to: *mut f32) {
    for block in 0..count {
        let mut to = Store(to.wrapping_add(block * F::ITEMS));
        // SAFETY: block `block` is readable, and its elements' place writable: the caller's.
        unsafe { F::decode::<V>(from.wrapping_add(block * F::BYTES), &mut to) };
    }
}

/// The version for this machine.
fn decoder<F: Format>() -> Decoder {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__m256, __m512};
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
        unsafe fn avx512<F: Format>(from: *const u8, count: usize, to: *mut f32) {
            // SAFETY: the caller's.
            unsafe { blocks::<__m512, F>(from, count, to) }
        }
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn avx2<F: Format>(from: *const u8, count: usize, to: *mut f32) {
            // SAFETY: the caller's.
            unsafe { blocks::<__m256, F>(from, count, to) }
        }
        match isa() {
            Isa::Avx512 | Isa::Avx512Bf16 => return avx512::<F>,
            Isa::Avx2 => return avx2::<F>,
            Isa::Scalar => {}
        }
    }
    blocks::<Plain<f32, 8>, F>
}

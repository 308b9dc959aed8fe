//! A 16 x 16 transpose of 32-bit units in AVX-512 registers: what packing rows into panels is made of.
#![cfg(target_arch = "x86_64")]

use std::arch::x86_64::*;

/// Sixteen registers of sixteen units.
pub type Block = [__m512i; 16];

/// Element j of register i becomes element i of register j: interleave by 32, by 64, then by 128 bits twice.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn transpose(rows: Block) -> Block {
    let mut pairs = rows;
    for i in (0..16).step_by(2) {
        pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
    }
    let mut quads = pairs;
    for i in (0..16).step_by(4) {
        for half in 0..2 {
            quads[i + 2 * half] = _mm512_unpacklo_epi64(pairs[i + half], pairs[i + 2 + half]);
            quads[i + 2 * half + 1] = _mm512_unpackhi_epi64(pairs[i + half], pairs[i + 2 + half]);
        }
    }
    // quads[4 r + c]: rows 4r..4r+4 of columns c, 4 + c, 8 + c, 12 + c, one a 128-bit lane.
    let mut out = rows;
    for c in 0..4 {
        let (low, high) = (
            _mm512_shuffle_i32x4::<0x88>(quads[c], quads[4 + c]),
            _mm512_shuffle_i32x4::<0xdd>(quads[c], quads[4 + c]),
        );
        let (low2, high2) = (
            _mm512_shuffle_i32x4::<0x88>(quads[8 + c], quads[12 + c]),
            _mm512_shuffle_i32x4::<0xdd>(quads[8 + c], quads[12 + c]),
        );
        out[c] = _mm512_shuffle_i32x4::<0x88>(low, low2);
        out[8 + c] = _mm512_shuffle_i32x4::<0xdd>(low, low2);
        out[4 + c] = _mm512_shuffle_i32x4::<0x88>(high, high2);
        out[12 + c] = _mm512_shuffle_i32x4::<0xdd>(high, high2);
    }
    out
}

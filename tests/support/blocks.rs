//! GGUF's block types by their definitions, an element at a time.
#![allow(dead_code)]

use weft::dtype::{Dtype, f16};

pub const FORMATS: [Dtype; 5] = [Dtype::Q8_0, Dtype::Q4_0, Dtype::Q4_1, Dtype::Q4K, Dtype::Q6K];

/// Where a block has its binary16 numbers.
pub fn scales(dtype: Dtype) -> &'static [usize] {
    match dtype {
        Dtype::Q8_0 | Dtype::Q4_0 => &[0],
        Dtype::Q6K => &[208],
        _ => &[0, 2],
    }
}

fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// The scale and the offset number `part` of a block of Q4_K.
fn six_bits(block: &[u8], part: usize) -> (f32, f32) {
    let q = &block[4..16];
    let (scale, offset) = match part {
        0..4 => (q[part] & 63, q[part + 4] & 63),
        _ => (q[part + 4] & 15 | q[part - 4] >> 6 << 4, q[part + 4] >> 4 | q[part] >> 6 << 4),
    };
    (scale.into(), offset.into())
}

/// Element `i` of a block.
pub fn item(dtype: Dtype, block: &[u8], i: usize) -> f32 {
    let nibble = |byte: u8, high: bool| f32::from(if high { byte >> 4 } else { byte & 15 });
    match dtype {
        Dtype::Q8_0 => half(block, 0) * f32::from(block[2 + i] as i8),
        Dtype::Q4_0 => half(block, 0) * (nibble(block[2 + i % 16], i >= 16) - 8.0),
        Dtype::Q4_1 => half(block, 0) * nibble(block[4 + i % 16], i >= 16) + half(block, 2),
        Dtype::Q4K => {
            let (scale, offset) = six_bits(block, i / 32);
            let q = nibble(block[16 + i / 64 * 32 + i % 32], i % 64 >= 32);
            half(block, 0) * scale * q - half(block, 2) * offset
        }
        _ => {
            let (part, j) = (i / 128, i % 128);
            let low = block[64 * part + j % 64] >> (4 * (j / 64)) & 15;
            let high = block[128 + 32 * part + j % 32] >> (2 * (j / 32)) & 3;
            half(block, 208) * f32::from(block[192 + i / 16] as i8) * (f32::from(low | high << 4) - 32.0)
        }
    }
}

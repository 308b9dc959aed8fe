//! 8-bit floats by their definition (Micikevicius et al., "FP8 formats for deep learning").

use std::sync::LazyLock;
use weft::dtype::Dtype::{self, *};

/// Bits of the fraction, the least exponent of a normal number, and the largest finite number.
pub fn small_format(dtype: Dtype) -> (i32, i32, f64) {
    if dtype == F8E4m3 { (3, -6, 448.0) } else { (2, -14, 57344.0) }
}

/// The value of a code, by its definition.
pub fn value(dtype: Dtype, code: u8) -> f64 {
    let (mantissa, least, most) = small_format(dtype);
    let (exponent, fraction) = (i32::from(code & 0x7F) >> mantissa, f64::from(code & ((1 << mantissa) - 1)));
    let step = 2f64.powi(-mantissa);
    let size = match exponent {
        0 => fraction * step * 2f64.powi(least),
        e => (1.0 + fraction * step) * 2f64.powi(e - 1 + least),
    };
    let size = match (dtype, code & 0x7F) {
        (F8E5m2, 0x7C) => f64::INFINITY,
        _ if size > most => f64::NAN,
        _ => size,
    };
    if code & 0x80 != 0 { -size } else { size }
}

/// The same, looked up.
pub fn widen(dtype: Dtype, code: u8) -> f64 {
    values(dtype)[usize::from(code)]
}

/// Those of all codes.
fn values(dtype: Dtype) -> &'static [f64; 256] {
    static VALUES: LazyLock<[[f64; 256]; 2]> =
        LazyLock::new(|| [F8E4m3, F8E5m2].map(|dtype| std::array::from_fn(|code| value(dtype, code as u8))));
    &VALUES[usize::from(dtype == F8E5m2)]
}

/// The nearest 8-bit float that is finite.
pub fn narrow(dtype: Dtype, x: f64) -> u8 {
    let values = values(dtype);
    let off = |code: u8| (values[usize::from(code)] - x).abs();
    let finite = (0..=255u8).filter(|&code| values[usize::from(code)].is_finite());
    finite.min_by(|&a, &b| off(a).total_cmp(&off(b))).unwrap()
}

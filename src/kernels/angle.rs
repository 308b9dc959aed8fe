//! Sine and cosine together, of angles given in f64 and results in f32, without branches or calls.
//!
//! The angle is reduced by multiples of pi/2 in f64, pi/2 being cut into three parts of which the first two have 26
//! bits: exact up to [`FAR`]. The polynomials on [-pi/4, pi/4] are minimax fits of relative error 4e-9.

/// Angles beyond this are not reduced well here: use [`f64::sin_cos`].
pub const fn far(angle: f64) -> bool {
    angle > FAR || angle < -FAR
}

const FAR: f64 = 1e8;
const PI_2_HIGH: f64 = 1.570_796_310_901_641_8;
const PI_2_MIDDLE: f64 = 1.589_325_471_229_585_7e-8;
const PI_2_LOW: f64 = 6.123_233_995_736_766e-17;
/// Adding and subtracting 1.5 * 2^52 rounds to the nearest integer, which then is in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// (sin, cos), within 1e-7 of the truth, unless the angle is [`far`]; NaN for NaN and infinities.
#[inline(always)]
pub fn sin_cos(angle: f64) -> (f32, f32) {
    let rounded = angle * std::f64::consts::FRAC_2_PI + ROUND;
    let quarter = rounded.to_bits() as u32;
    let n = rounded - ROUND;
    let r = (((angle - n * PI_2_HIGH) - n * PI_2_MIDDLE) - n * PI_2_LOW) as f32;
    let z = r * r;
    let sin = r + r * z * (-0.166_666_55 + z * (8.332_176e-3 - z * 1.951_697_6e-4));
    let cos = 1.0 - 0.5 * z + z * z * (4.166_664_6e-2 + z * (-1.388_736_4e-3 + z * 2.443_808_8e-5));
    let swap = quarter & 1 != 0;
    let (sin, cos) = if swap { (cos, sin) } else { (sin, cos) };
    let sign = |value: f32, bit: u32| f32::from_bits(value.to_bits() ^ (bit & 2) << 30);
    (sign(sin, quarter), sign(cos, quarter.wrapping_add(1)))
}

/// As [`sin_cos`] at any angle.
#[inline]
pub fn sin_cos_any(angle: f64) -> (f32, f32) {
    if far(angle) {
        let (sin, cos) = angle.sin_cos();
        return (sin as f32, cos as f32);
    }
    sin_cos(angle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_to_double_precision_at_any_angle() {
        let mut angle = -2e9;
        let (mut worst, mut step) = (0f64, 1e-7);
        while angle < 2e9 {
            let (sin, cos) = sin_cos_any(angle);
            let error = (f64::from(sin) - angle.sin()).abs().max((f64::from(cos) - angle.cos()).abs());
            worst = worst.max(error);
            step = if angle.abs() < 30.0 { 1.7e-4 } else { angle.abs() * 1e-5 + step * 1e-3 };
            angle += step;
        }
        assert!(worst < 1e-7, "{worst:e}");
        let exact = (sin_cos(0.0), sin_cos(1e-30).0);
        assert_eq!(exact, ((0.0, 1.0), 1e-30));
        assert!(sin_cos_any(f64::INFINITY).0.is_nan() && sin_cos_any(f64::NAN).1.is_nan());
    }
}

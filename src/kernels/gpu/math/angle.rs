//! Sine, cosine and tangent of any angle. Angles are reduced by multiples of pi/2, cut into three parts, in fused steps up to
//! [`FAR`]; beyond, by the bits of 2/pi that matter (Payne and Hanek, "Radian reduction for trigonometric functions"). The
//! polynomials of f64 are interpolations at Chebyshev nodes, of relative error 2^-55.

use super::double::power_of_two;
use super::polynomial;
use crate::ptx::{Builder, Reg};

const FAR: f64 = 1e5;
const PI_2_HIGH: f64 = std::f64::consts::FRAC_PI_2;
const PI_2_MIDDLE: f64 = 6.123233995736765e-17;
const PI_2_LOW: f64 = 1.082856673921914e-32;
/// Adding and subtracting 1.5 * 2^52 rounds to the nearest integer, which then is in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// 64 zeros, then the bits of 2/pi after the point.
const TWO_OVER_PI: [u64; 19] = [
    0x0000_0000_0000_0000,
    0xa2f9_836e_4e44_1529,
    0xfc27_57d1_f534_ddc0,
    0xdb62_9599_3c43_9041,
    0xfe51_63ab_debb_c561,
    0xb724_6e3a_424d_d2e0,
    0x0649_2eea_09d1_921c,
    0xfe1d_eb1c_b129_a73e,
    0xe882_35f5_2ebb_4484,
    0xe99c_7026_b45f_7e41,
    0x3991_d639_8353_39f4,
    0x9c84_5f8b_bdf9_283b,
    0x1ff8_97ff_de05_980f,
    0xef2f_118b_5a0a_6d1f,
    0x6d36_7ecf_27cb_09b7,
    0x4f46_3f66_9e5f_ea2d,
    0x7527_bac7_ebe5_f17b,
    0x3d07_39f7_8a52_92ea,
    0x6bfb_5fb1_1f8d_5d08,
];

/// An angle less the nearest multiple of pi/2, and the low bits of how many it was.
struct Reduced<'k> {
    rest: Reg<'k, f64>,
    quarters: Reg<'k, u32>,
}

/// NaN for NaN and infinities.
fn reduce<'k>(k: &'k Builder, x: Reg<'k, f64>) -> Reduced<'k> {
    let shifted = k.fma(x, std::f64::consts::FRAC_2_PI, ROUND);
    let quarters = k.var(shifted.bits::<u64>().to::<u32>());
    let n = -(shifted - ROUND);
    let rest = k.fma(n, PI_2_HIGH, x);
    let rest = k.fma(n, PI_2_MIDDLE, rest);
    let rest = k.var(k.fma(n, PI_2_LOW, rest));
    let reduced = Reduced { rest, quarters };
    let size = k.abs(x);
    k.when(size.gt(FAR) & size.lt(f64::INFINITY), || reduce_far(k, x, &reduced));
    reduced
}

/// Replaces what is in `reduced`, for finite angles above [`FAR`].
fn reduce_far<'k>(k: &'k Builder, x: Reg<'k, f64>, reduced: &Reduced<'k>) {
    let bits = x.bits::<u64>();
    let exponent = (bits >> 52u32).to::<u32>() & 0x7ffu32;
    let mantissa = bits << 11u32 | 0x8000_0000_0000_0000u64;
    let [high, middle, low] = product(k, mantissa, window(k, exponent - 1024u32));
    // The first two bits count quarters; the rest is a fraction of one, here from -1/2 to 1/2.
    let fraction = k.shl(high, 2u32) | middle >> 62u32;
    let more = k.shl(middle, 2u32) | low >> 62u32;
    let below = fraction.bits::<i64>() >> 63u32;
    let quarters = (high >> 62u32).to::<u32>() + (fraction >> 63u32).to::<u32>();
    let size = times_half_pi(k, fraction ^ below.bits::<u64>(), more ^ below.bits::<u64>());
    let size = k.select(below.lt(0i64), -size, size);
    let negative = x.lt(0.0f64);
    reduced.rest.set(k.select(negative, -size, size));
    reduced.quarters.set(k.select(negative, k.sub(0u32, quarters), quarters));
}

/// 192 bits of 2/pi from bit `start` of the table on.
fn window<'k>(k: &'k Builder, start: Reg<'k, u32>) -> [Reg<'k, u64>; 3] {
    let table = k.constants(&TWO_OVER_PI).at(start >> 6u32);
    let words = [0, 1, 2, 3].map(|index| table.plus(index).load());
    let left = start & 63u32;
    let right = k.sub(64u32, left);
    [0, 1, 2].map(|i| words[i] << left | words[i + 1] >> right)
}

/// The low 192 bits of `a` times `b`, whose first word is the highest.
fn product<'k>(k: &'k Builder, a: Reg<'k, u64>, b: [Reg<'k, u64>; 3]) -> [Reg<'k, u64>; 3] {
    let carried = k.mul_hi(a, b[2]);
    let middle = a * b[1] + carried;
    let carry = k.select(middle.lt(carried), 1u64, 0u64);
    [k.mad(a, b[0], k.mul_hi(a, b[1])) + carry, middle, a * b[2]]
}

/// The fraction `high`:`low` of 2^128, which is not 0, times pi/2.
fn times_half_pi<'k>(k: &'k Builder, high: Reg<'k, u64>, low: Reg<'k, u64>) -> Reg<'k, f64> {
    let zeros = k.clz(high);
    let bits = high << zeros | low >> k.sub(64u32, zeros);
    let unit = power_of_two(k.sub(-53i32, zeros.bits::<i32>()));
    let upper = (bits >> 11u32).to::<f64>() * unit;
    let lower = (bits & 0x7ffu64).to::<f64>() * (unit * 0.000_488_281_25f64);
    let value = upper * PI_2_HIGH;
    let lost = k.fma(upper, PI_2_HIGH, -value);
    let lost = k.fma(upper, PI_2_MIDDLE, lost);
    value + k.fma(lower, PI_2_HIGH, lost)
}

/// Sine and cosine of an angle from -pi/4 to pi/4.
fn near<'k>(k: &'k Builder, r: Reg<'k, f64>) -> [Reg<'k, f64>; 2] {
    const SIN: [f64; 7] = [
        -7.586_636_882_825_159e-13,
        1.605_853_059_664_595_3e-10,
        -2.505_210_622_599_44e-8,
        2.755_731_921_932_058e-6,
        -0.000_198_412_698_412_650_4,
        0.008_333_333_333_333_331,
        -0.166_666_666_666_666_66,
    ];
    const COS: [f64; 6] = [
        -1.138_254_464_534_925e-11,
        2.087_614_504_941_318e-9,
        -2.755_731_726_587_808e-7,
        2.480_158_729_875_44e-5,
        -0.001_388_888_888_888_738_9,
        0.041_666_666_666_666_664,
    ];
    let z = r * r;
    let sin = k.fma(r * z, polynomial(k, z, &SIN), r);
    let half = z * 0.5f64;
    let rough = k.sub(1.0f64, half);
    let lost = k.sub(1.0f64, rough) - half;
    [sin, rough + k.fma(z * z, polynomial(k, z, &COS), lost)]
}

/// Sine, or with `ahead` = 1 cosine.
fn wave<'k>(k: &'k Builder, x: Reg<'k, f64>, ahead: u32) -> Reg<'k, f64> {
    let Reduced { rest, quarters } = reduce(k, x);
    let [sin, cos] = near(k, rest);
    let quarters = quarters + ahead;
    let value = k.select((quarters & 1u32).ne(0u32), cos, sin);
    k.select((quarters & 2u32).ne(0u32), -value, value)
}

/// Sine.
pub(super) fn sin<'k>(k: &'k Builder, x: Reg<'k, f64>) -> Reg<'k, f64> {
    wave(k, x, 0)
}

/// Cosine.
pub(super) fn cos<'k>(k: &'k Builder, x: Reg<'k, f64>) -> Reg<'k, f64> {
    wave(k, x, 1)
}

/// Tangent.
pub(super) fn tan<'k>(k: &'k Builder, x: Reg<'k, f64>) -> Reg<'k, f64> {
    let Reduced { rest, quarters } = reduce(k, x);
    let [sin, cos] = near(k, rest);
    let odd = (quarters & 1u32).ne(0u32);
    k.select(odd, -cos, sin) / k.select(odd, sin, cos)
}

/// Sine or cosine of f32: reduced in f64, the polynomials those of `kernels::angle`.
pub(super) fn single<'k>(k: &'k Builder, x: Reg<'k, f32>, cosine: bool) -> Reg<'k, f32> {
    let Reduced { rest, quarters } = reduce(k, x.to::<f64>());
    let quarters = quarters + u32::from(cosine);
    let r = rest.to::<f32>();
    let z = r * r;
    let sin = k.fma(r * z, polynomial(k, z, &[-1.951_697_6e-4, 8.332_176e-3, -0.166_666_55]), r);
    let cos = polynomial(k, z, &[2.443_808_8e-5, -1.388_736_4e-3, 4.166_664_6e-2, -0.5, 1.0]);
    let value = k.select((quarters & 1u32).ne(0u32), cos, sin);
    k.select((quarters & 2u32).ne(0u32), -value, value)
}

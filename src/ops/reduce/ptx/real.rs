//! e^x and the natural logarithm in f64 on a GPU, to an accuracy that the bounds of reductions leave room for.

use crate::ptx::convert::Rounding;
use crate::ptx::{Builder, Reg};

/// ln 2 in two parts: the first has 32 bits, so that a multiple of it below 2^20 is exact.
const LN2: [f64; 2] = [f64::from_bits(0x3FE6_2E42_FEE0_0000), 1.908_214_929_270_587_7e-10];

/// e^x for x at most 0 (where a number above came with it, the sum it belongs to does not count): wrong by 3 units in the last place of
/// f64 where `fine`, by 2^-21.9 of itself where not. Below -690 it is 10^-300: nothing beside the 1 of the largest. NaN
/// is taken for the least number.
pub fn exponential<'k>(k: &'k Builder, x: Reg<'k, f64>, fine: bool) -> Reg<'k, f64> {
    // Kept so that the exponent of the result is that of a normal number.
    let x = k.min(k.max(x, -690.0f64), 690.0f64);
    let twos = (x * std::f64::consts::LOG2_E).whole(Rounding::Nearest);
    let power = if fine {
        let rest = k.fma(twos, -LN2[1], k.fma(twos, -LN2[0], x));
        taylor(k, rest)
    } else {
        let rest = k.fma(x, std::f64::consts::LOG2_E, -twos);
        k.ex2(rest.to::<f32>()).to::<f64>()
    };
    let exponent = twos.to::<i32>().to::<i64>() << 52u32;
    (power.bits::<i64>() + exponent).bits()
}

/// e^x for |x| up to 0.35: thirteen terms, of which the next would be below 2^-57.
fn taylor<'k>(k: &'k Builder, x: Reg<'k, f64>) -> Reg<'k, f64> {
    let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
    let first = k.var(1.0 / factorial(13));
    (0..13).rev().fold(first, |sum, n| k.fma(sum, x, 1.0 / factorial(n)))
}

/// The natural logarithm, wrong by less than 2 units in the last place: NaN below 0, -infinity of 0.
///
/// With x = 2^n (1 + f), f between sqrt(1/2) - 1 and sqrt(2) - 1, and s = f / (2 + f), it is n ln 2 + 2 artanh(s); 2 artanh(s)
/// is 2 s + s R with 2 s = f - s f, arranged so that f, the largest part, is added last and exactly.
pub fn logarithm<'k>(k: &'k Builder, x: Reg<'k, f64>) -> Reg<'k, f64> {
    let small = x.lt(f64::MIN_POSITIVE);
    let bits = k.select(small, x * 2f64.powi(54), x).bits::<i64>();
    // The exponent as of a mantissa between sqrt(1/2) and sqrt(2).
    let root = 0.5f64.sqrt().to_bits() as i64;
    let above = (bits - root) & !((1i64 << 52) - 1);
    let twos = (above >> 52u32) - k.select(small, 54i64, 0i64);
    let f = (bits - above).bits::<f64>() - 1.0f64;
    let s = f / (f + 2.0f64);
    let z = s * s;
    // 2/3 z + 2/5 z^2 + ... : z is below 0.03, and the next term below 2^-58 of the first.
    let last = k.var(2.0f64 / 23.0);
    let r = (1..11).rev().fold(last, |sum, n| k.fma(sum, z, 2.0 / f64::from(2 * n + 1))) * z;
    let half = f * f * 0.5f64;
    let n = twos.to::<f64>();
    let low = k.fma(s, half + r, n * LN2[1]);
    let log = k.fma(n, LN2[0], f - (half - low));
    let log = k.select(x.eq(f64::INFINITY), x, log);
    let log = k.select(x.eq(0.0f64), f64::NEG_INFINITY, log);
    // Below 0, and of NaN.
    k.select(x.ge(0.0f64), log, f64::NAN)
}

//! Powers and remainders of f64.

use super::double::{exp_scaled, power_of_two, split};
use super::{exp, log, polynomial};
use crate::ptx::convert::Rounding;
use crate::ptx::{Builder, Reg};

type Value<'k> = Reg<'k, f64>;

/// A sum of two numbers of which the second is below the last place of the first.
#[derive(Clone, Copy)]
struct Twofold<'k> {
    high: Value<'k>,
    low: Value<'k>,
}

impl<'k> Twofold<'k> {
    /// `a + b` with what rounding loses, |a| >= |b| or a = 0 (Dekker).
    fn sum(a: Value<'k>, b: Value<'k>) -> Self {
        let high = a + b;
        Self { high, low: b - (high - a) }
    }

    /// `a * b` with what rounding loses.
    fn product(k: &'k Builder, a: Value<'k>, b: Value<'k>) -> Self {
        let high = a * b;
        Self { high, low: k.fma(a, b, -high) }
    }
}

/// x to the power of y, as C's pow: the logarithm has 20 bits more than an f64.
pub(super) fn pow<'k>(k: &'k Builder, x: Value<'k>, y: Value<'k>) -> Value<'k> {
    let log = log_twofold(k, k.abs(x));
    let Twofold { high, low } = Twofold::product(k, y, log.high);
    let low = k.fma(y, log.low, low);
    // Beyond, the exponential is 0 or infinite whatever `low` is, which is no longer small.
    let near = k.abs(high).lt(1024.0f64);
    let low = k.select(near, low, 0.0f64);
    of_magnitude(k, x, y, exp_scaled(k, high, Some(low), 0))
}

/// The same within 2^-42, for numbers that were f32.
pub(super) fn pow_near<'k>(k: &'k Builder, x: Value<'k>, y: Value<'k>) -> Value<'k> {
    of_magnitude(k, x, y, exp(k, log(k, k.abs(x)) * y))
}

/// What C says of signs and special cases, given |x|^y.
fn of_magnitude<'k>(k: &'k Builder, x: Value<'k>, y: Value<'k>, magnitude: Value<'k>) -> Value<'k> {
    let whole = |v: Value<'k>| v.whole(Rounding::Zero).eq(v);
    let odd = whole(y) & !whole(y * 0.5f64);
    let value = k.select(odd, k.copysign(x, magnitude), magnitude);
    let size = k.abs(x);
    let undefined = x.lt(0.0f64) & size.lt(f64::INFINITY) & y.eq(y) & !whole(y);
    let value = k.select(undefined, f64::NAN, value);
    let level = size.eq(1.0f64) & k.abs(y).eq(f64::INFINITY);
    k.select(level | y.eq(0.0f64) | x.eq(1.0f64), 1.0f64, value)
}

/// log(x) for x >= 0, to 2^-66 of it.
fn log_twofold<'k>(k: &'k Builder, x: Value<'k>) -> Twofold<'k> {
    /// 13 bits less than ln 2 has, so that multiples are exact.
    const LN2_HIGH: f64 = 0.693_147_180_559_208_2;
    const LN2_LOW: f64 = 7.371_002_565_167_799e-13;
    let (m, n) = split(k, x);
    let n = n.to::<f64>();
    let log = log_near_one(k, m);
    // The multiple of ln 2 is 0 or larger than log(m).
    let sum = Twofold::sum(n * LN2_HIGH, log.high);
    let Twofold { high, low } = Twofold::sum(sum.high, k.fma(n, LN2_LOW, sum.low + log.low));
    let high = k.select(x.eq(0.0f64), f64::NEG_INFINITY, high);
    let high = k.select(x.ge(0.0f64), high, x); // NaN
    let infinite = x.eq(f64::INFINITY);
    Twofold { high: k.select(infinite, x, high), low: k.select(infinite, 0.0f64, low) }
}

/// log(m) for m from sqrt(1/2) to sqrt(2): 2 atanh(s) = 2 (s + s v) with s = (m - 1) / (m + 1) and
/// v = s^2/3 + s^4/5 + ..., of which the first term and the products are twofold.
fn log_near_one<'k>(k: &'k Builder, m: Value<'k>) -> Twofold<'k> {
    let s = ratio(k, m);
    let square = Twofold::product(k, s.high, s.high);
    let z = square.high;
    let z_low = k.fma(s.high + s.high, s.low, square.low);
    const THIRD: f64 = 1.0 / 3.0;
    let third = Twofold::product(k, z, k.var(THIRD));
    let third_low = k.fma(z, 1.850_371_707_708_594e-17, k.fma(z_low, THIRD, third.low));
    let terms: Vec<f64> = (2..=14).rev().map(|i| 1.0 / f64::from(2 * i + 1)).collect();
    let v = Twofold::sum(third.high, k.fma(polynomial(k, z, &terms), z * z, third_low));
    let product = Twofold::product(k, s.high, v.high);
    let product_low = k.fma(s.high, v.low, k.fma(s.low, v.high, product.low));
    let sum = Twofold::sum(s.high, product.high);
    let low = sum.low + (product_low + s.low);
    Twofold { high: sum.high + sum.high, low: low + low }
}

/// (m - 1) / (m + 1).
fn ratio<'k>(k: &'k Builder, m: Value<'k>) -> Twofold<'k> {
    let over = m - 1.0f64;
    let under = m + 1.0f64;
    let under_low = m - (under - 1.0f64);
    let high = over / under;
    let rest = k.fma(-high, under, over);
    let low = k.fma(-high, under_low, rest) / under;
    Twofold { high, low }
}

/// The remainder of a / b with the sign of a, by long division in steps of 11 bits.
pub(super) fn fmod<'k>(k: &'k Builder, a: Value<'k>, b: Value<'k>) -> Value<'k> {
    let (size, by) = (k.abs(a), k.abs(b));
    let value = k.var(a);
    let defined = size.lt(f64::INFINITY) & by.gt(0.0f64);
    k.when(defined & size.ge(by), || value.set(k.copysign(a, divide(k, size, by))));
    k.select(defined, value, f64::NAN)
}

/// The remainder, of finite numbers above 0, `a >= b`.
fn divide<'k>(k: &'k Builder, a: Value<'k>, b: Value<'k>) -> Value<'k> {
    let (a, a_exponent) = integer(k, a);
    let (b, b_exponent) = integer(k, b);
    let rest = k.var(a % b);
    let left = k.var(a_exponent - b_exponent);
    k.repeat_while(
        || left.gt(0i32),
        || {
            let step = k.min(left, 11i32);
            rest.set((rest << step.bits::<u32>()) % b);
            left.set(left - step);
        },
    );
    // In two steps: what is subnormal is exact all the same.
    let n = b_exponent - 1075i32;
    let half = n >> 1u32;
    rest.to::<f64>() * power_of_two(half) * power_of_two(n - half)
}

/// x = m 2^(e - 1075), m with 53 bits.
fn integer<'k>(k: &'k Builder, x: Value<'k>) -> (Reg<'k, u64>, Reg<'k, i32>) {
    let bits = x.bits::<u64>();
    let exponent = (bits >> 52u32).to::<u32>().bits::<i32>();
    let fraction = bits & 0x000f_ffff_ffff_ffffu64;
    let subnormal = exponent.eq(0i32);
    let shift = k.clz(fraction) - 11u32;
    let m = k.select(subnormal, fraction << shift, fraction | 0x0010_0000_0000_0000u64);
    (m, k.select(subnormal, k.sub(1i32, shift.bits::<i32>()), exponent))
}

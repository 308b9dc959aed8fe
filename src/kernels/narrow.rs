//! Floats of 16 and 8 bits, to and from f32, without branches: loops over them become vector code.
//!
//! Rounding is to nearest even. From wider numbers than f32 it happens once: [`odd`] and [`odd_integer`] give an f32
//! that has rounded nothing that the last step could miss (round to odd: Boldo and Melquiond, "Emulation of FMA and
//! correctly rounded sums", 2008).

pub use crate::dtype::odd;

/// A float of less than 32 bits. NaN stays NaN; its payload is not kept.
pub trait Narrow: Copy {
    /// Exact.
    fn to_f32(self) -> f32;
    /// To nearest even; beyond the range infinity, or NaN where there is none.
    fn from_f32(x: f32) -> Self;
    /// To nearest even; beyond the range, infinity included, the largest finite number.
    fn from_f32_saturating(x: f32) -> Self;
}

/// How a format numbers its magnitudes.
#[derive(Clone, Copy)]
struct Format {
    mantissa: u32,
    bias: u32,
    /// The code of the largest finite magnitude.
    largest: u32,
    /// What lies beyond it: infinity, or NaN.
    beyond: u32,
    nan: u32,
}

impl Format {
    /// The code of |x|'s nearest magnitude.
    #[inline(always)]
    const fn code(self, x: f32, beyond: u32) -> u32 {
        let drop = 23 - self.mantissa;
        let bits = x.to_bits() & 0x7fff_ffff;
        let nearest = bits.wrapping_add((1 << (drop - 1)) - 1).wrapping_add(bits >> drop & 1) >> drop;
        let normal = nearest.wrapping_sub((127 - self.bias) << self.mantissa);
        // Adding a number whose last place is the format's smallest magnitude leaves the multiple of it there.
        let magic = f32::from_bits((151 - self.bias - self.mantissa) << 23);
        let subnormal = (f32::from_bits(bits) + magic).to_bits().wrapping_sub(magic.to_bits());
        let code = if bits < (128 - self.bias) << 23 { subnormal } else { normal };
        let code = if code > self.largest { beyond } else { code };
        if bits > 0x7f80_0000 { self.nan } else { code }
    }

    /// The magnitude of a code.
    #[inline(always)]
    const fn magnitude(self, code: u32) -> f32 {
        let scale = f32::from_bits((254 - self.bias) << 23);
        let finite = f32::from_bits(code << (23 - self.mantissa)) * scale;
        // Infinity has no mantissa; a format without it has NaN alone up there, whose mantissa is not 0.
        let special = if code > self.largest { 0x7f80_0000 } else { 0 };
        f32::from_bits(finite.to_bits() | special)
    }
}

macro_rules! narrow {
    ($(#[$doc:meta])* $name:ident, $bits:ty, $sign:literal, $format:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(transparent)]
        pub struct $name(pub $bits);

        impl $name {
            const FORMAT: Format = $format;

            #[inline(always)]
            fn signed(code: u32, x: f32) -> Self {
                Self((code | (x.to_bits() >> 31) << $sign) as $bits)
            }
        }

        impl Narrow for $name {
            #[inline(always)]
            fn to_f32(self) -> f32 {
                let code = u32::from(self.0);
                let magnitude = Self::FORMAT.magnitude(code & ((1 << $sign) - 1));
                f32::from_bits(magnitude.to_bits() | (code >> $sign) << 31)
            }
            #[inline(always)]
            fn from_f32(x: f32) -> Self {
                Self::signed(Self::FORMAT.code(x, Self::FORMAT.beyond), x)
            }
            #[inline(always)]
            fn from_f32_saturating(x: f32) -> Self {
                Self::signed(Self::FORMAT.code(x, Self::FORMAT.largest), x)
            }
        }
    };
}
narrow!(
    /// IEEE 754 binary16.
    Binary16, u16, 15,
    Format { mantissa: 10, bias: 15, largest: 0x7bff, beyond: 0x7c00, nan: 0x7e00 }
);
narrow!(
    /// The upper half of a binary32.
    Bfloat16, u16, 15,
    Format { mantissa: 7, bias: 127, largest: 0x7f7f, beyond: 0x7f80, nan: 0x7fc0 }
);
narrow!(
    /// OCP FP8 E4M3: no infinities, NaN is all ones.
    E4m3, u8, 7,
    Format { mantissa: 3, bias: 7, largest: 0x7e, beyond: 0x7f, nan: 0x7f }
);
narrow!(
    /// OCP FP8 E5M2.
    E5m2, u8, 7,
    Format { mantissa: 2, bias: 15, largest: 0x7b, beyond: 0x7c, nan: 0x7e }
);

/// A magnitude of integers, rounded to odd in the same way.
#[inline(always)]
pub fn odd_integer(magnitude: u64) -> f32 {
    const LOW: u64 = 0x7ff;
    let sticky = u64::from(magnitude & LOW != 0) << 11;
    let few = if magnitude >> 53 == 0 { magnitude } else { magnitude & !LOW | sticky };
    odd(few as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every code of a format with its value, by the definition of the format; NaN left out.
    fn codes(format: Format) -> Vec<(u32, f64)> {
        let value = |code: u32| {
            let (exponent, fraction) = (code >> format.mantissa, code & ((1 << format.mantissa) - 1));
            let fraction = f64::from(fraction) / f64::from(1 << format.mantissa);
            let power = |e: i32| 2f64.powi(e - format.bias as i32);
            if exponent == 0 { fraction * power(1) } else { (1.0 + fraction) * power(exponent as i32) }
        };
        (0..=format.largest).map(|code| (code, value(code))).collect()
    }

    /// Nearest even by search; the first magnitude beyond the largest stands for what is beyond.
    fn nearest(codes: &[(u32, f64)], format: Format, x: f64) -> u32 {
        let after = codes.partition_point(|row| row.1 < x);
        let last = codes.len() - 1;
        let step = codes[last].1 - codes[last - 1].1;
        let at = |i: usize| codes.get(i).copied().unwrap_or((format.largest + 1, codes[last].1 + step));
        let (low, high) = (at(after.min(last + 1).saturating_sub(1)), at(after.min(last + 1)));
        let (below, above) = (x - low.1, high.1 - x);
        let up = above < below || (above == below && high.0 % 2 == 0);
        let code = if up || x >= high.1 { high.0 } else { low.0 };
        if code > format.largest { format.beyond } else { code }
    }

    fn check<T: Narrow>(format: Format, code: impl Fn(T) -> u32, make: impl Fn(u32) -> T) {
        let codes = codes(format);
        for &(number, value) in &codes {
            assert_eq!(f64::from(make(number).to_f32()), value, "{number:#x}");
        }
        let sixth = |pair: &[(u32, f64)], i: i32| pair[0].1 + (pair[1].1 - pair[0].1) * f64::from(i) / 64.0;
        for pair in codes.windows(2) {
            for x in (0..=64).map(|i| sixth(pair, i)) {
                let tiny = 2f64.powi(-60) * x;
                for x in [x, x + tiny, x - tiny] {
                    assert_eq!(code(T::from_f32(odd(x))), nearest(&codes, format, x), "{x:e}");
                }
            }
        }
        let top = codes[codes.len() - 1].1;
        for x in (0..64).map(|i| top * (1.0 + f64::from(i) / 1024.0)) {
            assert_eq!(code(T::from_f32(odd(x))), nearest(&codes, format, x), "{x:e}");
            assert_eq!(code(T::from_f32_saturating(odd(x))), format.largest);
        }
        assert!(make(format.nan).to_f32().is_nan() && T::from_f32(f32::NAN).to_f32().is_nan());
        assert!(T::from_f32_saturating(f32::NAN).to_f32().is_nan());
        assert_eq!(code(T::from_f32(f32::INFINITY)), format.beyond);
        assert_eq!(T::from_f32(-1.0).to_f32(), -1.0);
        assert_eq!(T::from_f32(-0.0).to_f32().to_bits(), (-0f32).to_bits());
    }

    #[test]
    fn every_code_and_every_tie_of_every_format() {
        check::<E4m3>(E4m3::FORMAT, |x| x.0.into(), |code| E4m3(code as u8));
        check::<E5m2>(E5m2::FORMAT, |x| x.0.into(), |code| E5m2(code as u8));
        check::<Binary16>(Binary16::FORMAT, |x| x.0.into(), |code| Binary16(code as u16));
        check::<Bfloat16>(Bfloat16::FORMAT, |x| x.0.into(), |code| Bfloat16(code as u16));
    }

    #[test]
    fn integers_round_once() {
        for x in [0, 1, 255, 1 << 24 | 1, (1 << 56) + (1 << 48) + 1, (1 << 56) + (1 << 48), u64::MAX] {
            let exact = nearest(&codes(Bfloat16::FORMAT), Bfloat16::FORMAT, x as f64);
            // Where `as f64` itself would round away what breaks the tie.
            let tie = x == (1 << 56) + (1 << 48) + 1;
            assert_eq!(u32::from(Bfloat16::from_f32(odd_integer(x)).0), exact + u32::from(tie), "{x}");
        }
        assert_eq!(odd(f64::INFINITY), f32::INFINITY);
        assert_eq!(odd(1e300), f32::MAX);
        assert_eq!(odd(-1e-300).to_bits(), 0x8000_0001);
    }
}

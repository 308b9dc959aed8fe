//! Keys: unsigned integers in the order of the elements, without branches, so that comparing elements is comparing
//! integers. NaN is above all, all NaNs are equal, and so are the two zeros.

use crate::dtype::Dtype::{self, *};
use crate::for_each_isa;
use std::ops::BitXor;

/// The type whose keys order `dtype`, which converts to it exactly.
pub fn ordered(dtype: Dtype) -> Dtype {
    match dtype {
        F32 | F16 | Bf16 | F8E4m3 | F8E5m2 => F32,
        I8 | I16 | I32 | U8 | U16 | Bool => I32,
        _ => dtype,
    }
}

/// An unsigned integer in the order of the elements.
pub trait Key: Ord + Copy + BitXor<Output = Self> + Into<u64> + Send + Sync + 'static {
    /// The least key.
    const LEAST: Self;
    /// All bits: a key xor this is in the opposite order.
    const FLIP: Self;
}

impl Key for u32 {
    const LEAST: u32 = 0;
    const FLIP: u32 = u32::MAX;
}

impl Key for u64 {
    const LEAST: u64 = 0;
    const FLIP: u64 = u64::MAX;
}

/// An element that has a key.
pub trait Ordered: Copy {
    /// Its key's type.
    type Key: Key;
    /// Its key.
    fn key(self) -> Self::Key;
}

macro_rules! ordered {
    ($($type:ty => $key:ty, $make:expr;)*) => {$(
        impl Ordered for $type {
            type Key = $key;
            #[inline(always)]
            fn key(self) -> $key {
                $make(self)
            }
        }
    )*};
}
ordered! {
    i32 => u32, |x| x as u32 ^ 1 << 31;
    u32 => u32, |x| x;
    i64 => u64, |x| x as u64 ^ 1 << 63;
    u64 => u64, |x| x;
    f32 => u32, |x: f32| {
        // -0 + 0 is 0. Negative numbers fall with their magnitude.
        let bits = (x + 0.0).to_bits();
        let key = bits ^ ((bits as i32 >> 31) as u32 | 1 << 31);
        if x.is_nan() { u32::MAX } else { key }
    };
    f64 => u64, |x: f64| {
        let bits = (x + 0.0).to_bits();
        let key = bits ^ ((bits as i64 >> 63) as u64 | 1 << 63);
        if x.is_nan() { u64::MAX } else { key }
    };
}

for_each_isa! {
    /// The largest key, each xor `flip`, of `count` elements at `from`, which is valid for them.
    pub fn largest<T: Ordered>(from: *const T, count: usize, flip: T::Key) -> T::Key {
        const LANES: usize = 32;
        let mut best = [T::Key::LEAST; LANES];
        let whole = count / LANES * LANES;
        for start in (0..whole).step_by(LANES) {
            for (lane, best) in best.iter_mut().enumerate() {
                // SAFETY: `start + lane` is below `count`.
                *best = (*best).max(unsafe { *from.add(start + lane) }.key() ^ flip);
            }
        }
        // SAFETY: below `count`.
        let rest = (whole..count).map(|i| unsafe { *from.add(i) }.key() ^ flip);
        best.into_iter().chain(rest).fold(T::Key::LEAST, T::Key::max)
    }
}

for_each_isa! {
    /// The keys, each xor `flip`, of `count` elements at `from`; both pointers are valid for them.
    pub fn keys<T: Ordered>(from: *const T, to: *mut T::Key, count: usize, flip: T::Key) {
        // SAFETY: below `count`.
        (0..count).for_each(|i| unsafe { to.add(i).write((*from.add(i)).key() ^ flip) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_the_elements() {
        let floats =
            [f32::NEG_INFINITY, f32::MIN, -1.0, -1e-45, 0.0, 1e-45, 1.0, f32::MAX, f32::INFINITY, f32::NAN];
        assert!(floats.windows(2).all(|pair| pair[0].key() < pair[1].key()));
        assert!(floats.windows(2).all(|pair| f64::from(pair[0]).key() < f64::from(pair[1]).key()));
        assert_eq!((0f32.key(), 0f64.key()), ((-0f32).key(), (-0f64).key()));
        assert_eq!(f32::NAN.key(), (-f32::NAN).key());
        assert!(i32::MIN.key() < 0.key() && 0.key() < i32::MAX.key() && i64::MIN.key() < 0i64.key());
    }
}

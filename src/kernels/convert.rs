//! Element types converted, many elements at a time: first into the smallest of f32, f64, i64, u64 that holds the source
//! exactly, from there into the target. 15 + 80 loops in place of 300.
//!
//! Rounded once, to nearest even; float to integer truncates and saturates, NaN gives 0; integer to integer wraps;
//! anything but 0 is true; a bool is 0 or 1.

use super::narrow::{Bfloat16, Binary16, E4m3, E5m2, Narrow, odd, odd_integer};
use crate::dtype::Dtype::{self, *};
use crate::for_each_isa;
use std::mem::MaybeUninit;

/// Elements converted at a time through the wide type, on the stack.
const CHUNK: usize = 512;

/// One step: from, to, count.
type Step = fn(*const u8, *mut u8, usize);

/// A bool's byte.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Truth(u8);

/// A target of which infinity and NaN for want of range are never made.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Saturating<T>(T);

/// What is read.
trait Source: Copy {
    type Wide: Copy;
    fn widen(self) -> Self::Wide;
}

/// What is written.
trait Target: Copy {
    fn from_f32(x: f32) -> Self;
    fn from_f64(x: f64) -> Self;
    fn from_i64(x: i64) -> Self;
    fn from_u64(x: u64) -> Self;
}

/// What is in between.
trait Wide: Copy {
    fn to<T: Target>(self) -> T;
}

macro_rules! sources {
    ($($type:ty => $wide:ty, $widen:expr;)*) => {$(
        impl Source for $type {
            type Wide = $wide;
            #[inline(always)]
            fn widen(self) -> $wide {
                $widen(self)
            }
        }
    )*};
}
sources! {
    Binary16 => f32, Binary16::to_f32;
    Bfloat16 => f32, Bfloat16::to_f32;
    E4m3 => f32, E4m3::to_f32;
    E5m2 => f32, E5m2::to_f32;
    i8 => i64, i64::from;
    i16 => i64, i64::from;
    i32 => i64, i64::from;
    u8 => i64, i64::from;
    u16 => i64, i64::from;
    u32 => i64, i64::from;
    Truth => i64, |x: Truth| i64::from(x.0 != 0);
}

macro_rules! targets {
    ($($type:ty: $from32:expr, $from64:expr, $signed:expr, $unsigned:expr;)*) => {$(
        impl Target for $type {
            #[inline(always)]
            fn from_f32(x: f32) -> Self {
                $from32(x)
            }
            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                $from64(x)
            }
            #[inline(always)]
            fn from_i64(x: i64) -> Self {
                $signed(x)
            }
            #[inline(always)]
            fn from_u64(x: u64) -> Self {
                $unsigned(x)
            }
        }
    )*};
}
targets! {
    f32: |x| x, |x| x as f32, |x| x as f32, |x| x as f32;
    f64: f64::from, |x| x, |x| x as f64, |x| x as f64;
    Truth: |x| Truth(u8::from(x != 0.0)), |x| Truth(u8::from(x != 0.0)), |x| Truth(u8::from(x != 0)), |x| Truth(u8::from(x != 0));
    Saturating<f32>: finite, |x| finite(x as f32), |x| Self(x as f32), |x| Self(x as f32);
}

/// An infinity replaced by the largest finite number of its sign; NaN stays.
#[inline(always)]
fn finite(x: f32) -> Saturating<f32> {
    Saturating(x.clamp(f32::MIN, f32::MAX))
}

/// An integer as an f32 that a narrow float can be rounded from.
#[inline(always)]
fn odd_signed(x: i64) -> f32 {
    odd_integer(x.unsigned_abs()).copysign(if x < 0 { -1.0 } else { 1.0 })
}

/// Truncates and saturates without branches, by way of an integer that vector code can convert to; as `as` does.
macro_rules! integer_targets {
    ($($type:ty, $via:ty;)*) => {$(
        targets! {
            $type: |x: f32| truncated!(x, f32, $type, $via), |x: f64| truncated!(x, f64, $type, $via),
                |x: i64| x as $type, |x: u64| x as $type;
        }
    )*};
}

macro_rules! truncated {
    ($x:ident, $float:ty, $type:ty, $via:ty) => {{
        // One more than the largest is a power of two, so exact, and so is the least.
        const END: $float = (<$type>::MAX / 2 + 1) as $float * 2.0;
        const LEAST: $float = <$type>::MIN as $float;
        let inside = $x > LEAST - 1.0 && $x < END || $x == LEAST;
        let safe = if inside { $x } else { 0.0 };
        // SAFETY: not NaN, and between what the type holds, which `via` holds too.
        let inner = unsafe { safe.to_int_unchecked::<$via>() } as $type;
        let high = if $x >= END { <$type>::MAX } else { inner };
        if $x < LEAST { <$type>::MIN } else { high }
    }};
}

integer_targets! {
    i8, i32;
    i16, i32;
    i32, i32;
    i64, i64;
    u8, i32;
    u16, i32;
    u32, i64;
    u64, u64;
}

macro_rules! narrow_targets {
    ($($type:ident)*) => {$(
        targets! {
            $type: <$type as Narrow>::from_f32, |x| <$type as Narrow>::from_f32(odd(x)),
                |x| <$type as Narrow>::from_f32(odd_signed(x)), |x| <$type as Narrow>::from_f32(odd_integer(x));
            Saturating<$type>: |x| Self($type::from_f32_saturating(x)), |x| Self($type::from_f32_saturating(odd(x))),
                |x| Self($type::from_f32_saturating(odd_signed(x))),
                |x| Self($type::from_f32_saturating(odd_integer(x)));
        }
    )*};
}
narrow_targets!(Binary16 Bfloat16 E4m3 E5m2);

macro_rules! wides {
    ($($type:ty: $to:ident;)*) => {$(
        impl Wide for $type {
            #[inline(always)]
            fn to<T: Target>(self) -> T {
                T::$to(self)
            }
        }
    )*};
}
wides! { f32: from_f32; f64: from_f64; i64: from_i64; u64: from_u64; }

for_each_isa! {
    fn load<S: Source>(from: *const u8, to: *mut u8, count: usize) {
        let (from, to) = (from.cast::<S>(), to.cast::<S::Wide>());
        // SAFETY: `Converter::run`'s contract: `count` elements at both.
        (0..count).for_each(|i| unsafe { to.add(i).write((*from.add(i)).widen()) });
    }
}

for_each_isa! {
    fn store<W: Wide, T: Target>(from: *const u8, to: *mut u8, count: usize) {
        let (from, to) = (from.cast::<W>(), to.cast::<T>());
        // SAFETY: `Converter::run`'s contract: `count` elements at both.
        (0..count).for_each(|i| unsafe { to.add(i).write((*from.add(i)).to::<T>()) });
    }
}

/// The type in between.
fn wide(from: Dtype) -> Dtype {
    match from {
        F32 | F16 | Bf16 | F8E4m3 | F8E5m2 => F32,
        F64 | U64 => from,
        C32 => F32,
        C64 => F64,
        _ => I64,
    }
}

/// From a source to its wide type; `None` where they are the same.
fn loader(from: Dtype) -> Option<Step> {
    match from {
        F16 => Some(load::<Binary16>),
        Bf16 => Some(load::<Bfloat16>),
        F8E4m3 => Some(load::<E4m3>),
        F8E5m2 => Some(load::<E5m2>),
        I8 => Some(load::<i8>),
        I16 => Some(load::<i16>),
        I32 => Some(load::<i32>),
        U8 => Some(load::<u8>),
        U16 => Some(load::<u16>),
        U32 => Some(load::<u32>),
        Bool => Some(load::<Truth>),
        F32 | F64 | I64 | U64 | C32 | C64 => None,
        Q8_0 | Q4_0 | Q4_1 | Q4K | Q6K => unreachable!("no cast binds blocks"),
    }
}

/// From a wide type to the target.
fn storer<W: Wide>(to: Dtype, saturate: bool) -> Step {
    match (to, saturate) {
        (F32 | C32, false) => store::<W, f32>,
        (F32 | C32, true) => store::<W, Saturating<f32>>,
        (F64 | C64, _) => store::<W, f64>,
        (F16, false) => store::<W, Binary16>,
        (F16, true) => store::<W, Saturating<Binary16>>,
        (Bf16, false) => store::<W, Bfloat16>,
        (Bf16, true) => store::<W, Saturating<Bfloat16>>,
        (F8E4m3, false) => store::<W, E4m3>,
        (F8E4m3, true) => store::<W, Saturating<E4m3>>,
        (F8E5m2, false) => store::<W, E5m2>,
        (F8E5m2, true) => store::<W, Saturating<E5m2>>,
        (I8, _) => store::<W, i8>,
        (I16, _) => store::<W, i16>,
        (I32, _) => store::<W, i32>,
        (I64, _) => store::<W, i64>,
        (U8, _) => store::<W, u8>,
        (U16, _) => store::<W, u16>,
        (U32, _) => store::<W, u32>,
        (U64, _) => store::<W, u64>,
        (Bool, _) => store::<W, Truth>,
        (Q8_0 | Q4_0 | Q4_1 | Q4K | Q6K, _) => unreachable!("no cast binds blocks"),
    }
}

/// How elements of one type become elements of another.
#[derive(Clone, Copy)]
pub struct Converter {
    from: Dtype,
    to: Dtype,
    load: Option<Step>,
    store: Option<Step>,
    /// Numbers an element: 2 where it is complex.
    numbers: usize,
}

impl Converter {
    /// Between any two real types or any two complex ones. `saturate`: what is beyond the range of a float target
    /// becomes its largest finite number, infinity too. Elements of equal types only move.
    pub fn new(from: Dtype, to: Dtype, saturate: bool) -> Self {
        let complex = matches!(from, C32 | C64);
        let moved = from == to;
        let middle = wide(from);
        let store = match middle {
            _ if moved || (to == middle && !saturate) => None,
            F32 => Some(storer::<f32>(to, saturate)),
            F64 => Some(storer::<f64>(to, saturate)),
            U64 => Some(storer::<u64>(to, saturate)),
            _ => Some(storer::<i64>(to, saturate)),
        };
        let load = if moved { None } else { loader(from) };
        Self { from, to, load, store, numbers: 1 + usize::from(complex) }
    }

    /// Whether elements only move.
    pub fn moves(&self) -> bool {
        self.load.is_none() && self.store.is_none()
    }

    /// Converts `count` elements that lie side by side.
    ///
    /// # Safety
    ///
    /// `from` and `to` are valid for `count` elements of their types, aligned, and apart.
    pub unsafe fn run(&self, from: *const u8, to: *mut u8, count: usize) {
        match (self.load, self.store) {
            // SAFETY: this function's contract.
            (None, None) => unsafe { std::ptr::copy_nonoverlapping(from, to, count * self.to.size()) },
            (Some(step), None) | (None, Some(step)) => step(from, to, count * self.numbers),
            (Some(load), Some(store)) => {
                let mut middle = MaybeUninit::<[u64; CHUNK]>::uninit();
                let middle = middle.as_mut_ptr().cast::<u8>();
                for start in (0..count).step_by(CHUNK) {
                    let part = CHUNK.min(count - start);
                    // `start` is below `count`, so both addresses stay inside what the contract promises.
                    load(from.wrapping_add(start * self.from.size()), middle, part);
                    store(middle, to.wrapping_add(start * self.to.size()), part);
                }
            }
        }
    }
}

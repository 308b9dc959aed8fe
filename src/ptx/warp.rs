//! The threads of a warp with each other: shuffles, reductions, votes and matches. All lanes of the mask must arrive.

use super::table::Sample;
use super::target::{EVERY, Needs};
use super::{Builder, Has, Operand, Reg, Ty};

/// All lanes.
const ALL: u32 = u32::MAX;

/// Which lane a shuffle reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shuffle {
    /// The lane of that number.
    Index,
    /// So many below.
    Up,
    /// So many above.
    Down,
    /// The lane whose number differs in those bits.
    Xor,
}

impl Shuffle {
    /// Its name, and the last lane's number that it clamps to.
    fn row(self) -> (&'static str, u32) {
        match self {
            Self::Index => ("idx", 31),
            Self::Up => ("up", 0),
            Self::Down => ("down", 31),
            Self::Xor => ("bfly", 31),
        }
    }
}

/// What a shuffle does with each 32-bit word.
struct Step {
    mnemonic: String,
    by: String,
    clamp: u32,
    mask: String,
}

impl Builder {
    /// The value of the lane that `how` and `by` name; the thread's own where there is none such within `width` lanes (a
    /// power of two). `mask` has the lanes that take part.
    pub fn shuffle<T: Ty>(
        &self,
        how: Shuffle,
        value: Reg<'_, T>,
        by: impl Operand<u32>,
        width: u32,
        mask: impl Operand<u32>,
    ) -> Reg<'_, T> {
        let fine = width.is_power_of_two() && width <= 32;
        self.check(fine, format_args!("a shuffle among {width} lanes; expected a power of two up to 32"));
        let (name, last) = how.row();
        let clamp = (32 - width.min(32)) << 8 | last;
        let mnemonic = format!("shfl.sync.{name}.b32");
        let step = Step { mnemonic, by: by.show(self), clamp, mask: mask.show(self) };
        self.shuffle_words(&step, value)
    }

    fn shuffle_words<T: Ty>(&self, step: &Step, value: Reg<'_, T>) -> Reg<'_, T> {
        match T::CLASS {
            0 => {
                let word = self.select(Reg::new(self, value.id()), 1u32, 0u32);
                Reg::new(self, self.shuffle_word(step, word).ne(0u32).id())
            }
            1 => {
                let word = self.value::<u32>(EVERY, "mov.b32", format_args!("{{{value}, {value}}}"));
                let [low, _] = self.unpack(self.shuffle_word(step, word));
                Reg::new(self, low.id())
            }
            2 => Reg::new(self, self.shuffle_word(step, Reg::new(self, value.id())).id()),
            _ => {
                let [low, high] = self.unpack::<u64>(Reg::new(self, value.id()));
                let both = self.pack::<u64>(self.shuffle_word(step, low), self.shuffle_word(step, high));
                Reg::new(self, both.id())
            }
        }
    }

    fn shuffle_word(&self, step: &Step, word: Reg<'_, u32>) -> Reg<'_, u32> {
        let Step { mnemonic, by, clamp, mask } = step;
        self.value(EVERY, mnemonic, format_args!("{word}, {by}, {clamp}, {mask}"))
    }

    /// The value of the lane whose number differs in the bits of `by`.
    pub fn shuffle_xor<T: Ty>(&self, value: Reg<'_, T>, by: u32) -> Reg<'_, T> {
        self.shuffle(Shuffle::Xor, value, by, 32, ALL)
    }

    /// The value of the lane `by` above.
    pub fn shuffle_down<T: Ty>(&self, value: Reg<'_, T>, by: u32) -> Reg<'_, T> {
        self.shuffle(Shuffle::Down, value, by, 32, ALL)
    }

    /// The value of the lane `by` below.
    pub fn shuffle_up<T: Ty>(&self, value: Reg<'_, T>, by: u32) -> Reg<'_, T> {
        self.shuffle(Shuffle::Up, value, by, 32, ALL)
    }

    /// The value of lane `lane`.
    pub fn broadcast<T: Ty>(&self, value: Reg<'_, T>, lane: impl Operand<u32>) -> Reg<'_, T> {
        self.broadcast_among(value, lane, 32)
    }

    /// The value of lane `lane` of each group of `width` neighbouring lanes.
    pub fn broadcast_among<T: Ty>(
        &self,
        value: Reg<'_, T>,
        lane: impl Operand<u32>,
        width: u32,
    ) -> Reg<'_, T> {
        self.shuffle(Shuffle::Index, value, lane, width, ALL)
    }

    /// `join` over the values of each group of `width` neighbouring lanes; every lane gets the result. The order of joining
    /// is fixed.
    pub fn reduce_lanes<'k, T: Ty>(
        &'k self,
        value: Reg<'k, T>,
        width: u32,
        join: impl Fn(Reg<'k, T>, Reg<'k, T>) -> Reg<'k, T>,
    ) -> Reg<'k, T> {
        let fine = width.is_power_of_two() && width <= 32;
        self.check(fine, format_args!("a reduction over {width} lanes; expected a power of two up to 32"));
        let steps = width.clamp(1, 32).ilog2();
        (0..steps).rev().fold(value, |sum, step| join(sum, self.shuffle_xor(sum, 1 << step)))
    }

    /// The sum over the warp.
    pub fn warp_sum<'k, T: Has<super::floats::float::add>>(&'k self, value: Reg<'k, T>) -> Reg<'k, T> {
        self.reduce_lanes(value, 32, |a, b| self.add(a, b))
    }

    /// The largest of the warp, numbers before NaN.
    pub fn warp_max<'k, T: Has<super::floats::float::max>>(&'k self, value: Reg<'k, T>) -> Reg<'k, T> {
        self.reduce_lanes(value, 32, |a, b| self.max(a, b))
    }

    /// The smallest of the warp, numbers before NaN.
    pub fn warp_min<'k, T: Has<super::floats::float::min>>(&'k self, value: Reg<'k, T>) -> Reg<'k, T> {
        self.reduce_lanes(value, 32, |a, b| self.min(a, b))
    }
}

/// `name type -> type: mnemonic, needs;` with the lanes' mask as the last operand.
macro_rules! votes {
    ($($(#[$doc:meta])* $name:ident($from:ty) -> $to:ty: $mnemonic:literal, $needs:expr;)*) => {
        impl Builder {$(
            $(#[$doc])*
            pub fn $name(&self, value: Reg<'_, $from>, mask: impl Operand<u32>) -> Reg<'_, $to> {
                let mask = mask.show(self);
                self.value($needs, $mnemonic, format_args!("{value}, {mask}"))
            }
        )*}

        fn votes() -> Vec<Sample> {
            vec![$(Sample {
                name: stringify!($name),
                ty: <$from as Ty>::NAME,
                write: |k| k.keep(k.$name(k.any::<$from>(), ALL)),
            }),*]
        }
    };
}

/// Reductions of floats in one instruction: datacenter Blackwell alone.
const BLACKWELL: Needs = Needs::only(&[100, 103], 86);

votes! {
    /// Whether it holds in all lanes of `mask`.
    vote_all(bool) -> bool: "vote.sync.all.pred", EVERY;
    /// Whether it holds in any lane of `mask`.
    vote_any(bool) -> bool: "vote.sync.any.pred", EVERY;
    /// Whether it is the same in all lanes of `mask`.
    vote_same(bool) -> bool: "vote.sync.uni.pred", EVERY;
    /// The lanes of `mask` where it holds.
    ballot(bool) -> u32: "vote.sync.ballot.b32", EVERY;
    /// The lanes of `mask` whose value is this thread's.
    match_any(u32) -> u32: "match.any.sync.b32", EVERY;
    /// The lanes of `mask` whose value is this thread's.
    match_any_wide(u64) -> u32: "match.any.sync.b64", EVERY;
    /// `mask` where all its lanes have the same value, else 0.
    match_all(u32) -> u32: "match.all.sync.b32", EVERY;
    /// The sum over the lanes of `mask`.
    redux_add(u32) -> u32: "redux.sync.add.u32", EVERY;
    /// The smallest of the lanes of `mask`.
    redux_min(u32) -> u32: "redux.sync.min.u32", EVERY;
    /// The largest of the lanes of `mask`.
    redux_max(u32) -> u32: "redux.sync.max.u32", EVERY;
    /// The smallest of the lanes of `mask`.
    redux_min_signed(i32) -> i32: "redux.sync.min.s32", EVERY;
    /// The largest of the lanes of `mask`.
    redux_max_signed(i32) -> i32: "redux.sync.max.s32", EVERY;
    /// The bits set in all lanes of `mask`.
    redux_and(u32) -> u32: "redux.sync.and.b32", EVERY;
    /// The bits set in any lane of `mask`.
    redux_or(u32) -> u32: "redux.sync.or.b32", EVERY;
    /// The bits set in an odd number of lanes of `mask`.
    redux_xor(u32) -> u32: "redux.sync.xor.b32", EVERY;
    /// The smallest of the lanes of `mask`.
    redux_min_f32(f32) -> f32: "redux.sync.min.f32", BLACKWELL;
    /// The largest of the lanes of `mask`.
    redux_max_f32(f32) -> f32: "redux.sync.max.f32", BLACKWELL;
    /// The largest of the lanes of `mask`; NaN where any is.
    redux_max_nan_f32(f32) -> f32: "redux.sync.max.NaN.f32", BLACKWELL;
}

impl Builder {
    /// The lanes that run this instruction together.
    pub fn active_lanes(&self) -> Reg<'_, u32> {
        let d = self.fresh();
        self.op(EVERY, "activemask.b32", format_args!("{d}"));
        d
    }

    /// True in one lane of a full warp, the same each time.
    pub fn elect(&self) -> Reg<'_, bool> {
        let d = self.fresh::<bool>();
        self.op(Needs::new(90, 80), "elect.sync", format_args!("_|{d}, {ALL}"));
        d
    }
}

/// One of each.
#[doc(hidden)]
pub fn samples() -> Vec<Sample> {
    votes()
}

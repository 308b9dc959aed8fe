//! The kernels around the one that turns: frequencies, cosines and sines of a stretch of positions, whether all positions
//! have a row in the tables, and the elements that are not turned.

use super::ptx::{THREADS, each_number, end_if_bad, integer};
use crate::device::cuda::Key;
use crate::dtype::Dtype;
use crate::kernels::gpu::math::{self, Math};
use crate::kernels::gpu::{Array, Real, Space, fold_block};
use crate::ptx::{Builder, Global, Kernel, Reg, Shape, Target, Text, Words, params};
use crate::status::Result;

/// Frequencies that one launch passes.
pub(super) const PASSED: usize = 128;
/// Threads of the block that checks.
const CHECKERS: u32 = 1024;

params! {
    /// Frequencies from the host into memory, divided by their factors.
    pub(super) struct Frequencies / FrequencyVals {
        count: u32,
        to: Global<f64>,
        /// f32, or 0.
        factors: u64,
        factor_stride: u64,
        values: Words<PASSED>,
    }
}

/// Tells kernels of this file apart.
pub(super) fn key(name: &'static str, spec: [u32; 3]) -> Key {
    Key(name, [spec[0], spec[1], spec[2], 0, 0, 0, 0, 0])
}

pub(super) fn frequencies(target: Target) -> Result<Kernel<Frequencies>> {
    let shape = Shape::new("rope_frequencies", target, [PASSED as u32, 1, 1]);
    Kernel::build(&shape, |_, v: FrequencyVals<'_>| {
        let k = v.kernel;
        let (thread, value) = (k.thread_x(), k.var(0.0f64));
        for i in 0..PASSED {
            let word = v.values.get(i).bits::<f64>();
            value.set(k.select(thread.eq(i as u32), word, value));
        }
        k.ret_if(thread.ge(v.count));
        k.when(v.factors.ne(0u64), || {
            let at = Array::new(k, Dtype::F32, v.factors).at(thread.to::<u64>() * v.factor_stride);
            value.set(k.div(value, at.load::<f64>()));
        });
        v.to.at(thread).store(value);
    })
}

params! {
    /// Cosines and sines, packed: [batch, position, pair].
    pub(super) struct Waves / WaveVals {
        count: u64,
        frequencies: u64,
        /// Positions, or 0: then `start` is the first.
        positions: u64,
        start: i64,
        /// cos and sin.
        to: [u64; 2],
        /// Where the position lies, its number from `start`, and the pair.
        space: Words<12>,
    }
}

pub(super) fn waves(
    target: Target,
    dtype: Dtype,
    indexed: Option<Dtype>,
    wide: bool,
) -> Result<Kernel<Waves>> {
    let code = indexed.map_or(0, |dtype| dtype as u32 + 1);
    let name = format!("rope_waves_{}_{code}_{}", dtype as u32, u32::from(wide));
    Kernel::build(&Shape::new(name, target, [THREADS, 1, 1]), |_, v: WaveVals<'_>| {
        let k = v.kernel;
        each_number(k, v.count, |number| {
            let [at, offset, pair] = Space::<3>::locate(k, &v.space, 3, wide, number);
            let position = match indexed {
                Some(dtype) => integer(Array::new(k, dtype, v.positions).at(at)),
                None => v.start + offset.bits::<i64>(),
            };
            let frequency = Array::new(k, Dtype::F64, v.frequencies).at(pair).load::<f64>();
            let angle = position.to::<f64>() * frequency;
            let places = v.to.map(|to| Array::new(k, dtype, to).at(number));
            if dtype == Dtype::F64 {
                places[0].store(<f64 as Math>::cos(k, angle));
                places[1].store(<f64 as Math>::sin(k, angle));
            } else {
                let [cos, sin] = wave(k, angle);
                places[0].store(cos);
                places[1].store(sin);
            }
        });
    })
}

/// Cosine and sine in f32, as `kernels::angle` has them, with fused steps.
pub(super) fn wave<'k>(k: &'k Builder, angle: Reg<'k, f64>) -> [Reg<'k, f32>; 2] {
    const FAR: f64 = 1e8;
    /// Adding and subtracting 1.5 * 2^52 rounds to the nearest integer, which then is in the low bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    const LOW: f64 = 6.123_233_995_736_766e-17;
    let rounded = k.fma(angle, std::f64::consts::FRAC_2_PI, ROUND);
    let quarter = rounded.bits::<u64>().to::<u32>();
    let n = -(rounded - ROUND);
    let rest = k.fma(n, std::f64::consts::FRAC_PI_2, angle);
    let r = f32::narrow(k.fma(n, LOW, rest));
    let z = r * r;
    let sin = k.fma(z, -1.951_697_6e-4f32, 8.332_176e-3f32);
    let sin = k.fma(z, sin, -0.166_666_55f32);
    let sin = k.fma(r * z, sin, r);
    let cos = k.fma(z, 2.443_808_8e-5f32, -1.388_736_4e-3f32);
    let cos = k.fma(z, cos, 4.166_664_6e-2f32);
    let cos = k.fma(z * z, cos, k.fma(z, -0.5f32, 1.0f32));
    let swapped = (quarter & 1u32).ne(0u32);
    let turned = |value: Reg<'k, f32>, quarter: Reg<'k, u32>| {
        k.var((value.bits::<u32>() ^ ((quarter & 2u32) << 30u32)).bits::<f32>())
    };
    let result =
        [turned(k.select(swapped, sin, cos), quarter + 1u32), turned(k.select(swapped, cos, sin), quarter)];
    let far = k.abs(angle).gt(FAR);
    k.when(far, || {
        result[0].set(f32::narrow(math::cos(k, angle)));
        result[1].set(f32::narrow(math::sin(k, angle)));
    });
    result
}

params! {
    /// Whether every position is from 0 to `end` - 1: one block.
    pub(super) struct Check / CheckVals {
        count: u64,
        end: u64,
        positions: u64,
        /// Gets 0, or the first bad number + 1.
        bad: Global<u32>,
        /// Gets the same if it is not 0.
        verdict: Global<u32>,
        space: Words<4>,
    }
}

pub(super) fn check(target: Target, dtype: Dtype) -> Result<Kernel<Check>> {
    let name = format!("rope_check_{}", dtype as u32);
    Kernel::build(&Shape::new(name, target, [CHECKERS, 1, 1]), |_, v: CheckVals<'_>| {
        let k = v.kernel;
        let (number, first) = (k.var(k.thread_x().to::<u64>()), k.var(u64::MAX));
        k.repeat_while(
            || number.lt(v.count),
            || {
                let [at] = Space::<1>::locate(k, &v.space, 2, true, number);
                let position = integer(Array::new(k, dtype, v.positions).at(at));
                // Negative ones are beyond all, without their sign.
                let bad = position.bits::<u64>().ge(v.end);
                first.set(k.min(first, k.select(bad, number, u64::MAX)));
                number.set(number + u64::from(CHECKERS));
            },
        );
        let first = fold_block(k, CHECKERS, first, k.var(u64::MAX), |a, b| k.min(a, b));
        k.ret_if(k.thread_x().ne(0u32));
        let found = first.ne(u64::MAX);
        let word = k.select(found, k.min(first, u64::from(u32::MAX) - 1) + 1u64, 0u64).to::<u32>();
        v.bad.store(word);
        v.verdict.store_if(found, word);
    })
}

params! {
    /// Elements from x to y.
    pub(super) struct Copy / CopyVals {
        count: u64,
        x: u64,
        y: u64,
        bad: u64,
        /// Of x and y.
        space: Words<12>,
    }
}

pub(super) fn copy(target: Target, dtype: Dtype, wide: bool) -> Result<Kernel<Copy>> {
    let name = format!("rope_copy_{}_{}", dtype.size(), u32::from(wide));
    Kernel::build(&Shape::new(name, target, [THREADS, 1, 1]), |_, v: CopyVals<'_>| {
        let k = v.kernel;
        end_if_bad(k, v.bad);
        each_number(k, v.count, |number| {
            let at = Space::<2>::locate(k, &v.space, 4, wide, number);
            let [x, y] = [(v.x, at[0]), (v.y, at[1])].map(|(base, at)| Array::new(k, dtype, base).at(at));
            match dtype.size() {
                2 => y.ptr::<u16>().store(x.ptr::<u16>().load()),
                8 => y.ptr::<u64>().store(x.ptr::<u64>().load()),
                _ => y.ptr::<u32>().store(x.ptr::<u32>().load()),
            }
        });
    })
}

/// The kernels that tests assemble.
pub(super) fn texts(target: Target) -> Vec<Result<Text>> {
    let mut texts = vec![frequencies(target).map(Text::from)];
    for positions in [Dtype::I32, Dtype::I64] {
        texts.push(check(target, positions).map(Text::from));
        let waves = |dtype| waves(target, dtype, Some(positions), true).map(Text::from);
        texts.extend([Dtype::F32, Dtype::F64].map(waves));
    }
    for dtype in [Dtype::F32, Dtype::F64] {
        texts.push(waves(target, dtype, None, false).map(Text::from));
    }
    for (dtype, wide) in [(Dtype::F16, false), (Dtype::F32, false), (Dtype::F64, true)] {
        texts.push(copy(target, dtype, wide).map(Text::from));
    }
    texts
}

//! From a sum to an element of D, with all that a multiplication may ask for: scales, C, bias, the epilogue and what it writes
//! or reads besides, the largest magnitude, floats of 8 bits, complex numbers.

use super::arguments::{AUX, FullVals, SCALES};
use super::slope;
use crate::kernels::gpu::math;
use crate::ops::matmul::cuda::arguments::{Place, Vals};
use crate::ops::matmul::cuda::finish;
use crate::ops::matmul::cuda::real::{Number, Real, load_kind, store_any, store_kind};
use crate::ops::matmul::{
    WEFT_EPILOGUE_DGELU, WEFT_EPILOGUE_DGELU_TANH, WEFT_EPILOGUE_DRELU, WEFT_EPILOGUE_GELU,
    WEFT_EPILOGUE_GELU_AUX, WEFT_EPILOGUE_GELU_TANH, WEFT_EPILOGUE_GELU_TANH_AUX, WEFT_EPILOGUE_RELU,
    WEFT_EPILOGUE_RELU_AUX, WEFT_EPILOGUE_SILU,
};
use crate::ptx::{Builder, Global, Ptr, Reg};

/// All lanes of a warp.
const ALL: u32 = u32::MAX;

/// An element of D.
pub struct Spot<'k> {
    pub row: Reg<'k, u64>,
    pub col: Reg<'k, u64>,
    /// Whether there is one.
    pub inside: Reg<'k, bool>,
    /// Addresses of the matrices of a, b, d, c and bias.
    pub at: [Reg<'k, u64>; 5],
    /// Those of aux, a_scale and b_scale.
    pub more: [Reg<'k, u64>; 3],
}

/// The largest magnitude so far: as bits, whose order is that of magnitudes, NaN above all.
pub struct Largest<'k>(Reg<'k, u32>);

impl<'k> Largest<'k> {
    pub fn new(k: &'k Builder) -> Self {
        Self(k.var(0u32))
    }

    fn see(&self, k: &'k Builder, x: Reg<'k, f32>) {
        self.0.set(k.max(self.0, x.bits::<u32>() & 0x7fff_ffffu32));
    }

    /// Tells those of other threads, once all are seen. All threads of a warp come here together.
    pub fn tell(&self, k: &'k Builder, v: &FullVals<'k>) {
        k.when(v.amax.ne(0u64), || {
            let all = k.redux_max(self.0, ALL);
            k.when(k.lane().eq(0u32), || Ptr::<Global<u32>>::new(v.amax).atomic().max(all));
        });
    }
}

/// What sums become values of.
pub trait Values: Number {
    /// Writes an element with what most multiplications ask for.
    fn plain<'k>(
        k: &'k Builder,
        v: &Vals<'k>,
        place: &Place<'k>,
        spot: [Reg<'k, u64>; 2],
        sum: Reg<'k, Self>,
    );
    /// Writes an element. All threads of a warp come here together, with 32 columns of a row side by side, the first of which
    /// is a multiple of 32. Returns the value before it was scaled and rounded, 0 outside.
    fn whole<'k>(
        k: &'k Builder,
        v: &FullVals<'k>,
        spot: &Spot<'k>,
        sum: Reg<'k, Self>,
        largest: &Largest<'k>,
    ) -> Reg<'k, Self>;
    /// Writes an element whose parts these are sums of.
    fn complex<'k>(k: &'k Builder, v: &FullVals<'k>, spot: &Spot<'k>, sums: [Reg<'k, Self>; 2]);
}

impl<R: Real> Values for R {
    fn plain<'k>(k: &'k Builder, v: &Vals<'k>, place: &Place<'k>, spot: [Reg<'k, u64>; 2], sum: Reg<'k, R>) {
        finish::finish(k, v, place, spot, sum);
    }

    fn whole<'k>(
        k: &'k Builder,
        v: &FullVals<'k>,
        spot: &Spot<'k>,
        sum: Reg<'k, R>,
        largest: &Largest<'k>,
    ) -> Reg<'k, R> {
        let (x, above) = (k.var(R::ZERO), k.var(0u32));
        k.when(spot.inside, || {
            x.set(before(k, v, spot, sum));
            above.set(k.select(x.gt(R::ZERO), 1u32, 0u32));
            activate(k, v, spot, x);
            largest.see(k, R::to_single(x));
            let y = k.var(x);
            k.when(v.scale.ne(0u64), || y.set(y * R::of_single(Ptr::<Global<f32>>::new(v.scale).load())));
            store_any(k, v.base.kinds[0], v.base.element(spot.at[2], 2, spot.row, spot.col), y);
        });
        k.when(v.base.epilogue.eq(WEFT_EPILOGUE_RELU_AUX), || write_mask(k, v, spot, above));
        x
    }

    fn complex<'k>(k: &'k Builder, v: &FullVals<'k>, spot: &Spot<'k>, sums: [Reg<'k, R>; 2]) {
        let factor = |n: usize| [[v.base.alpha, v.base.beta][n], v.imaginary[n]].map(R::of);
        let [re, im] = times(k, factor(0), sums).map(|part| k.var(part));
        let element = |n: usize| {
            let at = Ptr::<Global<R>>::new(v.base.element(spot.at[n], n, spot.row, spot.col));
            [at, at.plus(1)]
        };
        k.when(v.base.at[3].ne(0u64), || {
            let [x, y] = times(k, factor(1), element(3).map(|at| at.load()));
            re.set(k.add(re, x));
            im.set(k.add(im, y));
        });
        k.when(v.base.at[4].ne(0u64), || {
            let [x, y] = element(4).map(|at| at.load());
            re.set(k.add(re, x));
            im.set(k.add(im, y));
        });
        element(2).iter().zip([re, im]).for_each(|(at, part)| at.store(part));
    }
}

/// The product of two complex numbers.
fn times<'k, R: Real>(k: &'k Builder, [a, b]: [Reg<'k, R>; 2], [x, y]: [Reg<'k, R>; 2]) -> [Reg<'k, R>; 2] {
    [k.fma(a, x, -k.mul(b, y)), k.fma(a, y, k.mul(b, x))]
}

/// scales alpha x + beta C + bias.
fn before<'k, R: Real>(k: &'k Builder, v: &FullVals<'k>, spot: &Spot<'k>, sum: Reg<'k, R>) -> Reg<'k, R> {
    let x = k.var(sum);
    k.when(v.scaled_sums.ne(0u32), || {
        for (operand, line) in [spot.row, spot.col].into_iter().enumerate() {
            let at = spot.more[SCALES[operand]];
            let scale = Ptr::<Global<f32>>::new(v.scale_of(operand, at, line));
            k.when(v.more_at[SCALES[operand]].ne(0u64), || x.set(k.mul(x, R::of_single(scale.load()))));
        }
    });
    x.set(k.mul(x, R::of(v.base.alpha)));
    k.when(v.base.at[3].ne(0u64), || {
        let at = v.base.element(spot.at[3], 3, spot.row, spot.col);
        x.set(k.fma(load_kind::<R>(k, v.more_kinds[0], at), R::of(v.base.beta), x));
    });
    k.when(v.base.at[4].ne(0u64), || {
        let at = v.base.element(spot.at[4], 4, spot.row, spot.col);
        x.set(k.add(x, load_kind::<R>(k, v.base.kinds[1], at)));
    });
    x
}

/// Applies the epilogue to `x`, and writes or reads what belongs to it but for the mask of relu.
fn activate<'k, R: Real>(k: &'k Builder, v: &FullVals<'k>, spot: &Spot<'k>, x: Reg<'k, R>) {
    let epilogue = v.base.epilogue;
    let either = |a: u32, b: u32| epilogue.eq(a) | epilogue.eq(b);
    let aux = || {
        let start = k.mad(spot.row, v.more_strides.get(2 * AUX), spot.more[AUX]);
        k.mad(spot.col, v.more_strides.get(2 * AUX + 1), start)
    };
    k.when(either(WEFT_EPILOGUE_GELU_AUX, WEFT_EPILOGUE_GELU_TANH_AUX), || {
        store_kind(k, v.more_kinds[1], aux(), x);
    });
    k.when(either(WEFT_EPILOGUE_RELU, WEFT_EPILOGUE_RELU_AUX), || x.set(math::relu(k, x)));
    k.when(either(WEFT_EPILOGUE_GELU, WEFT_EPILOGUE_GELU_AUX), || x.set(math::gelu(k, x)));
    k.when(either(WEFT_EPILOGUE_GELU_TANH, WEFT_EPILOGUE_GELU_TANH_AUX), || x.set(math::gelu_tanh(k, x)));
    k.when(epilogue.eq(WEFT_EPILOGUE_SILU), || x.set(math::silu(k, x)));
    k.when(epilogue.eq(WEFT_EPILOGUE_DRELU), || {
        let byte = Ptr::<Global<u8>>::new(mask_at(k, v, spot)).load().to::<u32>();
        let bit = k.shr(byte, spot.col.to::<u32>() & 7u32) & 1u32;
        x.set(k.select(bit.ne(0u32), x, R::ZERO));
    });
    k.when(either(WEFT_EPILOGUE_DGELU, WEFT_EPILOGUE_DGELU_TANH), || {
        let t = load_kind::<R>(k, v.more_kinds[1], aux());
        let by_tanh = epilogue.eq(WEFT_EPILOGUE_DGELU_TANH);
        k.if_else(by_tanh, || x.set(k.mul(x, slope::gelu_tanh(k, t))), || x.set(k.mul(x, slope::gelu(k, t))));
    });
}

/// The byte of the mask that an element's bit is in.
fn mask_at<'k>(k: &'k Builder, v: &FullVals<'k>, spot: &Spot<'k>) -> Reg<'k, u64> {
    let start = k.mad(spot.row, v.more_strides.get(2 * AUX), spot.more[AUX]);
    k.mad(spot.col >> 3u32, v.more_strides.get(2 * AUX + 1), start)
}

/// Writes the bits of a warp's columns: every eighth lane a byte.
fn write_mask<'k>(k: &'k Builder, v: &FullVals<'k>, spot: &Spot<'k>, above: Reg<'k, u32>) {
    let bits = k.ballot(above.ne(0u32), ALL);
    let lane = k.lane();
    let byte = k.shr(bits, lane).to::<u8>();
    let first = (lane & 7u32).eq(0u32);
    k.when(first & spot.inside, || Ptr::<Global<u8>>::new(mask_at(k, v, spot)).store(byte));
}

impl Values for i32 {
    /// Sums of integers ask for all that there is.
    fn plain<'k>(_: &'k Builder, _: &Vals<'k>, _: &Place<'k>, _: [Reg<'k, u64>; 2], _: Reg<'k, i32>) {}

    fn whole<'k>(
        k: &'k Builder,
        v: &FullVals<'k>,
        spot: &Spot<'k>,
        sum: Reg<'k, i32>,
        _: &Largest<'k>,
    ) -> Reg<'k, i32> {
        let at = |n: usize| Ptr::<Global<i32>>::new(v.base.element(spot.at[n], n, spot.row, spot.col));
        let (x, above) = (k.var(0i32), k.var(0u32));
        k.when(spot.inside, || {
            x.set(k.mul(sum, v.base.alpha.to::<i32>()));
            k.when(v.base.at[3].ne(0u64), || x.set(k.mad(at(3).load(), v.base.beta.to::<i32>(), x)));
            k.when(v.base.at[4].ne(0u64), || x.set(k.add(x, at(4).load())));
            above.set(k.select(x.gt(0i32), 1u32, 0u32));
            k.when(v.base.epilogue.eq(WEFT_EPILOGUE_RELU), || x.set(k.max(x, 0i32)));
            at(2).store(x);
        });
        x
    }

    fn complex<'k>(_: &'k Builder, _: &FullVals<'k>, _: &Spot<'k>, _: [Reg<'k, i32>; 2]) {}
}

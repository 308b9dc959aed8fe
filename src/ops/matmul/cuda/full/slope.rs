//! The slopes of gelu. Beyond 40 either way they are 1 and 0, in f32 and f64 alike.

use crate::kernels::gpu::math;
use crate::ops::matmul::cuda::real::Real;
use crate::ptx::{Builder, Reg};

/// 1 / sqrt(2 pi).
const DENSITY: f64 = 0.398_942_280_401_432_7;
/// sqrt(2 / pi).
const ROOT: f64 = 0.797_884_560_802_865_4;

/// t kept between -40 and 40, NaN as it is.
fn near<'k, R: Real>(k: &'k Builder, t: Reg<'k, R>) -> Reg<'k, R> {
    let (least, most) = (k.var(R::constant(-40.0)), k.var(R::constant(40.0)));
    let t = k.select(t.gt(most), most, t);
    k.select(t.lt(least), least, t)
}

/// Of x/2 (1 + erf(x / sqrt 2)): the normal distribution at t, and t times its density.
pub fn gelu<'k, R: Real>(k: &'k Builder, t: Reg<'k, R>) -> Reg<'k, R> {
    let t = near(k, t);
    let root = k.mul(t, R::constant(std::f64::consts::FRAC_1_SQRT_2));
    let below = k.fma(math::erf(k, root), R::constant(0.5), R::constant(0.5));
    let density = k.mul(math::exp(k, -k.mul(root, root)), R::constant(DENSITY));
    k.fma(t, density, below)
}

/// Of t s, where s is the sigmoid of 2u and u = sqrt(2/pi) (t + 0.044715 t^3): s + 2 t u' s (1 - s).
pub fn gelu_tanh<'k, R: Real>(k: &'k Builder, t: Reg<'k, R>) -> Reg<'k, R> {
    let t = near(k, t);
    let square = k.mul(t, t);
    let twice =
        k.mul(k.mul(k.fma(square, R::constant(0.044_715), R::constant(1.0)), t), R::constant(2.0 * ROOT));
    let steep = k.mul(k.fma(square, R::constant(3.0 * 0.044_715), R::constant(1.0)), R::constant(2.0 * ROOT));
    let (s, rest) = (math::sigmoid(k, twice), math::sigmoid(k, -twice));
    k.fma(k.mul(t, steep), k.mul(s, rest), s)
}

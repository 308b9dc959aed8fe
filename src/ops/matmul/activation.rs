//! Epilogues over a run of values.

use super::*;
use crate::kernels::math;

/// Applies an epilogue, a WEFT_EPILOGUE number, to every value.
pub trait Activate: Sized {
    fn activate(epilogue: u32, values: &mut [Self]);
    /// Multiplies every value by the derivative at its `at`, of gelu, or with `tanh` of its approximation.
    fn derive(tanh: bool, values: &mut [Self], at: &[Self]);
    /// Above 0.
    fn positive(self) -> bool;
}

#[inline(always)]
fn each<T: Copy>(values: &mut [T], f: impl Fn(T) -> T) {
    values.iter_mut().for_each(|x| *x = f(*x));
}

impl Activate for f32 {
    #[inline(always)]
    fn activate(epilogue: u32, values: &mut [f32]) {
        match epilogue {
            WEFT_EPILOGUE_RELU | WEFT_EPILOGUE_RELU_AUX => each(values, math::relu),
            WEFT_EPILOGUE_GELU | WEFT_EPILOGUE_GELU_AUX => each(values, math::gelu),
            WEFT_EPILOGUE_GELU_TANH | WEFT_EPILOGUE_GELU_TANH_AUX => each(values, math::gelu_tanh),
            WEFT_EPILOGUE_SILU => each(values, math::silu),
            _ => {}
        }
    }
    #[inline(always)]
    fn derive(tanh: bool, values: &mut [f32], at: &[f32]) {
        let pairs = values.iter_mut().zip(at);
        if tanh {
            pairs.for_each(|(value, &x)| *value *= dgelu_tanh32(x));
        } else {
            pairs.for_each(|(value, &x)| *value *= dgelu32(x));
        }
    }
    #[inline(always)]
    fn positive(self) -> bool {
        self > 0.0
    }
}

/// Where gelu is x or 0 to the last bit, and its derivative 1 or 0.
const FAR: f32 = 12.0;
const ROOT: f64 = 0.797_884_560_802_865_4;

#[inline(always)]
fn dgelu32(x: f32) -> f32 {
    const DENSITY: f32 = 0.398_942_3;
    let x = x.clamp(-FAR, FAR);
    let below = 0.5 * (1.0 + math::erf(x * std::f32::consts::FRAC_1_SQRT_2));
    below + x * (DENSITY * math::exp(-0.5 * x * x))
}

#[inline(always)]
fn dgelu_tanh32(x: f32) -> f32 {
    const ROOT32: f32 = ROOT as f32;
    let x = x.clamp(-FAR, FAR);
    let t = math::tanh(ROOT32 * (x + 0.044_715 * x * x * x));
    let slope = ROOT32 * (1.0 + 3.0 * 0.044_715 * x * x);
    0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope
}

impl Activate for f64 {
    #[inline(always)]
    fn activate(epilogue: u32, values: &mut [f64]) {
        match epilogue {
            WEFT_EPILOGUE_RELU | WEFT_EPILOGUE_RELU_AUX => each(values, |x| if x < 0.0 { 0.0 } else { x }),
            WEFT_EPILOGUE_GELU | WEFT_EPILOGUE_GELU_AUX => each(values, gelu),
            WEFT_EPILOGUE_GELU_TANH | WEFT_EPILOGUE_GELU_TANH_AUX => each(values, gelu_tanh),
            WEFT_EPILOGUE_SILU => each(values, |x| x / (1.0 + libm::exp(-x))),
            _ => {}
        }
    }
    fn derive(tanh: bool, values: &mut [f64], at: &[f64]) {
        let derivative = if tanh { dgelu_tanh } else { dgelu };
        values.iter_mut().zip(at).for_each(|(value, &x)| *value *= derivative(x));
    }
    #[inline(always)]
    fn positive(self) -> bool {
        self > 0.0
    }
}

fn dgelu(x: f64) -> f64 {
    const DENSITY: f64 = 0.398_942_280_401_432_7;
    let x = x.clamp(-40.0, 40.0);
    0.5 * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2)) + x * DENSITY * libm::exp(-0.5 * x * x)
}

fn dgelu_tanh(x: f64) -> f64 {
    let x = x.clamp(-40.0, 40.0);
    let t = libm::tanh(ROOT * (x + 0.044_715 * x * x * x));
    let slope = ROOT * (1.0 + 3.0 * 0.044_715 * x * x);
    0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * slope
}

fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2))
}

fn gelu_tanh(x: f64) -> f64 {
    0.5 * x * (1.0 + libm::tanh(ROOT * (x + 0.044_715 * x * x * x)))
}

//! Epilogues over a run of values.

use super::*;
use crate::kernels::math;

/// Applies an epilogue, a WEFT_EPILOGUE number, to every value.
pub trait Activate: Sized {
    fn activate(epilogue: u32, values: &mut [Self]);
}

#[inline(always)]
fn each<T: Copy>(values: &mut [T], f: impl Fn(T) -> T) {
    values.iter_mut().for_each(|x| *x = f(*x));
}

impl Activate for f32 {
    #[inline(always)]
    fn activate(epilogue: u32, values: &mut [f32]) {
        match epilogue {
            WEFT_EPILOGUE_RELU => each(values, math::relu),
            WEFT_EPILOGUE_GELU => each(values, math::gelu),
            WEFT_EPILOGUE_GELU_TANH => each(values, math::gelu_tanh),
            WEFT_EPILOGUE_SILU => each(values, math::silu),
            _ => {}
        }
    }
}

impl Activate for f64 {
    #[inline(always)]
    fn activate(epilogue: u32, values: &mut [f64]) {
        match epilogue {
            WEFT_EPILOGUE_RELU => each(values, |x| if x < 0.0 { 0.0 } else { x }),
            WEFT_EPILOGUE_GELU => each(values, gelu),
            WEFT_EPILOGUE_GELU_TANH => each(values, gelu_tanh),
            WEFT_EPILOGUE_SILU => each(values, |x| x / (1.0 + libm::exp(-x))),
            _ => {}
        }
    }
}

fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2))
}

fn gelu_tanh(x: f64) -> f64 {
    const ROOT: f64 = 0.797_884_560_802_865_4;
    0.5 * x * (1.0 + libm::tanh(ROOT * (x + 0.044_715 * x * x * x)))
}

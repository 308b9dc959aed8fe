//! Special functions: what the multi-function unit computes, and the same rounded correctly where PTX has it.

use super::table::instructions;
use super::target::{EVERY, Needs};
use super::{Bf16x2, F16x2};
use crate::dtype::{bf16, f16};

/// Of bfloat16.
const BF16: Needs = Needs::new(90, 78);

instructions! { special;
    /// 2^a, wrong by 2 units in the last place at most; subnormals are kept in f32.
    ex2 1 {
        f32: "ex2.approx.*", EVERY;
        f16 F16x2: "ex2.approx.*", EVERY;
        bf16 Bf16x2: "ex2.approx.ftz.*", BF16;
    }
    /// 2^a, with subnormal arguments and results taken as zero: one instruction less than `ex2`.
    ex2_ftz 1 { f32: "ex2.approx.ftz.*", EVERY; }
    /// The logarithm of a to base 2.
    lg2 1 { f32: "lg2.approx.*", EVERY; }
    /// The logarithm of a to base 2, with subnormal arguments taken as zero.
    lg2_ftz 1 { f32: "lg2.approx.ftz.*", EVERY; }
    /// 1 / sqrt(a).
    rsqrt 1 { f32 f64: "rsqrt.approx.*", EVERY; }
    /// 1 / sqrt(a), with subnormal arguments taken as zero.
    rsqrt_ftz 1 { f32: "rsqrt.approx.ftz.*", EVERY; }
    /// sqrt(a), correctly rounded.
    sqrt 1 { f32 f64: "sqrt.rn.*", EVERY; }
    /// sqrt(a).
    sqrt_approx 1 { f32: "sqrt.approx.*", EVERY; }
    /// 1 / a, correctly rounded.
    rcp 1 { f32 f64: "rcp.rn.*", EVERY; }
    /// 1 / a.
    rcp_approx 1 { f32: "rcp.approx.*", EVERY; }
    /// 1 / a, with subnormal arguments and results taken as zero.
    rcp_ftz 1 { f32: "rcp.approx.ftz.*", EVERY; f64: "rcp.approx.ftz.*", EVERY; }
    /// sin(a), wrong by 2^-20 at most between -pi and pi.
    sin 1 { f32: "sin.approx.*", EVERY; }
    /// cos(a), wrong by 2^-20 at most between -pi and pi.
    cos 1 { f32: "cos.approx.*", EVERY; }
    /// tanh(a), relative error up to 2^-11 in f32.
    tanh 1 {
        f32 f16 F16x2: "tanh.approx.*", EVERY;
        bf16 Bf16x2: "tanh.approx.*", BF16;
    }
}

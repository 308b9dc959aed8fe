//! Elementwise functions of one, two or three operands, with broadcasting.

mod chunk;
mod cpu;
mod cuda;
mod formulas;
mod functions;
mod integers;
mod ptx;
mod real;

pub use functions::*;

use crate::device::Cpu;
use crate::device::cuda::Stream;
use crate::dtype::Dtype::{self, *};
use crate::layout::weft_tensor;
use crate::op::{Bind, Op, Operand};
use crate::ptx::{Target, Text};
use crate::status::Result;
use crate::{ensure, fail};

/// alpha and beta are taken as they stand, so that 0 means 0 and not the function's default.
pub const WEFT_EW_PARAMETERS: u32 = 1;

/// What `weft_elementwise` computes: y = f(a, b, c), each operand broadcast to y.
///
/// All operands have y's dtype, but that conditions (results of comparisons and tests, and SELECT's a) are WEFT_BOOL.
/// Functions take f32, f64, f16 and bf16; those whose text speaks of integers, MAX, MIN, CLIP, RELU, SIGN and the
/// comparisons take all integer dtypes too (NEG the signed ones), EQUAL also WEFT_BOOL, and SELECT any dtype.
///
/// f16 and bf16 are computed in f32 and rounded once. Functions of f32 are within 5e-7 of the value, relative (from
/// 1.5e-6 to 2e-5 in the left tail of GELU, GELU_TANH and their gated units, where that factor is below 1e-4; sines and cosines
/// within 1e-7, absolute; what is below 2^-126, or needs an exponential that is, may be 0 or off by 2^-126);
/// SIGMOID, SILU, GELU, GELU_TANH and the gated units of f16 and bf16 within 5e-6 before they are rounded (1e-5 below 1e-30);
/// sums, products, quotients, square roots and roundings are exact to half an ulp, and f64 is as good as the C library's.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_elementwise_desc {
    /// sizeof(weft_elementwise_desc).
    pub struct_size: u32,
    /// WEFT_EW_PARAMETERS or 0.
    pub flags: u32,
    /// Which function: one of the WEFT_EW constants.
    pub function: u32,
    /// 0.
    pub reserved: u32,
    /// First operand; broadcastable to y.
    pub a: weft_tensor,
    /// Second operand, of functions that take two or three.
    pub b: weft_tensor,
    /// Third operand, of functions that take three.
    pub c: weft_tensor,
    /// The result. May be exactly a, b or c.
    pub y: weft_tensor,
    /// First parameter of functions that take one; 0 means the function's default.
    pub alpha: f64,
    /// Second parameter of functions that take two; 0 means the function's default.
    pub beta: f64,
}

/// A checked request.
pub struct Elementwise {
    function: &'static Function,
    /// As many as the function takes, broadcast to y.
    inputs: Vec<Operand>,
    y: Operand,
    alpha: f64,
    beta: f64,
}

/// Checks a descriptor.
pub fn new(desc: &weft_elementwise_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    bind.expect_flags(desc.flags, WEFT_EW_PARAMETERS)?;
    ensure!(desc.reserved == 0, "elementwise: reserved is {}; expected 0", desc.reserved);
    let Some(function) = Function::of(desc.function) else {
        let (most, asked) = (FUNCTIONS.len(), desc.function);
        fail!(
            WEFT_ERROR_INVALID_ARGUMENT,
            "elementwise: function is {asked}; expected WEFT_EW_ADD (1) to {most}"
        );
    };
    let y = bind.output("y", &desc.y)?;
    let inputs = inputs(desc, bind, function, &y)?;
    expect_dtypes(function, &inputs, &y)?;
    inputs.iter().try_for_each(|input| y.expect_apart_or_same(input))?;
    let alpha = parameter(desc, bind, function, 0)?;
    let beta = parameter(desc, bind, function, 1)?;
    Ok(Box::new(Elementwise { function, inputs, y, alpha, beta }))
}

fn inputs(
    desc: &weft_elementwise_desc,
    bind: &Bind,
    function: &Function,
    y: &Operand,
) -> Result<Vec<Operand>> {
    let given = [("a", &desc.a), ("b", &desc.b), ("c", &desc.c)];
    let takes = ["", "a alone", "a and b"][function.arity % 3];
    for (name, tensor) in &given[function.arity..] {
        bind.expect_absent(name, tensor, format_args!("WEFT_EW_{} takes {takes}", function.name))?;
    }
    let operand =
        |(name, tensor): &(&'static str, &weft_tensor)| bind.input(name, tensor)?.broadcast_to(y.dims());
    given[..function.arity].iter().map(operand).collect()
}

const FLOATS: &[Dtype] = &[F32, F64, F16, Bf16];
const NUMBERS: &[Dtype] = &[F32, F64, F16, Bf16, I8, I16, I32, I64, U8, U16, U32, U64];
const COMPARABLE: &[Dtype] = &[F32, F64, F16, Bf16, I8, I16, I32, I64, U8, U16, U32, U64, Bool];

/// The first operand has one of the function's dtypes, the others and y those that follow from it.
fn expect_dtypes(function: &Function, inputs: &[Operand], y: &Operand) -> Result<()> {
    let unsigned = [U8, U16, U32, U64].contains(&inputs[0].dtype());
    match function.kind {
        Kind::Float | Kind::Test => inputs[0].expect_dtype(FLOATS)?,
        Kind::Number if function.code == WEFT_EW_NEG && unsigned => inputs[0].expect_dtype(&NUMBERS[..8])?,
        Kind::Number => inputs[0].expect_dtype(NUMBERS)?,
        Kind::Compare if function.code == WEFT_EW_EQUAL => inputs[0].expect_dtype(COMPARABLE)?,
        Kind::Compare => inputs[0].expect_dtype(NUMBERS)?,
        Kind::Logic | Kind::Select => inputs[0].expect_dtype(&[Bool])?,
    }
    let values = if function.kind == Kind::Select { &inputs[1..] } else { inputs };
    let result = match function.kind {
        Kind::Compare | Kind::Test | Kind::Logic => Bool,
        _ => values[0].dtype(),
    };
    values.iter().try_for_each(|value| value.expect_dtype(&[values[0].dtype()]))?;
    y.expect_dtype(&[result])
}

/// alpha (0) or beta (1): the caller's, or the function's default.
fn parameter(desc: &weft_elementwise_desc, bind: &Bind, function: &Function, index: usize) -> Result<f64> {
    let (name, given) = [("alpha", desc.alpha), ("beta", desc.beta)][index];
    let Some(&default) = function.defaults.get(index) else {
        ensure!(
            given == 0.0,
            "elementwise: {name} is {given}; WEFT_EW_{} takes none: expected 0",
            function.name
        );
        return Ok(0.0);
    };
    bind.expect_finite(name, given)?;
    let stands = given != 0.0 || desc.flags & WEFT_EW_PARAMETERS != 0;
    Ok(if stands { given } else { default })
}

impl Op for Elementwise {
    fn cpu(&self, cpu: &Cpu) -> Result<()> {
        crate::op::first("elementwise", cpu::CHOICES, self, cpu)
    }

    fn cuda(&self, stream: &Stream) -> Result<()> {
        if self.y.layout().is_empty() {
            return Ok(());
        }
        crate::op::first("elementwise", cuda::CHOICES, self, stream)
    }

    fn shape(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        write!(out, "{} {}", self.function.name, self.y)
    }
}

/// The kernels, for the tests.
#[doc(hidden)]
pub fn texts(target: Target) -> Vec<Result<Text>> {
    ptx::texts(target)
}

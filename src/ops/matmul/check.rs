//! Every check of a descriptor but those of what few ask for, which `extra` makes.

use super::*;
use crate::dtype::Dtype::{
    self, Bf16, C32, C64, F8E4m3, F8E5m2, F16, F32, F64, I8, I32, Q4_0, Q4_1, Q4K, Q6K, Q8_0,
};
use crate::{ensure, fail};

const FLAGS: u32 = 2 * WEFT_MATMUL_FAST_ACCUMULATION - 1;

/// The computations' names, by number.
const COMPUTES: [&str; WEFT_COMPUTE_I8 as usize + 1] = [
    "WEFT_COMPUTE_DEFAULT",
    "WEFT_COMPUTE_F32",
    "WEFT_COMPUTE_TF32",
    "WEFT_COMPUTE_BF16",
    "WEFT_COMPUTE_F16",
    "WEFT_COMPUTE_F64",
    "WEFT_COMPUTE_I32",
    "WEFT_COMPUTE_I8",
];

/// The epilogues' names, by number.
const EPILOGUES: [&str; WEFT_EPILOGUE_DGELU_TANH as usize + 1] = [
    "WEFT_EPILOGUE_NONE",
    "WEFT_EPILOGUE_RELU",
    "WEFT_EPILOGUE_GELU",
    "WEFT_EPILOGUE_GELU_TANH",
    "WEFT_EPILOGUE_SILU",
    "WEFT_EPILOGUE_RELU_AUX",
    "WEFT_EPILOGUE_GELU_AUX",
    "WEFT_EPILOGUE_GELU_TANH_AUX",
    "WEFT_EPILOGUE_DRELU",
    "WEFT_EPILOGUE_DGELU",
    "WEFT_EPILOGUE_DGELU_TANH",
];

/// The name of an epilogue that was checked.
pub fn epilogue_name(epilogue: u32) -> &'static str {
    EPILOGUES[epilogue as usize]
}

/// Checks a descriptor. What becomes of it is written where it stays: of a small product each copy of it takes percents.
pub fn checked(desc: &weft_matmul_desc, bind: &Bind) -> Result<Box<Matmul>> {
    check_numbers(desc, bind)?;
    let (a, b, d) = (bind.memory("a", &desc.a)?, bind.memory("b", &desc.b)?, bind.memory("d", &desc.d)?);
    let op = Matmul {
        a: bind.unchecked("a", a, &desc.a),
        b: bind.unchecked("b", b, &desc.b),
        c: None,
        d: bind.unchecked("d", d, &desc.d),
        bias: None,
        alpha: alpha(desc),
        beta: desc.beta,
        imaginary: [desc.alpha_imag, desc.beta_imag],
        epilogue: desc.epilogue,
        compute: desc.compute,
        tf32: false,
        flags: desc.flags,
        workspace: if desc.workspace == 0 { u64::MAX } else { desc.workspace },
        extra: None,
    };
    let mut op = Box::write(Box::new_uninit(), op);
    check_factors(&mut op, desc, bind)?;
    add_rest(&mut op, desc, bind)?;
    Ok(op)
}

/// Whether the factors, the result and what is to be computed fit each other.
fn check_factors(op: &mut Matmul, desc: &weft_matmul_desc, bind: &Bind) -> Result<()> {
    bind.check_input(&mut op.a)?;
    bind.check_weights(&mut op.b)?;
    bind.check_output(&mut op.d)?;
    let (a, b, d) = (&op.a, &op.b, &op.d);
    check_types(a, b, d)?;
    check_epilogue(desc.epilogue, d.dtype())?;
    op.compute = compute(desc.compute, [a, b])?;
    op.tf32 = desc.flags & WEFT_MATMUL_ALLOW_TF32 != 0 || op.compute == WEFT_COMPUTE_TF32;
    check_scalars(desc, d)?;
    check_shape(a, b, d)?;
    d.expect_apart(a)?;
    d.expect_apart(b)
}

/// What few have, and batch axes.
fn add_rest(op: &mut Matmul, desc: &weft_matmul_desc, bind: &Bind) -> Result<()> {
    spread(&mut op.a, &op.d)?;
    spread(&mut op.b, &op.d)?;
    let beta = [desc.beta, desc.beta_imag];
    if bind.is_given(&desc.c) {
        op.c = added(beta, bind.input("c", &desc.c)?, &op.d)?;
    } else {
        let [re, im] = beta;
        ensure!(re == 0.0, "matmul: beta is {re:?} but c is absent; expected a tensor to scale");
        ensure!(im == 0.0, "matmul: beta_imag is {im:?} but c is absent; expected a tensor to scale");
    }
    if bind.is_given(&desc.bias) {
        op.bias = Some(bias(bind.input("bias", &desc.bias)?, &op.d)?);
    }
    op.extra = Extra::new(desc, bind, op)?;
    Ok(())
}

fn alpha(desc: &weft_matmul_desc) -> f64 {
    let none = desc.alpha == 0.0 && desc.alpha_imag == 0.0 && desc.flags & WEFT_MATMUL_ALPHA == 0;
    if none { 1.0 } else { desc.alpha }
}

fn check_numbers(desc: &weft_matmul_desc, bind: &Bind) -> Result<()> {
    bind.expect_flags(desc.flags, FLAGS)?;
    bind.expect_finite("alpha", desc.alpha)?;
    bind.expect_finite("beta", desc.beta)?;
    bind.expect_finite("alpha_imag", desc.alpha_imag)?;
    bind.expect_finite("beta_imag", desc.beta_imag)?;
    let (epilogue, compute) = (desc.epilogue, desc.compute);
    ensure!(
        epilogue <= WEFT_EPILOGUE_DGELU_TANH,
        "matmul: epilogue is {epilogue}; expected WEFT_EPILOGUE_NONE (0) to _DGELU_TANH (10)"
    );
    ensure!(
        compute <= WEFT_COMPUTE_I8,
        "matmul: compute is {compute}; expected WEFT_COMPUTE_DEFAULT (0) to _I8 (7)"
    );
    Ok(())
}

fn check_types(a: &Operand, b: &Operand, d: &Operand) -> Result<()> {
    a.expect_dtype(&[F32, F64, F16, Bf16, F8E4m3, F8E5m2, I8, C32, C64])?;
    if b.dtype().is_quantised() {
        a.expect_dtype(&[F32, F16, Bf16])?;
        return d.expect_dtype(&[a.dtype(), F32]);
    }
    match a.dtype() {
        F32 => (b.expect_dtype(&[F32, F16, Bf16, Q8_0, Q4_0, Q4_1, Q4K, Q6K])?, d.expect_dtype(&[F32])?),
        F8E4m3 | F8E5m2 => {
            (b.expect_dtype(&[F8E4m3, F8E5m2])?, d.expect_dtype(&[F8E4m3, F8E5m2, Bf16, F16, F32])?)
        }
        I8 => (b.expect_dtype(&[I8])?, d.expect_dtype(&[I32, F32, F16, Bf16])?),
        half @ (F16 | Bf16) => {
            (b.expect_dtype(&[half, Q8_0, Q4_0, Q4_1, Q4K, Q6K])?, d.expect_dtype(&[half, F32])?)
        }
        same => (b.expect_dtype(&[same])?, d.expect_dtype(&[same])?),
    };
    Ok(())
}

/// An error where the values are of a type that the epilogue means nothing to.
fn check_epilogue(epilogue: u32, d: Dtype) -> Result<()> {
    let (most, known) = match d {
        C32 | C64 => (WEFT_EPILOGUE_NONE, "WEFT_EPILOGUE_NONE"),
        I32 => (WEFT_EPILOGUE_RELU, "WEFT_EPILOGUE_NONE or WEFT_EPILOGUE_RELU"),
        _ => return Ok(()),
    };
    if epilogue > most {
        let (name, d) = (epilogue_name(epilogue), d.name());
        fail!(
            WEFT_ERROR_UNSUPPORTED,
            "matmul: epilogue is {epilogue} ({name}); expected {known}, for d is {d}"
        );
    }
    Ok(())
}

/// What a computation of these factors is, from what is asked for.
fn compute(wanted: u32, factors: [&Operand; 2]) -> Result<u32> {
    let dtype = factors[0].dtype();
    let allowed: &[u32] = match dtype {
        F32 if factors[1].dtype().is_quantised() => {
            &[WEFT_COMPUTE_F32, WEFT_COMPUTE_TF32, WEFT_COMPUTE_BF16, WEFT_COMPUTE_I8]
        }
        _ if factors[1].dtype().is_quantised() => &[WEFT_COMPUTE_F32, WEFT_COMPUTE_I8],
        F64 | C64 => &[WEFT_COMPUTE_F64],
        I8 => &[WEFT_COMPUTE_I32],
        F16 => &[WEFT_COMPUTE_F32, WEFT_COMPUTE_F16],
        F32 | C32 => &[WEFT_COMPUTE_F32, WEFT_COMPUTE_TF32, WEFT_COMPUTE_BF16],
        _ => &[WEFT_COMPUTE_F32],
    };
    if wanted == WEFT_COMPUTE_DEFAULT {
        return Ok(allowed[0]);
    }
    if !allowed.contains(&wanted) {
        let name = |&compute: &u32| COMPUTES[compute as usize];
        let known = allowed.iter().map(name).collect::<Vec<_>>().join(", ");
        fail!(
            WEFT_ERROR_UNSUPPORTED,
            "matmul: compute is {wanted} ({}); expected WEFT_COMPUTE_DEFAULT or {known}, for a is {}",
            name(&wanted),
            dtype.name()
        );
    }
    Ok(wanted)
}

fn check_scalars(desc: &weft_matmul_desc, d: &Operand) -> Result<()> {
    let complex = matches!(d.dtype(), C32 | C64);
    for (name, value) in [("alpha_imag", desc.alpha_imag), ("beta_imag", desc.beta_imag)] {
        ensure!(
            complex || value == 0.0,
            "matmul: {name} is {value:?}; expected 0, for d is {}",
            d.dtype().name()
        );
    }
    let whole = |x: f64| x.trunc() == x && (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&x);
    for (name, value) in [("alpha", desc.alpha), ("beta", desc.beta)] {
        ensure!(
            d.dtype() != I32 || whole(value),
            "matmul: {name} is {value:?}; expected a whole number of 32 bits, for d is WEFT_I32"
        );
    }
    check_range(desc, d.dtype())
}

/// Factors of what is computed in f32 are f32 too: what none of those comes near would be infinite.
fn check_range(desc: &weft_matmul_desc, d: Dtype) -> Result<()> {
    let (alpha, beta) = ([desc.alpha, desc.alpha_imag], [desc.beta, desc.beta_imag]);
    for ([re, im], names) in [(alpha, ["alpha", "alpha_imag"]), (beta, ["beta", "beta_imag"])] {
        for (value, name) in [re, im].into_iter().zip(names) {
            ensure!(
                (value as f32).is_finite() || matches!(d, F64 | C64),
                "matmul: {name} is {value:?}; expected a number within the range of WEFT_F32, for d is {}",
                d.name()
            );
        }
    }
    Ok(())
}

/// Whether the matrices fit each other.
fn check_shape(a: &Operand, b: &Operand, d: &Operand) -> Result<()> {
    for operand in [a, b, d] {
        let rank = operand.dims().len();
        ensure!(rank >= 2, "{}.rank is {rank}; expected 2 or more", operand.name);
    }
    let (_, [m, n]) = split(d);
    let (_, [a_rows, k]) = split(a);
    let (_, [b_rows, b_cols]) = split(b);
    let b_rows = b_rows * b.dtype().block() as i64;
    ensure!(a_rows == m, "matmul: a.dims {:?} have {a_rows} rows; expected the {m} of d", a.dims());
    ensure!(b_cols == n, "matmul: b.dims {:?} have {b_cols} columns; expected the {n} of d", b.dims());
    ensure!(b_rows == k, "matmul: b.dims of {b} have {b_rows} rows; expected the {k} columns of a");
    Ok(())
}

/// Gives it the batch axes of d.
pub fn spread(operand: &mut Operand, d: &Operand) -> Result<()> {
    let ((batch, _), (own, matrix)) = (split(d), split(operand));
    if own != batch {
        *operand = operand.broadcast_to(&[batch, &matrix].concat())?;
    }
    Ok(())
}

/// The batch axes and the matrix.
pub fn split(operand: &Operand) -> (&[i64], [i64; 2]) {
    let (batch, matrix) = operand.dims().split_at(operand.dims().len() - 2);
    (batch, [matrix[0], matrix[1]])
}

/// The dtypes that stand beside d: of c and aux; and, with `wide`, of bias and bias_grad.
pub fn beside(d: Dtype, wide: bool) -> &'static [Dtype] {
    match (d, wide) {
        (F8E4m3 | F8E5m2, false) => &[Bf16, F16],
        (F8E4m3 | F8E5m2, true) => &[Bf16, F16, F32],
        (F16, true) => &[F16, F32],
        (Bf16, true) => &[Bf16, F32],
        (F16, false) => &[F16],
        (Bf16, false) => &[Bf16],
        (F64, _) => &[F64],
        (I32, _) => &[I32],
        (C32, _) => &[C32],
        (C64, _) => &[C64],
        _ => &[F32],
    }
}

/// C, broadcast to d, if it counts.
fn added(beta: [f64; 2], c: Operand, d: &Operand) -> Result<Option<Operand>> {
    let counts = beta != [0.0; 2];
    c.expect_dtype(beside(d.dtype(), false))?;
    d.expect_apart_or_same(&c)?;
    let c = c.broadcast_to(d.dims())?;
    Ok(counts.then_some(c))
}

fn bias(bias: Operand, d: &Operand) -> Result<Operand> {
    bias.expect_dtype(beside(d.dtype(), true))?;
    d.expect_apart(&bias)?;
    bias.broadcast_to(d.dims())
}

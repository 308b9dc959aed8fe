//! What few multiplications ask for: scales, a second output or input of the epilogue, gradients of a bias, the largest
//! value. Checked here.

use super::check::{beside, epilogue_name, split, spread};
use super::*;
use crate::dtype::Dtype::{self, C32, C64, F8E4m3, F8E5m2, F32, F64, I8, I32, U8};
use crate::layout::{Layout, weft_tensor};
use crate::{ensure, fail};

/// Elements along K (and, where blocks are square, along M or N) of a block that has a scale of its own.
pub(super) const BLOCK: usize = 128;

/// What few ask for.
pub struct Extra {
    /// Of a and of b.
    pub scales: [Option<Scale>; 2],
    /// One element.
    pub d_scale: Option<Operand>,
    /// With d's batch axes: a mask [M, ceil(N/8)], or values [M, N].
    pub aux: Option<Operand>,
    pub bias_grad: Option<Gradient>,
    /// One element.
    pub amax: Option<Operand>,
}

/// Scales of a factor.
pub struct Scale {
    /// d's batch axes, then those of the factor's matrix, where 1 stands for all of an axis.
    pub operand: Operand,
    /// Rows of A (columns of B) that share a scale: 1, BLOCK, or `usize::MAX` for all.
    pub lines: usize,
    /// Whether each BLOCK of K has its own.
    pub blocks: bool,
}

/// A gradient of a bias.
pub struct Gradient {
    /// d's batch axes, of stride 0 where matrices add up, then [M] or [N].
    pub operand: Operand,
    /// Whether all matrices add up in one.
    pub adds_up: bool,
    pub side: Side,
}

/// What a gradient sums up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The rows of D.
    D,
    /// A over k.
    A,
    /// B over k.
    B,
}

/// Whether the epilogue has an aux, and whether that is a mask, and whether it is read.
pub fn aux_of(epilogue: u32) -> Option<(bool, bool)> {
    match epilogue {
        WEFT_EPILOGUE_RELU_AUX => Some((true, false)),
        WEFT_EPILOGUE_GELU_AUX | WEFT_EPILOGUE_GELU_TANH_AUX => Some((false, false)),
        WEFT_EPILOGUE_DRELU => Some((true, true)),
        WEFT_EPILOGUE_DGELU | WEFT_EPILOGUE_DGELU_TANH => Some((false, true)),
        _ => None,
    }
}

impl Extra {
    /// Checks it; `None` where nothing of it is asked for. `op` is checked but for this.
    pub fn new(desc: &weft_matmul_desc, bind: &Bind, op: &Matmul) -> Result<Option<Box<Self>>> {
        let tensors = [&desc.a_scale, &desc.b_scale, &desc.d_scale, &desc.aux, &desc.bias_grad, &desc.amax];
        let given = tensors.into_iter().any(|tensor| bind.is_given(tensor));
        let needed = aux_of(op.epilogue).is_some() || side(op.epilogue, op.flags)?.is_some();
        if given || needed { Self::checked(desc, bind, op) } else { Ok(None) }
    }

    fn checked(desc: &weft_matmul_desc, bind: &Bind, op: &Matmul) -> Result<Option<Box<Self>>> {
        let extra = Self {
            scales: [
                scale(bind, "a_scale", &desc.a_scale, op, 0)?,
                scale(bind, "b_scale", &desc.b_scale, op, 1)?,
            ],
            d_scale: d_scale(bind, &desc.d_scale, &op.d)?,
            aux: aux(bind, &desc.aux, op)?,
            bias_grad: bias_grad(bind, &desc.bias_grad, op)?,
            amax: amax(bind, &desc.amax, &op.d)?,
        };
        if extra.is_nothing() {
            return Ok(None);
        }
        extra.check_apart(op)?;
        Ok(Some(Box::new(extra)))
    }

    fn is_nothing(&self) -> bool {
        let absent = [&self.d_scale, &self.aux, &self.amax].into_iter().all(Option::is_none);
        absent && self.bias_grad.is_none() && self.scales.iter().all(Option::is_none)
    }

    /// What is written besides d.
    pub fn outputs(&self, epilogue: u32) -> impl Iterator<Item = &Operand> {
        let written = aux_of(epilogue).is_some_and(|(_, read)| !read);
        let aux = self.aux.iter().filter(move |_| written);
        aux.chain(self.bias_grad.iter().map(|grad| &grad.operand)).chain(&self.amax)
    }

    /// What is read.
    pub fn inputs(&self, epilogue: u32) -> impl Iterator<Item = &Operand> {
        let read = aux_of(epilogue).is_some_and(|(_, read)| read);
        let aux = self.aux.iter().filter(move |_| read);
        self.scales.iter().flatten().map(|scale| &scale.operand).chain(&self.d_scale).chain(aux)
    }

    /// No output may share memory with what else there is.
    fn check_apart(&self, op: &Matmul) -> Result<()> {
        self.inputs(op.epilogue).try_for_each(|input| op.d.expect_apart(input))?;
        for (number, output) in self.outputs(op.epilogue).enumerate() {
            let plain = [&op.a, &op.b, &op.d].into_iter().chain(&op.c).chain(&op.bias);
            let others = self.outputs(op.epilogue).skip(number + 1);
            let mut all = plain.chain(self.inputs(op.epilogue)).chain(others);
            all.try_for_each(|other| output.expect_apart(other))?;
        }
        Ok(())
    }
}

/// Scales of a factor: a is number 0, b 1.
fn scale(
    bind: &Bind,
    name: &'static str,
    tensor: &weft_tensor,
    op: &Matmul,
    number: usize,
) -> Result<Option<Scale>> {
    let Some(scale) = bind.optional(name, tensor)? else { return Ok(None) };
    let scaled = match op.a.dtype() {
        F8E4m3 | F8E5m2 => true,
        dtype => dtype == I8 && op.d.dtype() != I32,
    };
    ensure!(
        scaled,
        "matmul: {name} is given; scales are for 8-bit floats and for WEFT_I8 with a d of floats, but a is {} and d is {}",
        op.a.dtype().name(),
        op.d.dtype().name()
    );
    scale.expect_dtype(&[F32])?;
    let [m, k] = split(&op.a).1;
    let lines = [m, split(&op.b).1[1]][number];
    let (lines, blocks) = grain(&scale, lines, k, number == 1)?;
    Ok(Some(Scale { operand: in_matrices(scale, &op.d)?, lines, blocks }))
}

/// How many lines (rows of A, columns of B) share a scale, and whether each block of K has its own.
fn grain(scale: &Operand, lines: i64, k: i64, turned: bool) -> Result<(usize, bool)> {
    if scale.layout().count() == 1 {
        return Ok((usize::MAX, false));
    }
    let up = |count: i64| count / BLOCK as i64 + i64::from(count % BLOCK as i64 != 0);
    let known = [
        (1, 1, usize::MAX, false),
        (lines, 1, 1, false),
        (lines, up(k), 1, true),
        (up(lines), up(k), BLOCK, true),
    ];
    let known = known.map(|(lines, blocks, share, own)| {
        (if turned { [blocks, lines] } else { [lines, blocks] }, share, own)
    });
    let own = (scale.dims().len() >= 2).then(|| split(scale).1);
    let found = known.iter().find(|known| own == Some(known.0));
    ensure!(
        found.is_some(),
        "{}.dims are {:?}; expected one element, or a matrix of {:?} (lines), {:?} (1 x 128 blocks) or {:?} (128 x 128 blocks)",
        scale.name,
        scale.dims(),
        known[1].0,
        known[2].0,
        known[3].0
    );
    Ok(found.map_or((1, false), |known| (known.1, known.2)))
}

/// With d's batch axes and two more.
fn in_matrices(scale: Operand, d: &Operand) -> Result<Operand> {
    if scale.layout().count() == 1 {
        let (batch, _) = split(d);
        let strides = vec![0; batch.len() + 2];
        return Ok(scale.with_layout(Layout::strided(&[batch, &[1, 1]].concat(), &strides)));
    }
    let mut scale = scale;
    spread(&mut scale, d)?;
    Ok(scale)
}

fn d_scale(bind: &Bind, tensor: &weft_tensor, d: &Operand) -> Result<Option<Operand>> {
    let Some(scale) = bind.optional("d_scale", tensor)? else { return Ok(None) };
    ensure!(
        d.dtype().is_small_float(),
        "matmul: d_scale is given; it is for a d of 8-bit floats, but d is {}",
        d.dtype().name()
    );
    scale.expect_dtype(&[F32])?;
    single(scale).map(Some)
}

fn amax(bind: &Bind, tensor: &weft_tensor, d: &Operand) -> Result<Option<Operand>> {
    let Some(amax) = bind.optional_output("amax", tensor)? else { return Ok(None) };
    if matches!(d.dtype(), F64 | I32 | C32 | C64) {
        fail!(
            WEFT_ERROR_UNSUPPORTED,
            "matmul: amax is given; it is for floats of at most 32 bits, but d is {}",
            d.dtype().name()
        );
    }
    amax.expect_dtype(&[F32])?;
    single(amax).map(Some)
}

/// An error unless it has one element.
fn single(operand: Operand) -> Result<Operand> {
    ensure!(
        operand.layout().count() == 1,
        "{}.dims are {:?}; expected one element",
        operand.name,
        operand.dims()
    );
    Ok(operand)
}

fn aux(bind: &Bind, tensor: &weft_tensor, op: &Matmul) -> Result<Option<Operand>> {
    let Some((mask, read)) = aux_of(op.epilogue) else {
        let why = format_args!("expected none with {}", epilogue_name(op.epilogue));
        return bind.expect_absent("aux", tensor, why).map(|()| None);
    };
    if read && op.bias.is_some() {
        fail!(
            WEFT_ERROR_UNSUPPORTED,
            "matmul: bias is given; expected none with {}, a gradient",
            epilogue_name(op.epilogue)
        );
    }
    let aux = if read { bind.input("aux", tensor)? } else { bind.output("aux", tensor)? };
    let (batch, [m, n]) = split(&op.d);
    if mask {
        aux.expect_dtype(&[U8])?;
        aux.expect_dims(
            &[batch, &[m, n / 8 + i64::from(n % 8 != 0)]].concat(),
            "those of d, a bit an element",
        )?;
    } else {
        aux.expect_dtype(beside(op.d.dtype(), false))?;
        aux.expect_dims(op.d.dims(), "those of d")?;
    }
    Ok(Some(aux))
}

fn bias_grad(bind: &Bind, tensor: &weft_tensor, op: &Matmul) -> Result<Option<Gradient>> {
    let grad = bind.optional_output("bias_grad", tensor)?;
    let side = side(op.epilogue, op.flags)?;
    let Some(grad) = grad else {
        ensure!(
            matches!(side, None | Some(Side::D)),
            "matmul: flags are {:#x} but bias_grad is absent; expected a tensor for the gradient",
            op.flags
        );
        return Ok(None);
    };
    ensure!(
        side.is_some(),
        "matmul: bias_grad is given; expected WEFT_EPILOGUE_DRELU, _DGELU or _DGELU_TANH, or WEFT_MATMUL_BIAS_GRAD_A or _B"
    );
    let side = side.unwrap_or(Side::D);
    check_summed(op.a.dtype(), side)?;
    if side == Side::B && op.b.dtype().is_quantised() {
        fail!(
            WEFT_ERROR_UNSUPPORTED,
            "matmul: bias_grad is given; expected floats to sum up, but b is {}",
            op.b.dtype().name()
        );
    }
    grad.expect_dtype(beside(op.d.dtype(), true))?;
    gradient(grad, op, side).map(Some)
}

/// What bias_grad sums up, if it can be given.
fn side(epilogue: u32, flags: u32) -> Result<Option<Side>> {
    let of_d = aux_of(epilogue).is_some_and(|(_, read)| read);
    let flag = |flag: u32, side: Side| (flags & flag != 0).then_some(side);
    let sides = [
        of_d.then_some(Side::D),
        flag(WEFT_MATMUL_BIAS_GRAD_A, Side::A),
        flag(WEFT_MATMUL_BIAS_GRAD_B, Side::B),
    ];
    ensure!(
        sides.iter().flatten().count() <= 1,
        "matmul: flags are {flags:#x} with {}; expected bias_grad to be one of d, of a and of b",
        epilogue_name(epilogue)
    );
    Ok(sides.into_iter().flatten().next())
}

fn check_summed(factors: Dtype, side: Side) -> Result<()> {
    let eight = factors.is_small_float();
    if matches!(factors, I8 | C32 | C64) || eight && side != Side::D {
        fail!(
            WEFT_ERROR_UNSUPPORTED,
            "matmul: bias_grad is given; the gradient of a bias is for real floats{}, but a is {}",
            if eight { " of 16 bits or more, unless the epilogue computes it" } else { "" },
            factors.name()
        );
    }
    Ok(())
}

/// With d's batch axes in front.
fn gradient(grad: Operand, op: &Matmul, side: Side) -> Result<Gradient> {
    let (batch, [m, n]) = split(&op.d);
    let whole = [batch, &[if side == Side::A { m } else { n }]].concat();
    let adds_up = grad.dims().len() == 1 && !batch.is_empty();
    if adds_up {
        grad.expect_dims(&whole[batch.len()..], "or d's batch axes in front: what is summed up")?;
    } else {
        grad.expect_dims(&whole, "or without batch axes: what is summed up")?;
    }
    let operand = grad.broadcast_to(&whole)?;
    Ok(Gradient { operand, adds_up, side })
}

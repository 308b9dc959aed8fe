//! Order along an axis: argmax, argmin, top-k.

mod columns;
mod cpu;
mod cuda;
mod key;
mod ptx;
mod select;

use crate::device::Cpu;
use crate::device::cuda::Stream;
use crate::dtype::Dtype::{self, *};
use crate::ensure;
use crate::kernels::walk::Walk;
use crate::layout::{Layout, weft_tensor};
use crate::op::{Bind, Op, Operand, first};
use crate::status::Result;

#[doc(hidden)]
pub use cuda::texts;

/// The smallest in place of the largest.
pub const WEFT_RANK_SMALLEST: u32 = 1;
/// Among equal elements take the last in place of the first (weft_arg_reduce alone).
pub const WEFT_RANK_LAST: u32 = 2;

/// What `weft_top_k` and `weft_arg_reduce` compute. NaN counts as larger than every number: it comes first among the
/// largest and last among the smallest. All NaNs are equal, and so are 0 and -0.
///
/// weft_top_k: at least one of values and indices; k at most the axis's length, 0 too. weft_arg_reduce: the one largest;
/// indices are required, values may be given; an axis without elements is an error. Outputs overlap neither x nor each
/// other.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_rank_desc {
    /// sizeof(weft_rank_desc).
    pub struct_size: u32,
    /// WEFT_RANK bits.
    pub flags: u32,
    /// Any shape; floats, integers or bools.
    pub x: weft_tensor,
    /// x's dims with the axis k long, x's dtype: the k largest, largest first; among equals the lower index first. Optional.
    pub values: weft_tensor,
    /// i32 or i64, as values: where along the axis each was. weft_arg_reduce: the axis is 1 long or left out. Optional in top-k.
    pub indices: weft_tensor,
    /// The axis; negative counts from the last.
    pub axis: i32,
    /// How many: weft_top_k takes it from values or indices, and it must match where it is not 0.
    pub k: u32,
}

const DTYPES: &[Dtype] = &[F32, F64, F16, Bf16, F8E4m3, F8E5m2, I8, I16, I32, I64, U8, U16, U32, U64, Bool];

/// An output and the stride of its axis.
struct Output {
    operand: Operand,
    step: isize,
    /// Its layout without the axis.
    lines: Layout,
}

/// A checked request of either kind.
pub struct Rank {
    x: Operand,
    values: Option<Output>,
    indices: Option<Output>,
    /// The axis of x: elements and stride.
    length: usize,
    step: isize,
    k: usize,
    flags: u32,
    /// Where each line starts: in x, values and indices.
    lines: Walk<3>,
}

/// A checked top-k.
pub struct TopK(Rank);

/// A checked argmax or argmin.
pub struct ArgReduce(Rank);

/// Checks a descriptor of `weft_top_k`.
pub fn top_k(desc: &weft_rank_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    bind.expect_flags(desc.flags, WEFT_RANK_SMALLEST)?;
    let (x, axis) = subject(desc, bind)?;
    let given =
        [bind.optional_output("values", &desc.values)?, bind.optional_output("indices", &desc.indices)?];
    let some = given.iter().flatten().next();
    ensure!(some.is_some(), "{}: values and indices are both absent; expected at least one", bind.op());
    given.iter().flatten().try_for_each(|output| output.expect_rank(x.dims().len()))?;
    let k = some.map_or(0, |output| output.dims()[axis]);
    ensure!(
        desc.k == 0 || i64::from(desc.k) == k,
        "{}: k is {}; expected 0 or {k}, the length of axis {axis} of the outputs",
        bind.op(),
        desc.k
    );
    ensure!(
        k <= x.dims()[axis],
        "{}: k is {k}; expected at most {}, x.dims[{axis}]",
        bind.op(),
        x.dims()[axis]
    );
    Ok(Box::new(TopK(Rank::new(x, axis, k, given, desc.flags)?)))
}

/// Checks a descriptor of `weft_arg_reduce`.
pub fn arg_reduce(desc: &weft_rank_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    bind.expect_flags(desc.flags, WEFT_RANK_SMALLEST | WEFT_RANK_LAST)?;
    let (x, axis) = subject(desc, bind)?;
    ensure!(desc.k <= 1, "{}: k is {}; expected 0 or 1", bind.op(), desc.k);
    ensure!(x.dims()[axis] > 0, "{}.dims[{axis}] is 0; expected an axis with elements", x.name);
    let indices = bind.output("indices", &desc.indices)?;
    let values = bind.optional_output("values", &desc.values)?;
    Ok(Box::new(ArgReduce(Rank::new(x, axis, 1, [values, Some(indices)], desc.flags)?)))
}

/// x and the axis in question.
fn subject(desc: &weft_rank_desc, bind: &Bind) -> Result<(Operand, usize)> {
    let x = bind.input("x", &desc.x)?;
    x.expect_dtype(DTYPES)?;
    let rank = x.dims().len() as i64;
    ensure!(rank > 0, "{}.rank is 0; expected 1 or more", x.name);
    let axis = i64::from(desc.axis);
    ensure!(
        (-rank..rank).contains(&axis),
        "{}: axis is {axis}; expected {} to {}",
        bind.op(),
        -rank,
        rank - 1
    );
    Ok((x, (if axis < 0 { axis + rank } else { axis }) as usize))
}

impl Rank {
    fn new(x: Operand, axis: usize, k: i64, given: [Option<Operand>; 2], flags: u32) -> Result<Self> {
        let [values, indices] = given;
        let make =
            |output: Option<Operand>| output.map(|output| Output::new(output, &x, axis, k)).transpose();
        let (values, indices) = (make(values)?, make(indices)?);
        expect_types(&x, axis, values.as_ref(), indices.as_ref())?;
        let lines = x.layout().without_axis(axis);
        let of = |output: &Option<Output>| output.as_ref().map_or(lines, |output| output.lines);
        let walk = Walk::new([&lines, &of(&values), &of(&indices)]);
        let (length, step) = (x.layout().dim(axis), x.layout().stride(axis));
        Ok(Self { x, values, indices, length, step, k: k as usize, flags, lines: walk })
    }

    /// Whether there is nothing to write.
    fn is_empty(&self) -> bool {
        self.k == 0 || self.lines.count() == 0
    }
}

fn expect_types(x: &Operand, axis: usize, values: Option<&Output>, indices: Option<&Output>) -> Result<()> {
    if let Some(values) = values {
        values.operand.expect_dtype(&[x.dtype()])?;
        values.operand.expect_apart(x)?;
    }
    let Some(indices) = indices else { return Ok(()) };
    indices.operand.expect_dtype(&[I32, I64])?;
    indices.operand.expect_apart(x)?;
    if let Some(values) = values {
        indices.operand.expect_apart(&values.operand)?;
    }
    let longest = if indices.operand.dtype() == I32 { i64::from(i32::MAX) } else { i64::MAX };
    ensure!(
        x.dims()[axis] <= longest,
        "{}.dtype is WEFT_I32, too small for {}.dims[{axis}] of {}; expected WEFT_I64",
        indices.operand.name,
        x.name,
        x.dims()[axis]
    );
    Ok(())
}

impl Output {
    /// `operand` has x's dims with the axis `k` long, or, for k = 1, without the axis.
    fn new(operand: Operand, x: &Operand, axis: usize, k: i64) -> Result<Self> {
        let rest = x.layout().without_axis(axis);
        let squeezed = k == 1 && operand.dims().len() == rest.rank();
        if squeezed {
            operand.expect_dims(rest.dims(), "x.dims without the axis")?;
            let lines = *operand.layout();
            return Ok(Self { operand, step: 0, lines });
        }
        let mut dims = x.dims().to_vec();
        dims[axis] = k;
        operand.expect_dims(&dims, "x.dims with k along the axis")?;
        let (step, lines) = (operand.layout().stride(axis), operand.layout().without_axis(axis));
        Ok(Self { operand, step, lines })
    }
}

impl Op for TopK {
    fn cpu(&self, cpu: &Cpu) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { first("top_k", cpu::TOP_K, &self.0, cpu) }
    }

    fn cuda(&self, stream: &Stream) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { first("top_k", cuda::TOP_K, &self.0, stream) }
    }

    fn shape(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        write!(out, "{} k {}", self.0.x, self.0.k)
    }
}

impl Op for ArgReduce {
    fn cpu(&self, cpu: &Cpu) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { first("arg_reduce", cpu::ARG_REDUCE, &self.0, cpu) }
    }

    fn cuda(&self, stream: &Stream) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { first("arg_reduce", cuda::ARG_REDUCE, &self.0, stream) }
    }

    fn shape(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        write!(out, "{}", self.0.x)
    }
}

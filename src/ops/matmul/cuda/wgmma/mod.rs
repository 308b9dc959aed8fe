//! Half types on Hopper (sm_90a): the tensor memory accelerator brings tiles of A and B to shared memory, where two
//! warpgroups multiply them; a third one asks for the tiles. Blocks stay and take tile after tile. What is too small to
//! fill the device is split along k: among the blocks of a cluster, which add up each other's sums, or among blocks whose
//! sums a kernel of its own finishes. (Clusters that share columns of B by multicast were no faster on an H200.)
//!
//! The design is that of CUTLASS's warp-specialised persistent kernels and of fast.cu (P. Shankhdhar).

mod block;
mod lines;
mod plan;
mod store;
mod sum;

use super::Task;
use super::arguments::{arguments, bytes};
use super::columns::bytes_of_sums;
use super::real::kind;
use super::rows::is_aligned;
use super::{finish, mma};
use crate::device::cuda::{Key, Stream, Tensor};
use crate::dtype::Dtype;
use crate::ops::matmul::problem::{Problem, View};
use crate::ptx::{Target, Text};
use crate::status::Result;
use block::{Args, DEPTH};
use plan::{End, Form, Plan, Tile};

/// Rows, columns and k at most, each.
const LONGEST: usize = 1 << 30;
/// The accelerator's strides are below.
const STRIDE: u64 = 1 << 40;

/// Two factors of one half type on a Hopper GPU, whose lines along k or across it are contiguous, aligned to 16 bytes, and
/// apart from each other.
pub fn accepts(task: &Task, stream: &Stream) -> bool {
    let p = &task.problem;
    let hopper = stream.gpu().description.capability == (9, 0);
    let half = p.a.dtype == p.b.dtype && p.a.dtype.size() == 2;
    let fits = p.k > 0 && p.m.max(p.n).max(p.k) <= LONGEST && p.axes().len() <= 1;
    hopper && half && fits && factors(p, [64; 2]).is_some()
}

/// Multiplies.
pub fn run(task: &Task, stream: &Stream) -> Result<()> {
    let p = &task.problem;
    let ask = || -> Option<(Plan, Args)> {
        let plan = Plan::of(p, stream.gpu().description.multiprocessors)?;
        let maps = maps(p, &plan.form, stream)?;
        Some((plan, plan.arguments(p, maps)))
    };
    let Some((plan, mut args)) = ask() else { return mma::run(task, stream) };
    let apart = plan.form.end == End::Sums;
    if apart {
        let bytes = bytes_of_sums(p) * plan.parts as usize;
        if bytes > task.workspace {
            return mma::run(task, stream);
        }
        args.rest.sums = stream.scratch(bytes)?;
    }
    let form = plan.form;
    let kernel = stream.kernel(form.key(), |target| block::write(target, form))?;
    // SAFETY: the operands live as long as the request's work, and so do the sums; the kernel stays inside them: the
    // accelerator by its maps.
    unsafe { kernel.launch(stream, [plan.grid, 1, 1], &args)? };
    if apart { finish::run(p, stream, args.rest.sums, plan.parts) } else { Ok(()) }
}

/// One of A and B: whether its lines along k are contiguous, and how it is fetched, `edge` of its rows or columns at once.
fn factor(p: &Problem, operand: usize, edge: u32) -> Option<(bool, Tensor)> {
    let (view, [outer, inner], count) = match operand {
        0 => (&p.a, [p.a.row, p.a.col], p.m),
        _ => (&p.b, [p.b.col, p.b.row], p.n),
    };
    let along = inner == 1 && is_aligned(p, view, outer, operand, count);
    let across = outer == 1 && is_aligned(p, view, inner, operand, p.k);
    let depth = DEPTH as u64;
    let tensor = match along {
        true => tensor(p, view, operand, [p.k, count], outer, [depth as u32, edge])?,
        false => tensor(p, view, operand, [count, p.k], inner, [64, depth as u32])?,
    };
    (along || across).then_some((along, tensor))
}

/// The matrices of a view as the accelerator takes them.
fn tensor(
    p: &Problem,
    view: &View,
    operand: usize,
    [length, lines]: [usize; 2],
    stride: isize,
    [width, height]: [u32; 2],
) -> Option<Tensor> {
    let size = view.dtype.size();
    let packed = (length * size).next_multiple_of(16) as u64;
    let row = if lines == 1 { packed } else { bytes(view, stride) };
    let axis = p.axes().first().map_or((1, 0), |axis| (axis.0, axis.1[operand]));
    let (count, matrix) = if axis.1 == 0 { (1, packed) } else { (axis.0, bytes(view, axis.1)) };
    let fine = |stride: u64| stride > 0 && stride < STRIDE;
    let dims = [length as u64, lines as u64, count as u64];
    let tensor = Tensor {
        dtype: view.dtype,
        at: view.at as u64,
        dims,
        strides: [row, matrix],
        cut: [width, height, 1],
    };
    (fine(row) && fine(matrix) && count <= LONGEST).then_some(tensor)
}

/// A and B, fetched so many rows and columns at once.
fn factors(p: &Problem, edges: [u32; 2]) -> Option<[(bool, Tensor); 2]> {
    Some([factor(p, 0, edges[0])?, factor(p, 1, edges[1])?])
}

/// D, where the accelerator can write it.
fn result(p: &Problem) -> Option<Tensor> {
    let aligned = p.d.col == 1 && is_aligned(p, &p.d, p.d.row, 2, p.m);
    let tensor = tensor(p, &p.d, 2, [p.n, p.m], p.d.row, [64, 64])?;
    (aligned && p.d.dtype == p.a.dtype).then_some(tensor)
}

/// Those of A, B and D, which is left out where the accelerator does not write it.
fn maps(p: &Problem, form: &Form, stream: &Stream) -> Option<[[u8; 128]; 3]> {
    let [a, b] = factors(p, [form.rows_fetched(p.m), form.tile.columns])?;
    let encode = |tensor: &Tensor| stream.gpu().ask(|driver| driver.encode(tensor)).ok();
    let d = if form.end == End::Tiles { encode(&result(p)?)? } else { [0; 128] };
    Some([encode(&a.1)?, encode(&b.1)?, d])
}

/// Kernels that differ most.
pub fn texts(target: Target) -> Vec<Result<Text>> {
    use Dtype::{Bf16, F16, F32};
    let [large, wide, middle, flat, small] = plan::TILES;
    let forms = [
        (Bf16, [true, true], large, End::Tiles, 1, None),
        (F16, [false, false], large, End::Any, 1, None),
        (F16, [true, true], large, End::Any, 1, Some(F16)),
        (Bf16, [false, true], wide, End::Tiles, 1, None),
        (Bf16, [true, false], middle, End::Tiles, 1, None),
        (F16, [false, true], flat, End::Sums, 1, None),
        (Bf16, [true, true], small, End::Joined, 8, None),
        (F16, [true, false], middle, End::Joined, 2, Some(F32)),
    ];
    let form = |(dtype, along, tile, end, joined, lines)| Form { dtype, along, tile, end, joined, lines };
    forms.into_iter().map(|row| block::write(target, form(row)).map(Text::from)).collect()
}

impl Form {
    /// What tells its kernel apart.
    fn key(&self) -> Key {
        let [a, b] = self.along.map(u32::from);
        let Tile { rows, columns } = self.tile;
        let lines = self.lines.map_or(0, |dtype| 1 + kind(dtype));
        let (dtype, end) = (self.dtype as u32, self.end as u32);
        Key("matmul_wgmma", [dtype, a, b, rows, columns, end, self.joined, lines])
    }
}

//! Half types and 8-bit floats on Hopper (sm_90a): the tensor memory accelerator brings tiles of A and B to shared memory, where two
//! warpgroups multiply them; a third one asks for the tiles. Blocks stay and take tile after tile. What is too small to
//! fill the device is split along k: among the blocks of a cluster, which add up each other's sums, or among blocks whose
//! sums a kernel of its own finishes. (Clusters that share columns of B by multicast were no faster on an H200.)
//!
//! The design is that of CUTLASS's warp-specialised persistent kernels and of fast.cu (P. Shankhdhar); that each step's sums of
//! products of 8-bit floats are scaled and added up in f32 is DeepGEMM's.

mod block;
mod lines;
mod plan;
mod scale;
mod staged;
mod store;
mod sum;
mod whole;

use super::Task;
use super::arguments::bytes;
use super::columns::bytes_of_sums;
use super::real::kind;
use super::rows::is_aligned;
use super::{finish, mma, simt};
use crate::device::cuda::{Key, Stream, Tensor};
use crate::dtype::Dtype;
use crate::ops::matmul::problem::{Problem, View};
use crate::ptx::{Target, Text};
use crate::status::Result;
use block::{Args, LINE};
use plan::{End, Form, Plan, Scaled, Tile};

/// Rows, columns and k at most, each.
const LONGEST: usize = 1 << 30;
/// The accelerator's strides are below.
const STRIDE: u64 = 1 << 40;

/// Two factors of one half type, or of 8-bit floats, on a Hopper GPU, whose lines along k or (of half types) across it are
/// contiguous, aligned to 16 bytes, and apart from each other.
pub fn accepts(task: &Task, stream: &Stream) -> bool {
    let p = &task.problem;
    let hopper = stream.gpu().description.capability == (9, 0);
    let half = p.a.dtype == p.b.dtype && p.a.dtype.size() == 2;
    let small = p.a.dtype.is_small_float() && p.b.dtype.is_small_float();
    let fits = p.k > 0 && p.m.max(p.n).max(p.k) <= LONGEST;
    hopper && (half || small) && fits && factors(p, [64; 2]).is_some()
}

/// Multiplies.
pub fn run(task: &Task, stream: &Stream) -> Result<()> {
    let Some((plan, mut args)) = plan(task, stream) else { return without(task, stream) };
    let (p, form) = (&task.problem, plan.form);
    let apart = form.end == End::Sums;
    if apart {
        let bytes = bytes_of_sums(p) * plan.parts as usize;
        if bytes > task.workspace {
            return without(task, stream);
        }
        args.rest.base.sums = stream.scratch(bytes)?;
    }
    args.rest.columns = task.column_sums(stream, plan.lines_of_columns())?;
    let kernel = stream.kernel(form.key(), |target| block::write(target, form))?;
    task.begin(stream)?;
    // SAFETY: the operands live as long as the request's work, and so do the sums; the kernel stays inside them: the
    // accelerator by its maps.
    unsafe { kernel.launch(stream, [plan.grid, 1, 1], &args)? };
    if apart {
        finish::run(p, stream, args.rest.base.sums, plan.parts)?;
    }
    task.end(stream, args.rest.columns, plan.lines_of_columns())
}

/// How, and what the kernel is told.
fn plan(task: &Task, stream: &Stream) -> Option<(Plan, Args)> {
    let plan = Plan::of(task, stream.gpu().description.multiprocessors)?;
    let maps = maps(&task.problem, &plan.form, stream)?;
    Some((plan, plan.arguments(task, maps)))
}

/// The same by another choice.
fn without(task: &Task, stream: &Stream) -> Result<()> {
    let plain = task.is_plain() && mma::accepts(task, stream);
    if plain { mma::run(task, stream) } else { simt::run(task, stream) }
}

/// One of A and B: whether its lines along k are contiguous, and how it is fetched, `edge` of its rows or columns at once.
fn factor(p: &Problem, operand: usize, edge: u32) -> Option<(bool, Tensor)> {
    let (view, [outer, inner], count) = match operand {
        0 => (&p.a, [p.a.row, p.a.col], p.m),
        _ => (&p.b, [p.b.col, p.b.row], p.n),
    };
    let along = inner == 1 && is_aligned(p, view, outer, operand, count);
    let across = outer == 1 && is_aligned(p, view, inner, operand, p.k);
    let depth = LINE / view.dtype.size() as u32;
    let tensor = match along {
        true => tensor(p, view, operand, [p.k, count], outer, [depth, edge])?,
        false => tensor(p, view, operand, [count, p.k], inner, [64, depth])?,
    };
    // Tensor cores take bytes only where they are contiguous along k.
    (along || across && view.dtype.size() > 1).then_some((along, tensor))
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
    let (count, apart) = line_up(p, operand)?;
    let matrix = if apart == 0 { packed } else { bytes(view, apart) };
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

/// The matrices of an operand as one axis: how many there are, and elements from one to the next. One that all share counts
/// once.
fn line_up(p: &Problem, operand: usize) -> Option<(usize, isize)> {
    let mut axes = p.axes().into_iter().rev().map(|axis| (axis.0, axis.1[operand]));
    let (mut count, apart) = axes.next().unwrap_or((1, 0));
    for (dim, stride) in axes {
        let next = (count as isize).checked_mul(apart)?;
        if stride != next {
            return None;
        }
        count *= dim;
    }
    Some((if apart == 0 { 1 } else { count }, apart))
}

/// A and B, fetched so many rows and columns at once.
fn factors(p: &Problem, edges: [u32; 2]) -> Option<[(bool, Tensor); 2]> {
    Some([factor(p, 0, edges[0])?, factor(p, 1, edges[1])?])
}

/// D, where the accelerator can write it.
fn result(p: &Problem) -> Option<Tensor> {
    let aligned = p.d.col == 1 && is_aligned(p, &p.d, p.d.row, 2, p.m);
    let tensor = tensor(p, &p.d, 2, [p.n, p.m], p.d.row, [64, 64])?;
    (aligned && p.d.dtype.size() == 2).then_some(tensor)
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
    use Dtype::{Bf16, F8E4m3, F8E5m2, F16, F32};
    let [large, wide, middle, flat, small] = plan::TILES;
    let forms = [
        (Bf16, [true, true], large, End::Tiles, 1, Some(Bf16)),
        (F16, [false, false], large, End::Any, 1, None),
        (F16, [true, true], large, End::Any, 1, Some(F16)),
        (Bf16, [false, true], wide, End::Tiles, 1, Some(F16)),
        (Bf16, [true, false], middle, End::Tiles, 1, Some(Bf16)),
        (F16, [false, true], flat, End::Sums, 1, None),
        (Bf16, [true, true], small, End::Joined, 8, None),
        (F16, [true, false], middle, End::Joined, 2, Some(F32)),
    ];
    let no = Scaled::No;
    let form = |(dtype, along, tile, end, joined, lines)| Form {
        types: [dtype; 2],
        along,
        tile,
        end,
        joined,
        lines,
        scaled: no,
        own: false,
        promoted: false,
        full: false,
        columns: false,
    };
    let forms = forms.map(form);
    let [tiles, any, .., joined] = forms;
    let bytes = Form { types: [F8E4m3, F8E5m2], along: [true; 2], scaled: Scaled::Lines, ..tiles };
    let blocks = Form { promoted: true, scaled: Scaled::Blocks, ..bytes };
    let all = Form { full: true, columns: true, ..any };
    let more = [
        Form { own: true, ..bytes },
        Form { promoted: true, tile: wide, scaled: no, ..bytes },
        blocks,
        Form { end: End::Any, ..blocks },
        Form { own: true, tile: middle, types: [F8E5m2, F8E4m3], ..blocks },
        Form { tile: flat, end: End::Any, lines: Some(F32), types: [F8E5m2; 2], own: true, ..blocks },
        all,
        Form { tile: middle, end: End::Any, lines: None, full: true, columns: true, ..blocks },
        Form { full: true, columns: true, lines: None, ..joined },
    ];
    forms.into_iter().chain(more).map(|form| block::write(target, form).map(Text::from)).collect()
}

impl Form {
    /// What tells its kernel apart.
    fn key(&self) -> Key {
        let pair = |[a, b]: [u32; 2]| a << 16 | b;
        let Tile { rows, columns } = self.tile;
        let lines = self.lines.map_or(0, |dtype| 1 + kind(dtype));
        let flags = [self.own, self.promoted, self.full, self.columns];
        let flags = flags.iter().fold(self.scaled as u32, |all, flag| all << 1 | u32::from(*flag));
        let [types, along] = [self.types.map(|dtype| dtype as u32), self.along.map(u32::from)].map(pair);
        Key("matmul_wgmma", [types, along, rows, columns, self.end as u32, self.joined, lines, flags])
    }
}

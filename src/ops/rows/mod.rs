//! Rows picked by index: gather (embedding) and scatter (cache append).

mod add;
mod cpu;
mod cuda;
mod index;
mod ptx;
mod units;

use crate::device::Cpu;
use crate::device::cuda::Stream;
use crate::dtype::Dtype;
use crate::ensure;
use crate::kernels::walk::Walk;
use crate::layout::{Layout, WEFT_MAX_RANK, weft_tensor};
use crate::op::{Bind, Op, Operand, first};
use crate::status::Result;

#[doc(hidden)]
pub use cuda::texts;

/// A negative index counts from the end of the table: -N to -1 stand for 0 to N - 1.
pub const WEFT_ROWS_FROM_END: u32 = 1;
/// A negative index skips its row: gather leaves the result's row as it is, scatter writes nothing. Not together with
/// WEFT_ROWS_FROM_END.
pub const WEFT_ROWS_SKIP_NEGATIVE: u32 = 2;
/// Scatter adds to the row instead of replacing it; rows named twice are added in the order of the indices. Floats of 16
/// bits or more, added in f32 (f64 in f64) and rounded each time, and integers, which wrap.
pub const WEFT_ROWS_ADD: u32 = 4;

/// What `weft_gather_rows` computes: rows[i..., r...] = table[indices[i...], r...]; and what `weft_scatter_rows` does:
/// table[indices[i...], r...] = rows[i..., r...].
///
/// Rows move as bytes, whatever their dtype. Of several indices that name one row of the table, scatter without
/// WEFT_ROWS_ADD keeps the last one's row (the indices' row-major order). An index outside of the table ends the request
/// with WEFT_ERROR_OUT_OF_RANGE and a sentence that names the first such place and its value; the rows of all other
/// indices are written nonetheless, its own row is not.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct weft_rows_desc {
    /// sizeof(weft_rows_desc).
    pub struct_size: u32,
    /// WEFT_ROWS bits.
    pub flags: u32,
    /// [N, r...]: the input of gather, the output of scatter.
    pub table: weft_tensor,
    /// i32 or i64, any shape i...; an index outside 0 to N - 1 ends the request with WEFT_ERROR_OUT_OF_RANGE.
    pub indices: weft_tensor,
    /// [i..., r...], of table's dtype: the output of gather, the input of scatter. The output overlaps no input.
    pub rows: weft_tensor,
}

/// Checked tables, indices and rows.
pub struct Rows {
    op: &'static str,
    flags: u32,
    table: Operand,
    indices: Operand,
    rows: Operand,
    /// The places of the indices: in indices, and of their rows in rows.
    places: Walk<2>,
    /// The elements of a row: in table and in rows.
    elements: Walk<2>,
}

/// A checked gather.
pub struct Gather(Rows);

/// A checked scatter.
pub struct Scatter(Rows);

/// Checks a descriptor of `weft_gather_rows`.
pub fn gather(desc: &weft_rows_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    bind.expect_flags(desc.flags, WEFT_ROWS_FROM_END | WEFT_ROWS_SKIP_NEGATIVE)?;
    let (table, indices) = (bind.input("table", &desc.table)?, bind.input("indices", &desc.indices)?);
    let rows = bind.output("rows", &desc.rows)?;
    rows.expect_apart(&table)?;
    rows.expect_apart(&indices)?;
    Ok(Box::new(Gather(Rows::new(bind.op(), desc.flags, table, indices, rows)?)))
}

/// Checks a descriptor of `weft_scatter_rows`.
pub fn scatter(desc: &weft_rows_desc, bind: &Bind) -> Result<Box<dyn Op>> {
    bind.expect_flags(desc.flags, WEFT_ROWS_FROM_END | WEFT_ROWS_SKIP_NEGATIVE | WEFT_ROWS_ADD)?;
    let table = bind.output("table", &desc.table)?;
    let (indices, rows) = (bind.input("indices", &desc.indices)?, bind.input("rows", &desc.rows)?);
    table.expect_apart(&rows)?;
    table.expect_apart(&indices)?;
    if desc.flags & WEFT_ROWS_ADD != 0 {
        table.expect_dtype(add::DTYPES)?;
    }
    Ok(Box::new(Scatter(Rows::new(bind.op(), desc.flags, table, indices, rows)?)))
}

impl Rows {
    fn shape(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        write!(out, "table {} indices {}", self.table, self.indices)
    }

    fn new(op: &'static str, flags: u32, table: Operand, indices: Operand, rows: Operand) -> Result<Self> {
        let both = WEFT_ROWS_FROM_END | WEFT_ROWS_SKIP_NEGATIVE;
        ensure!(
            flags & both != both,
            "{op}: flags hold WEFT_ROWS_FROM_END and WEFT_ROWS_SKIP_NEGATIVE; expected one of them at the most"
        );
        indices.expect_dtype(&[Dtype::I32, Dtype::I64])?;
        rows.expect_dtype(&[table.dtype()])?;
        expect_shapes(op, &table, &indices, &rows)?;
        let picked = indices.dims().len();
        let (outer, inner) = (axes(&rows, 0, picked), axes(&rows, picked, rows.dims().len()));
        let places = Walk::new([indices.layout(), &outer]);
        let elements = Walk::new([&axes(&table, 1, table.dims().len()), &inner]);
        Ok(Self { op, flags, table, indices, rows, places, elements })
    }

    /// How many indices.
    fn count(&self) -> usize {
        self.indices.layout().count()
    }

    /// Bytes of an element.
    fn size(&self) -> usize {
        self.table.dtype().size()
    }
}

fn expect_shapes(op: &str, table: &Operand, indices: &Operand, rows: &Operand) -> Result<()> {
    ensure!(
        !table.dims().is_empty(),
        "{}.rank is 0; expected 1 or more: its first axis is indexed",
        table.name
    );
    let want = [indices.dims(), &table.dims()[1..]].concat();
    ensure!(
        want.len() <= WEFT_MAX_RANK,
        "{op}: indices.rank {} and table.rank {} ask for rows of rank {}; expected at most {WEFT_MAX_RANK}",
        indices.dims().len(),
        table.dims().len(),
        want.len()
    );
    rows.expect_dims(&want, "indices.dims, then table.dims but for the first")
}

/// Some neighbouring axes of an operand.
fn axes(operand: &Operand, start: usize, end: usize) -> Layout {
    let layout = operand.layout();
    Layout::strided(&layout.dims()[start..end], &layout.strides()[start..end])
}

impl Op for Gather {
    fn cpu(&self, cpu: &Cpu) -> Result<()> {
        if self.0.count() == 0 { Ok(()) } else { first("gather_rows", cpu::GATHER, &self.0, cpu) }
    }

    fn cuda(&self, stream: &Stream) -> Result<()> {
        if self.0.count() == 0 { Ok(()) } else { first("gather_rows", cuda::GATHER, &self.0, stream) }
    }

    fn conclude(&self, verdict: u32) -> Result<()> {
        self.0.stray_of(verdict)
    }

    fn shape(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        self.0.shape(out)
    }
}

impl Op for Scatter {
    fn cpu(&self, cpu: &Cpu) -> Result<()> {
        if self.0.count() == 0 { Ok(()) } else { first("scatter_rows", cpu::SCATTER, &self.0, cpu) }
    }

    fn cuda(&self, stream: &Stream) -> Result<()> {
        if self.0.count() == 0 { Ok(()) } else { first("scatter_rows", cuda::SCATTER, &self.0, stream) }
    }

    fn conclude(&self, verdict: u32) -> Result<()> {
        self.0.stray_of(verdict)
    }

    fn shape(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        self.0.shape(out)
    }
}

//! The library's epilogues, where they are as exact as D is to be. Its gelu is not: it goes by the hardware's tanh, which of
//! negative arguments leaves few bits. Nor is its relu: some of its kernels make 0 of NaN, others set NaN's bit in the mask.

use super::Task;
use crate::device::cuda::cublaslt::{Aux, Epilogue, Product, Row};
use crate::dtype::Dtype::{Bf16, F16, F32, I8};
use crate::ops::matmul::extra::Side;
use crate::ops::matmul::problem::Problem;
use crate::ops::matmul::{WEFT_EPILOGUE_DRELU, WEFT_EPILOGUE_NONE};

/// Bits from a row of a mask to the next are a multiple of this; elements of another aux of less.
const BITS: i64 = 128;
const ELEMENTS: i64 = 8;

/// What the library makes of sums.
pub struct Ending {
    epilogue: Epilogue,
    row: Option<Row>,
    aux: Option<Aux>,
    scaled: bool,
    amax: bool,
    pub row_at: u64,
    pub aux_at: u64,
    /// Whether each matrix of a batch is a call of its own.
    apart: bool,
}

impl Ending {
    /// That of a task, if the library has it; with a gradient of a bias, if it is to make that too.
    pub fn of(task: &Task, with_gradient: bool) -> Option<Self> {
        let plain = Self::without_gradient(task)?;
        if !with_gradient {
            return (!task.sums_columns()).then_some(plain);
        }
        let (epilogue, row, row_at) = gradient(task)?;
        Some(Self { epilogue, row: Some(row), row_at, ..plain })
    }

    fn without_gradient(task: &Task) -> Option<Self> {
        let p = &task.problem;
        let epilogue = epilogue(p)?;
        let small = p.d.dtype.is_small_float();
        let extras = task.extras.as_ref();
        let amax = extras.is_some_and(|extras| extras.amax != 0);
        let row = row(task)?;
        let aux = aux(task)?;
        let moves = task.axes().last().is_some_and(|axis| axis.1[4] != 0);
        let ending = Self {
            epilogue,
            row,
            aux,
            scaled: extras.is_some_and(|extras| extras.d_scale != 0),
            amax,
            row_at: p.bias.map_or(0, |bias| bias.at as u64),
            aux_at: extras.and_then(|extras| extras.aux).map_or(0, |aux| aux.at),
            apart: moves || aux.is_some(),
        };
        // The largest magnitude is one of a whole request.
        let one = !amax || small && task.axes().is_empty();
        let bare = p.a.dtype != I8 || epilogue == Epilogue::None && row.is_none();
        (one && bare).then_some(ending)
    }

    pub fn is_apart(&self) -> bool {
        self.apart
    }

    /// The product with it.
    pub fn tell(&self, product: Product) -> Product {
        let Self { epilogue, row, aux, scaled, amax, .. } = *self;
        Product { epilogue, row, aux, scaled, amax, ..product }
    }
}

fn epilogue(p: &Problem) -> Option<Epilogue> {
    match p.after.epilogue {
        WEFT_EPILOGUE_NONE => Some(Epilogue::None),
        WEFT_EPILOGUE_DRELU => Some(Epilogue::Drelu),
        _ => None,
    }
}

/// The gradient of a bias, as the epilogue and the row that the library makes of it; `None` if it does not, or none is wanted.
fn gradient(task: &Task) -> Option<(Epilogue, Row, u64)> {
    let p = &task.problem;
    let (side, sums) = task.extras.as_ref()?.gradient()?;
    let bare = p.after.epilogue == WEFT_EPILOGUE_NONE && p.bias.is_none();
    let (epilogue, count) = match side {
        // It sums up what it has rounded.
        Side::D if p.after.epilogue == WEFT_EPILOGUE_DRELU && p.d.dtype == F32 => (Epilogue::Drelu, p.n),
        Side::A if bare => (Epilogue::SumA, p.m),
        Side::B if bare => (Epilogue::SumB, p.n),
        _ => return None,
    };
    let along = count == 1 || sums.strides[0] == sums.dtype.size() as isize;
    let floats = matches!(p.a.dtype, F16 | Bf16 | F32) && sums.dtype == p.d.dtype;
    let fits = along && floats && sums.at.is_multiple_of(16) && task.axes().is_empty();
    fits.then_some((epilogue, Row { dtype: sums.dtype, batch: 0 }, sums.at))
}

/// The bias that the library adds: a row for all rows; `None` if it cannot.
fn row(task: &Task) -> Option<Option<Row>> {
    let p = &task.problem;
    let Some(bias) = p.bias else { return Some(None) };
    let along = (p.m == 1 || bias.row == 0) && bias.col == 1;
    let aligned =
        task.axes().iter().fold(bias.at as u64, |all, axis| all | axis.1[4] as u64).is_multiple_of(16);
    let small = p.d.dtype.is_small_float();
    let fits = bias.dtype == p.d.dtype || small && bias.dtype.size() == 2;
    (along && aligned && fits).then_some(Some(Row { dtype: bias.dtype, batch: 0 }))
}

/// The epilogue's further matrix; `None` if the library does not take it as it lies.
fn aux(task: &Task) -> Option<Option<Aux>> {
    let p = &task.problem;
    let Some(aux) = task.extras.as_ref().and_then(|extras| extras.aux) else { return Some(None) };
    let size = aux.dtype.size() as isize;
    let mask = p.after.epilogue == WEFT_EPILOGUE_DRELU;
    let length = if mask { p.n.div_ceil(8) } else { p.n } as isize;
    let stride = if p.m == 1 { (length * size + 15) & !15 } else { aux.strides[0] };
    let leading = (stride / size * if mask { 8 } else { 1 }) as i64;
    let unit = if mask { BITS } else { ELEMENTS };
    // Masks are read in whole words.
    let whole = !mask || (p.n as i64) % BITS == 0;
    let rows = p.n == 1 || aux.strides[1] == size;
    let aligned = task.axes().iter().fold(aux.at, |all, axis| all | axis.1[5] as u64).is_multiple_of(16);
    let fits = rows && whole && aligned && stride >= length * size && leading % unit == 0;
    fits.then_some(Some(Aux { dtype: (!mask).then_some(aux.dtype), leading, batch: 0 }))
}

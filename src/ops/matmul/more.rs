//! What few problems have, as kernels see it: scales of the factors, the epilogue's second matrix, the largest value,
//! values before they are rounded.

use super::Matmul;
use super::extra::{BLOCK, Extra, Scale, aux_of};
use super::problem::View;
use crate::dtype::Dtype;
use crate::layout::WEFT_MAX_RANK;
use crate::op::Operand;

/// What lines of a factor (rows of A, columns of B) are multiplied by.
#[derive(Clone, Copy)]
pub struct Factor {
    /// A row for each 2^shift lines, a column for each block of K.
    view: View,
    shift: u32,
}

/// The shift of a factor that all lines share: no number of a line has so many bits.
const ALL: u32 = usize::BITS - 1;

impl Factor {
    /// That of a line in a block of K.
    ///
    /// # Safety
    ///
    /// Both exist, and the view is valid.
    #[inline(always)]
    pub unsafe fn at(&self, line: usize, block: usize) -> f32 {
        // SAFETY: the caller's.
        unsafe { self.view.ptr::<f32>(line >> self.shift, block).read() }
    }
}

impl Factor {
    /// That of all lines.
    ///
    /// # Safety
    ///
    /// As for [`at`](Self::at).
    #[inline(always)]
    pub unsafe fn of_all(&self) -> Option<f32> {
        // SAFETY: the caller's.
        (self.shift == ALL).then(|| unsafe { self.at(0, 0) })
    }
}

/// What few problems have. The views are valid as long as those of the problem.
#[derive(Clone, Copy)]
pub struct More {
    /// Of A's rows and of B's columns.
    pub scales: [Option<Factor>; 2],
    /// Whether the scales differ between blocks of K.
    pub blocks: bool,
    /// Whether the sums have been scaled when they are finished.
    pub early: bool,
    pub aux: Option<View>,
    /// Whether aux holds a bit an element, eight a byte.
    pub mask: bool,
    /// One f32, or null.
    pub d_scale: *const f32,
    /// One f32, or null.
    pub amax: *mut f32,
    /// Where values go before they are rounded.
    pub values: Option<View>,
    /// Along each batch axis: the strides of a's scales, b's, aux and the values.
    batch: [[isize; 4]; WEFT_MAX_RANK],
}

// SAFETY: numbers here; what they point to lives as long as the operands of the operation that is running.
unsafe impl Send for More {}
// SAFETY: as above.
unsafe impl Sync for More {}

impl More {
    /// `None` where there is nothing that the values meet on their way.
    pub fn new(op: &Matmul, extra: &Extra, at: fn(&Operand) -> *mut u8, values: *mut u8) -> Option<Self> {
        let [a, b] = &extra.scales;
        let aux = extra.aux.as_ref();
        let (d_scale, amax) = (extra.d_scale.as_ref(), extra.amax.as_ref());
        let absent = [aux, d_scale, amax].iter().all(Option::is_none);
        if absent && a.is_none() && b.is_none() && values.is_null() {
            return None;
        }
        Some(Self {
            scales: [a.as_ref().map(|a| factor(a, at, false)), b.as_ref().map(|b| factor(b, at, true))],
            blocks: extra.scales.iter().flatten().any(|scale| scale.blocks),
            early: false,
            aux: aux.map(|aux| View::new(aux, at(aux))),
            mask: aux_of(op.epilogue).is_some_and(|(mask, _)| mask),
            d_scale: d_scale.map_or(std::ptr::null(), |scale| at(scale).cast_const().cast()),
            amax: amax.map_or(std::ptr::null_mut(), |amax| at(amax).cast()),
            values: (!values.is_null()).then(|| View {
                at: values,
                dtype: Dtype::F32,
                row: op.d.layout().dim(op.d.dims().len() - 1) as isize,
                col: 1,
            }),
            batch: strides(op, extra),
        })
    }

    /// That of the matrix with this number in a batch of these dims.
    pub fn matrix(&self, number: usize, dims: &[usize; WEFT_MAX_RANK]) -> Self {
        let (mut at, mut left) = ([0; 4], number);
        for (dim, strides) in dims.iter().zip(&self.batch).rev() {
            let index = (left % dim) as isize;
            left /= dim;
            at.iter_mut().zip(strides).for_each(|(at, stride)| *at += index * stride);
        }
        let scale = |n: usize| self.scales[n].map(|scale| Factor { view: scale.view.moved(at[n]), ..scale });
        Self {
            scales: [scale(0), scale(1)],
            aux: self.aux.map(|aux| aux.moved(at[2])),
            values: self.values.map(|values| values.moved(at[3])),
            ..*self
        }
    }

    /// Whether the matrices along a batch axis continue each other's `rows` rows.
    pub fn folds(&self, axis: usize, rows: usize) -> bool {
        let strides = self.batch[axis];
        let view = |view: Option<View>, stride: isize| {
            view.is_none_or(|view| rows == 1 || stride == rows as isize * view.row)
        };
        let scale = self.scales[0].is_none_or(|scale| match scale.shift {
            ALL => rows == 1 || strides[0] == 0,
            0 => view(Some(scale.view), strides[0]),
            _ => rows == 1,
        });
        scale
            && (self.scales[1].is_none() || strides[1] == 0)
            && view(self.aux, strides[2])
            && view(self.values, strides[3])
    }

    /// Makes rows of a batch axis whose matrices have one each.
    pub fn set_rows(&mut self, axis: usize) {
        let strides = self.batch[axis];
        self.scales[0] =
            self.scales[0].map(|scale| Factor { view: View { row: strides[0], ..scale.view }, shift: 0 });
        self.aux = self.aux.map(|aux| View { row: strides[2], ..aux });
        self.values = self.values.map(|values| View { row: strides[3], ..values });
    }

    /// Whether the transpose can be computed instead: bits stay side by side.
    pub fn turns(&self) -> bool {
        !self.mask
    }

    /// Becomes that of the transpose.
    pub fn turn(&mut self) {
        self.scales.reverse();
        self.aux = self.aux.map(|aux| aux.turned());
        self.values = self.values.map(|values| values.turned());
        self.batch.iter_mut().for_each(|strides| strides.swap(0, 1));
    }
}

/// A factor whose rows are lines.
fn factor(scale: &Scale, at: fn(&Operand) -> *mut u8, turned: bool) -> Factor {
    let layout = scale.operand.layout();
    let [lines, blocks] = [layout.rank() - 2, layout.rank() - 1]
        .map(|axis| if layout.dim(axis) == 1 { 0 } else { layout.stride(axis) });
    let view = View { at: at(&scale.operand), dtype: Dtype::F32, row: lines, col: blocks };
    let shift = if scale.lines == usize::MAX { ALL } else { scale.lines.trailing_zeros() };
    Factor { view: if turned { view.turned() } else { view }, shift }
}

/// Along each batch axis of d.
fn strides(op: &Matmul, extra: &Extra) -> [[isize; 4]; WEFT_MAX_RANK] {
    let rank = op.d.dims().len();
    let mut batch = [[0; 4]; WEFT_MAX_RANK];
    let mut packed = (op.d.layout().dim(rank - 2) * op.d.layout().dim(rank - 1)) as isize;
    let of = |operand: Option<&Operand>, axis| operand.map_or(0, |operand| operand.layout().stride(axis));
    let scale = |n: usize| extra.scales[n].as_ref().map(|scale: &Scale| &scale.operand);
    for axis in (0..rank - 2).rev() {
        batch[axis] = [of(scale(0), axis), of(scale(1), axis), of(extra.aux.as_ref(), axis), packed];
        packed *= op.d.layout().dim(axis) as isize;
    }
    batch
}

/// The block of K that an element lies in.
pub fn block(k: usize) -> usize {
    k / BLOCK
}

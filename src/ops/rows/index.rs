//! Indices read at run time: which row of the table they name, and the first that names none.

use super::{Rows, WEFT_ROWS_FROM_END, WEFT_ROWS_SKIP_NEGATIVE};
use crate::dtype::Dtype;
use crate::fail;
use crate::status::Result;
use parking_lot::Mutex;

/// The first index, in row-major order, that names no row: its place and its value.
#[derive(Default)]
pub struct Stray(Mutex<Option<(usize, i64)>>);

impl Stray {
    fn note(&self, place: usize, value: i64) {
        let mut first = self.0.lock();
        if first.is_none_or(|known| place < known.0) {
            *first = Some((place, value));
        }
    }

    /// The error if there was one.
    pub fn report(self, rows: &Rows) -> Result<()> {
        self.0.into_inner().map_or(Ok(()), |(place, value)| rows.stray(place, Some(value)))
    }
}

impl Rows {
    /// The error of the index at `place`, if it has this value.
    fn stray(&self, place: usize, value: Option<i64>) -> Result<()> {
        let count = self.table.dims()[0];
        let low = if self.flags & WEFT_ROWS_FROM_END != 0 { -count } else { 0 };
        let at = position(self.indices.dims(), place);
        let what = value.map_or("names no row".into(), |value| format!("is {value}"));
        fail!(
            WEFT_ERROR_OUT_OF_RANGE,
            "{}: indices{at:?} {what}; expected {low} to {} (table.dims[0] is {count})",
            self.op,
            count - 1
        )
    }

    /// The error of the first stray place of work on a GPU, whose bits `verdict` has, turned; none if that is 0.
    pub fn stray_of(&self, verdict: u32) -> Result<()> {
        let place = (!verdict) as usize;
        match verdict {
            0 => Ok(()),
            // As far as a verdict counts.
            1 => fail!(
                WEFT_ERROR_OUT_OF_RANGE,
                "{}: one of the indices from number {place} on names no row of the table",
                self.op
            ),
            _ => {
                // It may have been overwritten since it was used: then its value says nothing.
                let value = self.indices.integer_on_device(self.places.at(place)[0]).ok().flatten();
                self.stray(place, value.filter(|&value| self.row(value).is_none() && !self.skips(value)))
            }
        }
    }
}

/// The index of the element with this row-major number.
fn position(dims: &[i64], mut number: usize) -> Vec<usize> {
    let mut at = vec![0; dims.len()];
    for (axis, &dim) in dims.iter().enumerate().rev() {
        at[axis] = number % dim as usize;
        number /= dim as usize;
    }
    at
}

impl Rows {
    /// Calls `visit` for the indices `start..end` in order, with the addresses of the table's row and of the index's row
    /// in rows. Indices that name no row go to `stray`.
    pub fn visit(&self, start: usize, end: usize, stray: &Stray, mut visit: impl FnMut(*mut u8, *mut u8)) {
        let size = self.size() as isize;
        let ([step, row_step], table_step) = (self.places.strides, self.table.layout().stride(0));
        let (table, rows) = (self.table.address(), self.rows.address());
        let mut place = start;
        self.places.parts(start, end, |[at, row_at], count| {
            for i in 0..count as isize {
                let value = self.index(at + i * step);
                match self.row(value) {
                    Some(row) => visit(
                        table.wrapping_offset(row * table_step * size),
                        rows.wrapping_offset((row_at + i * row_step) * size),
                    ),
                    None if self.skips(value) => {}
                    None => stray.note(place, value),
                }
                place += 1;
            }
        });
    }

    /// The index `at` elements from the first. Read once: another queue may be writing it.
    fn index(&self, at: isize) -> i64 {
        // SAFETY: an element of the checked layout, aligned, of this type.
        unsafe {
            match self.indices.dtype() {
                Dtype::I32 => self.indices.ptr::<i32>().wrapping_offset(at).read_volatile().into(),
                _ => self.indices.ptr::<i64>().wrapping_offset(at).read_volatile(),
            }
        }
    }

    fn skips(&self, value: i64) -> bool {
        value < 0 && self.flags & WEFT_ROWS_SKIP_NEGATIVE != 0
    }

    /// The row that an index names.
    fn row(&self, value: i64) -> Option<isize> {
        let count = self.table.dims()[0];
        let from_end = value < 0 && self.flags & WEFT_ROWS_FROM_END != 0;
        let row = if from_end { value + count } else { value };
        (0..count).contains(&row).then_some(row as isize)
    }
}

//! Order on the CPU, a line of the axis at a time.

use super::columns;
use super::key::{Key, Ordered, keys, largest, ordered};
use super::select::{Candidate, Selection};
use super::{Output, Rank, WEFT_RANK_LAST, WEFT_RANK_SMALLEST};
use crate::device::Cpu;
use crate::dtype::Dtype::{self, *};
use crate::kernels::moves::{Run, copy};
use crate::kernels::reader::{CHUNK, Reader, Room};
use crate::op::{Choice, Operand};
use crate::status::{Error, Result};
use parking_lot::Mutex;

/// Best first.
pub(super) const TOP_K: &[Choice<Rank, Cpu>] = &[Choice { name: "select", accepts: |_, _| true, run: top_k }];
/// Best first.
pub(super) const ARG_REDUCE: &[Choice<Rank, Cpu>] = &[
    Choice { name: "columns", accepts: columns::accepts, run: columns::run },
    Choice { name: "lines", accepts: |_, _| true, run: arg_reduce },
];

/// Rough nanoseconds an element.
const ARG_NS: f64 = 0.15;
const TOP_NS: f64 = 0.5;

/// Runs `$body` with `$T` bound to the type whose keys order the dtype.
macro_rules! with_ordered {
    ($dtype:expr, $T:ident => $body:expr) => {
        match ordered($dtype) {
            F32 => {
                type $T = f32;
                $body
            }
            F64 => {
                type $T = f64;
                $body
            }
            I32 => {
                type $T = i32;
                $body
            }
            U32 => {
                type $T = u32;
                $body
            }
            I64 => {
                type $T = i64;
                $body
            }
            _ => {
                type $T = u64;
                $body
            }
        }
    };
}

pub(super) use with_ordered;

/// One line: its first element in x, and its places in the outputs.
#[derive(Clone, Copy)]
pub struct Line {
    /// In x.
    pub x: Run,
    values: Option<Run>,
    indices: Option<Run>,
}

// SAFETY: addresses inside the operands' buffers; every thread writes the outputs of its own lines.
unsafe impl Send for Line {}
// SAFETY: as above.
unsafe impl Sync for Line {}

/// The run along an axis of stride `step` from an operand's element (0, ..., 0).
fn run(operand: &Operand, step: isize) -> Run {
    Run { at: operand.address(), step: step * operand.dtype().size() as isize }
}

impl Rank {
    /// The line at the origin.
    pub fn first_line(&self) -> Line {
        let of = |output: &Output| run(&output.operand, output.step);
        Line {
            x: run(&self.x, self.step),
            values: self.values.as_ref().map(of),
            indices: self.indices.as_ref().map(of),
        }
    }

    /// Calls `visit` for the lines `start..end`.
    pub fn lines(&self, first: Line, start: usize, end: usize, mut visit: impl FnMut(Line)) {
        let size = self.x.dtype().size() as isize;
        let index_size = self.indices.as_ref().map_or(0, |indices| indices.operand.dtype().size() as isize);
        let moved =
            |run: Run, offset: isize, size: isize| Run { at: run.at.wrapping_offset(offset * size), ..run };
        self.lines.parts(start, end, |at, count| {
            for i in 0..count as isize {
                let at: [isize; 3] = std::array::from_fn(|n| at[n] + i * self.lines.strides[n]);
                visit(Line {
                    x: moved(first.x, at[0], size),
                    values: first.values.map(|values| moved(values, at[1], size)),
                    indices: first.indices.map(|indices| moved(indices, at[2], index_size)),
                });
            }
        });
    }

    /// What keys are combined with, so that the wanted one is the largest.
    pub fn flip<K: Key>(&self) -> K {
        if self.flags & WEFT_RANK_SMALLEST != 0 { K::FLIP } else { K::LEAST }
    }

    /// Writes that the `nth` of a line is its element `index`.
    pub fn put(&self, line: Line, nth: usize, index: usize) {
        if let Some(values) = line.values {
            // SAFETY: `index` is on the line, `nth` below k, and the two are apart.
            unsafe { copy(self.x.dtype().size(), line.x.skip(index), values.skip(nth), 1) };
        }
        if let (Some(indices), Some(output)) = (line.indices, &self.indices) {
            let at = indices.skip(nth).at;
            // SAFETY: `nth` is below k; the index fits the dtype, which the checks compared with the axis.
            unsafe {
                match output.operand.dtype() {
                    I32 => at.cast::<i32>().write(index as i32),
                    _ => at.cast::<i64>().write(index as i64),
                }
            }
        }
    }
}

fn arg_reduce(op: &Rank, cpu: &Cpu) -> Result<()> {
    with_ordered!(op.x.dtype(), T => arg_lines::<T>(op, cpu));
    Ok(())
}

fn arg_lines<T: Ordered>(op: &Rank, cpu: &Cpu) {
    let (reader, first) = (Reader::new(op.x.dtype(), ordered(op.x.dtype())), op.first_line());
    cpu.parallel_ranges(op.lines.count(), op.length as f64 * ARG_NS + 5.0, |start, end| {
        let mut room = Room::default();
        op.lines(first, start, end, |line| {
            op.put(line, 0, extreme::<T>(op, reader, line.x, &mut room));
        });
    });
}

/// Where the largest (or smallest) element of a line is.
fn extreme<T: Ordered>(op: &Rank, reader: Reader, line: Run, room: &mut Room) -> usize {
    let (flip, last) = (op.flip(), op.flags & WEFT_RANK_LAST != 0);
    let (mut best, mut at) = (T::Key::LEAST, 0);
    for start in (0..op.length).step_by(CHUNK) {
        let count = CHUNK.min(op.length - start);
        // SAFETY: elements `start..start + count` of the line.
        let chunk = unsafe { reader.read(line.skip(start), count, room) }.cast::<T>();
        let key = largest::<T>(chunk, count, flip);
        if start == 0 || key > best || (last && key == best) {
            // SAFETY: below `count`.
            let is_it = |&i: &usize| unsafe { *chunk.add(i) }.key() ^ flip == key;
            let found = if last { (0..count).rev().find(is_it) } else { (0..count).find(is_it) };
            (best, at) = (key, start + found.unwrap_or(0));
        }
    }
    at
}

fn top_k(op: &Rank, cpu: &Cpu) -> Result<()> {
    let narrow = |dtype: Dtype| dtype.size() == 4 && op.length <= u32::MAX as usize;
    with_ordered!(op.x.dtype(), T => if narrow(ordered(op.x.dtype())) {
        top_lines::<T, u64>(op, cpu)
    } else {
        top_lines::<T, u128>(op, cpu)
    })
}

fn top_lines<T: Ordered, C: Candidate>(op: &Rank, cpu: &Cpu) -> Result<()> {
    let (reader, first) = (Reader::new(op.x.dtype(), ordered(op.x.dtype())), op.first_line());
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    let sorting = op.k as f64 * 20.0;
    cpu.parallel_ranges(op.lines.count(), op.length as f64 * TOP_NS + sorting, |start, end| {
        let mut room = Room::default();
        let mut selection = match Selection::<C>::new(op.k, op.length) {
            Ok(selection) => selection,
            Err(error) => return drop(failure.lock().replace(error)),
        };
        op.lines(first, start, end, |line| top_line::<T, C>(op, reader, line, &mut room, &mut selection));
    });
    failure.into_inner().map_or(Ok(()), Err)
}

fn top_line<T: Ordered, C: Candidate>(
    op: &Rank,
    reader: Reader,
    line: Line,
    room: &mut Room,
    selection: &mut Selection<C>,
) {
    selection.clear();
    let flip = op.flip();
    let mut near = [T::Key::LEAST; CHUNK];
    for start in (0..op.length).step_by(CHUNK) {
        let count = CHUNK.min(op.length - start);
        // SAFETY: elements `start..start + count` of the line.
        let chunk = unsafe { reader.read(line.x.skip(start), count, room) }.cast::<T>();
        if selection.wants(largest::<T>(chunk, count, flip).into()) {
            keys::<T>(chunk, near.as_mut_ptr(), count, flip);
            near[..count].iter().enumerate().for_each(|(i, &key)| selection.offer(key.into(), start + i));
        }
    }
    for (nth, candidate) in selection.finish().iter().enumerate() {
        op.put(line, nth, candidate.index());
    }
}

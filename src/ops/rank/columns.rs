//! The extreme of many lines at once, where the axis lies across memory and the lines lie beside each other.

use super::cpu::{Line, with_ordered};
use super::key::{Key, Ordered, ordered};
use super::{Rank, WEFT_RANK_LAST};
use crate::device::Cpu;
use crate::dtype::Dtype::*;
use crate::for_each_isa;
use crate::kernels::moves::Run;
use crate::kernels::reader::{Reader, Room};
use crate::status::Result;

/// Lines that advance together.
const WIDTH: usize = 256;
/// Rough nanoseconds an element.
const NS: f64 = 0.3;

/// Whether lines lie closer together than the elements of each.
pub(super) fn accepts(op: &Rank, _: &Cpu) -> bool {
    let beside = op.lines.strides[0].abs() < op.step.abs();
    beside && op.lines.run >= 16 && op.length <= u32::MAX as usize
}

/// Runs it.
pub(super) fn run(op: &Rank, cpu: &Cpu) -> Result<()> {
    with_ordered!(op.x.dtype(), T => blocks::<T>(op, cpu));
    Ok(())
}

fn blocks<T: Ordered>(op: &Rank, cpu: &Cpu) {
    let (reader, first) = (Reader::new(op.x.dtype(), ordered(op.x.dtype())), op.first_line());
    let a_run = op.lines.run.div_ceil(WIDTH);
    let block_ns = (op.lines.run.min(WIDTH) * op.length) as f64 * NS;
    cpu.parallel_ranges(op.lines.runs() * a_run, block_ns, |start, end| {
        let mut room = Room::default();
        for block in start..end {
            let (run, column) = (block / a_run, block % a_run * WIDTH);
            let width = WIDTH.min(op.lines.run - column);
            let from = run * op.lines.run + column;
            let (mut found, mut next) = ([0; WIDTH], 0);
            op.lines(first, from, from + width, |line| {
                if next == 0 {
                    search::<T>(op, reader, line, &mut found[..width], &mut room);
                }
                op.put(line, 0, found[next] as usize);
                next += 1;
            });
        }
    });
}

/// Where the extremes of `line` and of the lines beside it are.
fn search<T: Ordered>(op: &Rank, reader: Reader, line: Line, found: &mut [u32], room: &mut Room) {
    let (flip, last) = (op.flip(), op.flags & WEFT_RANK_LAST != 0);
    let mut best = [T::Key::LEAST; WIDTH];
    let step = op.lines.strides[0] * op.x.dtype().size() as isize;
    for index in 0..op.length {
        let across = Run { at: line.x.skip(index).at, step };
        // SAFETY: element `index` of each of the lines.
        let chunk = unsafe { reader.read(across, found.len(), room) }.cast::<T>();
        // The first of all is the best so far.
        advance::<T>(chunk, &mut best, found, index as u32, flip, last || index == 0);
    }
}

for_each_isa! {
    /// Compares element `index` of each line, side by side at `from`, with the line's best.
    fn advance<T: Ordered>(
        from: *const T, best: &mut [T::Key; WIDTH], found: &mut [u32], index: u32, flip: T::Key, equal: bool,
    ) {
        let (best, count) = (best.as_mut_ptr(), found.len());
        let found = found.as_mut_ptr();
        for i in 0..count {
            // SAFETY: as many elements as lines, at most WIDTH.
            unsafe {
                let (key, old) = ((*from.add(i)).key() ^ flip, *best.add(i));
                let better = key > old || (equal & (key == old));
                best.add(i).write(if better { key } else { old });
                found.add(i).write(if better { index } else { *found.add(i) });
            }
        }
    }
}

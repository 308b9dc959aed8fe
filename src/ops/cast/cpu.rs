//! Casting on the CPU: blocked transposes, else runs.

use super::Cast;
use super::transpose::Plane;
use crate::device::Cpu;
use crate::kernels::convert::Converter;
use crate::kernels::moves::{Run, copy};
use crate::kernels::walk::Walk;
use crate::op::Choice;
use crate::status::Result;
use std::mem::MaybeUninit;

/// Best first.
pub(super) const CHOICES: &[Choice<Cast, Cpu>] = &[
    Choice { name: "transpose", accepts: |op, _| op.plane().is_some(), run: transpose },
    Choice { name: "runs", accepts: |_, _| true, run: runs },
];

/// Elements gathered, converted and scattered at a time.
const CHUNK: usize = 512;
/// Rough nanoseconds an element.
const NS: f64 = 0.5;

impl Cast {
    fn plane(&self) -> Option<Plane> {
        let plane = || Plane::new(self.x.layout(), self.y.layout(), self.x.dtype().size());
        self.converter.moves().then(plane).flatten()
    }
}

fn transpose(op: &Cast, cpu: &Cpu) -> Result<()> {
    let Some(plane) = op.plane() else { return runs(op, cpu) };
    let item_ns = plane.strip_elements() as f64 * NS;
    cpu.parallel_ranges(plane.strips(), item_ns, |start, end| {
        // SAFETY: the plane was made of the layouts of these operands, which are apart; strips do not overlap in y.
        (start..end).for_each(|strip| unsafe { plane.copy_strip(op.x.address(), op.y.address(), strip) });
    });
    Ok(())
}

fn runs(op: &Cast, cpu: &Cpu) -> Result<()> {
    let walk = Walk::new([op.x.layout(), op.y.layout()]);
    let sizes = [op.x.dtype().size(), op.y.dtype().size()].map(|size| size as isize);
    let run = |at: *mut u8, n: usize, offset: isize| Run {
        at: at.wrapping_offset(offset.wrapping_mul(sizes[n])),
        step: walk.strides[n] * sizes[n],
    };
    cpu.parallel_ranges(walk.count(), NS, |start, end| {
        walk.parts(start, end, |at, count| {
            // SAFETY: `count` elements of both checked layouts, apart from each other.
            unsafe {
                convert(
                    &op.converter,
                    sizes,
                    run(op.x.address(), 0, at[0]),
                    run(op.y.address(), 1, at[1]),
                    count,
                )
            };
        });
    });
    Ok(())
}

/// Converts a run; elements that do not lie side by side pass through the stack.
///
/// # Safety
///
/// Both runs hold `count` elements of the converter's types, aligned, and do not overlap.
unsafe fn convert(converter: &Converter, sizes: [isize; 2], x: Run, y: Run, count: usize) {
    if converter.moves() {
        // SAFETY: this function's contract.
        return unsafe { copy(sizes[0] as usize, x, y, count) };
    }
    if x.step == sizes[0] && y.step == sizes[1] {
        // SAFETY: this function's contract.
        return unsafe { converter.run(x.at, y.at, count) };
    }
    for start in (0..count).step_by(CHUNK) {
        let part = CHUNK.min(count - start);
        // SAFETY: part of both runs, at most CHUNK elements.
        unsafe { convert_chunk(converter, sizes, x.skip(start), y.skip(start), part) };
    }
}

/// # Safety
///
/// As for [`convert`], with at most `CHUNK` elements.
unsafe fn convert_chunk(converter: &Converter, sizes: [isize; 2], x: Run, y: Run, count: usize) {
    let mut near = [const { MaybeUninit::<[[u64; 2]; CHUNK]>::uninit() }; 2];
    let [from, to] = &mut near;
    let beside = |at: *mut u8, n: usize| Run { at, step: sizes[n] };
    let from = if x.step == sizes[0] { x } else { beside(from.as_mut_ptr().cast(), 0) };
    let to = if y.step == sizes[1] { y } else { beside(to.as_mut_ptr().cast(), 1) };
    // SAFETY: a chunk holds CHUNK elements of the largest type; the runs are this function's contract.
    unsafe {
        if from.at != x.at {
            copy(sizes[0] as usize, x, from, count);
        }
        converter.run(from.at, to.at, count);
        if to.at != y.at {
            copy(sizes[1] as usize, to, y, count);
        }
    }
}

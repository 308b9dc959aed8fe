//! On the CPU: for every position its cosines and sines, then every head's row of that position.

use super::rows::{Row, Turn};
use super::{Rope, Waves};
use crate::device::Cpu;
use crate::device::cpu::Scratch;
use crate::dtype::{Dtype, Float};
use crate::kernels::widen::Widen;
use crate::op::{Choice, Operand};
use crate::status::{Error, Result};
use crate::with_float;
use parking_lot::Mutex;
use std::ops::Range;

/// Ways to compute.
pub(super) const CHOICES: &[Choice<Rope, Cpu>] = &[Choice { name: "rows", accepts: |_, _| true, run: rows }];

fn rows(rope: &Rope, cpu: &Cpu) -> Result<()> {
    match rope.x.dtype() {
        Dtype::F64 => run::<f64>(rope, cpu),
        Dtype::F16 => run::<crate::dtype::f16>(rope, cpu),
        Dtype::Bf16 => run::<crate::dtype::bf16>(rope, cpu),
        _ => run::<f32>(rope, cpu),
    }
}

fn run<T: Widen<Wide: Turn>>(rope: &Rope, cpu: &Cpu) -> Result<()> {
    check_positions(rope)?;
    let plan = Plan::<T>::new(rope)?;
    let layout = rope.x.layout();
    let item_ns = (layout.dim(1) * layout.dim(3)) as f64 * 0.3 + rope.pairs as f64 * 2.0;
    let failed = Mutex::new(None);
    cpu.parallel_ranges(layout.dim(0) * layout.dim(2), item_ns, |start, end| {
        if let Err(error) = plan.range(start, end) {
            *failed.lock() = Some(error);
        }
    });
    failed.into_inner().map_or(Ok(()), Err)
}

/// Every position must have its row in the tables, before anything is written.
fn check_positions(rope: &Rope) -> Result<()> {
    let (Some(positions), Waves::Tables { cos, .. }) = (&rope.positions, &rope.waves) else { return Ok(()) };
    let layout = positions.layout();
    let rows = cos.dims()[0];
    for number in 0..layout.count() {
        let position = integer(positions, layout.offset_of(number));
        if !(0..rows).contains(&position) {
            return rope.stray(number, position.to_string());
        }
    }
    Ok(())
}

fn integer(operand: &Operand, offset: isize) -> i64 {
    // SAFETY: `offset` is an element of the operand, whose dtype is i32 or i64 by its check.
    unsafe {
        match operand.dtype() {
            Dtype::I64 => *operand.ptr::<i64>().offset(offset),
            _ => i64::from(*operand.ptr::<i32>().offset(offset)),
        }
    }
}

/// All that a row needs to know.
struct Plan<'a, T: Widen> {
    rope: &'a Rope,
    x: *const T,
    y: *mut T,
    /// Of each pair, per unit of position; empty with tables.
    frequencies: Vec<f64>,
    /// Whether rows can be turned where they lie.
    direct: bool,
}

// SAFETY: the pointers are to buffers that the request owns; threads write disjoint rows.
unsafe impl<T: Widen> Sync for Plan<'_, T> {}

/// Pairs whose cosines and sines are kept together: so many positions that a head's rows make a long stretch.
const KEPT: usize = 2048;

/// What a thread works in: cosines and sines of some positions, and room for a row.
struct Room<W> {
    scratch: Scratch<W>,
    pairs: usize,
    positions: usize,
}

/// The part of a room that one position has, and the row that all share.
#[derive(Clone, Copy)]
struct Place<W> {
    cos: *mut W,
    sin: *mut W,
    row: *mut W,
}

impl<W: Copy> Room<W> {
    fn new(pairs: usize, row: usize, most: usize) -> Result<Self> {
        let positions = (KEPT / pairs.max(1)).clamp(1, most.max(1));
        let waves = pairs.saturating_mul(2 * positions);
        Ok(Self { scratch: Scratch::new(waves.saturating_add(row))?, pairs, positions })
    }

    fn place(&self, number: usize) -> Place<W> {
        let part = |index: usize| self.scratch.ptr().wrapping_add(index * self.pairs);
        Place { cos: part(2 * number), sin: part(2 * number + 1), row: part(2 * self.positions) }
    }
}

impl<'a, T: Widen<Wide: Turn>> Plan<'a, T> {
    fn new(rope: &'a Rope) -> Result<Self> {
        let wide = T::DTYPE == <T::Wide as Float>::DTYPE;
        let packed = |operand: &Operand| operand.layout().stride(3) == 1;
        Ok(Self {
            rope,
            x: rope.x.ptr(),
            y: rope.y.ptr(),
            frequencies: frequencies(rope)?,
            direct: wide && packed(&rope.x) && packed(&rope.y),
        })
    }

    /// Positions `start..end`, numbered with the batch in front.
    fn range(&self, start: usize, end: usize) -> Result<()> {
        let layout = self.rope.x.layout();
        let length = layout.dim(2);
        let room = Room::<T::Wide>::new(self.rope.pairs, layout.dim(3), end - start)?;
        let mut number = start;
        while number < end {
            let (batch, s) = (number / length, number % length);
            let count = room.positions.min(length - s).min(end - number);
            self.stretch(batch, s..s + count, &room);
            number += count;
        }
        Ok(())
    }

    /// All heads' rows of a stretch of positions, which the room has place for.
    fn stretch(&self, batch: usize, positions: Range<usize>, room: &Room<T::Wide>) {
        let start = positions.start;
        positions.clone().for_each(|s| self.waves(batch, s, room.place(s - start)));
        for head in 0..self.rope.x.layout().dim(1) {
            for s in positions.clone() {
                let at = |operand: &Operand| {
                    let strides = operand.layout();
                    batch as isize * strides.stride(0)
                        + head as isize * strides.stride(1)
                        + s as isize * strides.stride(2)
                };
                let x = self.x.wrapping_offset(at(&self.rope.x));
                let y = self.y.wrapping_offset(at(&self.rope.y));
                self.row(x, y, room.place(s - start));
            }
        }
    }

    fn row(&self, x: *const T, y: *mut T, room: Place<T::Wide>) {
        let (layout, out) = (self.rope.x.layout(), self.rope.y.layout());
        let count = layout.dim(3);
        if self.direct {
            self.turn(x.cast(), y.cast(), room);
            let turned = self.rope.pairs * 2;
            // SAFETY: the rest of two rows that are the same or apart.
            unsafe { std::ptr::copy(x.wrapping_add(turned), y.wrapping_add(turned), count - turned) };
            return;
        }
        // SAFETY: x and y are rows of the operands; the room holds one and is no operand's memory.
        unsafe { T::gather(x, layout.stride(3), room.row, count) };
        self.turn(room.row, room.row, room);
        // SAFETY: as above.
        unsafe { T::scatter(room.row, y, out.stride(3), count) };
    }

    fn turn(&self, x: *const T::Wide, y: *mut T::Wide, room: Place<T::Wide>) {
        let row = Row { x, y, cos: room.cos, sin: room.sin, pairs: self.rope.pairs };
        if self.rope.half_split { row.turn_halves() } else { row.turn_neighbours() }
    }

    /// Cosines and sines of one position, scaled; the sines negative to turn backwards.
    fn waves(&self, batch: usize, s: usize, room: Place<T::Wide>) {
        let position = self.rope.positions.as_ref().map(|positions| {
            let strides = positions.layout();
            integer(positions, batch as isize * strides.stride(0) + s as isize * strides.stride(1))
        });
        match &self.rope.waves {
            Waves::Computed { .. } => {
                let position = position.unwrap_or_else(|| self.rope.position_start + s as i64);
                let frequencies = self.frequencies.as_ptr();
                T::Wide::waves(position as f64, frequencies, room.cos, room.sin, self.rope.pairs);
            }
            Waves::Tables { cos, sin } => {
                // The check saw good positions; clamped, for another queue may have written others since.
                let row = |position: i64| position.clamp(0, (cos.dims()[0] - 1).max(0)) as usize;
                let index = position.map_or([batch, s], |position| [0, row(position)]);
                load(cos, index, room.cos, room.row);
                load(sin, index, room.sin, room.row);
            }
        }
        self.scale(room);
    }

    fn scale(&self, room: Place<T::Wide>) {
        let factor = self.rope.attention_factor;
        let sign = if self.rope.inverse { -factor } else { factor };
        if factor == 1.0 && sign == 1.0 {
            return;
        }
        let (cos_by, sin_by) = (T::Wide::from_f64(factor), T::Wide::from_f64(sign));
        for i in 0..self.rope.pairs {
            // SAFETY: the room holds `pairs` of each.
            unsafe {
                *room.cos.add(i) = *room.cos.add(i) * cos_by;
                *room.sin.add(i) = *room.sin.add(i) * sin_by;
            }
        }
    }
}

/// Row `index` of a table [B, S, pairs] or (with B left out) [P, pairs]; `on_the_way` has room for it.
fn load<W: Turn>(table: &Operand, index: [usize; 2], to: *mut W, on_the_way: *mut W) {
    let layout = table.layout();
    let rank = layout.rank();
    let outer = if rank == 3 { index[0] as isize * layout.stride(0) } else { 0 };
    let at = outer + index[1] as isize * layout.stride(rank - 2);
    let (stride, count) = (layout.stride(rank - 1), layout.dim(rank - 1));
    with_float!(table.dtype(), S => {
        // f32 tables for f64 rows are read as f32 first; every other table is read as it is computed with.
        let way: *mut <S as Widen>::Wide = on_the_way.cast();
        // SAFETY: a row of the table; the way has room for as many elements, none larger than `W`.
        unsafe {
            S::gather(table.ptr::<S>().wrapping_offset(at), stride, way, count);
            for i in 0..count {
                *to.add(i) = W::from_f64((*way.add(i)).to_f64());
            }
        }
    }, _ => ())
}

/// frequency_scale * base^(-2i / rotary_dim) / factors[i].
fn frequencies(rope: &Rope) -> Result<Vec<f64>> {
    let Waves::Computed { base, frequency_scale, factors } = &rope.waves else { return Ok(Vec::new()) };
    let mut frequencies = Vec::new();
    frequencies.try_reserve_exact(rope.pairs).map_err(|_| Error::out_of_memory(rope.pairs * 8))?;
    for i in 0..rope.pairs {
        let factor = factors.as_ref().map_or(1.0, |factors| {
            let at = i as isize * factors.layout().stride(0);
            // SAFETY: `i` is an index of the operand, which is f32 by its check.
            f64::from(unsafe { *factors.ptr::<f32>().offset(at) })
        });
        let power = base.powf(-(i as f64) / rope.pairs as f64);
        frequencies.push(frequency_scale * power / factor);
    }
    Ok(frequencies)
}

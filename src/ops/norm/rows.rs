//! The arithmetic of one row: sums and squares in many lanes, so that neither speed nor accuracy suffers, and the line
//! that applies mean, scale, weight and bias.

use crate::for_each_isa;
use crate::kernels::block;
use crate::kernels::widen::Wide;

/// Elements read together; each has a lane of its own.
const LANES: usize = 64;
/// Elements summed in f32 before f64 takes over.
const BLOCK: usize = 4096;

for_each_isa! {
    /// The sum, in f64.
    pub(super) fn sum<T: Wide>(row: Row<T>) -> f64 {
        const LANES: usize = 32;
        let (mut lanes, whole) = ([0f64; LANES], row.count - row.count % LANES);
        for i in (0..whole).step_by(LANES) {
            for (k, lane) in lanes.iter_mut().enumerate() {
                // SAFETY: `i + k < count`, for which a row is valid.
                *lane += unsafe { *row.at.add(i.wrapping_add(k)) }.to_f64();
            }
        }
        for i in whole..row.count {
            // SAFETY: `i < count`.
            lanes[i.wrapping_sub(whole)] += unsafe { *row.at.add(i) }.to_f64();
        }
        lanes.iter().sum()
    }
}

/// The sum of (x - centre)^2. Where f32 would lose it (squares overflow or vanish), f64 does it again.
pub(super) fn squares<T: Wide>(row: Row<T>, centre: T) -> f64 {
    let total = lane_squares(row, centre);
    let fine = total > 1e-24 * row.count as f64 && total < 1e36;
    if fine || T::DTYPE == <f64 as crate::dtype::Float>::DTYPE { total } else { exact_squares(row, centre) }
}

for_each_isa! {
    fn lane_squares<T: Wide>(row: Row<T>, centre: T) -> f64 {
        let (mut total, mut start) = (0.0, 0);
        while start < row.count {
            let end = row.count.min(start.wrapping_add(BLOCK));
            let mut lanes = [T::from_f32(0.0); LANES];
            let whole = end.wrapping_sub(end.wrapping_sub(start) % LANES);
            for i in (start..whole).step_by(LANES) {
                for (k, lane) in lanes.iter_mut().enumerate() {
                    // SAFETY: `i + k < count`, for which a row is valid.
                    let d = unsafe { *row.at.add(i.wrapping_add(k)) } - centre;
                    *lane = *lane + d * d;
                }
            }
            for i in whole..end {
                // SAFETY: `i < count`.
                let d = unsafe { *row.at.add(i) } - centre;
                let lane = &mut lanes[i.wrapping_sub(whole)];
                *lane = *lane + d * d;
            }
            total += lanes.iter().map(|lane| lane.to_f64()).sum::<f64>();
            start = end;
        }
        total
    }
}

for_each_isa! {
    fn exact_squares<T: Wide>(row: Row<T>, centre: T) -> f64 {
        let mut total = 0.0;
        for i in 0..row.count {
            // SAFETY: `i < count`, for which a row is valid.
            let d = unsafe { *row.at.add(i) }.to_f64() - centre.to_f64();
            total += d * d;
        }
        total
    }
}

/// Numbers one after another, valid for reads.
#[derive(Clone, Copy)]
pub(super) struct Row<T> {
    pub at: *const T,
    pub count: usize,
}

/// y = (x - centre) scale weight + bias.
#[derive(Clone, Copy)]
pub(super) struct Line<T> {
    pub x: Row<T>,
    /// Valid for as many writes; x itself or apart from it.
    pub y: *mut T,
    pub centre: T,
    pub scale: T,
    /// As long as x, if there.
    pub weight: Option<*const T>,
    /// As long as x, if there.
    pub bias: Option<*const T>,
}

/// Whether there is a weight or bias, known when the loop is compiled.
trait Given {
    const GIVEN: bool;
}
struct Yes;
struct No;
impl Given for Yes {
    const GIVEN: bool = true;
}
impl Given for No {
    const GIVEN: bool = false;
}

impl<T: Wide> Line<T> {
    /// Computes y.
    pub fn write(self) {
        match (self.weight.is_some(), self.bias.is_some()) {
            (true, true) => line(self, Yes, Yes),
            (true, false) => line(self, Yes, No),
            (false, true) => line(self, No, Yes),
            (false, false) => line(self, No, No),
        }
    }
}

for_each_isa! {
    #[allow(clippy::extra_unused_type_parameters)]
    fn line<T: Wide, W: Given, B: Given>(line: Line<T>, _weight: W, _bias: B) {
        let (x, y, count) = (line.x.at, line.y, line.x.count);
        let weight = line.weight.unwrap_or(x);
        let bias = line.bias.unwrap_or(x);
        let one = |x: T, w: T, b: T| {
            let value = (x - line.centre) * line.scale;
            let value = if W::GIVEN { value * w } else { value };
            if B::GIVEN { value + b } else { value }
        };
        let whole = count - count % 16;
        for i in (0..whole).step_by(16) {
            // SAFETY: `i + 16 <= count`, for which all three are valid.
            let (mut values, w, b) =
                unsafe { (block::read(x, i), block::read(weight, i), block::read(bias, i)) };
            for k in 0..16 {
                values[k] = one(values[k], w[k], b[k]);
            }
            // SAFETY: `i + 16 <= count`, for which y is valid.
            unsafe { block::write(y, i, values) };
        }
        for i in whole..count {
            // SAFETY: `i < count`, for which all four are valid.
            unsafe { *y.add(i) = one(*x.add(i), *weight.add(i), *bias.add(i)) };
        }
    }
}

//! The arithmetic of one row: largest, exponentials with their sum, and the last touch.

use crate::for_each_isa;
use crate::kernels::block;
use crate::kernels::widen::Wide;

/// Elements summed in f32 before f64 takes over.
const STRETCH: usize = 1024;

/// One row: x valid for `count` reads, y for as many writes; y is x or apart from it.
#[derive(Clone, Copy)]
pub(super) struct Row<T> {
    pub x: *const T,
    pub y: *mut T,
    pub count: usize,
    pub scale: T,
}

impl<T: Wide> Row<T> {
    /// Writes the softmax to y.
    pub fn softmax(self) {
        let sum = exponentials(self, largest(self));
        multiply(self, T::from_f64(1.0 / sum));
    }

    /// Writes the logarithm of the softmax to y.
    pub fn log_softmax(self) {
        let largest = largest(self);
        let sum = sum(self, largest);
        subtract(self, largest, T::from_f64(sum.ln()));
    }
}

for_each_isa! {
    /// The largest of scale x, NaN aside; -inf of none.
    fn largest<T: Wide>(row: Row<T>) -> T {
        let least = T::from_f32(f32::NEG_INFINITY);
        let (mut lanes, whole) = ([least; 32], row.count - row.count % 32);
        for i in (0..whole).step_by(32) {
            for (k, lane) in lanes.iter_mut().enumerate() {
                // SAFETY: `i + k < count`, for which x is valid.
                let x = unsafe { *row.x.add(i.wrapping_add(k)) } * row.scale;
                *lane = if x > *lane { x } else { *lane };
            }
        }
        for i in whole..row.count {
            // SAFETY: `i < count`.
            let x = unsafe { *row.x.add(i) } * row.scale;
            lanes[0] = if x > lanes[0] { x } else { lanes[0] };
        }
        lanes.into_iter().fold(least, |most, x| if x > most { x } else { most })
    }
}

for_each_isa! {
    /// Writes e^(scale x - largest) to y; their sum.
    fn exponentials<T: Wide>(row: Row<T>, largest: T) -> f64 {
        let (mut total, mut start) = (0.0, 0);
        while start < row.count {
            let end = row.count.min(start.wrapping_add(STRETCH));
            let whole = end.wrapping_sub(end.wrapping_sub(start) % 16);
            let mut lanes = [T::from_f32(0.0); 16];
            for i in (start..whole).step_by(16) {
                // SAFETY: `i + 16 <= count`, for which x is valid.
                let mut values = unsafe { block::read(row.x, i) };
                for k in 0..16 {
                    values[k] = (values[k] * row.scale - largest).exp();
                    lanes[k] = lanes[k] + values[k];
                }
                // SAFETY: as above, for y.
                unsafe { block::write(row.y, i, values) };
            }
            for i in whole..end {
                // SAFETY: `i < count`, for which x and y are valid.
                unsafe {
                    let value = (*row.x.add(i) * row.scale - largest).exp();
                    lanes[0] = lanes[0] + value;
                    *row.y.add(i) = value;
                }
            }
            total += lanes.iter().map(|lane| lane.to_f64()).sum::<f64>();
            start = end;
        }
        total
    }
}

for_each_isa! {
    /// The sum of e^(scale x - largest).
    fn sum<T: Wide>(row: Row<T>, largest: T) -> f64 {
        let (mut total, mut start) = (0.0, 0);
        while start < row.count {
            let end = row.count.min(start.wrapping_add(STRETCH));
            let whole = end.wrapping_sub(end.wrapping_sub(start) % 16);
            let mut lanes = [T::from_f32(0.0); 16];
            for i in (start..whole).step_by(16) {
                // SAFETY: `i + 16 <= count`, for which x is valid.
                let values = unsafe { block::read(row.x, i) };
                for k in 0..16 {
                    lanes[k] = lanes[k] + (values[k] * row.scale - largest).exp();
                }
            }
            for i in whole..end {
                // SAFETY: `i < count`, for which x is valid.
                lanes[0] = lanes[0] + unsafe { *row.x.add(i) * row.scale - largest }.exp();
            }
            total += lanes.iter().map(|lane| lane.to_f64()).sum::<f64>();
            start = end;
        }
        total
    }
}

for_each_isa! {
    /// y = y by.
    fn multiply<T: Wide>(row: Row<T>, by: T) {
        for i in 0..row.count {
            // SAFETY: `i < count`, for which y is valid; it was written before.
            unsafe { *row.y.add(i) = *row.y.add(i) * by };
        }
    }
}

for_each_isa! {
    /// y = (scale x - largest) - log.
    fn subtract<T: Wide>(row: Row<T>, largest: T, log: T) {
        let whole = row.count - row.count % 16;
        for i in (0..whole).step_by(16) {
            // SAFETY: `i + 16 <= count`, for which x is valid.
            let mut values = unsafe { block::read(row.x, i) };
            for value in &mut values {
                *value = (*value * row.scale - largest) - log;
            }
            // SAFETY: as above, for y.
            unsafe { block::write(row.y, i, values) };
        }
        for i in whole..row.count {
            // SAFETY: `i < count`, for which x and y are valid.
            unsafe { *row.y.add(i) = (*row.x.add(i) * row.scale - largest) - log };
        }
    }
}

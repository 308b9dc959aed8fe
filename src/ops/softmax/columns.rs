//! Rows that lie side by side, so that the axis strides over them: a band of adjacent rows is copied to scratch, and every
//! step along the axis then is a vector of rows.

use super::Softmax;
use crate::device::Cpu;
use crate::device::cpu::Scratch;
use crate::dtype::Float;
use crate::for_each_isa;
use crate::kernels::block;
use crate::kernels::walk::Walk;
use crate::kernels::widen::{Wide, Widen};
use crate::status::{Error, Result};
use crate::with_float;
use parking_lot::Mutex;

/// Rows that make a band worth its copy.
const LEAST: usize = 8;
/// Elements of a band that should stay in the cache.
const BAND: usize = 1 << 17;

/// Whether rows lie side by side in both x and y.
pub(super) fn accepts(softmax: &Softmax) -> bool {
    let [x, y] = [softmax.x.layout(), softmax.y.layout()].map(|layout| layout.split(1));
    let walk = Walk::new([&x.0, &y.0]);
    let across = x.1.stride(0) != 1 || y.1.stride(0) != 1;
    across && walk.strides == [1, 1] && walk.run >= LEAST && x.1.dim(0) > 1
}

pub(super) fn run(softmax: &Softmax, cpu: &Cpu) -> Result<()> {
    with_float!(softmax.x.dtype(), T => bands::<T>(softmax, cpu), _ => Err(Error::panic()))
}

fn bands<T: Widen>(softmax: &Softmax, cpu: &Cpu) -> Result<()> {
    let plan = Plan::<T>::new(softmax);
    let item_ns = plan.width as f64 * plan.count as f64 * size_of::<T::Wide>() as f64 * 0.25;
    let failed = Mutex::new(None);
    cpu.parallel_ranges(plan.bands * plan.walk.runs(), item_ns, |start, end| {
        if let Err(error) = plan.range(start, end) {
            *failed.lock() = Some(error);
        }
    });
    failed.into_inner().map_or(Ok(()), Err)
}

/// All that a band needs to know.
struct Plan<T: Widen> {
    x: *const T,
    y: *mut T,
    /// Over the rows of x and y; its runs are rows side by side.
    walk: Walk<2>,
    /// Of x and y along the axis.
    strides: [isize; 2],
    /// Elements along the axis.
    count: usize,
    /// Rows in a band, a multiple of 16.
    width: usize,
    /// Bands in a run.
    bands: usize,
    scale: T::Wide,
    log: bool,
}

// SAFETY: the pointers are to buffers that the request owns; threads write disjoint bands.
unsafe impl<T: Widen> Sync for Plan<T> {}

impl<T: Widen> Plan<T> {
    fn new(softmax: &Softmax) -> Self {
        let [x, y] = [softmax.x.layout(), softmax.y.layout()].map(|layout| layout.split(1));
        let (walk, count) = (Walk::new([&x.0, &y.0]), x.1.dim(0));
        let width = (BAND / count / 16 * 16).clamp(16, 64);
        Self {
            x: softmax.x.ptr(),
            y: softmax.y.ptr(),
            bands: walk.run.div_ceil(width),
            walk,
            strides: [x.1.stride(0), y.1.stride(0)],
            count,
            width,
            scale: T::Wide::from_f64(softmax.scale),
            log: softmax.log,
        }
    }

    /// Bands `start..end`, numbered run by run.
    fn range(&self, start: usize, end: usize) -> Result<()> {
        // Zeroed: the last band of a run may not fill its vectors.
        let copy = Scratch::<T::Wide>::zeroed(self.count.saturating_mul(self.width))?;
        for number in start..end {
            let [x, y] = self.walk.start(number / self.bands);
            let first = number % self.bands * self.width;
            let rows = self.width.min(self.walk.run - first);
            let (x, y) = (x + first as isize, y + first as isize);
            self.band(self.x.wrapping_offset(x), self.y.wrapping_offset(y), copy.ptr(), rows);
        }
        Ok(())
    }

    fn band(&self, x: *const T, y: *mut T, copy: *mut T::Wide, rows: usize) {
        for i in 0..self.count {
            let from = x.wrapping_offset(self.strides[0] * i as isize);
            // SAFETY: `rows` adjacent elements of x; the copy has room for `width` at each step.
            unsafe { T::widen(from, copy.wrapping_add(i * self.width), rows) };
        }
        for first in (0..rows).step_by(16) {
            let band = Band { at: copy.wrapping_add(first), stride: self.width, count: self.count };
            if self.log { log_softmax(band, self.scale) } else { softmax(band, self.scale) }
        }
        for i in 0..self.count {
            let to = y.wrapping_offset(self.strides[1] * i as isize);
            // SAFETY: `rows` adjacent elements of y; the copy holds `width` at each step.
            unsafe { T::narrow(copy.wrapping_add(i * self.width), to, rows) };
        }
    }
}

/// 16 rows side by side: `count` blocks, `stride` apart.
#[derive(Clone, Copy)]
struct Band<T> {
    at: *mut T,
    stride: usize,
    count: usize,
}

impl<T: Wide> Band<T> {
    #[inline(always)]
    fn read(self, i: usize) -> [T; 16] {
        // SAFETY: called with `i < count` alone, where a band has its block.
        unsafe { block::read(self.at, i.wrapping_mul(self.stride)) }
    }

    #[inline(always)]
    fn write(self, i: usize, values: [T; 16]) {
        // SAFETY: as above.
        unsafe { block::write(self.at, i.wrapping_mul(self.stride), values) };
    }

    /// The largest of scale x in each row, NaN aside.
    #[inline(always)]
    fn largest(self, scale: T) -> [T; 16] {
        let mut most = [T::from_f32(f32::NEG_INFINITY); 16];
        for i in 0..self.count {
            let x = self.read(i);
            for k in 0..16 {
                let x = x[k] * scale;
                most[k] = if x > most[k] { x } else { most[k] };
            }
        }
        most
    }
}

for_each_isa! {
    fn softmax<T: Wide>(band: Band<T>, scale: T) {
        let most = band.largest(scale);
        let mut sums = [0f64; 16];
        for i in 0..band.count {
            let mut x = band.read(i);
            for k in 0..16 {
                x[k] = (x[k] * scale - most[k]).exp();
                sums[k] += x[k].to_f64();
            }
            band.write(i, x);
        }
        let mut by = most;
        (0..16).for_each(|k| by[k] = T::from_f64(1.0 / sums[k]));
        for i in 0..band.count {
            let mut x = band.read(i);
            for k in 0..16 {
                x[k] = x[k] * by[k];
            }
            band.write(i, x);
        }
    }
}

for_each_isa! {
    fn log_softmax<T: Wide>(band: Band<T>, scale: T) {
        let most = band.largest(scale);
        let mut sums = [0f64; 16];
        for i in 0..band.count {
            let x = band.read(i);
            for k in 0..16 {
                sums[k] += (x[k] * scale - most[k]).exp().to_f64();
            }
        }
        let mut logs = most;
        (0..16).for_each(|k| logs[k] = T::from_f64(sums[k].ln()));
        for i in 0..band.count {
            let mut x = band.read(i);
            for k in 0..16 {
                x[k] = (x[k] * scale - most[k]) - logs[k];
            }
            band.write(i, x);
        }
    }
}

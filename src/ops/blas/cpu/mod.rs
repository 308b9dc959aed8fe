//! On the CPU: a file an operation, with its choices. Where work is cut depends on shape and strides alone.

pub mod fold;
pub mod gemv;
pub mod ger;
mod lanes;
mod product;
mod rows;
pub mod syrk;
pub mod trsm;
pub mod update;
mod view;

use crate::device::Cpu;
use crate::status::{Error, Result};
use parking_lot::Mutex;

/// Rough nanoseconds for a byte that is read or written.
const BYTE_NS: f64 = 0.1;

/// [`Cpu::parallel`] for tiles that can fail: the first error.
fn try_parallel(cpu: &Cpu, tiles: usize, ns: f64, work: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    let failed: Mutex<Option<Error>> = Mutex::new(None);
    cpu.parallel(tiles, ns as u64, |tile| {
        if let Err(error) = work(tile) {
            *failed.lock() = Some(error);
        }
    });
    failed.into_inner().map_or(Ok(()), Err)
}

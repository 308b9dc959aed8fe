//! Transfers: bytes between the host and a buffer, between buffers, and patterns into a buffer.
//!
//! The only operations that hold a host pointer; the caller keeps that memory valid until the request completes.

mod cuda;
mod ptx;

pub use ptx::texts;

use crate::device::cuda::{Staged, Stream};
use crate::device::{Buffer, Cpu};
use crate::ensure;
use crate::op::Op;
use crate::status::{Error, Result};
use crate::telemetry::Traffic;
use once_cell::sync::OnceCell;
use std::sync::Arc;

/// Bytes a tile of a parallel copy.
const TILE: usize = 1 << 20;
/// Rough nanoseconds a KiB of a copy on one thread.
const NS_A_KIB: u64 = 60;

/// Some bytes of a buffer.
pub struct Slice {
    buffer: Arc<Buffer>,
    offset: usize,
    size: usize,
}

impl Slice {
    /// Checks that the bytes lie inside `buffer`; `what` names the operation and the argument.
    pub fn new(what: &str, buffer: Arc<Buffer>, offset: u64, size: u64) -> Result<Self> {
        let room = buffer.size() as u64;
        let fits = offset <= room && size <= room - offset;
        ensure!(fits, "{what}: offset {offset} and size {size} reach past the {room} bytes of the buffer");
        Ok(Self { buffer, offset: offset as usize, size: size as usize })
    }

    fn ptr(&self) -> *mut u8 {
        self.buffer.ptr().wrapping_add(self.offset)
    }

    fn at(&self) -> u64 {
        self.buffer.at().wrapping_add(self.offset as u64)
    }

    fn overlaps(&self, other: &Self) -> bool {
        let bytes = |slice: &Self| {
            let begin = slice.buffer.at() + slice.offset as u64;
            begin..begin + slice.size as u64
        };
        let (own, others) = (bytes(self), bytes(other));
        own.start < others.end && others.start < own.end && self.size > 0 && other.size > 0
    }
}

/// Memory of the host that the caller keeps valid until the request completes.
#[derive(Clone, Copy)]
pub struct HostPtr(*mut u8);

impl HostPtr {
    /// The address `offset` bytes on. A method, so that closures capture the whole value and not the bare pointer.
    fn at(self, offset: usize) -> *mut u8 {
        self.0.wrapping_add(offset)
    }
}

// SAFETY: a number here; it is dereferenced only under the contract of `Transfer::write` and `Transfer::read`.
unsafe impl Send for HostPtr {}
// SAFETY: as above.
unsafe impl Sync for HostPtr {}

enum Work {
    FromHost { src: HostPtr, dst: Slice },
    FromCopy { src: Vec<u8>, dst: Slice },
    ToHost { src: Slice, dst: HostPtr },
    Between { src: Slice, dst: Slice },
    Fill { dst: Slice, pattern: [u8; 8], period: usize },
}

/// A checked transfer.
pub struct Transfer {
    work: Work,
    /// Where a read's bytes are to be fetched from at the end.
    staged: OnceCell<Staged>,
}

impl From<Work> for Transfer {
    fn from(work: Work) -> Self {
        Self { work, staged: OnceCell::new() }
    }
}

impl Transfer {
    /// Host to buffer.
    ///
    /// # Safety
    ///
    /// `src` is null or valid for reads of the slice's size until the request completes.
    pub unsafe fn write(src: *const u8, dst: Slice) -> Result<Self> {
        ensure!(
            !src.is_null() || dst.size == 0,
            "weft_write: src is NULL; expected {} readable bytes",
            dst.size
        );
        Ok(Self::from(Work::FromHost { src: HostPtr(src.cast_mut()), dst }))
    }

    /// Host to buffer, from a copy made now.
    ///
    /// # Safety
    ///
    /// `src` is null or valid for reads of the slice's size during this call.
    pub unsafe fn write_copied(src: *const u8, dst: Slice) -> Result<Self> {
        ensure!(
            !src.is_null() || dst.size == 0,
            "weft_write: src is NULL; expected {} readable bytes",
            dst.size
        );
        let mut copy = Vec::new();
        copy.try_reserve_exact(dst.size).map_err(|_| Error::out_of_memory(dst.size))?;
        if dst.size > 0 {
            // SAFETY: not null, so valid for `size` reads; a slice's size never exceeds `isize::MAX`.
            copy.extend_from_slice(unsafe { std::slice::from_raw_parts(src, dst.size) });
        }
        Ok(Self::from(Work::FromCopy { src: copy, dst }))
    }

    /// Buffer to host.
    ///
    /// # Safety
    ///
    /// `dst` is null or valid for writes of the slice's size until the request completes.
    pub unsafe fn read(src: Slice, dst: *mut u8) -> Result<Self> {
        ensure!(
            !dst.is_null() || src.size == 0,
            "weft_read: dst is NULL; expected {} writable bytes",
            src.size
        );
        Ok(Self::from(Work::ToHost { src, dst: HostPtr(dst) }))
    }

    /// Buffer to buffer.
    pub fn copy(src: Slice, dst: Slice) -> Result<Self> {
        ensure!(!src.overlaps(&dst), "weft_copy: src and dst overlap; expected separate bytes");
        Ok(Self::from(Work::Between { src, dst }))
    }

    /// The low `period` bytes of `pattern`, over and over.
    pub fn fill(dst: Slice, pattern: u64, period: u32) -> Result<Self> {
        let known = matches!(period, 1 | 2 | 4 | 8);
        ensure!(known, "weft_fill: pattern_size is {period}; expected 1, 2, 4 or 8");
        let period = period as usize;
        let whole = dst.offset.is_multiple_of(period) && dst.size.is_multiple_of(period);
        ensure!(
            whole,
            "weft_fill: offset {} and size {} are not multiples of pattern_size {period}",
            dst.offset,
            dst.size
        );
        Ok(Self::from(Work::Fill { dst, pattern: pattern.to_le_bytes(), period }))
    }
}

/// No work: completes when everything before it in the queue has. Has no state, so that an empty request allocates none.
pub struct Barrier;

impl Op for Barrier {
    fn cpu(&self, _: &Cpu) -> Result<()> {
        Ok(())
    }

    fn cuda(&self, _: &Stream) -> Result<()> {
        Ok(())
    }
}

impl Op for Transfer {
    fn cpu(&self, cpu: &Cpu) -> Result<()> {
        match &self.work {
            Work::FromHost { src, dst } => copy(cpu, *src, HostPtr(dst.ptr()), dst.size),
            Work::FromCopy { src, dst } => {
                copy(cpu, HostPtr(src.as_ptr().cast_mut()), HostPtr(dst.ptr()), dst.size)
            }
            Work::ToHost { src, dst } => copy(cpu, HostPtr(src.ptr()), *dst, src.size),
            Work::Between { src, dst } => {
                copy(cpu, HostPtr(src.ptr()), HostPtr(dst.ptr()), src.size.min(dst.size))
            }
            Work::Fill { dst, pattern, period } => fill(cpu, HostPtr(dst.ptr()), dst.size, *pattern, *period),
        }
        Ok(())
    }

    fn cuda(&self, stream: &Stream) -> Result<()> {
        cuda::queue(self, stream)
    }

    fn conclude(&self, _: u32) -> Result<()> {
        cuda::fetch(self);
        Ok(())
    }

    fn shape(&self, out: &mut dyn std::fmt::Write) -> std::fmt::Result {
        let Traffic { written, read, copied, filled } = self.traffic();
        write!(out, "{} bytes", written + read + copied + filled)
    }

    fn traffic(&self) -> Traffic {
        let mut traffic = Traffic::default();
        match &self.work {
            Work::FromHost { dst, .. } | Work::FromCopy { dst, .. } => traffic.written = dst.size as u64,
            Work::ToHost { src, .. } => traffic.read = src.size as u64,
            Work::Between { dst, .. } => traffic.copied = dst.size as u64,
            Work::Fill { dst, .. } => traffic.filled = dst.size as u64,
        }
        traffic
    }
}

/// Runs `work(start, length)` over tiles of `size` bytes.
fn tiles(cpu: &Cpu, size: usize, work: impl Fn(usize, usize) + Sync) {
    let cost = (size >> 10) as u64 * NS_A_KIB;
    cpu.parallel(size.div_ceil(TILE), cost, |tile| work(tile * TILE, TILE.min(size - tile * TILE)));
}

fn copy(cpu: &Cpu, src: HostPtr, dst: HostPtr, size: usize) {
    tiles(cpu, size, |start, length| {
        // SAFETY: both are valid for `size` bytes (a checked slice, or the caller's promise) and `start + length` is at
        // most `size`. `ptr::copy` because a host pointer may point into a buffer's own memory.
        unsafe { std::ptr::copy(src.at(start), dst.at(start), length) };
    });
}

fn fill(cpu: &Cpu, dst: HostPtr, size: usize, pattern: [u8; 8], period: usize) {
    tiles(cpu, size, |start, length| {
        // SAFETY: a checked slice is valid for `size` bytes, tiles do not overlap, and nobody holds a reference to them.
        let bytes = unsafe { std::slice::from_raw_parts_mut(dst.at(start), length) };
        bytes.chunks_mut(period).for_each(|chunk| chunk.copy_from_slice(&pattern[..chunk.len()]));
    });
}

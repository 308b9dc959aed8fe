//! Transfers on a CUDA device: copies and fills that the driver has.

use super::{HostPtr, Slice, Transfer, Work};
use crate::device::cuda::Stream;
use crate::status::Result;

/// Queues the transfer.
pub fn queue(transfer: &Transfer, stream: &Stream) -> Result<()> {
    match &transfer.work {
        Work::FromHost { src, dst } => upload(stream, *src, dst),
        Work::FromCopy { src, dst } => upload(stream, HostPtr(src.as_ptr().cast_mut()), dst),
        Work::ToHost { src, dst } => download(transfer, stream, src, *dst),
        Work::Between { src, dst } => copy(stream, src, dst),
        Work::Fill { dst, pattern, period } => fill(stream, dst, *pattern, *period),
    }
}

fn upload(stream: &Stream, src: HostPtr, dst: &Slice) -> Result<()> {
    if dst.size == 0 {
        return Ok(());
    }
    // SAFETY: a checked slice, and host memory that is valid until the request is done: the caller's promise, or our copy.
    unsafe { stream.upload(dst.at(), src.at(0), dst.size) }
}

fn download(transfer: &Transfer, stream: &Stream, src: &Slice, dst: HostPtr) -> Result<()> {
    if src.size == 0 {
        return Ok(());
    }
    // SAFETY: a checked slice, and host memory that is valid until the request is done by the caller's promise.
    let staged = unsafe { stream.download(dst.at(0), src.at(), src.size)? };
    if let Some(staged) = staged {
        let _ = transfer.staged.set(staged); // a request runs once
    }
    Ok(())
}

/// The device is done: the bytes of a small read go where the caller wants them.
pub fn fetch(transfer: &Transfer) {
    if let (Some(staged), Work::ToHost { src, dst }) = (transfer.staged.get(), &transfer.work) {
        // SAFETY: staging memory of this request holds so many bytes; the caller's memory is valid until its completion.
        unsafe { std::ptr::copy_nonoverlapping(staged.0, dst.at(0), src.size) };
    }
}

fn copy(stream: &Stream, src: &Slice, dst: &Slice) -> Result<()> {
    let size = src.size.min(dst.size);
    if size == 0 {
        return Ok(());
    }
    // SAFETY: checked slices that do not overlap.
    unsafe { stream.copy(dst.at(), src.at(), size) }
}

fn fill(stream: &Stream, dst: &Slice, pattern: [u8; 8], period: usize) -> Result<()> {
    if dst.size == 0 {
        return Ok(());
    }
    if period == 8 {
        return super::ptx::fill(stream, dst.at(), dst.size as u64, pattern, period);
    }
    let [a, b, c, d, ..] = pattern;
    // SAFETY: a checked slice, whose offset and size are multiples of the period; buffers are aligned beyond it.
    unsafe { stream.fill(dst.at(), dst.size, u32::from_le_bytes([a, b, c, d]), period) }
}

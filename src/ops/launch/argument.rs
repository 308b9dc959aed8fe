//! Arguments of launches: one record a kind, and the bytes that a kernel's parameters get.

use super::{Lookup, Sources};
use crate::device::Buffer;
use crate::status::{Error, Result};
use crate::{ensure, fail};
use std::ffi::c_void;
use std::sync::Arc;

/// A number of 32 bits without sign, from weft_argument.integer.
pub const WEFT_ARGUMENT_U32: u32 = 1;
/// A number of 32 bits with sign, from weft_argument.integer: -1 is UINT64_MAX there.
pub const WEFT_ARGUMENT_I32: u32 = 2;
/// A number of 64 bits without sign, from weft_argument.integer.
pub const WEFT_ARGUMENT_U64: u32 = 3;
/// A number of 64 bits with sign, from weft_argument.integer: -1 is UINT64_MAX there.
pub const WEFT_ARGUMENT_I64: u32 = 4;
/// A float, from weft_argument.real, rounded.
pub const WEFT_ARGUMENT_F32: u32 = 5;
/// A double, from weft_argument.real.
pub const WEFT_ARGUMENT_F64: u32 = 6;
/// The device's address of byte weft_argument.offset of weft_argument.buffer.
pub const WEFT_ARGUMENT_BUFFER: u32 = 7;
/// The first weft_argument.size of weft_argument.bytes: a struct, or a number of another width.
pub const WEFT_ARGUMENT_BYTES: u32 = 8;

/// The weft_argument.size bytes at the host's address weft_argument.integer, read during the call: a parameter of any size.
pub const WEFT_ARGUMENT_HOST: u32 = 9;

/// The most bytes that an argument of WEFT_ARGUMENT_BYTES has.
pub const WEFT_MAX_ARGUMENT_BYTES: u32 = 128;

const KINDS: [&str; 10] = ["none", "U32", "I32", "U64", "I64", "F32", "F64", "BUFFER", "BYTES", "HOST"];

/// One argument of a launch. Frozen: its fields never change. Those that its kind does not use are not looked at.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types)]
pub struct weft_argument {
    /// What it is, one of WEFT_ARGUMENT_U32 ... WEFT_ARGUMENT_HOST.
    pub kind: u32,
    /// WEFT_ARGUMENT_BYTES, _HOST: how many bytes there are.
    pub size: u32,
    /// WEFT_ARGUMENT_U32, _I32, _U64, _I64: the number; WEFT_ARGUMENT_HOST: the address.
    pub integer: u64,
    /// WEFT_ARGUMENT_F32, _F64: the number.
    pub real: f64,
    /// WEFT_ARGUMENT_BUFFER: the buffer's handle.
    pub buffer: u64,
    /// WEFT_ARGUMENT_BUFFER: bytes from the buffer's start.
    pub offset: u64,
    /// WEFT_ARGUMENT_BYTES: the parameter's bytes.
    pub bytes: [u8; 128],
}

impl Default for weft_argument {
    fn default() -> Self {
        Self { kind: 0, size: 0, integer: 0, real: 0.0, buffer: 0, offset: 0, bytes: [0; 128] }
    }
}

/// The bytes of a launch's parameters, each from an address that is a multiple of 8, and the buffers that they point into.
#[derive(Default)]
pub struct Packed {
    words: Vec<u64>,
    /// Where each begins in `words`.
    starts: Vec<u32>,
    buffers: Vec<Arc<Buffer>>,
}

impl Packed {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// The addresses of all, valid as long as `self` is not changed; they are only read.
    pub fn pointers(&self) -> impl Iterator<Item = *mut c_void> {
        self.starts.iter().map(|&start| self.words[start as usize..].as_ptr().cast_mut().cast())
    }

    /// Adds argument `index` for a parameter of `size` bytes.
    pub fn push(&mut self, index: usize, of: &weft_argument, size: usize, sources: &Sources) -> Result<()> {
        let known = (1..KINDS.len() as u32).contains(&of.kind);
        ensure!(
            known,
            "launch: arguments[{index}].kind is {}; expected WEFT_ARGUMENT_U32 (1) to _HOST (9)",
            of.kind
        );
        let own = bytes_of(index, of)?;
        ensure!(
            own == size,
            "launch: arguments[{index}] (WEFT_ARGUMENT_{}) has {own} bytes; expected {size}, as parameter {index} of the kernel",
            KINDS[of.kind as usize]
        );
        match of.kind {
            WEFT_ARGUMENT_BYTES => return self.put(&of.bytes[..own]),
            WEFT_ARGUMENT_HOST => self.put(&(sources.host)(index, of)?)?,
            WEFT_ARGUMENT_BUFFER => self.point(index, of, sources.buffers)?,
            WEFT_ARGUMENT_F32 => self.put(&(of.real as f32).to_ne_bytes())?,
            WEFT_ARGUMENT_F64 => self.put(&of.real.to_ne_bytes())?,
            WEFT_ARGUMENT_U64 | WEFT_ARGUMENT_I64 => self.put(&of.integer.to_ne_bytes())?,
            _ => self.put(&narrow(index, of)?.to_ne_bytes())?,
        }
        Ok(())
    }

    fn point(&mut self, index: usize, of: &weft_argument, buffers: Lookup) -> Result<()> {
        let buffer = buffers(index, of.buffer)?;
        let (offset, size) = (of.offset, buffer.size() as u64);
        ensure!(
            offset <= size,
            "launch: arguments[{index}].offset is {offset}; expected at most the {size} bytes of the buffer"
        );
        self.put(&buffer.at().wrapping_add(offset).to_ne_bytes())?;
        self.buffers.try_reserve(1).map_err(|_| Error::out_of_memory(8))?;
        self.buffers.push(buffer);
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let refused = |_| Error::out_of_memory(bytes.len());
        self.words.try_reserve(bytes.len().div_ceil(8)).map_err(refused)?;
        self.starts.try_reserve(1).map_err(refused)?;
        self.starts.push(self.words.len() as u32);
        for piece in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..piece.len()].copy_from_slice(piece);
            self.words.push(u64::from_ne_bytes(word));
        }
        Ok(())
    }
}

/// Bytes of an argument of a known kind.
fn bytes_of(index: usize, of: &weft_argument) -> Result<usize> {
    match of.kind {
        WEFT_ARGUMENT_U32 | WEFT_ARGUMENT_I32 | WEFT_ARGUMENT_F32 => Ok(4),
        WEFT_ARGUMENT_HOST => Ok(of.size as usize),
        WEFT_ARGUMENT_BYTES => {
            let fits = (1..=WEFT_MAX_ARGUMENT_BYTES).contains(&of.size);
            ensure!(
                fits,
                "launch: arguments[{index}].size is {}; expected 1 to {WEFT_MAX_ARGUMENT_BYTES}",
                of.size
            );
            Ok(of.size as usize)
        }
        _ => Ok(8),
    }
}

/// The low half of an integer that fits there.
fn narrow(index: usize, of: &weft_argument) -> Result<u32> {
    let (number, signed) = (of.integer, of.integer.cast_signed());
    match of.kind {
        WEFT_ARGUMENT_U32 if u32::try_from(number).is_err() => fail!(
            WEFT_ERROR_INVALID_ARGUMENT,
            "launch: arguments[{index}].integer is {number}; expected at most 4294967295 (WEFT_ARGUMENT_U32)"
        ),
        WEFT_ARGUMENT_I32 if i32::try_from(signed).is_err() => fail!(
            WEFT_ERROR_INVALID_ARGUMENT,
            "launch: arguments[{index}].integer is {signed}; expected -2147483648 to 2147483647 (WEFT_ARGUMENT_I32)"
        ),
        _ => Ok(number as u32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(of: &weft_argument, size: usize) -> Result<Vec<u64>> {
        let mut packed = Packed::default();
        let host = |_: usize, of: &weft_argument| Ok(vec![of.integer as u8; of.size as usize]);
        let sources =
            Sources { buffers: &|_, _| fail!(WEFT_ERROR_STALE_HANDLE, "no buffers here"), host: &host };
        packed.push(3, of, size, &sources)?;
        assert_eq!((packed.len(), packed.pointers().count()), (1, 1));
        Ok(packed.words)
    }

    fn integer(kind: u32, integer: u64) -> weft_argument {
        weft_argument { kind, integer, ..Default::default() }
    }

    #[test]
    fn arguments_become_the_bytes_of_their_kind() {
        let minus = (-7i64).cast_unsigned();
        assert_eq!(pack(&integer(WEFT_ARGUMENT_U32, 0xffff_ffff), 4).unwrap(), [0xffff_ffff]);
        assert_eq!(pack(&integer(WEFT_ARGUMENT_I32, minus), 4).unwrap(), [0xffff_fff9]);
        assert_eq!(pack(&integer(WEFT_ARGUMENT_I64, minus), 8).unwrap(), [minus]);
        let real = |kind| weft_argument { kind, real: 1.5, ..Default::default() };
        assert_eq!(pack(&real(WEFT_ARGUMENT_F32), 4).unwrap(), [u64::from(1.5f32.to_bits())]);
        assert_eq!(pack(&real(WEFT_ARGUMENT_F64), 8).unwrap(), [1.5f64.to_bits()]);
        let mut bytes = weft_argument { kind: WEFT_ARGUMENT_BYTES, size: 9, ..Default::default() };
        bytes.bytes[..10].copy_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 2, 99]);
        assert_eq!(pack(&bytes, 9).unwrap(), [1, 2], "what is past the size stays out");
        let far = weft_argument { kind: WEFT_ARGUMENT_HOST, size: 200, integer: 3, ..Default::default() };
        assert_eq!(pack(&far, 200).unwrap(), [0x0303_0303_0303_0303; 25], "a parameter of any size");
    }

    #[test]
    fn arguments_that_do_not_fit_are_told_by_number() {
        let told = |of: &weft_argument, size, word: &str| {
            let text = pack(of, size).unwrap_err().message;
            assert!(text.contains("arguments[3]") && text.contains(word), "{word}: {text}");
        };
        told(&integer(0, 0), 4, "kind is 0");
        told(&integer(10, 0), 4, "kind is 10");
        told(&integer(WEFT_ARGUMENT_HOST, 1), 4, "(WEFT_ARGUMENT_HOST) has 0 bytes; expected 4");
        told(&integer(WEFT_ARGUMENT_U32, 1 << 32), 4, "4294967296");
        told(&integer(WEFT_ARGUMENT_I32, 1 << 31), 4, "2147483648");
        told(&integer(WEFT_ARGUMENT_U32, 1), 8, "has 4 bytes; expected 8");
        told(&integer(WEFT_ARGUMENT_BUFFER, 1), 4, "has 8 bytes; expected 4");
        for size in [0, 129, u32::MAX] {
            told(&weft_argument { kind: WEFT_ARGUMENT_BYTES, size, ..Default::default() }, 4, "size is");
        }
        let error = pack(&integer(WEFT_ARGUMENT_BUFFER, 1), 8).unwrap_err();
        assert_eq!(error.message, "no buffers here");
    }
}

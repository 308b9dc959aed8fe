//! Chunks: a few KiB of every operand side by side, converted to the type that is computed with. What already lies so in
//! memory is used where it is; the rest is gathered into a stage on the stack, and results scattered from there.

use crate::dtype::{Dtype, bf16, f16};
use crate::kernels::widen::Widen;

/// Bytes of one operand's stage.
const STAGE: usize = 4096;

/// What a kernel gets: `count` elements of each operand one after another, and room for as many results. Operands that
/// the function does not take repeat the first. No result lies on an element that is read.
pub(super) struct Chunk<T> {
    pub x: [*const T; 3],
    pub y: *mut T,
    pub count: usize,
    pub alpha: f64,
    pub beta: f64,
}

/// The loop of one function over a chunk computed in `T`.
pub(super) type Kernel<T> = fn(&Chunk<T>);

/// Gathers or scatters: (source, destination, stride in elements of the strided side, count).
type Move = unsafe fn(*const u8, *mut u8, isize, usize);

/// How an operand's elements come into a chunk and results leave it.
#[derive(Clone, Copy)]
pub(super) struct Port {
    /// Bytes of an element in memory.
    pub size: usize,
    /// Bytes of an element in a chunk.
    pub staged: usize,
    pub gather: Move,
    pub scatter: Move,
    /// Whether a chunk holds the element as memory does.
    pub plain: bool,
}

impl Port {
    /// Of this element type; halves become f32.
    pub fn of(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F16 => Self::widened::<f16>(),
            Dtype::Bf16 => Self::widened::<bf16>(),
            _ => Self::plain(dtype.size()),
        }
    }

    /// The bits as they are.
    pub fn plain(size: usize) -> Self {
        let (gather, scatter): (Move, Move) = match size {
            1 => (gather::<u8>, scatter::<u8>),
            2 => (gather::<u16>, scatter::<u16>),
            4 => (gather::<u32>, scatter::<u32>),
            8 => (gather::<u64>, scatter::<u64>),
            _ => (gather::<u128>, scatter::<u128>),
        };
        Self { size, staged: size, gather, scatter, plain: true }
    }

    fn widened<T: Widen<Wide = f32>>() -> Self {
        Self { size: 2, staged: 4, gather: gather_wide::<T>, scatter: scatter_narrow::<T>, plain: false }
    }
}

/// Room for a chunk of each operand and of the results, and which of them was asked about.
// In this order: the stages are aligned as the whole is.
#[repr(C, align(64))]
pub(super) struct Stages([std::mem::MaybeUninit<[u8; STAGE]>; 4], [bool; 4]);

impl Stages {
    pub fn new() -> Self {
        Self([std::mem::MaybeUninit::uninit(); 4], [false; 4])
    }

    pub fn at(&mut self, number: usize) -> *mut u8 {
        self.0[number].as_mut_ptr().cast()
    }

    /// Whether this was asked about this stage before.
    pub fn filled(&mut self, number: usize) -> bool {
        std::mem::replace(&mut self.1[number], true)
    }

    /// Elements in a chunk whose largest has this many bytes.
    pub const fn count(largest: usize) -> usize {
        STAGE / largest
    }
}

/// SAFETY (of the callers of all four): the strided side is valid for `count` elements `stride` apart, the other for
/// `count` elements, and the two do not overlap.
unsafe fn gather<T: Copy>(from: *const u8, to: *mut u8, stride: isize, count: usize) {
    let (from, to) = (from.cast::<T>(), to.cast::<T>());
    // SAFETY: the contract above, for every index below `count`.
    unsafe {
        match stride {
            1 => std::ptr::copy_nonoverlapping(from, to, count),
            0 => {
                let value = *from;
                (0..count).for_each(|i| *to.add(i) = value);
            }
            _ => (0..count).for_each(|i| *to.add(i) = *from.offset(stride.wrapping_mul(i as isize))),
        }
    }
}

/// SAFETY: as for [`gather`].
unsafe fn scatter<T: Copy>(from: *const u8, to: *mut u8, stride: isize, count: usize) {
    let (from, to) = (from.cast::<T>(), to.cast::<T>());
    // SAFETY: the contract, for every index below `count`.
    unsafe {
        match stride {
            1 => std::ptr::copy_nonoverlapping(from, to, count),
            _ => (0..count).for_each(|i| *to.offset(stride.wrapping_mul(i as isize)) = *from.add(i)),
        }
    }
}

/// SAFETY: as for [`gather`].
unsafe fn gather_wide<T: Widen<Wide = f32>>(from: *const u8, to: *mut u8, stride: isize, count: usize) {
    let (from, to) = (from.cast::<T>(), to.cast::<f32>());
    // SAFETY: the contract, for every index below `count`.
    unsafe {
        if stride != 0 {
            return T::gather(from, stride, to, count);
        }
        let value = (*from).wide();
        (0..count).for_each(|i| *to.add(i) = value);
    }
}

/// SAFETY: as for [`gather`].
unsafe fn scatter_narrow<T: Widen<Wide = f32>>(from: *const u8, to: *mut u8, stride: isize, count: usize) {
    let (from, to) = (from.cast::<f32>(), to.cast::<T>());
    // SAFETY: the contract.
    unsafe { T::scatter(from, to, stride, count) };
}

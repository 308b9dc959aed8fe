//! Launches of the caller's own kernels: the descriptor and every check that can be made of one. What a kernel does with its
//! arguments is the caller's: its PTX is code that is trusted like any other code of the program.

mod argument;
mod program;

pub use argument::{
    WEFT_ARGUMENT_BUFFER, WEFT_ARGUMENT_BYTES, WEFT_ARGUMENT_F32, WEFT_ARGUMENT_F64, WEFT_ARGUMENT_HOST,
    WEFT_ARGUMENT_I32, WEFT_ARGUMENT_I64, WEFT_ARGUMENT_U32, WEFT_ARGUMENT_U64, WEFT_MAX_ARGUMENT_BYTES,
    weft_argument,
};
pub use program::{Kernel, Program};

use crate::device::cuda::{Shape, Stream};
use crate::device::{Buffer, Cpu};
use crate::op::Op;
use crate::status::{Error, Result};
use crate::{ensure, fail};
use argument::Packed;
use std::ffi::c_void;
use std::fmt::{self, Write};
use std::sync::Arc;

/// The most threads of a block along its last axis, on every CUDA device.
const MOST_DEEP: u32 = 64;

/// One launch of a kernel of weft_kernel_get.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types)]
pub struct weft_launch_desc {
    /// sizeof(weft_launch_desc).
    pub struct_size: u32,
    /// 0.
    pub flags: u32,
    /// What to launch: a weft_kernel of the queue's context.
    pub kernel: u64,
    /// Blocks along each axis; 0 means 1, but for the first, which is required.
    pub grid: [u32; 3],
    /// Threads of a block along each axis; 0 means 1, but for the first, which is required.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory.
    pub shared: u32,
    /// How many arguments follow: as many as the kernel has parameters.
    pub argument_count: u32,
    /// The arguments, in the order of the parameters; read during the call. NULL with 0.
    pub arguments: *const weft_argument,
}

impl Default for weft_launch_desc {
    fn default() -> Self {
        let (grid, block) = ([0; 3], [0; 3]);
        Self {
            struct_size: 0,
            flags: 0,
            kernel: 0,
            grid,
            block,
            shared: 0,
            argument_count: 0,
            arguments: std::ptr::null(),
        }
    }
}

/// Finds the buffer that argument `index` names.
pub type Lookup<'a> = &'a dyn Fn(usize, u64) -> Result<Arc<Buffer>>;

/// Where arguments come from that are not in their record.
pub struct Sources<'a> {
    /// Finds buffers.
    pub buffers: Lookup<'a>,
    /// Reads the host's bytes that argument `index`, of WEFT_ARGUMENT_HOST, names.
    pub host: &'a dyn Fn(usize, &weft_argument) -> Result<Vec<u8>>,
}

/// A checked launch. Its buffers live until the device is past it.
struct Launch {
    kernel: Arc<Kernel>,
    shape: Shape,
    arguments: Packed,
}

/// Checks a launch of `kernel`, which is of the queue's context.
pub fn new(
    desc: &weft_launch_desc,
    kernel: Arc<Kernel>,
    arguments: &[weft_argument],
    sources: &Sources,
) -> Result<Box<dyn Op>> {
    ensure!(desc.flags == 0, "launch: flags are {:#x}; expected 0", desc.flags);
    let shape = shape(desc, &kernel)?;
    let sizes = kernel.parameters();
    ensure!(
        arguments.len() == sizes.len(),
        "launch: argument_count is {}; expected {}, the parameters of kernel {:?}",
        arguments.len(),
        sizes.len(),
        kernel.name()
    );
    let mut packed = Packed::default();
    for (index, (argument, &size)) in arguments.iter().zip(sizes).enumerate() {
        packed.push(index, argument, size, sources)?;
    }
    Ok(Box::new(Launch { kernel, shape, arguments: packed }))
}

/// Grid, block and shared memory, if the kernel can be launched so.
fn shape(desc: &weft_launch_desc, kernel: &Kernel) -> Result<Shape> {
    let sides = |[x, y, z]: [u32; 3]| [x, y.max(1), z.max(1)];
    let (grid, block, limits) = (sides(desc.grid), sides(desc.block), kernel.limits());
    ensure!(
        (1..1 << 31).contains(&grid[0]) && grid[1] < 65536 && grid[2] < 65536,
        "launch: grid is {grid:?}; expected 1 to 2147483647 by 1 to 65535 by 1 to 65535 blocks"
    );
    let cluster = limits.cluster.unwrap_or([1; 3]);
    ensure!(
        grid.iter().zip(cluster).all(|(side, of)| side.is_multiple_of(of)),
        "launch: grid is {grid:?}; expected multiples of {cluster:?}, the clusters of kernel {:?}",
        kernel.name()
    );
    ensure!(
        kernel.block().is_none_or(|only| block == only),
        "launch: block is {block:?}; expected {:?}, what kernel {:?} requires (.reqntid)",
        kernel.block().unwrap_or_default(),
        kernel.name()
    );
    let threads = block.iter().map(|&side| u128::from(side)).product::<u128>();
    ensure!(
        (1..=u128::from(limits.threads)).contains(&threads) && block[2] <= MOST_DEEP,
        "launch: block is {block:?}; expected 1 to {} threads (what kernel {:?} can have), at most {MOST_DEEP} along the last axis",
        limits.threads,
        kernel.name()
    );
    ensure!(
        desc.shared <= limits.shared,
        "launch: shared is {} bytes; expected at most {}, what the device has beside the kernel's own",
        desc.shared,
        limits.shared
    );
    Ok(Shape { grid, block, shared: desc.shared })
}

impl Op for Launch {
    fn cpu(&self, _: &Cpu) -> Result<()> {
        fail!(WEFT_ERROR_UNSUPPORTED, "launch: a kernel of PTX does not run on the CPU device")
    }

    fn cuda(&self, stream: &Stream) -> Result<()> {
        let mut pointers: Vec<*mut c_void> = Vec::new();
        let count = self.arguments.len();
        pointers.try_reserve_exact(count).map_err(|_| Error::out_of_memory(count * 8))?;
        pointers.extend(self.arguments.pointers());
        // SAFETY: as many arguments as the kernel has parameters, each of its size, checked in `new`; the driver copies them
        // before it returns. The buffers live as long as `self`; what else the kernel reaches is its author's promise.
        unsafe { self.kernel.function().launch(stream, self.shape, &mut pointers) }
    }

    fn shape(&self, out: &mut dyn Write) -> fmt::Result {
        write!(out, "{} {:?} x {:?}", self.kernel.name(), self.shape.grid, self.shape.block)
    }
}

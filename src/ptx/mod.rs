//! The PTX writer: kernels are Rust functions that run once, on the host, and leave PTX text behind.
//!
//! # A kernel in ten minutes
//!
//! ```
//! use weft::ptx::{Builder, Global, Kernel, Shape, Target, params};
//!
//! params! {
//!     /// y = a * x + y. The host fills in `Args`, the kernel sees the same fields in `Vals`.
//!     pub struct Args / Vals {
//!         /// Elements.
//!         n: u32,
//!         /// Factor.
//!         a: f32,
//!         /// Read: an address on the host, a typed pointer on the device.
//!         x: Global<f32>,
//!         /// Updated.
//!         y: Global<f32>,
//!     }
//! }
//!
//! fn axpy(target: Target) -> weft::status::Result<Kernel<Args>> {
//!     Kernel::build(&Shape::new("axpy", target, [256, 1, 1]), |k: &Builder, v: Vals<'_>| {
//!         k.grid_stride(v.n, |i| {
//!             let y = v.y.at(i);
//!             y.store(k.fma(v.a, v.x.at(i).load(), y.load()));
//!         });
//!     })
//! }
//!
//! let kernel = axpy(Target::of_device(9, 0)?)?;
//! assert!(kernel.text.contains("fma.rn.f32"));
//! let arguments = Args { n: 1 << 20, a: 2.0, x: 0x7000_0000, y: 0x7100_0000 }.arguments();
//! assert_eq!(arguments.fields().map(|field| field.len()).collect::<Vec<_>>(), kernel.argument_sizes);
//! # use weft::ptx::Params;
//! # Ok::<(), weft::status::Error>(())
//! ```
//!
//! * `Reg<T>` is a virtual register of type `T`; the assembler allots the real ones. `a + b`, `a * 2.0f32`, `!p`, `i >> 5u32`
//!   are instructions; so is every method of `Builder`. Where a constant may stand for a register, both are
//!   `Operand`s.
//! * An instruction that a type lacks does not compile. One that the target lacks, or a wrong number, makes
//!   `Kernel::build` return a sentence; nothing panics.
//! * A Rust `if` or `for` decides and unrolls while writing. On the device: `when`, `if_else`, `steps`, `repeat_while`,
//!   `forever`, `scope` (leaving early), `ret_if`; `only` makes the instructions of a closure conditional without a branch.
//! * A register may be written again: `let sum = k.var(0.0f32); ... sum.set(k.fma(a, b, sum));`.
//! * `Ptr` is a typed address: `at(i)` (an instruction), `plus(4)` (none), `load`, `load_vec::<4>()`, `store`, `load_if`,
//!   `loading(Load::Stream)`, `atomic()`. `k.shared::<f32>(n)` reserves shared memory, beyond 48 KB too.
//! * There is no optimiser: instructions come out in the order written, and the same Rust gives the same text. `fma` is
//!   never made of `*` and `+`: write it.
//! * `.target` and `.version` say the least that the instructions used ask for.
//!
//! # Where things are
//!
//! A file a chapter of the manual: [`integers`], [`floats`], [`compare`], [`special`], [`convert`], [`memory`] and [`pointer`],
//! [`shared`], [`warp`], [`barrier`], [`atomic`], [`mma`], [`matrix`], [`copy`]; of Hopper [`mbarrier`], [`tma`], [`wgmma`], [`cluster`] and [`launch`]; the frame is in `flow`, `position`, `params`,
//! `kernel`, `builder`, `ty`, `target` and `table`. Each instruction is a line with what it needs. To add one, add the line and
//! a sample: the tests write every sample, and NVIDIA's assembler has to agree with what the line says.

pub mod atomic;
pub mod barrier;
mod builder;
pub mod cluster;
pub mod compare;
mod constant;
pub mod convert;
pub mod copy;
pub mod floats;
mod flow;
pub mod integers;
mod kernel;
pub mod launch;
pub mod matrix;
pub mod mbarrier;
pub mod memory;
pub mod mma;
mod params;
pub mod pointer;
pub mod position;
pub mod shared;
pub mod special;
mod table;
mod target;
pub mod tma;
mod ty;
pub mod warp;
pub mod wgmma;

pub use builder::Builder;
pub use flow::Exit;
pub use kernel::{Kernel, Shape, Text};
pub use matrix::Turn;
pub use memory::{Load, Policy, Scope, Store, Strength};
pub use params::{Arguments, Param, Params, TensorMap, WordList, Words, params};
pub use pointer::{Cluster, Const, Generic, Global, Ptr, Shared};
pub use table::{Has, Sample};
pub use target::Target;
pub use ty::{
    Bf16x2, Constant, E4m3, E4m3x2, E4m3x4, E5m2, E5m2x2, E5m2x4, Element, F16x2, F32x2, I8x4, Operand, Reg,
    Tf32, Ty, U8x4,
};

/// Every instruction of the chapters that are tables, with every type that has it, for the tests.
#[doc(hidden)]
pub fn samples() -> Vec<Sample> {
    let chapters = [
        integers::samples,
        floats::samples,
        special::samples,
        compare::samples,
        convert::samples,
        position::samples,
        warp::samples,
        atomic::samples,
        mma::samples,
    ];
    chapters.iter().flat_map(|samples| samples()).collect()
}

//! Weft: asynchronous compute behind a C ABI.
//!
//! Data flows one way: C call -> validation -> request -> queue -> device -> completion.
//!
//! ```text
//! api (weft_matmul) -> ops::matmul (checks) -> queue (order) -> device (runs it) -> queue::Request (the record)
//! ```
//!
//! | layer | module | may import | must not know |
//! |---|---|---|---|
//! | 0 | [`status`], [`dtype`], [`layout`]; `reserve` (the allocator), `sync` (locks and atomics) | each other, in this order | anything else |
//! | 1 | [`handle`], [`ptx`] (the PTX writer) | layer 0 | what its tables store |
//! | 1 | [`telemetry`] (counters, log, trace: below all who have something to tell) | `status`, `sync` | whose counters they are |
//! | 2 | [`device`] with `cpu/` and `cuda/` | 0-1 | ops, queues, handles |
//! | 3 | [`kernels`] (mathematics of two or more families), [`op`] (trait Op, Choice, Operand) | 0-2 | families |
//! | 4 | [`ops`] (a folder a family), [`queue`] | 0-3, never each other | other families; handles |
//! | 5 | [`api`] (the extern "C" border) | all | |
//!
//! `tests/tidy.rs` reads this rule from its own table and fails whoever breaks it.
//!
//! Invariants, also of what is deliberately absent:
//! * No handle and no raw C pointer lives below [`api`], but for the host memory of write and read.
//! * Checks end in `ops::X::new`; what runs later may rely on every one of them.
//! * A request owns an `Arc` of everything that it touches until it completes.
//! * Each accepted request completes exactly once: `queue::Request::claim` decides, by setting one flag.
//! * A caller's mistake is returned by the call; a device's failure by the completion. No error takes both roads.
//! * k is never split and cuts never depend on the thread count: results are the same for any number of threads.
//! * No panic crosses the border; nothing is printed unless `WEFT_LOG` asks for it; no thread of the library
//!   takes a signal but for its own faults.

#![allow(non_camel_case_types)]
// Models reach only a part of it.
#![cfg_attr(loom, allow(dead_code, unused_imports))]

#[cfg(not(loom))]
pub mod api;
pub mod device;
pub mod dtype;
pub mod handle;
#[cfg(not(loom))]
pub mod kernels;
pub mod layout;
pub mod op;
#[cfg(not(loom))]
pub mod ops;
pub mod ptx;
pub mod queue;
mod reserve;
pub mod status;
mod sync;
pub mod telemetry;

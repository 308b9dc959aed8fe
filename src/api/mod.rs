//! The C border: handles in, statuses out. The only layer that knows handles and raw C pointers.

pub mod border;
pub mod buffer;
pub mod context;
pub mod library;
pub mod linear;
pub mod operations;
pub mod port;
pub mod program;
pub mod queue;
pub mod report;
pub mod request;
pub mod submit;
pub mod telemetry;
pub mod transfer;
pub mod vendor;

use crate::device::{Buffer, Context};
use crate::handle::{Kind, Registry};
use crate::ops::launch::{Kernel, Program};
use crate::queue::{Port, Queue, Request};

/// Handle of a context: one device in use.
pub type weft_context = u64;
/// Handle of a buffer: memory of a context's device.
pub type weft_buffer = u64;
/// Handle of a queue: an ordered stream of requests to a context's device.
pub type weft_queue = u64;
/// Handle of a request: work that a queue accepted.
pub type weft_request = u64;
/// Handle of a port: where completions collect.
pub type weft_port = u64;
/// Handle of a program: PTX of the caller's, compiled for a context's device.
pub type weft_program = u64;
/// Handle of a kernel: a function of a program.
pub type weft_kernel = u64;

static CONTEXTS: Registry<Context> = Registry::with_limits(Kind::Context, 256, (1 << 28) - 1);
static BUFFERS: Registry<Buffer> = Registry::new(Kind::Buffer);
static QUEUES: Registry<Queue> = Registry::new(Kind::Queue);
static REQUESTS: Registry<Request> = Registry::new(Kind::Request);
static PORTS: Registry<Port> = Registry::new(Kind::Port);
static PROGRAMS: Registry<Program> = Registry::new(Kind::Program);
static KERNELS: Registry<Kernel> = Registry::new(Kind::Kernel);

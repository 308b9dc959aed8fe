//! The C border: handles in, statuses out. The only layer that knows handles and raw C pointers.

pub mod border;
pub mod buffer;
pub mod context;
pub mod library;
pub mod operations;
pub mod port;
pub mod queue;
pub mod report;
pub mod request;
pub mod submit;
pub mod telemetry;
pub mod transfer;

use crate::device::{Buffer, Context};
use crate::handle::{Kind, Registry};
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

static CONTEXTS: Registry<Context> = Registry::with_limits(Kind::Context, 256, (1 << 28) - 1);
static BUFFERS: Registry<Buffer> = Registry::new(Kind::Buffer);
static QUEUES: Registry<Queue> = Registry::new(Kind::Queue);
static REQUESTS: Registry<Request> = Registry::new(Kind::Request);
static PORTS: Registry<Port> = Registry::new(Kind::Port);

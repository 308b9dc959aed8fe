//! The debug report: what lives, what runs, and who waits for whom, in words.
//!
//! It looks at one object after another and holds no lock while it writes: nothing waits for it, and what changes
//! meanwhile may stand in one line and not in another.

use super::border::{call, write_text};
use super::telemetry::gather;
use super::{BUFFERS, CONTEXTS, KERNELS, PORTS, PROGRAMS, QUEUES, REQUESTS, weft_context};
use crate::device::{Buffer, Context, Device};
use crate::handle::Registry;
use crate::op::code::name;
use crate::ops::launch::{Kernel, Program};
use crate::queue::{Port, Queue, Request};
use crate::status::{Error, Result, WEFT_OK, weft_status};
use crate::telemetry::clock;
use crate::telemetry::log::status_name;
use crate::telemetry::trace::Shape;
use std::ffi::c_char;
use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Objects of a kind that get a line; the others are counted.
const MOST: usize = 1000;

/// Text that says so when memory runs out.
#[derive(Default)]
struct Text(Vec<u8>);

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.try_reserve(text.len()).map_err(|_| fmt::Error)?;
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Describes a context (0: the whole process) for people: every live handle with its essentials, what each queue runs or
/// waits for and since when, and which request waits for which. Text of many lines, whose form may change; up to 1000
/// objects of a kind get a line. Copies it to `buffer`, zero-terminated and cut to `capacity` bytes; `*needed`, unless NULL,
/// becomes the bytes that all of it takes. `buffer` may be NULL with 0.
///
/// Thread safety: any thread, beside anything.
/// Blocks: no.
/// Callable from callback: yes.
/// Ownership: none.
/// Returns: WEFT_OK; WEFT_ERROR_INVALID_ARGUMENT (buffer is NULL with a capacity, and context); WEFT_ERROR_STALE_HANDLE;
/// WEFT_ERROR_WRONG_KIND; WEFT_ERROR_OUT_OF_MEMORY; WEFT_ERROR_FORKED; WEFT_ERROR_INTERNAL.
/// Since: 1.0.
///
/// # Safety
///
/// `buffer` is NULL or valid for `capacity` writes, `needed` NULL or valid for one write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn weft_debug_report(
    context: weft_context,
    buffer: *mut c_char,
    capacity: usize,
    needed: *mut usize,
) -> weft_status {
    call(|| {
        let text = report(context)?;
        // SAFETY: this function's contract.
        unsafe { write_text(&text, buffer, capacity, needed)? };
        Ok(WEFT_OK)
    })
}

fn report(context: weft_context) -> Result<String> {
    let number = match context {
        0 => None,
        _ => Some(CONTEXTS.get("context", context)?.account.number()),
    };
    let world = World::look(number)?;
    let mut text = Text::default();
    let written = totals(&mut text, context).and_then(|()| world.write(&mut text));
    written.map_err(|_| Error::out_of_memory(text.0.capacity().saturating_mul(2)))?;
    // Only `str`s went in.
    Ok(String::from_utf8(text.0).unwrap_or_default())
}

fn totals(out: &mut Text, context: weft_context) -> fmt::Result {
    let Ok(s) = gather(context) else { return Err(fmt::Error) };
    writeln!(
        out,
        "weft {}: {} requests submitted, {} in flight",
        env!("CARGO_PKG_VERSION"),
        s.submitted,
        s.in_flight
    )?;
    writeln!(
        out,
        "complete: {} ok, {} failed, {} cancelled, {} past their deadline, {} for a failed dependency, {} for a lost device; {} refused",
        s.completed_ok,
        s.completed_failed,
        s.completed_cancelled,
        s.completed_deadline,
        s.completed_dependency,
        s.completed_lost,
        s.refused
    )?;
    writeln!(
        out,
        "pool: {} helper threads, {} of them at work; memory in reserve: {} blocks in use",
        s.pool_threads, s.pool_working, s.reserve_blocks
    )
}

/// Live objects of a kind: some of them with their handles, and how many there are.
struct Listed<T> {
    some: Vec<(u64, Arc<T>)>,
    count: usize,
}

impl<T> Listed<T> {
    fn of(registry: &Registry<T>, ours: impl Fn(&T) -> bool) -> Result<Self> {
        let (mut some, mut count) = (Vec::new(), 0);
        some.try_reserve_exact(MOST).map_err(|_| Error::out_of_memory(MOST * size_of::<(u64, Arc<T>)>()))?;
        registry.each(|handle, object| {
            if ours(object) {
                count += 1;
                if some.len() < MOST {
                    some.push((handle, object.clone()));
                }
            }
        });
        Ok(Self { some, count })
    }

    fn write(&self, out: &mut Text, kind: &str, line: impl Fn(&mut Text, &T) -> fmt::Result) -> fmt::Result {
        writeln!(out, "{kind}s: {}", self.count)?;
        for (handle, object) in &self.some {
            write!(out, "  {kind} {handle:#x}: ")?;
            line(out, object)?;
            writeln!(out)?;
        }
        match self.count - self.some.len() {
            0 => Ok(()),
            more => writeln!(out, "  and {more} more"),
        }
    }
}

/// Everything that lives.
struct World {
    contexts: Listed<Context>,
    buffers: Listed<Buffer>,
    queues: Listed<Queue>,
    ports: Listed<Port>,
    requests: Listed<Request>,
    programs: Listed<Program>,
    kernels: Listed<Kernel>,
    now: u64,
}

impl World {
    fn look(number: Option<u32>) -> Result<Self> {
        let ours = |account: u32| number.is_none_or(|number| number == account);
        Ok(Self {
            contexts: Listed::of(&CONTEXTS, |context| ours(context.account.number()))?,
            buffers: Listed::of(&BUFFERS, |buffer| ours(buffer.context().account.number()))?,
            queues: Listed::of(&QUEUES, |queue| ours(queue.context().account.number()))?,
            ports: Listed::of(&PORTS, |port| ours(port.account))?,
            requests: Listed::of(&REQUESTS, |request| ours(request.account))?,
            programs: Listed::of(&PROGRAMS, |program| ours(program.context().account.number()))?,
            kernels: Listed::of(&KERNELS, |kernel| ours(kernel.context().account.number()))?,
            now: clock::now(),
        })
    }

    fn write(&self, out: &mut Text) -> fmt::Result {
        self.contexts.write(out, "context", context)?;
        self.buffers.write(out, "buffer", buffer)?;
        self.queues.write(out, "queue", |out, queue| self.queue(out, queue))?;
        self.ports.write(out, "port", port)?;
        self.requests.write(out, "request", |out, request| self.request(out, request))?;
        self.programs.write(out, "program", |out, program| write!(out, "{} bytes of PTX", program.size()))?;
        self.kernels.write(out, "kernel", |out, kernel| {
            write!(out, "{}, parameters of {:?} bytes", kernel.name(), kernel.parameters())
        })?;
        self.wait_graph(out)
    }

    fn since(&self, tick: u64) -> Ago {
        Ago(clock::between(tick, self.now.max(clock::now())))
    }

    fn queue(&self, out: &mut Text, queue: &Queue) -> fmt::Result {
        let (submitted, completed) = queue.progress();
        let in_flight = submitted.saturating_sub(completed);
        let priority = ["low", "normal", "high"][queue.priority()];
        write!(out, "depth {}, priority {priority}, {in_flight} in flight, ", queue.depth())?;
        if let Some((head, since)) = queue.blocked() {
            return write!(out, "its head {} waits for others since {}", Named(&head), self.since(since));
        }
        match queue.ledger().running() {
            Some(run) => {
                write!(out, "runs {} {:#x} since {}", name(run.op), run.handle, self.since(run.since))
            }
            None if in_flight == 0 => write!(out, "idle"),
            None => write!(out, "between two requests, or queues of a higher priority go first"),
        }
    }

    fn request(&self, out: &mut Text, request: &Request) -> fmt::Result {
        let op = name(request.tag.op);
        if request.outcome().is_some() {
            return write!(out, "{op}, complete: {}", status_name(request.status()));
        }
        let mut shape = Shape::default();
        let state = if request.shape(&mut shape) { "pending" } else { "begun" };
        let gap = if shape.text().is_empty() { "" } else { " " };
        let queue = request.queue();
        write!(
            out,
            "{op}{gap}{}, {state}, queue {queue:#x}, submitted {} ago",
            shape.text(),
            self.since(request.stamp)
        )
    }

    /// Who waits for whom: requests with wait lists, and the heads of queues that have no handle.
    fn wait_graph(&self, out: &mut Text) -> fmt::Result {
        writeln!(out, "wait graph:")?;
        for (_, request) in &self.requests.some {
            self.edges(out, request)?;
        }
        for (handle, queue) in &self.queues.some {
            if let Some((head, since)) = queue.blocked() {
                writeln!(
                    out,
                    "  queue {handle:#x} is blocked by its head {} since {}",
                    Named(&head),
                    self.since(since)
                )?;
                if head.handle.load(Relaxed) == 0 {
                    self.edges(out, &head)?;
                }
            }
        }
        Ok(())
    }

    /// What a pending request still waits for.
    fn edges(&self, out: &mut Text, request: &Request) -> fmt::Result {
        let others = (0..).map_while(|index| request.after(index));
        for other in others.filter(|other| other.outcome().is_none()).take(MOST) {
            let (waits, queue) = (self.since(request.stamp), other.queue());
            writeln!(
                out,
                "  {} waits for {} of queue {queue:#x} since {waits}",
                Named(request),
                Named(&other)
            )?;
        }
        Ok(())
    }
}

/// A request by name.
struct Named<'a>(&'a Request);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.handle.load(Relaxed) {
            0 => write!(f, "{} (no handle)", name(self.0.tag.op)),
            handle => write!(f, "request {handle:#x} ({})", name(self.0.tag.op)),
        }
    }
}

/// So many nanoseconds.
struct Ago(u64);

impl fmt::Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06} s", self.0 / 1_000_000_000, self.0 / 1000 % 1_000_000)
    }
}

fn context(out: &mut Text, context: &Context) -> fmt::Result {
    match context.device() {
        Device::Cpu(cpu) => write!(out, "cpu, {} threads", cpu.threads())?,
        Device::Cuda(cuda) => write!(out, "cuda:{}", cuda.gpu().ordinal())?,
    }
    let (memory, state) = (&context.memory, if context.check().is_ok() { "ready" } else { "lost" });
    let (buffers, bytes, peak) = (memory.buffers(), memory.bytes(), memory.peak());
    write!(out, ", {state}, {buffers} buffers of {bytes} bytes (peak {peak})")
}

fn buffer(out: &mut Text, buffer: &Buffer) -> fmt::Result {
    let context = buffer.context();
    let state = if context.check().is_ok() { "ready" } else { "lost" };
    write!(out, "{} bytes, generation {}, {state}", buffer.size(), context.generation())
}

fn port(out: &mut Text, port: &Port) -> fmt::Result {
    let (waiting, room) = (port.waiting() as u64, port.room());
    let (capacity, pending) = (room.capacity, room.places.saturating_sub(waiting));
    write!(out, "capacity {capacity}, {waiting} completions wait, {pending} requests pending")?;
    if port.threaded() {
        write!(out, ", dispatched by a thread of its own")?;
    }
    if room.calls > 0 {
        write!(out, ", {} callbacks run", room.calls)?;
    }
    Ok(())
}

//! Creating and releasing, with right and hostile options.

use super::bytes::Bytes;
use super::called::{finalize, number_of_port};
use super::model::{Buffer, Port, Queue};
use super::world::{World, name};
use weft::api::buffer::*;
use weft::api::context::*;
use weft::api::port::*;
use weft::api::program::*;
use weft::api::queue::*;
use weft::api::request::*;
use weft::handle::Kind;
use weft::status::*;

const SENTINEL: u64 = 0x5e5e_5e5e;

/// A struct of the caller's that is longer than the library's, with something or nothing in its tail.
#[repr(C)]
pub struct Padded<T> {
    pub head: T,
    tail: [u32; 4],
}

/// Chooses how a struct says its size: what to write there, what its tail holds, whether that is right.
pub fn padded<T>(bytes: &mut Bytes, head: T) -> (Padded<T>, u32, bool) {
    let own = size_of::<T>() as u32;
    let (size, tail, fine) = match bytes.byte() {
        0..=223 => (own, 0, true),
        224..=231 => (own + 16, 0, true),
        232..=239 => (own + 16, 1, false),
        240..=243 => (0, 0, false),
        244..=247 => (7, 0, false),
        248..=251 => (u32::MAX, 0, false),
        _ => ((1 << 16) + 1, 0, false),
    };
    (Padded { head, tail: [0, 0, tail, 0] }, size, fine)
}

/// Releases `handle` by the function for `kind`.
pub fn release(kind: Kind, handle: u64) -> i32 {
    match kind {
        Kind::Context => weft_context_release(handle),
        Kind::Buffer => weft_buffer_release(handle),
        Kind::Queue => weft_queue_release(handle),
        Kind::Request => weft_request_release(handle),
        Kind::Port => weft_port_release(handle),
        Kind::Program => weft_program_release(handle),
        Kind::Kernel => weft_kernel_release(handle),
    }
}

impl World {
    pub fn create_context(&mut self, bytes: &mut Bytes) {
        if self.model.live[Kind::Context as usize].len() >= 4 {
            return;
        }
        let threads = bytes.around(2).min(u64::from(u32::MAX)) as u32;
        let (mut options, size, fine) =
            padded(bytes, weft_context_desc { threads: threads.max(1), ..Default::default() });
        options.head.struct_size = size;
        let mut bad = Vec::new();
        if !fine || options.head.threads > 256 {
            bad.push(WEFT_ERROR_INVALID_ARGUMENT);
        }
        let mut handle = SENTINEL;
        self.note(|| format!("weft_context_create(\"cpu\", {:?}, &context)", options.head));
        // SAFETY: a struct of at least its struct_size where that is accepted, and a local.
        let status = unsafe { weft_context_create(c"cpu".as_ptr(), &options.head, &mut handle) };
        if self.created("weft_context_create", status, &bad, handle) {
            self.model.add(Kind::Context, handle, self.model.contexts);
            self.model.contexts += 1;
        }
    }

    fn created(&mut self, what: &str, status: i32, bad: &[i32], handle: u64) -> bool {
        let fine = self.check(what, status, bad, WEFT_OK);
        assert!(fine || handle == SENTINEL || handle == 0, "{what}: a refused call wrote {handle:#x}");
        self.note(|| format!("// = {handle:#x}"));
        fine
    }

    pub fn create_buffer(&mut self, bytes: &mut Bytes) {
        let context = self.handle(bytes, Kind::Context);
        let found = self.model.find(Kind::Context, context);
        let (size, flags) = (bytes.around(255), u32::from(bytes.chance(6)));
        // Sizes between are had or not as the machine pleases.
        let size = if (1 << 16..1 << 62).contains(&size) { size % 4096 } else { size };
        let (mut options, struct_size, fine) =
            padded(bytes, weft_buffer_desc { flags, ..Default::default() });
        options.head.struct_size = struct_size;
        let mut bad: Vec<i32> = found.err().into_iter().collect();
        bad.extend((!fine || flags != 0).then_some(WEFT_ERROR_INVALID_ARGUMENT));
        bad.extend((size >= 1 << 62).then_some(WEFT_ERROR_OUT_OF_MEMORY));
        let mut handle = SENTINEL;
        self.note(|| format!("weft_buffer_create({context:#x}, {size:#x}, {:?}, &buffer)", options.head));
        // SAFETY: a struct of at least its struct_size where that is accepted, and a local.
        let status = unsafe { weft_buffer_create(context, size, &options.head, &mut handle) };
        if self.created("weft_buffer_create", status, &bad, handle) {
            self.model.add(Kind::Buffer, handle, self.model.buffers.len());
            let data = vec![0; size as usize];
            self.model.buffers.push(Buffer { context: found.unwrap(), live: true, data });
        }
    }

    pub fn create_queue(&mut self, bytes: &mut Bytes) {
        if self.model.live[Kind::Queue as usize].len() >= 5 {
            return;
        }
        let context = self.handle(bytes, Kind::Context);
        let found = self.model.find(Kind::Context, context);
        let flags = u32::from(bytes.chance(6));
        let depth = if bytes.chance(16) { bytes.around(1 << 20) } else { bytes.below(5) as u64 };
        let depth = depth.min(u64::from(u32::MAX)) as u32;
        let priority = bytes.around(2).min(u64::from(u32::MAX)) as u32;
        let (mut options, size, fine) =
            padded(bytes, weft_queue_desc { flags, depth, priority, ..Default::default() });
        options.head.struct_size = size;
        let mut bad: Vec<i32> = found.err().into_iter().collect();
        let wrong = !fine || flags != 0 || depth > 1 << 20 || priority > 2;
        bad.extend(wrong.then_some(WEFT_ERROR_INVALID_ARGUMENT));
        let mut handle = SENTINEL;
        self.note(|| format!("weft_queue_create({context:#x}, {:?}, &queue)", options.head));
        // SAFETY: a struct of at least its struct_size where that is accepted, and a local.
        let status = unsafe { weft_queue_create(context, &options.head, &mut handle) };
        if self.created("weft_queue_create", status, &bad, handle) {
            self.model.add(Kind::Queue, handle, self.model.queues.len());
            self.model.queues.push(Queue {
                context: found.unwrap(),
                live: true,
                handle,
                depth: if depth == 0 { 4096 } else { u64::from(depth) },
                lane: [1, 2, 0][priority as usize],
                pending: Default::default(),
                submitted: 0,
                completed: 0,
                unseen: None,
            });
        }
    }

    pub fn create_port(&mut self, bytes: &mut Bytes) {
        let context = self.handle(bytes, Kind::Context);
        let found = self.model.find(Kind::Context, context);
        let wide = bytes.chance(16);
        let choice = if wide { bytes.around(1 << 20) } else { u64::from(bytes.byte()) };
        let capacity = if wide { choice.min(u64::from(u32::MAX)) } else { choice % 5 } as u32;
        let threaded = !wide && choice >= 192;
        let head = weft_port_desc {
            capacity,
            flags: if threaded { WEFT_PORT_THREAD } else { 0 },
            user_data: number_of_port(self.model.ports.len()),
            finalizer: if choice % 2 == 1 { Some(finalize) } else { None },
            ..Default::default()
        };
        let (mut options, size, fine) = padded(bytes, head);
        options.head.struct_size = size;
        let mut bad: Vec<i32> = found.err().into_iter().collect();
        bad.extend((!fine || capacity > 1 << 20).then_some(WEFT_ERROR_INVALID_ARGUMENT));
        let mut handle = SENTINEL;
        self.note(|| format!("weft_port_create({context:#x}, {:?}, &port)", options.head));
        // SAFETY: a struct of at least its struct_size where that is accepted, and a local.
        let status = unsafe { weft_port_create(context, &options.head, &mut handle) };
        if self.created("weft_port_create", status, &bad, handle) {
            self.model.add(Kind::Port, handle, self.model.ports.len());
            self.model.ports.push(Port {
                live: true,
                capacity: if capacity == 0 { 4096 } else { u64::from(capacity) },
                threaded,
                finalizer: options.head.finalizer.is_some(),
                reserved: 0,
                waiting: Vec::new(),
                event: None,
                woken: false,
            });
        }
    }

    pub fn release_any(&mut self, bytes: &mut Bytes) {
        use Kind::*;
        let kind = bytes.pick(&[Request, Request, Buffer, Queue, Port, Context, Request, Buffer]);
        let handle = self.handle(bytes, kind);
        if self.may_release(kind, handle) {
            self.release_checked(kind, handle);
        }
    }

    /// Once a queue is released, only the handles of its requests tell how far it is: they must stay until it is done.
    fn may_release(&self, kind: Kind, handle: u64) -> bool {
        let Ok(id) = self.model.find(kind, handle) else { return true };
        match kind {
            Kind::Request => {
                let queue = &self.model.queues[self.model.requests[id].queue];
                queue.live || !queue.pending.contains(&id)
            }
            Kind::Queue => self.model.queues[id].pending.iter().all(|&id| self.model.requests[id].live),
            _ => true,
        }
    }

    pub fn release_checked(&mut self, kind: Kind, handle: u64) {
        let found = self.model.find(kind, handle);
        let bad: Vec<i32> = found.err().into_iter().filter(|_| handle != 0).collect();
        let what = format!("weft_{kind:?}_release({handle:#x})").to_lowercase();
        self.note(|| what.clone());
        let status = release(kind, handle);
        self.check(&what, status, &bad, WEFT_OK);
        let Ok(id) = found else { return };
        self.model.forget(kind, handle);
        match kind {
            Kind::Context | Kind::Program | Kind::Kernel => {}
            Kind::Buffer => self.model.buffers[id].live = false,
            Kind::Queue => self.model.queues[id].live = false,
            Kind::Request => self.model.requests[id].live = false,
            Kind::Port => (self.model.ports[id].live, self.model.ports[id].event) = (false, None),
        }
        let again = release(kind, handle);
        assert_eq!(name(again), name(WEFT_ERROR_STALE_HANDLE), "{what}, a second time");
    }
}

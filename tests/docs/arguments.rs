//! Arguments for any function of the description: right ones, and all the wrong ones that its types allow.

use crate::library::{Api, Function, Library};
use serde_json::Value;
use std::ptr;

/// Bytes for the arguments of one call, none of which a request looks at once it is accepted.
const SCRATCH: usize = 1 << 16;
/// Bytes of what a parameter of an unknown size points to; sizes that calls take are smaller.
const ROOM: usize = 512;
const TEXTS: [&str; 4] = ["cpu\0", "\0", "\u{e9}\0", "cuda:0\0"];

/// A handle of each kind, live and stale.
pub struct World<'a> {
    library: &'a Library,
    context: u64,
    other: u64,
    buffer: u64,
    foreign: u64,
    request: u64,
    pub queue: u64,
    pub port: u64,
}

impl<'a> World<'a> {
    /// Some stay 0 where the library refuses to make them: after a shutdown.
    pub fn new(library: &'a Library, api: &Api) -> Self {
        let mut world =
            Self { library, context: 0, other: 0, buffer: 0, foreign: 0, request: 0, queue: 0, port: 0 };
        let options = [api.a_type("weft_context_desc").unwrap()["size"].as_u64().unwrap() as u32, 1];
        let (cpu, options) = (TEXTS[0].as_ptr() as u64, options.as_ptr() as u64);
        library.call("weft_context_create", &[cpu, options, &raw mut world.context as u64]);
        library.call("weft_context_create", &[cpu, options, &raw mut world.other as u64]);
        library.call("weft_buffer_create", &[world.context, 4096, 0, &raw mut world.buffer as u64]);
        library.call("weft_buffer_create", &[world.other, 4096, 0, &raw mut world.foreign as u64]);
        library.call("weft_queue_create", &[world.context, 0, &raw mut world.queue as u64]);
        library.call("weft_port_create", &[world.context, 0, &raw mut world.port as u64]);
        library.call("weft_barrier", &[world.queue, 0, &raw mut world.request as u64]);
        world
    }

    /// A handle for a parameter of this type.
    fn handle(&self, kind: &str) -> u64 {
        match kind.trim_start_matches("weft_") {
            "context" => self.context,
            "buffer" => self.buffer,
            "queue" => self.queue,
            "port" => self.port,
            "request" => self.request,
            // There are none on the CPU device.
            "program" | "kernel" => 0,
            other => panic!("a handle of kind {other} is new: make one in World"),
        }
    }

    fn all(&self) -> [u64; 9] {
        let live = [self.context, self.other, self.buffer, self.foreign, self.request, self.queue, self.port];
        [live[0], live[1], live[2], live[3], live[4], live[5], live[6], 0, self.buffer ^ 1]
    }

    /// Submits a barrier whose completion calls `callback`.
    pub fn barrier_with_callback(&self, callback: u64) {
        let mut options = [0u64; 8];
        (options[0], options[5], options[6]) = (64, self.port, callback);
        assert_eq!(self.library.call("weft_barrier", &[self.queue, options.as_ptr() as u64, 0]), 0);
    }
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        let objects = [
            ("port", self.port),
            ("request", self.request),
            ("queue", self.queue),
            ("buffer", self.buffer),
            ("buffer", self.foreign),
            ("context", self.context),
            ("context", self.other),
        ];
        for (kind, handle) in objects {
            self.library.call(&format!("weft_{kind}_release"), &[handle]);
        }
    }
}

extern "C" fn nothing() {}

/// Makes arguments, each from the type that the description gives.
pub struct Maker<'a> {
    pub api: &'a Api,
    pub library: &'a Library,
    state: u64,
    scratch: &'static mut [u64],
    used: usize,
    /// What transfers read and write whenever they run, when other arguments are in `scratch` already.
    bytes: *mut u64,
}

impl<'a> Maker<'a> {
    pub fn new(api: &'a Api, library: &'a Library) -> Self {
        Self {
            api,
            library,
            state: 7,
            scratch: Vec::leak(vec![0; SCRATCH / 8]),
            used: 0,
            bytes: Vec::leak(vec![0; ROOM / 8]).as_mut_ptr(),
        }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        self.state = self.state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        from[(self.state >> 33) as usize % from.len()]
    }

    fn chance(&mut self, one_in: usize) -> bool {
        let any: Vec<_> = (0..one_in).collect();
        self.pick(&any) == 0
    }

    /// Arguments for one call; `right` ones where the maker knows how.
    pub fn arguments(&mut self, function: &Function, world: &World, right: bool) -> Vec<u64> {
        self.used = 0;
        let lengths: Vec<_> = function.parameters().iter().filter_map(|row| row["length"].as_str()).collect();
        function.parameters().iter().map(|row| self.argument(row, world, right, &lengths)).collect()
    }

    /// Releases what a call handed out.
    pub fn release(&self, function: &Function, arguments: &[u64], answer: i32) {
        for (row, &at) in function.parameters().iter().zip(arguments) {
            let kind = row["type"].as_str().unwrap().trim_end_matches(" *");
            let handle = self.api.a_type(kind).is_some_and(|row| row["kind"] == "handle");
            if handle && row["direction"] == "out" && at != 0 && answer == 0 {
                // SAFETY: a place of `pointer`, to which the call has written a handle.
                let made = unsafe { (at as *const u64).read() };
                assert_eq!(
                    self.library.call(&format!("{kind}_release"), &[made]),
                    0,
                    "{}: {kind} {made:#x}",
                    function.name()
                );
            }
        }
    }

    fn argument(&mut self, row: &Value, world: &World, right: bool, lengths: &[&str]) -> u64 {
        let (name, kind) = (row["name"].as_str().unwrap(), row["type"].as_str().unwrap());
        let wrong = !right && self.chance(2);
        if lengths.contains(&name) {
            return self.pick(&[1, 0, 3]);
        }
        if kind.contains('*') {
            let null = wrong || (row["nullable"] == true && self.chance(3));
            return if null { 0 } else { self.pointer(kind, world, right) };
        }
        self.value(name, kind, world, wrong)
    }

    fn value(&mut self, name: &str, kind: &str, world: &World, wrong: bool) -> u64 {
        match self.api.a_type(kind).and_then(|row| row["kind"].as_str()) {
            Some("handle") if wrong => self.pick(&world.all()) ^ self.pick(&[0, 1]),
            Some("handle") => world.handle(kind),
            Some("callback") => self.pick(&[0, nothing as *const () as u64]),
            _ if name.ends_with("_ns") => self.pick(&[0, 1, 1000]),
            _ if name.ends_with("_count") => self.pick(&[0, 1, 2]),
            _ if kind.contains('8') || kind.contains("16") => self.pick(&[0, 1, 100]),
            _ if wrong => self.pick(&[0, 3, 9, 77, 1 << 20, u64::MAX]),
            _ => self.pick(&[0, 0, 1, 2, 8, 64, self.api.version()]),
        }
    }

    /// Fresh zeroed memory, at most half of which any call may write.
    fn room(&mut self, bytes: usize) -> *mut u8 {
        let words = bytes.div_ceil(8);
        assert!(self.used + words < self.scratch.len(), "SCRATCH is too small");
        let room = &mut self.scratch[self.used..self.used + words];
        room.fill(0);
        self.used += words;
        room.as_mut_ptr().cast()
    }

    fn pointer(&mut self, kind: &str, world: &World, right: bool) -> u64 {
        let pointee = kind.trim_start_matches("const ").trim_end_matches([' ', '*']);
        let constant = kind.starts_with("const ");
        if constant && pointee == "char" {
            let text = if right { TEXTS[0] } else { self.pick(&TEXTS) };
            return text.as_ptr() as u64;
        }
        match self.api.a_type(pointee) {
            Some(row) if row["kind"] == "struct" => self.filled(row, world, right),
            Some(row) if row["kind"] == "handle" && constant => self.handles(pointee, world, right),
            None if pointee == "void" => self.bytes as u64,
            _ => self.room(ROOM) as u64,
        }
    }

    fn handles(&mut self, kind: &str, world: &World, right: bool) -> u64 {
        let room: *mut u64 = self.room(64).cast();
        for i in 0..8 {
            let handle = if right { world.handle(kind) } else { self.pick(&world.all()) };
            // SAFETY: `room` has 8 words.
            unsafe { room.add(i).write(handle) };
        }
        room as u64
    }

    /// A struct whose fields hold values for their types.
    fn filled(&mut self, row: &Value, world: &World, right: bool) -> u64 {
        // Room for several: some parameters are arrays.
        let size = row["size"].as_u64().unwrap();
        let at = self.room(size as usize * 4);
        for field in row["fields"].as_array().unwrap() {
            let (offset, bytes) =
                (field["offset"].as_u64().unwrap() as usize, field["size"].as_u64().unwrap() as usize);
            let value = self.field(field, size, world, right);
            // SAFETY: the field lies in the room; a value is at least as long as the field unless that is longer than it.
            unsafe { ptr::copy_nonoverlapping(value.as_ptr(), at.add(offset), bytes.min(value.len())) };
        }
        at as u64
    }

    fn field(&mut self, field: &Value, size: u64, world: &World, right: bool) -> Vec<u8> {
        let (name, kind) = (field["name"].as_str().unwrap(), field["type"].as_str().unwrap());
        let wrong = !right && self.chance(8);
        let value = match (name, kind) {
            ("struct_size", _) if !wrong => size,
            (_, "weft_tensor") => return self.tensor(world, right),
            (_, "weft_port") => self.pick(&[0, world.port]),
            (_, kind) if kind.starts_with("const weft_request") => self.handles("weft_request", world, right),
            (_, kind) if kind.contains('*') => 0,
            _ if wrong => self.value(name, kind, world, true),
            // Options that are set are wrong more often than not: a flag that there is none of, a callback without a port.
            _ if self.chance(6) => self.value(name, kind, world, false),
            _ => 0,
        };
        value.to_le_bytes().to_vec()
    }

    fn tensor(&mut self, world: &World, right: bool) -> Vec<u8> {
        let buffers =
            [world.buffer, world.buffer, world.buffer, world.foreign, world.buffer ^ 1, world.queue, 0];
        let buffer = if right { world.buffer } else { self.pick(&buffers) };
        let dtype: u64 = if right { 1 } else { self.pick(&[1, 1, 1, 3, 9, 15, 77]) };
        let rank = self.pick(&[1, 2, 2, 2, 4]);
        let mut words = vec![buffer, 0, dtype | rank << 32];
        words.extend((0..8).map(|axis| if axis < rank { 4 } else { 0 }));
        words.extend([0; 8]);
        words.into_iter().flat_map(u64::to_le_bytes).collect()
    }
}

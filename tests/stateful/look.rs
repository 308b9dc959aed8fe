//! Looking: polls, waits, records, ports, cancels, infos, each answer compared with the model's.

use super::bytes::Bytes;
use super::model::{Model, Request, Work};
use super::submit::CALLED;
use super::world::{World, name};
use std::ptr;
use std::sync::atomic::Ordering::SeqCst;
use weft::api::buffer::*;
use weft::api::context::*;
use weft::api::port::*;
use weft::api::queue::*;
use weft::api::request::*;
use weft::handle::Kind;
use weft::queue::weft_completion;
use weft::status::*;

impl World {
    pub fn poll(&mut self, bytes: &mut Bytes) {
        let handle = self.handle(bytes, Kind::Request);
        let found = self.model.find(Kind::Request, handle);
        let bad: Vec<i32> = found.err().into_iter().collect();
        let status = found.map_or(0, |id| self.model.requests[id].status.unwrap_or(WEFT_NOT_READY));
        self.note(|| format!("weft_request_poll({handle:#x})"));
        self.check("weft_request_poll", weft_request_poll(handle), &bad, status);
        let mut record = weft_completion::default();
        // SAFETY: pointers to locals.
        let told = unsafe { weft_request_completion(handle, &mut record) };
        let good = if status == WEFT_NOT_READY { WEFT_NOT_READY } else { WEFT_OK };
        if self.check("weft_request_completion", told, &bad, good) && told == WEFT_OK {
            expect_record(&record, &self.model.requests[found.unwrap()]);
        }
        let (mut text, mut needed) = ([1i8; 300], 77);
        let room = bytes.around(300).min(300) as usize;
        // SAFETY: pointers to locals of these lengths.
        let told = unsafe { weft_request_error(handle, text.as_mut_ptr().cast(), room, &mut needed) };
        if self.check("weft_request_error", told, &bad, WEFT_OK) {
            assert_eq!(needed > 1, status < 0, "a sentence of {needed} bytes for {}", name(status));
            assert!(room == 0 || text[(needed - 1).min(room - 1)] == 0, "the sentence has no end");
            assert!(text[room..].iter().all(|&byte| byte == 1), "bytes past the capacity were written");
        }
    }

    pub fn cancel(&mut self, bytes: &mut Bytes) {
        let handle = self.handle(bytes, Kind::Request);
        let found = self.model.find(Kind::Request, handle);
        let bad: Vec<i32> = found.err().into_iter().collect();
        let good = found.map_or(0, |id| match &self.model.requests[id] {
            Request { status: Some(_), .. } => WEFT_NOT_FOUND,
            Request { running: true, .. } => WEFT_TOO_LATE,
            _ => WEFT_OK,
        });
        self.note(|| format!("weft_request_cancel({handle:#x})"));
        if self.check("weft_request_cancel", weft_request_cancel(handle), &bad, good) && good == WEFT_OK {
            self.model.post(found.unwrap(), WEFT_ERROR_CANCELLED, false);
        }
    }

    pub fn wait(&mut self, bytes: &mut Bytes) {
        let handles: Vec<u64> = (0..bytes.below(5)).map(|_| self.handle(bytes, Kind::Request)).collect();
        let mode = bytes.around(1).min(u64::from(u32::MAX)) as u32;
        let null = bytes.chance(8);
        let found: Vec<_> = handles.iter().map(|&handle| self.model.find(Kind::Request, handle)).collect();
        let mut bad: Vec<i32> = found.iter().filter_map(|found| found.err()).collect();
        bad.extend((mode > 1 || (null && !handles.is_empty())).then_some(WEFT_ERROR_INVALID_ARGUMENT));
        let statuses: Vec<Option<i32>> =
            found.iter().flatten().map(|&id| self.model.requests[id].status).collect();
        let (good, place) = verdict(&statuses, mode == WEFT_WAIT_ANY);
        // Waiting for ever is for conditions that hold.
        let times = [0, 1, 1000, u64::MAX];
        let timeout = if good == WEFT_TIMEOUT { bytes.pick(&times[..3]) } else { bytes.pick(&times) };
        let (mut index, count) = (77, handles.len() as u32);
        let list = if null { ptr::null() } else { handles.as_ptr() };
        self.note(|| {
            let list = if null { "NULL".into() } else { format!("(weft_request[]){handles:#x?}") };
            format!("weft_request_wait({list}, {count}, {mode}, {timeout}, &index)")
        });
        // SAFETY: null, or as many handles as the count says; a local.
        let status = unsafe { weft_request_wait(list, count, mode, timeout, &mut index) };
        if self.check("weft_request_wait", status, &bad, good) {
            assert_eq!(index, if good == WEFT_TIMEOUT { 77 } else { place }, "the index of the wait");
        }
    }

    pub fn take(&mut self, bytes: &mut Bytes) {
        let handle = self.handle(bytes, Kind::Port);
        let found = self.model.find(Kind::Port, handle);
        let capacity = bytes.around(4).min(u64::from(u32::MAX)) as u32;
        let null = bytes.chance(8);
        let (mut records, mut count) = (vec![weft_completion::default(); 64], 77);
        let mut bad: Vec<i32> = found.err().into_iter().collect();
        bad.extend((null && capacity > 0).then_some(WEFT_ERROR_INVALID_ARGUMENT));
        let room = if null { ptr::null_mut() } else { records.as_mut_ptr() };
        let capacity = if null { capacity } else { capacity.min(64) };
        let (least, most) = found.map_or((0, 0), |id| self.model.ports[id].takeable());
        let waits = bytes.chance(96);
        let times = [0, 1, 1000, u64::MAX];
        let timeout = if least == 0 { bytes.pick(&times[..3]) } else { bytes.pick(&times) };
        self.note(|| match waits {
            true => format!("weft_port_wait({handle:#x}, records, {capacity}, {timeout}, &count)"),
            false => format!("weft_port_poll({handle:#x}, records, {capacity}, &count)"),
        });
        // SAFETY: null, or at least as many records as the capacity says; a local.
        let status = unsafe {
            match waits {
                true => weft_port_wait(handle, room, capacity, timeout, &mut count),
                false => weft_port_poll(handle, room, capacity, &mut count),
            }
        };
        let late = waits && least == 0 && (most == 0 || status == WEFT_TIMEOUT);
        if !self.check("taking records", status, &bad, if late { WEFT_TIMEOUT } else { WEFT_OK }) {
            return;
        }
        let (count, capacity) = (count as usize, capacity as usize);
        assert!((least.min(capacity)..=most.min(capacity)).contains(&count), "{count} records of {least}");
        self.taken(found.unwrap(), &records[..count]);
    }

    fn taken(&mut self, port: usize, records: &[weft_completion]) {
        let model = &mut self.model;
        for record in records {
            let mut own = model.ports[port].waiting.iter();
            let own = own.find(|own| model.requests[own.request].user_data == record.user_data);
            let id = own.unwrap_or_else(|| panic!("a record that nobody waits for: {record:?}")).request;
            expect_record(record, &model.requests[id]);
            model.ports[port].take(id, |id| model.requests[id].queue);
        }
        model.ports[port].looked();
    }

    pub fn dispatch(&mut self, bytes: &mut Bytes) {
        let handle = self.handle(bytes, Kind::Port);
        let found = self.model.find(Kind::Port, handle);
        let bad: Vec<i32> = found.err().into_iter().collect();
        let (least, all) = found.map_or((0, 0), |id| self.model.ports[id].takeable());
        let plain = found.is_ok_and(|id| {
            self.model.ports[id].waiting.iter().any(|record| self.model.requests[record.request].plain)
        });
        if plain && least < all {
            return; // Which records were taken could not be told.
        }
        let most = if plain { 0 } else { bytes.around(3).min(u64::from(u32::MAX)) as u32 };
        let mut count = 77;
        CALLED.with(|called| called.borrow_mut().clear());
        self.note(|| format!("weft_port_dispatch({handle:#x}, {most}, &count)"));
        // SAFETY: a local.
        let status = unsafe { weft_port_dispatch(handle, most, &mut count) };
        if !self.check("weft_port_dispatch", status, &bad, WEFT_OK) {
            return;
        }
        let (limit, count) = (if most == 0 { usize::MAX } else { most as usize }, count as usize);
        assert!((least.min(limit)..=all.min(limit)).contains(&count), "{count} dispatched of {least}");
        let called = CALLED.with(|called| called.take());
        let port = found.unwrap();
        let silent = if plain { self.take_plain(port) } else { 0 };
        self.taken(port, &called);
        assert_eq!(called.len() + silent, count, "records with and without a callback");
    }

    /// Takes what nobody is called for out of the model: a dispatch took all. How many.
    fn take_plain(&mut self, port: usize) -> usize {
        let Model { ports, requests, .. } = &mut self.model;
        let before = ports[port].waiting.len();
        ports[port].waiting.retain(|record| !requests[record.request].plain);
        let silent = before - ports[port].waiting.len();
        ports[port].reserved -= silent as u64;
        silent
    }

    pub fn event(&mut self, bytes: &mut Bytes) {
        let handle = self.handle(bytes, Kind::Port);
        let found = self.model.find(Kind::Port, handle);
        let bad: Vec<i32> = found.err().into_iter().collect();
        match bytes.below(3) {
            0 => {
                let mut fd = -1;
                self.note(|| format!("weft_port_event_handle({handle:#x}, &fd)"));
                // SAFETY: a local.
                let status = unsafe { weft_port_event_handle(handle, &mut fd) };
                if self.check("weft_port_event_handle", status, &bad, WEFT_OK) {
                    let port = &mut self.model.ports[found.unwrap()];
                    // Wakes before there was a handle left no mark.
                    port.woken &= port.event.is_some();
                    assert_eq!(*port.event.get_or_insert(fd as i32), fd as i32, "one handle a port");
                }
            }
            1 => {
                self.note(|| format!("weft_port_wake({handle:#x})"));
                if self.check("weft_port_wake", weft_port_wake(handle), &bad, WEFT_OK) {
                    self.model.ports[found.unwrap()].woken = true;
                }
            }
            _ => {
                self.note(|| format!("weft_port_arm({handle:#x})"));
                self.check("weft_port_arm", weft_port_arm(handle), &bad, WEFT_OK);
            }
        }
    }

    /// The event handles tell the truth; looked at after every call.
    pub fn check_events(&self) {
        for port in self.model.ports.iter() {
            if let (Some(fd), Some(expected)) = (port.event, port.readable()) {
                let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
                // SAFETY: one local record.
                let readable = unsafe { libc::poll(&mut poll, 1, 0) == 1 };
                assert_eq!(readable, expected, "the event handle with {} waiting", port.waiting.len());
            }
        }
    }

    pub fn drain(&mut self, bytes: &mut Bytes) {
        let handle = self.handle(bytes, Kind::Queue);
        let found = self.model.find(Kind::Queue, handle);
        let bad: Vec<i32> = found.err().into_iter().collect();
        let queue = found.ok().map(|id| &mut self.model.queues[id]);
        let good = queue.map_or(0, |queue| match queue.pending.is_empty() {
            true => queue.unseen.take().unwrap_or(WEFT_OK),
            false => WEFT_TIMEOUT,
        });
        let times = [0, 1, 1000, u64::MAX];
        let timeout = if good == WEFT_TIMEOUT { bytes.pick(&times[..3]) } else { bytes.pick(&times) };
        self.note(|| format!("weft_queue_drain({handle:#x}, {timeout})"));
        self.check("weft_queue_drain", weft_queue_drain(handle, timeout), &bad, good);
    }

    pub fn infos(&mut self, bytes: &mut Bytes) {
        let (context, buffer, queue) = (
            self.handle(bytes, Kind::Context),
            self.handle(bytes, Kind::Buffer),
            self.handle(bytes, Kind::Queue),
        );
        self.note(|| format!("weft_*_info_get of {context:#x}, {buffer:#x}, {queue:#x}"));
        let size = size_of::<weft_context_info>() as u32;
        let mut told = weft_context_info { struct_size: size, ..Default::default() };
        let found = self.model.find(Kind::Context, context);
        // SAFETY: a local with its size set.
        let status = unsafe { weft_context_info_get(context, &mut told) };
        if self.check("weft_context_info_get", status, found.err().as_slice(), WEFT_OK) {
            let bytes = self.model.bytes(found.unwrap());
            assert_eq!((told.state, told.buffer_bytes), (WEFT_OK, bytes), "state and bytes of the context");
        }
        let size = size_of::<weft_buffer_info>() as u32;
        let mut told = weft_buffer_info { struct_size: size, ..Default::default() };
        let found = self.model.find(Kind::Buffer, buffer);
        // SAFETY: a local with its size set.
        let status = unsafe { weft_buffer_info_get(buffer, &mut told) };
        if self.check("weft_buffer_info_get", status, found.err().as_slice(), WEFT_OK) {
            let size = self.model.buffers[found.unwrap()].data.len() as u64;
            assert_eq!((told.state, told.size, told.generation), (WEFT_BUFFER_READY, size, 1));
        }
        let size = size_of::<weft_queue_info>() as u32;
        let mut told = weft_queue_info { struct_size: size, ..Default::default() };
        let found = self.model.find(Kind::Queue, queue);
        // SAFETY: a local with its size set.
        let status = unsafe { weft_queue_info_get(queue, &mut told) };
        if self.check("weft_queue_info_get", status, found.err().as_slice(), WEFT_OK) {
            let queue = &self.model.queues[found.unwrap()];
            let told = (u64::from(told.depth), told.submitted, told.completed);
            assert_eq!(told, (queue.depth, queue.submitted, queue.completed), "depth, submitted, completed");
        }
    }

    /// Lets one piece of work go that holds its queue.
    pub fn let_go(&mut self, bytes: &mut Bytes) {
        let shut: Vec<_> = self.holds.iter().filter(|hold| !hold.open.load(SeqCst)).cloned().collect();
        if !shut.is_empty() {
            self.note(|| "// work that lasted is let go".into());
            shut[bytes.below(shut.len())].open.store(true, SeqCst);
        }
    }

    /// Every live buffer is as the model has it.
    pub fn read_everything(&mut self) {
        for &handle in &self.model.live[Kind::Buffer as usize] {
            let buffer = &self.model.buffers[self.model.handles[&handle].1];
            let queue = self.model.queues.iter().find(|queue| queue.live && queue.context == buffer.context);
            if let Some(queue) = queue {
                let found = super::submit::read(queue.handle, handle, buffer.data.len());
                assert!(found == buffer.data, "buffer {handle:#x}: {found:02x?}, not {:02x?}", buffer.data);
            }
        }
        let reads = self.model.requests.iter().filter_map(|request| match &request.work {
            Work::Read { out, expected, .. } => Some((out, expected)),
            _ => None,
        });
        reads.for_each(|(out, expected)| assert!(out == expected, "host memory changed: {out:02x?}"));
    }
}

/// Status and index of a wait on requests with these statuses.
fn verdict(statuses: &[Option<i32>], any: bool) -> (i32, u32) {
    let complete = |status: &Option<i32>| status.is_some();
    let holds = statuses.is_empty()
        || if any { statuses.iter().any(complete) } else { statuses.iter().all(complete) };
    if !holds {
        return (WEFT_TIMEOUT, 77);
    }
    let failed = statuses.iter().position(|status| status.is_some_and(|status| status != WEFT_OK));
    let place = failed.or_else(|| statuses.iter().position(|status| any && complete(status))).unwrap_or(0);
    (statuses.get(place).copied().flatten().unwrap_or(WEFT_OK), place as u32)
}

fn expect_record(record: &weft_completion, request: &Request) {
    let told = (record.user_data, record.request, record.op, name(record.status));
    let status = name(request.status.expect("only complete requests have records"));
    assert_eq!(told, (request.user_data, request.handle, request.op, status), "a completion record");
}

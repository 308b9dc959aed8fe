//! What the caller's functions were told: callbacks on this thread and on ports' own threads, and finalizers, each once
//! and in its time.

use super::model::{Model, Request};
use super::world::{World, patiently};
use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard};
use weft::queue::weft_completion;

/// Finalizers of ports have the numbers from here on.
const PORTS: u64 = 1 << 32;

thread_local! {
    /// Records that callbacks on this thread were given.
    pub static CALLED: RefCell<Vec<weft_completion>> = const { RefCell::new(Vec::new()) };
}

/// Those that callbacks on other threads were given.
static DELIVERED: Mutex<Vec<weft_completion>> = Mutex::new(Vec::new());
/// The numbers of the finalizers that were called.
static FINALS: Mutex<Vec<u64>> = Mutex::new(Vec::new());

fn delivered() -> MutexGuard<'static, Vec<weft_completion>> {
    DELIVERED.lock().unwrap()
}

fn finals() -> MutexGuard<'static, Vec<u64>> {
    FINALS.lock().unwrap()
}

pub unsafe extern "C" fn callback(user: u64, completion: *const weft_completion) {
    // SAFETY: the library hands over a record that lives as long as this call.
    let record = unsafe { *completion };
    assert_eq!(user, record.user_data);
    CALLED.with(|called| called.borrow_mut().push(record));
}

/// For ports that call back on a thread of their own.
pub unsafe extern "C" fn deliver(user: u64, completion: *const weft_completion) {
    // SAFETY: the library hands over a record that lives as long as this call.
    let record = unsafe { *completion };
    assert_eq!(user, record.user_data);
    delivered().push(record);
}

pub unsafe extern "C" fn finalize(user: u64) {
    finals().push(user);
}

/// The number for the finalizer of a port.
pub fn number_of_port(port: usize) -> u64 {
    PORTS + port as u64
}

/// Nothing was called yet.
pub fn forget() {
    CALLED.with(|called| called.borrow_mut().clear());
    delivered().clear();
    finals().clear();
}

impl Model {
    fn submitted(&self, user: u64) -> &Request {
        let found = self.requests.iter().find(|request| request.user_data == user);
        found.unwrap_or_else(|| panic!("a call for {user:#x}, which was not accepted"))
    }

    /// Whether a finalizer may have been called by now.
    fn may_end(&self, user: u64) -> bool {
        if user >= PORTS {
            let port = (user - PORTS) as usize;
            let mut own = self.requests.iter().filter(|request| request.port == Some(port));
            return self.ports.get(port).is_some_and(|port| port.finalizer && !port.live)
                && own.all(|own| own.status.is_some());
        }
        let request = self.submitted(user);
        let waits = request.port.map(|port| &self.ports[port]).is_some_and(|port| {
            port.live && port.waiting.iter().any(|record| self.requests[record.request].user_data == user)
        });
        request.finalizer && request.status.is_some() && !waits
    }
}

impl World {
    /// Every completion of a port with a thread is delivered.
    pub fn settle_deliveries(&mut self) {
        for port in 0..self.model.ports.len() {
            let expected = self.model.ports[port].waiting.len();
            if self.model.ports[port].threaded && expected > 0 {
                let model = &self.model;
                let own = |record: &weft_completion| model.submitted(record.user_data).port == Some(port);
                let came = || delivered().iter().filter(|record| own(record)).count() >= expected;
                patiently("a delivery was lost", came);
                let records: Vec<_> = delivered().extract_if(.., |record| own(record)).collect();
                self.taken(port, &records);
            }
        }
        assert!(delivered().is_empty(), "delivered, but not complete: {:?}", delivered());
    }

    /// No finalizer was called twice or too early.
    pub fn check_finals(&self) {
        let finals = finals();
        for (place, &user) in finals.iter().enumerate() {
            assert!(!finals[..place].contains(&user), "the finalizer of {user:#x} was called twice");
            assert!(self.model.may_end(user), "the finalizer of {user:#x} was called too early");
        }
    }

    /// The finalizers of what was dispatched here came right behind the callbacks.
    pub fn check_dispatched(&self, records: &[weft_completion]) {
        let called = |record: &weft_completion| {
            !self.model.submitted(record.user_data).finalizer || finals().contains(&record.user_data)
        };
        assert!(records.iter().all(called), "a dispatch returned before a finalizer: {records:?}");
    }

    /// Everything was released: no finalizer is left out, and those of ports came last.
    pub fn end_finals(&self) {
        let requests = self.model.requests.iter().filter(|request| request.finalizer);
        let ports = self.model.ports.iter().filter(|port| port.finalizer);
        let expected = requests.count() + ports.count();
        patiently("a finalizer was lost", || finals().len() >= expected);
        self.check_finals();
        let finals = finals();
        assert_eq!(finals.len(), expected, "finalizers");
        let place = |user: u64| finals.iter().position(|&other| other == user);
        for request in self.model.requests.iter().filter(|request| request.finalizer) {
            let port = request.port.and_then(|port| place(number_of_port(port))).map(Some);
            let own = place(request.user_data);
            assert!(port.is_none_or(|port| own < port), "the finalizer of a port before one of its requests");
        }
    }
}

//! Handles: numbers that C holds in place of pointers.
//!
//! `kind (4 bits) | context slot (8) | index (24) | generation (28)`. A freed slot is reused last of all free
//! ones and under its next generation, so an old handle misses instead of reaching a stranger's object; a slot
//! whose generations are used up is retired. Zero is never a handle.

use crate::fail;
use crate::status::Result;
use crate::sync::{RwLock, constructor};
use std::collections::VecDeque;
use std::fmt::Display;
use std::sync::Arc;

const GENERATION_BITS: u32 = 28;
const INDEX_BITS: u32 = 24;
const SLOT_BITS: u32 = 8;
const LAST_GENERATION: u32 = (1 << GENERATION_BITS) - 1;

/// What a handle names. The numbers are part of the handle's bits and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A device in use.
    Context = 1,
    /// Device memory.
    Buffer = 2,
    /// An ordered stream of requests.
    Queue = 3,
    /// Work that was accepted.
    Request = 4,
    /// Where completions collect.
    Port = 5,
    /// Code of the caller's, compiled.
    Program = 6,
    /// A function of a program.
    Kernel = 7,
}

impl Kind {
    fn name(bits: u64) -> &'static str {
        match bits {
            1 => "a context",
            2 => "a buffer",
            3 => "a queue",
            4 => "a request",
            5 => "a port",
            6 => "a program",
            7 => "a kernel",
            _ => "nothing that weft ever issued",
        }
    }
}

/// A table of the live objects of one kind, shared by handles and requests in flight.
pub struct Registry<T> {
    kind: Kind,
    capacity: usize,
    last_generation: u32,
    slots: RwLock<Slots<T>>,
}

struct Slots<T> {
    entries: Vec<Entry<T>>,
    free: VecDeque<u32>,
}

struct Entry<T> {
    generation: u32,
    context: u8,
    value: Option<Arc<T>>,
}

impl<T> Registry<T> {
    constructor! {
        /// An empty table with room for as many objects as handles can name.
        pub fn new(kind: Kind) -> Self {
            Self::with_limits(kind, 1 << INDEX_BITS, LAST_GENERATION)
        }
    }

    constructor! {
        /// An empty table for at most `capacity` objects, whose slots retire after `last_generation`.
        pub fn with_limits(kind: Kind, capacity: usize, last_generation: u32) -> Self {
            let slots = RwLock::new(Slots { entries: Vec::new(), free: VecDeque::new() });
            Self { kind, capacity, last_generation, slots }
        }
    }

    /// Stores `value`, which belongs to context slot `context`, and returns its handle.
    pub fn insert(&self, context: u8, value: Arc<T>) -> Result<u64> {
        crate::reserve::check()?;
        let slots = &mut *self.slots.write();
        let index = match slots.free.pop_front() {
            Some(index) => index,
            None => self.grow(slots)?,
        };
        let entry = &mut slots.entries[index as usize];
        (entry.context, entry.value) = (context, Some(value));
        Ok(self.pack(index, entry))
    }

    fn grow(&self, slots: &mut Slots<T>) -> Result<u32> {
        let used = slots.entries.len();
        let full = used >= self.capacity || slots.entries.try_reserve(1).is_err();
        // Room to note every slot as free, so that a release never allocates.
        if full || slots.free.try_reserve(used + 1).is_err() {
            fail!(
                WEFT_ERROR_OUT_OF_MEMORY,
                "no room for another handle: {used} of this kind are or were live"
            );
        }
        slots.entries.push(Entry { generation: 1, context: 0, value: None });
        Ok(used as u32)
    }

    fn pack(&self, index: u32, entry: &Entry<T>) -> u64 {
        let slot = u64::from(entry.context) << (INDEX_BITS + GENERATION_BITS);
        let kind = (self.kind as u64) << (SLOT_BITS + INDEX_BITS + GENERATION_BITS);
        kind | slot | u64::from(index) << GENERATION_BITS | u64::from(entry.generation)
    }

    /// The object behind `handle`; `what` names the argument in errors.
    pub fn get(&self, what: impl Display, handle: u64) -> Result<Arc<T>> {
        let slots = self.slots.read();
        match slots.entries.get(index_of(handle)) {
            Some(entry) if self.pack(index_of(handle) as u32, entry) == handle => {
                entry.value.clone().ok_or(()).or_else(|()| self.miss(what, handle))
            }
            _ => self.miss(what, handle),
        }
    }

    /// What `see` makes of the object behind `handle`, if there is one: without a count of references. It must not touch this
    /// table.
    pub fn look<R>(&self, handle: u64, see: impl FnOnce(&T) -> R) -> Option<R> {
        let slots = self.slots.read();
        let entry = slots.entries.get(index_of(handle))?;
        let live = self.pack(index_of(handle) as u32, entry) == handle;
        entry.value.as_ref().filter(|_| live).map(|value| see(value))
    }

    /// Forgets `handle` and hands back what it named. Requests in flight keep their own `Arc`.
    pub fn remove(&self, what: impl Display, handle: u64) -> Result<Arc<T>> {
        let slots = &mut *self.slots.write();
        let index = index_of(handle);
        let value = match slots.entries.get_mut(index) {
            Some(entry) if self.pack(index as u32, entry) == handle => entry.value.take(),
            _ => None,
        };
        let Some(value) = value else { return self.miss(what, handle) };
        let entry = &mut slots.entries[index];
        if entry.generation < self.last_generation {
            entry.generation += 1;
            slots.free.push_back(index as u32);
        }
        Ok(value)
    }

    /// Everything that is live.
    pub fn all(&self) -> Result<Vec<Arc<T>>> {
        let slots = self.slots.read();
        let mut all = Vec::new();
        if all.try_reserve(slots.entries.len()).is_err() {
            fail!(WEFT_ERROR_OUT_OF_MEMORY, "no memory for a list of {} objects", slots.entries.len());
        }
        all.extend(slots.entries.iter().filter_map(|entry| entry.value.clone()));
        Ok(all)
    }

    /// Shows `see` every live object and its handle, in pieces, so that nobody waits long for the table: what comes and
    /// goes meanwhile may be seen or not. `see` must not touch this table.
    pub fn each(&self, mut see: impl FnMut(u64, &Arc<T>)) {
        const PIECE: usize = 1024;
        let mut from = 0;
        loop {
            let slots = self.slots.read();
            let to = slots.entries.len().min(from + PIECE);
            for index in from..to {
                let entry = &slots.entries[index];
                if let Some(value) = &entry.value {
                    see(self.pack(index as u32, entry), value);
                }
            }
            if to == slots.entries.len() {
                return;
            }
            from = to;
        }
    }

    /// How many objects are live.
    pub fn live(&self) -> usize {
        self.slots.read().entries.iter().filter(|entry| entry.value.is_some()).count()
    }

    /// Why `handle` names nothing here.
    fn miss<R>(&self, what: impl Display, handle: u64) -> Result<R> {
        let expected = Kind::name(self.kind as u64);
        let kind = handle >> (SLOT_BITS + INDEX_BITS + GENERATION_BITS);
        if handle == 0 {
            fail!(WEFT_ERROR_INVALID_ARGUMENT, "{what} is 0 (no handle); expected the handle of {expected}");
        }
        if kind != self.kind as u64 {
            let found = Kind::name(kind);
            fail!(
                WEFT_ERROR_WRONG_KIND,
                "{what} is {handle:#x}, which names {found}; expected the handle of {expected}"
            );
        }
        fail!(
            WEFT_ERROR_STALE_HANDLE,
            "{what} is {handle:#x}, which names {expected} that was released (or was never issued)"
        )
    }
}

fn index_of(handle: u64) -> usize {
    (handle >> GENERATION_BITS) as usize & ((1 << INDEX_BITS) - 1)
}

/// The slot of the context that `handle`'s object belongs to.
pub fn context_slot(handle: u64) -> u8 {
    (handle >> (INDEX_BITS + GENERATION_BITS)) as u8
}

/// For a context's own handle: its slot in the table of contexts.
pub fn own_slot(handle: u64) -> u8 {
    index_of(handle) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::*;

    #[test]
    fn a_freed_handle_never_comes_back() {
        let table = Registry::new(Kind::Buffer);
        let first = table.insert(3, Arc::new('a')).unwrap();
        assert_eq!(context_slot(first), 3);
        table.remove("x", first).unwrap();
        let second = table.insert(3, Arc::new('b')).unwrap();
        assert_ne!(first, second);
        assert_eq!(table.get("x", first).unwrap_err().status, WEFT_ERROR_STALE_HANDLE);
        assert_eq!(table.get("x", 0).unwrap_err().status, WEFT_ERROR_INVALID_ARGUMENT);
        assert_eq!(table.get("x", second ^ 1 << 60).unwrap_err().status, WEFT_ERROR_WRONG_KIND);
        assert_eq!(*table.get("x", second).unwrap(), 'b');
        assert!(table.remove("x", first).is_err());
    }

    #[test]
    fn slots_are_reused_oldest_first_and_retired_at_the_end() {
        let table = Registry::with_limits(Kind::Queue, 2, 2);
        for _ in 0..2 {
            let (a, b) = (table.insert(0, Arc::new(1)).unwrap(), table.insert(0, Arc::new(2)).unwrap());
            assert_eq!(table.insert(0, Arc::new(3)).unwrap_err().status, WEFT_ERROR_OUT_OF_MEMORY);
            table.remove("q", b).unwrap();
            table.remove("q", a).unwrap();
        }
        assert_eq!(table.insert(0, Arc::new(4)).unwrap_err().status, WEFT_ERROR_OUT_OF_MEMORY);
        assert_eq!(table.live(), 0);
    }
}

//! Shared memory: one block of bytes that regions are cut from, declared in the text up to 48 KB and asked for at launch
//! beyond that.

use super::Builder;
use super::builder::State;
use super::pointer::{Ptr, Shared};
use super::target::{EVERY, Target};
use super::ty::Element;

/// Shared memory that a kernel may declare itself, and that a launch gets without setting an attribute.
pub(super) const STATIC_LIMIT: u32 = 48 << 10;

/// One region.
pub(super) struct Region {
    end: u32,
    align: u32,
    /// Its size is the launch's to say.
    open: bool,
}

impl Builder {
    /// Reserves `len` elements, aligned to 16 bytes.
    pub fn shared<T: Element>(&self, len: u32) -> Ptr<'_, Shared<T>> {
        self.shared_aligned(len, 16)
    }

    /// Reserves `len` elements, aligned to `align` bytes (a power of two up to 1024).
    pub fn shared_aligned<T: Element>(&self, len: u32, align: u32) -> Ptr<'_, Shared<T>> {
        let bytes = len.checked_mul(T::SIZE);
        self.check(bytes.is_some(), format_args!("shared memory of {len} elements"));
        self.region(bytes.unwrap_or(0), align, false)
    }

    /// All that the launch asks for beyond the kernel's own `dynamic_shared`: reserve everything else first.
    pub fn shared_rest<T: Element>(&self) -> Ptr<'_, Shared<T>> {
        self.region(0, 16, true)
    }

    fn region<T: Element>(&self, bytes: u32, align: u32, open: bool) -> Ptr<'_, Shared<T>> {
        let fine = align.is_power_of_two() && align <= 1024;
        self.check(
            fine,
            format_args!("shared memory aligned to {align}; expected a power of two up to 1024"),
        );
        let start = self.shared_end().next_multiple_of(align.clamp(1, 1024));
        let closed = self.state.borrow().shared.iter().all(|region| !region.open);
        self.check(closed, format_args!("shared memory reserved after shared_rest"));
        let end = start.saturating_add(bytes);
        self.state.borrow_mut().shared.push(Region { end, align, open });
        let base = self.value::<u32>(EVERY, "mov.b32", format_args!("shared"));
        Ptr::<Shared<u8>>::new(base).plus(start as i32).cast()
    }

    /// Bytes reserved so far; beyond what any device has, no more is counted.
    fn shared_end(&self) -> u32 {
        self.state.borrow().shared.last().map_or(0, |last| last.end.min(1 << 30))
    }

    pub(super) fn check_shared(&self) {
        let (bytes, limit) = (self.shared_end(), limit(self.target()));
        let target = self.target();
        self.check(
            bytes <= limit,
            format_args!("{bytes} bytes of shared memory; {target} has {limit} for a block"),
        );
    }
}

/// What a block may have at most.
fn limit(target: Target) -> u32 {
    let kilobytes = match target.sm() {
        80 | 87 => 163,
        86 | 88 | 89 | 120 | 121 => 99,
        _ => 227,
    };
    kilobytes << 10
}

impl State {
    /// Bytes declared in the text, and bytes to ask for at launch.
    pub(super) fn shared_bytes(&self) -> (u32, u32) {
        let bytes = self.shared.last().map_or(0, |last| last.end);
        let open = self.shared.iter().any(|region| region.open);
        if open || bytes > STATIC_LIMIT { (0, bytes) } else { (bytes, 0) }
    }

    /// What stands before the entry, where the launch says the size.
    pub(super) fn shared_outside(&self) -> String {
        match self.shared_bytes() {
            (0, _) if !self.shared.is_empty() => format!("{} shared[];\n", self.shared_head(".extern ")),
            _ => String::new(),
        }
    }

    /// What stands in the entry, where the text says the size.
    pub(super) fn shared_inside(&self) -> String {
        match self.shared_bytes() {
            (0, _) => String::new(),
            (bytes, _) => format!("\t{} shared[{bytes}];\n", self.shared_head("")),
        }
    }

    fn shared_head(&self, linkage: &str) -> String {
        let align = self.shared.iter().map(|region| region.align).max().unwrap_or(1);
        format!("{linkage}.shared .align {align} .b8")
    }
}

//! Copies from global to shared memory that run beside the threads: cp.async, in groups.

use super::memory::Load;
use super::pointer::{Global, Ptr, Shared};
use super::target::{EVERY, Needs};
use super::{Builder, Element, Operand, Reg};

/// What a copy of 4, 8 or 16 bytes leaves out.
enum Left<'k> {
    Nothing,
    /// All but so many bytes, zeros in their place.
    Beyond(Reg<'k, u32>),
}

impl<'k, T: Element> Ptr<'k, Shared<T>> {
    /// Copies `BYTES` (4, 8 or 16, aligned to as many) from `from` to here. 16 bytes pass L1 by. It has happened once the
    /// thread has waited for the group that it was committed in.
    pub fn copy_from<const BYTES: u32>(&self, from: &Ptr<'k, Global<T>>) {
        self.copy::<BYTES>(from, Left::Nothing);
    }

    /// The same, but only the first `bytes` are read; the rest becomes zero.
    pub fn copy_some_from<const BYTES: u32>(&self, from: &Ptr<'k, Global<T>>, bytes: impl Operand<u32>) {
        let bytes = bytes.reg(self.k());
        self.copy::<BYTES>(from, Left::Beyond(bytes));
    }

    /// The same where `condition` holds; elsewhere nothing is read, and zeros are written.
    pub fn copy_or_zero_from<const BYTES: u32>(&self, from: &Ptr<'k, Global<T>>, condition: Reg<'k, bool>) {
        let bytes = self.k().select(condition, BYTES, 0u32);
        self.copy::<BYTES>(from, Left::Beyond(bytes));
    }

    fn copy<const BYTES: u32>(&self, from: &Ptr<'k, Global<T>>, left: Left<'k>) {
        const { assert!(matches!(BYTES, 4 | 8 | 16), "4, 8 or 16 bytes") };
        let cache = if BYTES == 16 { "cg" } else { "ca" };
        let (ahead, needs) = match from.load {
            Load::Plain => ("", EVERY),
            Load::Ahead64 => (".L2::64B", Needs::new(80, 74)),
            Load::Ahead128 => (".L2::128B", Needs::new(80, 74)),
            Load::Ahead256 => (".L2::256B", Needs::new(80, 74)),
            other => return self.k().mistake(&format!("cp.async does not load as {other:?}")),
        };
        let hint = if from.policy.is_some() { ".L2::cache_hint" } else { "" };
        let policy = from.policy.map_or(String::new(), |policy| format!(", {policy}"));
        let bytes = match left {
            Left::Nothing => String::new(),
            Left::Beyond(bytes) => format!(", {bytes}"),
        };
        let mnemonic = format!("cp.async.{cache}.shared.global{hint}{ahead}");
        self.k().op(needs, &mnemonic, format_args!("{self}, {from}, {BYTES}{bytes}{policy}"));
    }
}

impl Builder {
    /// Closes the group of this thread's copies so far.
    pub fn copies_commit(&self) {
        self.bare(EVERY, "cp.async.commit_group");
    }

    /// Waits until at most the `newest` groups of this thread are still under way.
    pub fn copies_wait(&self, newest: u32) {
        self.op(EVERY, "cp.async.wait_group", format_args!("{newest}"));
    }

    /// Waits for all of this thread's copies.
    pub fn copies_wait_all(&self) {
        self.bare(EVERY, "cp.async.wait_all");
    }
}

//! Barriers and fences: waiting for threads, and ordering memory among them.

use super::memory::Scope;
use super::target::{EVERY, Needs};
use super::{Builder, Operand, Reg};

/// The tensor memory accelerator and its proxies.
const HOPPER: Needs = Needs::new(90, 80);

impl Builder {
    /// Waits for every thread of the block.
    pub fn barrier(&self) {
        self.op(EVERY, "bar.sync", format_args!("0"));
    }

    /// Waits at barrier `id` (0 to 15) until `threads` of the block, a multiple of 32, have come or arrived there.
    pub fn barrier_of(&self, id: impl Operand<u32>, threads: u32) {
        self.check_barrier(threads);
        let id = id.show(self);
        self.op(EVERY, "bar.sync", format_args!("{id}, {threads}"));
    }

    /// Arrives at barrier `id` without waiting for the others of `threads`.
    pub fn barrier_arrive(&self, id: impl Operand<u32>, threads: u32) {
        self.check_barrier(threads);
        let id = id.show(self);
        self.op(EVERY, "bar.arrive", format_args!("{id}, {threads}"));
    }

    fn check_barrier(&self, threads: u32) {
        let fine = threads.is_multiple_of(32) && (32..=1024).contains(&threads);
        self.check(
            fine,
            format_args!("a barrier of {threads} threads; expected a multiple of 32 up to 1024"),
        );
    }

    /// Waits for every thread of the block; how many came with `condition`.
    pub fn barrier_count(&self, condition: Reg<'_, bool>) -> Reg<'_, u32> {
        self.value(EVERY, "bar.red.popc.u32", format_args!("0, {condition}"))
    }

    /// Waits for every thread of the block; whether all came with `condition`.
    pub fn barrier_all(&self, condition: Reg<'_, bool>) -> Reg<'_, bool> {
        self.value(EVERY, "bar.red.and.pred", format_args!("0, {condition}"))
    }

    /// Waits for every thread of the block; whether any came with `condition`.
    pub fn barrier_any(&self, condition: Reg<'_, bool>) -> Reg<'_, bool> {
        self.value(EVERY, "bar.red.or.pred", format_args!("0, {condition}"))
    }

    /// Waits for the lanes of `mask`, and makes their memory visible to each other.
    pub fn warp_sync(&self, mask: impl Operand<u32>) {
        let mask = mask.show(self);
        self.op(EVERY, "bar.warp.sync", format_args!("{mask}"));
    }

    /// What comes before is seen by `scope` before what comes after.
    pub fn fence(&self, scope: Scope) {
        self.fence_of("fence.acq_rel", scope);
    }

    /// The same, in one order for all fences of its kind.
    pub fn fence_total(&self, scope: Scope) {
        self.fence_of("fence.sc", scope);
    }

    fn fence_of(&self, mnemonic: &str, scope: Scope) {
        let (name, needs) = scope.parts();
        self.bare(needs, &format!("{mnemonic}{name}"));
    }

    /// Plain accesses of shared memory before it are seen by the asynchronous units (tensor memory accelerator, wgmma) after it.
    pub fn fence_async_shared(&self) {
        self.bare(HOPPER, "fence.proxy.async.shared::cta");
    }

    /// The same of global memory.
    pub fn fence_async_global(&self) {
        self.bare(HOPPER, "fence.proxy.async.global");
    }

    /// The same of every memory.
    pub fn fence_async(&self) {
        self.bare(HOPPER, "fence.proxy.async");
    }
}

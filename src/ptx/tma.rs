//! The tensor memory accelerator (sm_90): bulk copies, and copies of tiles of tensors, beside the threads. One thread asks.

use super::builder::braces;
use super::mbarrier::Mbarrier;
use super::pointer::{Global, Ptr, Shared};
use super::target::Needs;
use super::{Builder, Element, Operand, Reg};

const HOPPER: Needs = Needs::new(90, 80);

/// What a copy into shared memory may say beside its places.
#[derive(Clone, Copy, Default)]
pub struct Fetch<'k> {
    /// A policy of L2.
    pub policy: Option<Reg<'k, u64>>,
    /// The blocks of the cluster that get the same, as bits; each at the same place, told by its own barrier there.
    pub blocks: Option<Reg<'k, u16>>,
}

impl Fetch<'_> {
    fn modifiers(&self) -> String {
        let multicast = if self.blocks.is_some() { ".multicast::cluster" } else { "" };
        let hint = if self.policy.is_some() { ".L2::cache_hint" } else { "" };
        format!("{multicast}{hint}")
    }

    fn operands(&self) -> String {
        let blocks = self.blocks.map_or(String::new(), |blocks| format!(", {blocks}"));
        let policy = self.policy.map_or(String::new(), |policy| format!(", {policy}"));
        blocks + &policy
    }
}

/// A tile of a tensor: its description, and the coordinates of its first element, innermost first.
#[derive(Clone, Copy)]
pub struct TensorTile<'k, const RANK: usize> {
    map: Reg<'k, u64>,
    at: [Reg<'k, i32>; RANK],
}

impl<'k, const RANK: usize> TensorTile<'k, RANK> {
    /// The tile at `at` of the tensor that `map` describes.
    pub fn new(map: Reg<'k, u64>, at: [Reg<'k, i32>; RANK]) -> Self {
        const { assert!(RANK >= 1 && RANK <= 5, "tensors have 1 to 5 dimensions") };
        Self { map, at }
    }

    fn show(&self) -> String {
        format!("[{}, {}]", self.map, braces(&self.at))
    }

    /// Fetches the tile to L2.
    pub fn prefetch(&self) {
        let mnemonic = format!("cp.async.bulk.prefetch.tensor.{RANK}d.L2.global.tile");
        self.map.k.op(HOPPER, &mnemonic, format_args!("{}", self.show()));
    }
}

impl<'k, T: Element> Ptr<'k, Shared<T>> {
    /// Copies `bytes` (a multiple of 16) from `from` to here; `done` is told of them.
    pub fn bulk_from(
        &self,
        from: &Ptr<'k, Global<T>>,
        bytes: impl Operand<u32>,
        done: &Mbarrier<'k>,
        fetch: Fetch<'k>,
    ) {
        let (bytes, more) = (bytes.show(self.k()), fetch.operands());
        let head = "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes";
        let mnemonic = format!("{head}{}", fetch.modifiers());
        let done = done.ptr();
        self.k().op(HOPPER, &mnemonic, format_args!("{self}, {from}, {bytes}, {done}{more}"));
    }

    /// Copies `bytes` (a multiple of 16) from here to `to`.
    pub fn bulk_to(&self, to: &Ptr<'k, Global<T>>, bytes: impl Operand<u32>) {
        let bytes = bytes.show(self.k());
        let mnemonic = "cp.async.bulk.global.shared::cta.bulk_group";
        self.k().op(HOPPER, mnemonic, format_args!("{to}, {self}, {bytes}"));
    }

    /// Copies a tile of a tensor to here; `done` is told of its bytes.
    pub fn tile_from<const RANK: usize>(
        &self,
        tile: &TensorTile<'k, RANK>,
        done: &Mbarrier<'k>,
        fetch: Fetch<'k>,
    ) {
        let head =
            format!("cp.async.bulk.tensor.{RANK}d.shared::cluster.global.tile.mbarrier::complete_tx::bytes");
        let mnemonic = format!("{head}{}", fetch.modifiers());
        let (tile, done, more) = (tile.show(), done.ptr(), fetch.operands());
        self.k().op(HOPPER, &mnemonic, format_args!("{self}, {tile}, {done}{more}"));
    }

    /// Copies a tile from here to its place in a tensor.
    pub fn tile_to<const RANK: usize>(&self, tile: &TensorTile<'k, RANK>) {
        let mnemonic = format!("cp.async.bulk.tensor.{RANK}d.global.shared::cta.tile.bulk_group");
        self.k().op(HOPPER, &mnemonic, format_args!("{}, {self}", tile.show()));
    }

    /// Adds a tile to what is at its place in a tensor, each element by itself.
    pub fn tile_add_to<const RANK: usize>(&self, tile: &TensorTile<'k, RANK>) {
        let mnemonic = format!("cp.reduce.async.bulk.tensor.{RANK}d.global.shared::cta.add.tile.bulk_group");
        self.k().op(HOPPER, &mnemonic, format_args!("{}, {self}", tile.show()));
    }
}

impl<'k> Ptr<'k, Shared<f32>> {
    /// Adds `bytes` (a multiple of 16) to what is at `to`, each element by itself.
    pub fn bulk_add_to(&self, to: &Ptr<'k, Global<f32>>, bytes: impl Operand<u32>) {
        let bytes = bytes.show(self.k());
        let mnemonic = "cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32";
        self.k().op(HOPPER, mnemonic, format_args!("{to}, {self}, {bytes}"));
    }
}

impl Builder {
    /// Fetches the description of a tensor itself.
    pub fn prefetch_map(&self, map: Reg<'_, u64>) {
        self.op(HOPPER, "prefetch.tensormap", format_args!("[{map}]"));
    }

    /// Closes the group of this thread's bulk copies out of shared memory so far.
    pub fn bulk_commit(&self) {
        self.bare(HOPPER, "cp.async.bulk.commit_group");
    }

    /// Waits until at most the `newest` groups of this thread are still writing.
    pub fn bulk_wait(&self, newest: u32) {
        self.op(HOPPER, "cp.async.bulk.wait_group", format_args!("{newest}"));
    }

    /// Waits until at most the `newest` groups of this thread are still reading shared memory, which then may be written.
    pub fn bulk_wait_read(&self, newest: u32) {
        self.op(HOPPER, "cp.async.bulk.wait_group.read", format_args!("{newest}"));
    }
}

//! Barriers in shared memory (mbarrier): threads arrive, copies report their bytes, phases alternate, threads wait for a phase.

use super::cluster::CLUSTERS;
use super::pointer::{Cluster, Ptr, Shared};
use super::target::{EVERY, Needs};
use super::{Builder, Operand, Reg};

/// Results that are not wanted, and waiting by parity.
const AMPERE: Needs = Needs::new(80, 71);
/// Transactions.
const HOPPER: Needs = Needs::new(90, 80);

/// A barrier in shared memory.
#[derive(Clone, Copy)]
pub struct Mbarrier<'k>(Ptr<'k, Shared<u64>>);

impl Builder {
    /// Reserves `count` barriers; [`Mbarrier::at`] names one.
    pub fn mbarriers(&self, count: u32) -> Mbarrier<'_> {
        Mbarrier(self.shared_aligned(count, 8))
    }

    /// Barriers that were initialised are seen by the cluster and by the asynchronous units.
    pub fn mbarrier_fence(&self) {
        self.bare(HOPPER, "fence.mbarrier_init.release.cluster");
    }
}

impl<'k> Mbarrier<'k> {
    fn k(&self) -> &'k Builder {
        self.0.k()
    }

    /// The barrier `index` further on.
    pub fn at(&self, index: impl Operand<u32>) -> Self {
        Self(self.0.at(index))
    }

    /// The barrier `index` further on, known while writing.
    pub fn plus(&self, index: i32) -> Self {
        Self(self.0.plus(index))
    }

    /// Where it lies.
    pub fn ptr(&self) -> Ptr<'k, Shared<u64>> {
        self.0
    }

    /// The same barrier of block `rank` of the cluster.
    pub fn of_block(&self, rank: impl Operand<u32>) -> RemoteMbarrier<'k> {
        RemoteMbarrier(self.0.of_block(rank))
    }

    /// Makes it a barrier that `count` arrivals complete. One thread does so, before any other uses it.
    pub fn init(&self, count: impl Operand<u32>) {
        let count = count.show(self.k());
        self.k().op(EVERY, "mbarrier.init.shared.b64", format_args!("{}, {count}", self.0));
    }

    /// Makes it memory like any other again.
    pub fn invalidate(&self) {
        self.k().op(EVERY, "mbarrier.inval.shared.b64", format_args!("{}", self.0));
    }

    /// Arrives.
    pub fn arrive(&self) {
        self.k().op(AMPERE, "mbarrier.arrive.shared.b64", format_args!("_, {}", self.0));
    }

    /// Arrives, and makes the phase wait for `bytes` of copies.
    pub fn arrive_expecting(&self, bytes: impl Operand<u32>) {
        let bytes = bytes.show(self.k());
        self.k().op(HOPPER, "mbarrier.arrive.expect_tx.shared.b64", format_args!("_, {}, {bytes}", self.0));
    }

    /// Makes the phase wait for `bytes` of copies.
    pub fn expect(&self, bytes: impl Operand<u32>) {
        let bytes = bytes.show(self.k());
        let mnemonic = "mbarrier.expect_tx.relaxed.cta.shared::cta.b64";
        self.k().op(HOPPER, mnemonic, format_args!("{}, {bytes}", self.0));
    }

    /// Arrives once this thread's cp.async so far are done; that arrival is one of those counted.
    pub fn arrive_after_copies(&self) {
        self.k().op(EVERY, "cp.async.mbarrier.arrive.noinc.shared.b64", format_args!("{}", self.0));
    }

    /// Whether the phase of this parity (0 the first) is complete.
    pub fn test(&self, parity: impl Operand<u32>) -> Reg<'k, bool> {
        let parity = parity.show(self.k());
        self.k().value(AMPERE, "mbarrier.test_wait.parity.shared.b64", format_args!("{}, {parity}", self.0))
    }

    /// The same, waiting for a while.
    pub fn try_wait(&self, parity: impl Operand<u32>) -> Reg<'k, bool> {
        let parity = parity.show(self.k());
        self.k().value(CLUSTERS, "mbarrier.try_wait.parity.shared.b64", format_args!("{}, {parity}", self.0))
    }

    /// Waits until the phase of this parity is complete.
    pub fn wait(&self, parity: impl Operand<u32>) {
        let parity = parity.reg(self.k());
        let hopper = self.k().target().sm() >= 90;
        self.k().forever(|exit| {
            let done = if hopper { self.try_wait(parity) } else { self.test(parity) };
            exit.leave_if(done);
        });
    }
}

/// A barrier in the shared memory of another block of the cluster.
#[derive(Clone, Copy)]
pub struct RemoteMbarrier<'k>(Ptr<'k, Cluster<u64>>);

impl RemoteMbarrier<'_> {
    /// Arrives.
    pub fn arrive(&self) {
        let mnemonic = "mbarrier.arrive.release.cluster.shared::cluster.b64";
        self.0.k().op(HOPPER, mnemonic, format_args!("_, {}", self.0));
    }

    /// Arrives without telling the cluster of memory before it, for which the hardware would wait: says that something is
    /// read and may be overwritten.
    pub fn arrive_having_read(&self) {
        self.0.k().op(HOPPER, "mbarrier.arrive.shared::cluster.b64", format_args!("_, {}", self.0));
    }
}

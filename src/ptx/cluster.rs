//! Clusters of blocks (sm_90): waiting for the cluster, and reaching the shared memory of its blocks.

use super::pointer::{Cluster, Ptr, Shared};
use super::target::Needs;
use super::{Builder, Element, Operand};

/// Clusters.
pub(super) const CLUSTERS: Needs = Needs::new(90, 78);
/// Their barrier, with the order of memory written out.
const ORDERED: Needs = Needs::new(90, 80);

impl Builder {
    /// What the directive of a kernel that comes in clusters needs.
    pub(super) fn cluster_of_shape(&self) {
        if self.state.borrow().shape.cluster != [0; 3] {
            self.require(CLUSTERS, ".reqnctapercluster");
        }
    }

    /// Waits for every thread of the cluster; memory before it is seen after it.
    pub fn cluster_barrier(&self) {
        self.cluster_arrive();
        self.cluster_wait();
    }

    /// Arrives at the cluster's barrier.
    pub fn cluster_arrive(&self) {
        self.bare(ORDERED, "barrier.cluster.arrive.release.aligned");
    }

    /// Arrives, without ordering memory.
    pub fn cluster_arrive_relaxed(&self) {
        self.bare(ORDERED, "barrier.cluster.arrive.relaxed.aligned");
    }

    /// Waits for all to have arrived.
    pub fn cluster_wait(&self) {
        self.bare(ORDERED, "barrier.cluster.wait.acquire.aligned");
    }
}

impl<'k, T: Element> Ptr<'k, Shared<T>> {
    /// The same place in the shared memory of block `rank` of the cluster.
    pub fn of_block(&self, rank: impl Operand<u32>) -> Ptr<'k, Cluster<T>> {
        let (at, rank) = (self.address(), rank.show(self.k()));
        Ptr::new(self.k().value(CLUSTERS, "mapa.shared::cluster.u32", format_args!("{at}, {rank}")))
    }

    /// The same place, seen as one of the cluster's.
    pub fn in_cluster(&self) -> Ptr<'k, Cluster<T>> {
        Ptr::new(self.address())
    }
}

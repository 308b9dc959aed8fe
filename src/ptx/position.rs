//! Special registers: where a thread is, how large its grid is, what time it is.

use super::target::{EVERY, Needs};
use super::{Builder, Reg};

const CLUSTERS: Needs = Needs::new(90, 78);

/// `name type "special register", needs;`
macro_rules! specials {
    ($($(#[$doc:meta])* $name:ident $ty:ty: $register:literal, $needs:expr;)*) => {
        impl Builder {$(
            $(#[$doc])*
            pub fn $name(&self) -> Reg<'_, $ty> {
                let mnemonic = format!("mov.{}", <$ty as super::Ty>::NAME);
                self.value($needs, &mnemonic, format_args!($register))
            }
        )*}

        #[doc(hidden)]
        pub fn samples() -> Vec<super::table::Sample> {
            vec![$(super::table::Sample {
                name: stringify!($name),
                ty: <$ty as super::Ty>::NAME,
                write: |k| k.keep(k.$name()),
            }),*]
        }
    };
}

specials! {
    /// This thread within its block, x.
    thread_x u32: "%tid.x", EVERY;
    /// This thread within its block, y.
    thread_y u32: "%tid.y", EVERY;
    /// This thread within its block, z.
    thread_z u32: "%tid.z", EVERY;
    /// Threads of a block, x.
    block_threads_x u32: "%ntid.x", EVERY;
    /// Threads of a block, y.
    block_threads_y u32: "%ntid.y", EVERY;
    /// Threads of a block, z.
    block_threads_z u32: "%ntid.z", EVERY;
    /// This block within the grid, x.
    block_x u32: "%ctaid.x", EVERY;
    /// This block within the grid, y.
    block_y u32: "%ctaid.y", EVERY;
    /// This block within the grid, z.
    block_z u32: "%ctaid.z", EVERY;
    /// Blocks of the grid, x.
    grid_blocks_x u32: "%nctaid.x", EVERY;
    /// Blocks of the grid, y.
    grid_blocks_y u32: "%nctaid.y", EVERY;
    /// Blocks of the grid, z.
    grid_blocks_z u32: "%nctaid.z", EVERY;
    /// This thread within its warp.
    lane u32: "%laneid", EVERY;
    /// The lanes below this one, as bits.
    lanes_below u32: "%lanemask_lt", EVERY;
    /// This multiprocessor.
    multiprocessor u32: "%smid", EVERY;
    /// Multiprocessors of the device.
    multiprocessors u32: "%nsmid", EVERY;
    /// A clock of this multiprocessor.
    clock u32: "%clock", EVERY;
    /// The same in 64 bits.
    clock_long u64: "%clock64", EVERY;
    /// Nanoseconds since some moment.
    nanoseconds u64: "%globaltimer", EVERY;
    /// Bytes of shared memory that the launch asked for.
    dynamic_shared_bytes u32: "%dynamic_smem_size", EVERY;
    /// This block within its cluster.
    cluster_rank u32: "%cluster_ctarank", CLUSTERS;
    /// Blocks of a cluster.
    cluster_blocks u32: "%cluster_nctarank", CLUSTERS;
    /// This block within its cluster, x.
    cluster_block_x u32: "%cluster_ctaid.x", CLUSTERS;
    /// This block within its cluster, y.
    cluster_block_y u32: "%cluster_ctaid.y", CLUSTERS;
    /// Blocks of a cluster, x.
    cluster_blocks_x u32: "%cluster_nctaid.x", CLUSTERS;
    /// Blocks of a cluster, y.
    cluster_blocks_y u32: "%cluster_nctaid.y", CLUSTERS;
    /// This cluster within the grid, x.
    cluster_x u32: "%clusterid.x", CLUSTERS;
    /// This cluster within the grid, y.
    cluster_y u32: "%clusterid.y", CLUSTERS;
    /// Clusters of the grid, x.
    grid_clusters_x u32: "%nclusterid.x", CLUSTERS;
    /// Clusters of the grid, y.
    grid_clusters_y u32: "%nclusterid.y", CLUSTERS;
}

impl Builder {
    /// This thread within the grid, x.
    pub fn global_x(&self) -> Reg<'_, u32> {
        self.mad(self.block_x(), self.block_threads_x(), self.thread_x())
    }

    /// This thread within the grid, y.
    pub fn global_y(&self) -> Reg<'_, u32> {
        self.mad(self.block_y(), self.block_threads_y(), self.thread_y())
    }

    /// This warp within its block, for blocks of one dimension.
    pub fn warp(&self) -> Reg<'_, u32> {
        self.thread_x() >> 5u32
    }
}

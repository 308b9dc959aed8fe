//! The chapters that Hopper brought: clusters, mbarrier, the tensor memory accelerator, wgmma, moving registers.

use super::{Cases, case, global, keep_all};
use weft::dtype::{bf16, f16};
use weft::ptx::mma::{A, Factor};
use weft::ptx::tma::{Fetch, TensorTile};
use weft::ptx::wgmma::{Major, Swizzle, Tile, Wgmma};
use weft::ptx::*;

pub fn chapters(cases: &mut Cases) {
    for chapter in [clusters, barriers, waits, bulk_copies, tiles, products, launches] {
        chapter(cases);
    }
}

fn clusters(cases: &mut Cases) {
    case(cases, "cluster barrier", |k| k.cluster_barrier());
    case(cases, "cluster barrier relaxed", |k| k.cluster_arrive_relaxed());
    case(cases, "mapa", |k| {
        let there = k.shared::<f32>(64).at(k.any::<u32>()).of_block(k.any::<u32>());
        there.store(there.plus(1).load());
        there.atomic().scope(Scope::Cluster).add(1.0f32);
        k.keep(k.shared::<f64>(64).in_cluster().plus(3).load_vec::<2>()[1]);
    });
}

fn barriers(cases: &mut Cases) {
    case(cases, "mbarrier init", |k| {
        let barrier = k.mbarriers(4).at(k.any::<u32>());
        barrier.init(128u32);
        barrier.plus(1).init(k.any::<u32>());
        barrier.arrive_after_copies();
        barrier.invalidate();
    });
    case(cases, "mbarrier arrive", |k| k.mbarriers(4).plus(1).arrive());
    case(cases, "mbarrier test", |k| k.keep(k.mbarriers(1).test(k.any::<u32>())));
    case(cases, "mbarrier try_wait", |k| k.keep(k.mbarriers(1).try_wait(1u32)));
    case(cases, "mbarrier arrive_expecting", |k| k.mbarriers(1).arrive_expecting(k.any::<u32>()));
    case(cases, "mbarrier expect", |k| k.mbarriers(1).expect(4096u32));
    case(cases, "mbarrier of a block", |k| k.mbarriers(2).plus(1).of_block(k.any::<u32>()).arrive());
    case(cases, "mbarrier of a block, read", |k| {
        k.mbarriers(2).of_block(k.any::<u32>()).arrive_having_read();
    });
    case(cases, "mbarrier fence", |k| k.mbarrier_fence());
}

fn waits(cases: &mut Cases) {
    case(cases, "mbarrier wait", |k| {
        let barrier = k.mbarriers(1);
        barrier.wait(0u32);
        barrier.wait(k.any::<u32>());
    });
}

fn fetches(k: &Builder) -> [Fetch<'_>; 4] {
    let (policy, blocks) = (Some(k.policy(Policy::EvictFirst)), Some(k.any::<u16>()));
    let none = Fetch::default();
    [none, Fetch { policy, ..none }, Fetch { blocks, ..none }, Fetch { policy, blocks }]
}

fn bulk_copies(cases: &mut Cases) {
    for index in 0..4 {
        case(cases, format!("bulk copy {index}"), move |k| {
            let (to, done) = (k.shared_aligned::<f32>(256, 128), k.mbarriers(1));
            to.bulk_from(&global(k), 1024u32, &done, fetches(k)[index]);
        });
    }
    case(cases, "bulk copy out", |k| k.shared_aligned::<f16>(256, 128).bulk_to(&global(k), k.any::<u32>()));
    case(cases, "bulk sum", |k| k.shared_aligned::<f32>(256, 128).bulk_add_to(&global(k), 512u32));
    case(cases, "bulk_commit", |k| k.bulk_commit());
    case(cases, "bulk_wait", |k| k.bulk_wait(2));
    case(cases, "bulk_wait_read", |k| k.bulk_wait_read(0));
    case(cases, "prefetch_map", |k| k.prefetch_map(k.any()));
}

fn tiles(cases: &mut Cases) {
    tile::<1>(cases);
    tile::<2>(cases);
    tile::<3>(cases);
    tile::<4>(cases);
    tile::<5>(cases);
}

fn tile<const RANK: usize>(cases: &mut Cases) {
    fn of<const RANK: usize>(k: &Builder) -> TensorTile<'_, RANK> {
        TensorTile::new(k.any(), std::array::from_fn(|_| k.any()))
    }
    for index in 0..4 {
        case(cases, format!("tile {RANK} {index}"), move |k| {
            let (to, done) = (k.shared_aligned::<bf16>(1024, 1024), k.mbarriers(1));
            to.tile_from(&of::<RANK>(k), &done, fetches(k)[index]);
        });
    }
    case(cases, format!("tile out {RANK}"), |k| k.shared_aligned::<bf16>(1024, 1024).tile_to(&of::<RANK>(k)));
    case(cases, format!("tile sum {RANK}"), |k| {
        k.shared_aligned::<f32>(1024, 1024).tile_add_to(&of::<RANK>(k))
    });
    case(cases, format!("tile prefetch {RANK}"), |k| of::<RANK>(k).prefetch());
}

fn products(cases: &mut Cases) {
    for columns in (8..=256).step_by(8) {
        product::<bf16, bf16, 16>(cases, columns, [Major::Depth, Major::Depth]);
    }
    for majors in [[Major::Depth, Major::Outer], [Major::Outer, Major::Depth], [Major::Outer, Major::Outer]] {
        product::<bf16, bf16, 16>(cases, 128, majors);
        product::<f16, f16, 16>(cases, 64, majors);
    }
    product::<f16, f16, 16>(cases, 192, [Major::Depth, Major::Depth]);
    product::<Tf32, Tf32, 8>(cases, 64, [Major::Depth, Major::Depth]);
    product::<E4m3, E4m3, 32>(cases, 128, [Major::Depth, Major::Depth]);
    product::<E4m3, E5m2, 32>(cases, 64, [Major::Depth, Major::Depth]);
    product::<E5m2, E4m3, 32>(cases, 64, [Major::Depth, Major::Depth]);
    product::<E5m2, E5m2, 32>(cases, 64, [Major::Depth, Major::Depth]);
}

fn product<T, U, const K: usize>(cases: &mut Cases, columns: u32, majors: [Major; 2])
where
    T: Wgmma<U> + Element,
    U: Factor + Element,
{
    case(cases, format!("wgmma {columns} {} {} {majors:?}", T::MMA, U::MMA), move |k| {
        let acc = k.wide_acc(columns);
        let (a, b) = (k.shared_aligned::<T>(2048, 1024), k.shared_aligned::<U>(8192, 1024));
        let a = Tile::new(&a, Swizzle::Bytes128, 16, 1024);
        let b = Tile::new(&b, Swizzle::Bytes64, 16, 512).plus(32).displaced(k.any::<u32>());
        let own = A::<T, K>::new::<4>([k.any(), k.any(), k.any(), k.any()]);
        k.wgmma_fence();
        acc.wgmma((a, majors[0]), (b, majors[1]), false);
        acc.wgmma_from(&own, (b, majors[1]), k.any::<bool>());
        k.wgmma_commit();
        k.wgmma_wait(0);
        keep_all(k, acc.registers());
    });
}

fn launches(cases: &mut Cases) {
    case(cases, "registers up", |k| k.registers_up(240));
    case(cases, "registers down", |k| k.registers_down(24));
    case(cases, "overlap wait", |k| k.wait_for_previous_kernel());
    case(cases, "overlap begin", |k| k.let_next_kernel_begin());
}

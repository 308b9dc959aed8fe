//! Whole kernels as they will be written: assembled for every architecture, spill-free, one of them against its text.
//!
//! Each says what it computes, so that a machine with a GPU can check the numbers: set WEFT_PTX_OUT to a folder and the
//! texts are left there.

use crate::assembler::Assembler;
use std::path::Path;
use std::{env, fs};
use weft::dtype::bf16;
use weft::ptx::mma::{A, B};
use weft::ptx::tma::{Fetch, TensorTile};
use weft::ptx::wgmma::{Major, Swizzle};
use weft::ptx::*;
use weft::status::Result;

params! {
    /// c = a + b.
    pub struct AddArgs / AddVals {
        n: u32,
        a: Global<f32>,
        b: Global<f32>,
        c: Global<f32>,
    }
}

/// c = a + b: four elements a thread and turn where all four are there, one at a time at the end.
pub fn add(target: Target) -> Result<Kernel<AddArgs>> {
    Kernel::build(&Shape::new("add", target, [256, 1, 1]), |k, v: AddVals<'_>| {
        k.grid_stride(v.n >> 2u32, |i| {
            let first = i << 2u32;
            let [a, b] = [v.a, v.b].map(|array| array.at(first).loading(Load::Stream).load_vec::<4>());
            v.c.at(first).storing(Store::Cs).store_vec([0, 1, 2, 3].map(|j| a[j] + b[j]));
        });
        let last = (v.n & !3u32) + k.global_x();
        k.ret_if(last.ge(v.n));
        v.c.at(last).store(v.a.at(last).load() + v.b.at(last).load());
    })
}

params! {
    /// y = softmax(x) over rows.
    pub struct SoftmaxArgs / SoftmaxVals {
        columns: u32,
        x: Global<bf16>,
        y: Global<bf16>,
    }
}

const SOFTMAX_WARPS: u32 = 8;

/// Softmax of each row of a bf16 matrix, a block a row (`block_x`): one pass for the largest and the sum together, one to
/// write. Rows are packed; any number of columns.
pub fn softmax(target: Target) -> Result<Kernel<SoftmaxArgs>> {
    let threads = SOFTMAX_WARPS * 32;
    Kernel::build(&Shape::new("softmax", target, [threads, 1, 1]), |k, v: SoftmaxVals<'_>| {
        let row = k.block_x().to::<u64>() * v.columns.to::<u64>();
        let (x, y) = (v.x.at_far(row), v.y.at_far(row));
        let (largest, sum) = (k.var(f32::NEG_INFINITY), k.var(0.0f32));
        let log2e = std::f32::consts::LOG2_E;
        k.steps(k.thread_x(), v.columns, threads, |column| {
            let value = x.at(column).load().widen() * log2e;
            join(k, (largest, sum), (value, k.var(1.0f32)));
        });
        join_lanes(k, (largest, sum), 32);
        let parts = k.shared::<f32>(2 * SOFTMAX_WARPS);
        let part = parts.at(k.warp() * 2u32);
        k.when(k.lane().eq(0u32), || part.store_vec([largest, sum]));
        k.barrier();
        let [all_largest, all_sum] = parts.at((k.lane() & (SOFTMAX_WARPS - 1)) * 2u32).load_vec::<2>();
        join_lanes(k, (all_largest, all_sum), SOFTMAX_WARPS);
        let share = k.rcp(all_sum);
        k.steps(k.thread_x(), v.columns, threads, |column| {
            let value = x.at(column).load().widen() * log2e;
            y.at(column).store((k.ex2(value - all_largest) * share).to::<bf16>());
        });
    })
}

/// What `width` neighbouring lanes have, joined in each of them.
fn join_lanes<'k>(k: &'k Builder, mine: (Reg<'k, f32>, Reg<'k, f32>), width: u32) {
    for step in (0..width.ilog2()).rev() {
        join(k, mine, (k.shuffle_xor(mine.0, 1 << step), k.shuffle_xor(mine.1, 1 << step)));
    }
}

/// (largest, sum of 2^(x - largest)) of two parts, into the first.
fn join<'k>(k: &'k Builder, into: (Reg<'k, f32>, Reg<'k, f32>), other: (Reg<'k, f32>, Reg<'k, f32>)) {
    let largest = k.max(into.0, other.0);
    // Where nothing but -inf was seen, the difference would be NaN.
    let base = k.select(largest.eq(f32::NEG_INFINITY), 0.0f32, largest);
    let mine = into.1 * k.ex2(into.0 - base);
    into.1.set(k.fma(other.1, k.ex2(other.0 - base), mine));
    into.0.set(largest);
}

params! {
    /// c = a * b, all row-major and packed.
    pub struct MatmulArgs / MatmulVals {
        m: u32,
        n: u32,
        k: u32,
        a: Global<f32>,
        b: Global<f32>,
        c: Global<f32>,
    }
}

/// c = a * b in f32, any shape: tiles of 64 x 64 x 16 through shared memory, 4 x 4 sums a thread, 16 x 16 threads.
pub fn matmul(target: Target) -> Result<Kernel<MatmulArgs>> {
    const DEPTH: u32 = 16;
    Kernel::build(&Shape::new("matmul", target, [16, 16, 1]), |k, v: MatmulVals<'_>| {
        let (x, y) = (k.thread_x(), k.thread_y());
        let (row0, column0) = (k.block_y() << 6u32, k.block_x() << 6u32);
        let (a, b) = (k.shared::<f32>(DEPTH * 64), k.shared::<f32>(DEPTH * 64));
        let thread = y * 16u32 + x;
        let sums: Vec<_> = (0..16).map(|_| k.var(0.0f32)).collect();
        k.steps(0u32, v.k, DEPTH, |from| {
            for part in 0..4u32 {
                // a: 16 threads along k; b: 64 threads along n.
                let (row, depth) = ((thread >> 4u32) + part * 16, from + (thread & 15u32));
                let there = (row0 + row).lt(v.m) & depth.lt(v.k);
                let value = v.a.at_far(far(k, row0 + row, v.k, depth)).load_if(there, 0.0f32);
                a.at((thread & 15u32) * 64u32 + row).store(value);
                let (depth, column) = ((thread >> 6u32) + part * 4, thread & 63u32);
                let there = (from + depth).lt(v.k) & (column0 + column).lt(v.n);
                let value = v.b.at_far(far(k, from + depth, v.n, column0 + column)).load_if(there, 0.0f32);
                b.at(depth * 64u32 + column).store(value);
            }
            k.barrier();
            let (rows, columns) = (a.at(y << 2u32), b.at(x << 2u32));
            for depth in 0..DEPTH as i32 {
                let left = rows.plus(depth * 64).load_vec::<4>();
                let right = columns.plus(depth * 64).load_vec::<4>();
                for (i, sum) in sums.iter().enumerate() {
                    sum.set(k.fma(left[i / 4], right[i % 4], *sum));
                }
            }
            k.barrier();
        });
        for (i, sum) in sums.iter().enumerate() {
            let row = row0 + (y << 2u32) + (i / 4) as u32;
            let column = column0 + (x << 2u32) + (i % 4) as u32;
            let there = row.lt(v.m) & column.lt(v.n);
            v.c.at_far(far(k, row, v.n, column)).store_if(there, *sum);
        }
    })
}

/// row * width + column, in 64 bits.
fn far<'k>(k: &'k Builder, row: Reg<'k, u32>, width: Reg<'k, u32>, column: Reg<'k, u32>) -> Reg<'k, u64> {
    k.mad_wide(row, width, column.to::<u64>())
}

params! {
    /// c = a * b: a is m x k, b is n x k (its columns contiguous), c is m x n.
    pub struct TileArgs / TileVals {
        n: u32,
        k: u32,
        a: Global<bf16>,
        b: Global<bf16>,
        c: Global<f32>,
    }
}

const TILE_STAGES: u32 = 3;
/// Elements of a tile of a, and of one of b: 128 x 32.
const TILE: u32 = 128 * 32;

/// c = a * bT in bf16 with f32 sums; m and n multiples of 128, k of 32: tiles of 128 x 128 x 32 by cp.async in three stages,
/// ldmatrix and mma.sync, four warps of 64 x 64. The four 16-byte pieces of a row lie in an order turned by its number, so that
/// ldmatrix meets no bank twice.
pub fn tile(target: Target) -> Result<Kernel<TileArgs>> {
    Kernel::build(&Shape::new("tile", target, [128, 1, 1]).min_blocks(2), |k, v: TileVals<'_>| {
        let (a, b) = (k.shared::<bf16>(TILE_STAGES * TILE), k.shared::<bf16>(TILE_STAGES * TILE));
        let (row0, column0) = (k.block_y() << 7u32, k.block_x() << 7u32);
        let thread = k.thread_x();
        let fetch = |step: Reg<'_, u32>, stage: Reg<'_, u32>| {
            k.when(step.lt(v.k >> 5u32), || {
                for part in 0..4u32 {
                    let (row, piece) = ((thread >> 2u32) + part * 32, thread & 3u32);
                    let to = stage * TILE + piece_of(k, row, piece);
                    let depth = (step << 5u32) + (piece << 3u32);
                    let from = v.a.at_far(k.mad_wide(row0 + row, v.k, depth.to::<u64>()));
                    a.at(to).copy_from::<16>(&from.loading(Load::Ahead128));
                    let from = v.b.at_far(k.mad_wide(column0 + row, v.k, depth.to::<u64>()));
                    b.at(to).copy_from::<16>(&from.loading(Load::Ahead128));
                }
            });
            k.copies_commit();
        };
        let (fetched, stage) = (k.var(0u32), k.var(0u32));
        for _ in 1..TILE_STAGES {
            fetch(fetched, fetched);
            fetched.set(fetched + 1u32);
        }
        let (warp, lane) = (k.warp(), k.lane());
        let (warp_row, warp_column) = ((warp >> 1u32) << 6u32, (warp & 1u32) << 6u32);
        let accs: Vec<_> = (0..32).map(|_| k.acc::<f32>()).collect();
        k.steps(0u32, v.k >> 5u32, 1u32, |_| {
            k.copies_wait(TILE_STAGES - 2);
            k.barrier();
            for half in 0..2u32 {
                let piece = (lane >> 4u32) + half * 2;
                let rows: Vec<_> = (0..4u32)
                    .map(|i| {
                        let row = warp_row + (lane & 15u32) + i * 16;
                        A::<bf16, 16>::load(&a.at(stage * TILE + piece_of(k, row, piece)), Turn::Straight)
                    })
                    .collect();
                for j in 0..4u32 {
                    let column = warp_column + (lane & 7u32) + ((lane >> 4u32) << 3u32) + j * 16;
                    let piece = ((lane >> 3u32) & 1u32) + half * 2;
                    let at = b.at(stage * TILE + piece_of(k, column, piece));
                    let columns = B::<bf16, 16>::load_two(&at, Turn::Straight);
                    for (i, row) in rows.iter().enumerate() {
                        accs[i * 8 + j as usize * 2].mma(row, &columns[0]);
                        accs[i * 8 + j as usize * 2 + 1].mma(row, &columns[1]);
                    }
                }
            }
            let next = k.select(stage.eq(0u32), TILE_STAGES - 1, stage - 1u32);
            fetch(fetched, next);
            fetched.set(fetched + 1u32);
            stage.set(k.select(stage.eq(TILE_STAGES - 1), 0u32, stage + 1u32));
        });
        for (index, acc) in accs.iter().enumerate() {
            let row = row0 + warp_row + (lane >> 2u32) + (index / 8 * 16) as u32;
            let column = column0 + warp_column + ((lane & 3u32) << 1u32) + (index % 8 * 8) as u32;
            for (low, pair) in acc.registers().chunks(2).enumerate() {
                let at = v.c.at_far(far(k, row + low as u32 * 8, v.n, column));
                at.store_vec([pair[0], pair[1]]);
            }
        }
    })
}

/// Where the 16-byte piece `piece` (0 to 3) of row `row` lies in a tile of 32 elements a row.
fn piece_of<'k>(k: &'k Builder, row: Reg<'k, u32>, piece: Reg<'k, u32>) -> Reg<'k, u32> {
    let turned = piece ^ (row >> 1u32 & 3u32);
    k.mad(row, 32u32, turned << 3u32)
}

params! {
    /// c = a * b: a is m x k, b is n x k (its columns contiguous), c is m x n.
    pub struct HopperArgs / HopperVals {
        n: u32,
        k: u32,
        a: TensorMap,
        b: TensorMap,
        c: Global<f32>,
    }
}

/// c = a * bT in bf16 with f32 sums; m a multiple of 64, n of 128, k of 64. The tensor memory accelerator fetches tiles of
/// 64 x 64 and 128 x 64, swizzled over 128 bytes; one warpgroup multiplies them. One stage: made to be right, not fast.
pub fn hopper(target: Target) -> Result<Kernel<HopperArgs>> {
    Kernel::build(&Shape::new("hopper", target, [128, 1, 1]), |k, v: HopperVals<'_>| {
        let (a, b) = (k.shared_aligned::<bf16>(64 * 64, 1024), k.shared_aligned::<bf16>(128 * 64, 1024));
        let (full, leader) = (k.mbarriers(1), k.thread_x().eq(0u32));
        let (row0, column0) = (k.block_y() << 6u32, k.block_x() << 7u32);
        k.when(leader, || {
            full.init(1u32);
            k.mbarrier_fence();
        });
        k.barrier();
        let acc = k.wide_acc(128);
        let left = wgmma::Tile::new(&a, Swizzle::Bytes128, 16, 1024);
        let right = wgmma::Tile::new(&b, Swizzle::Bytes128, 16, 1024);
        k.steps(0u32, v.k, 64u32, |from| {
            k.when(leader, || {
                full.arrive_expecting((64 + 128) * 64 * 2);
                let [depth, row, column] = [from, row0, column0].map(Reg::bits::<i32>);
                a.tile_from(&TensorTile::new(v.a, [depth, row]), &full, Fetch::default());
                b.tile_from(&TensorTile::new(v.b, [depth, column]), &full, Fetch::default());
            });
            full.wait(from >> 6u32 & 1u32);
            k.wgmma_fence();
            for part in 0..4 {
                let (left, right) = (left.plus(part * 32), right.plus(part * 32));
                acc.wgmma((left, Major::Depth), (right, Major::Depth), true);
            }
            k.wgmma_commit();
            k.wgmma_wait(0);
            k.barrier();
        });
        let lane = k.lane();
        let row = row0 + (k.warp() << 4u32) + (lane >> 2u32);
        let column = column0 + ((lane & 3u32) << 1u32);
        for (index, pair) in acc.registers().chunks(2).enumerate() {
            let (row, column) = (row + index as u32 % 2 * 8, column + index as u32 / 2 * 8);
            v.c.at_far(far(k, row, v.n, column)).store_vec([pair[0], pair[1]]);
        }
    })
}

/// (name, text)
fn all(target: &str) -> Vec<(String, String)> {
    let target = Target::parse(target).unwrap();
    fn row<P>(kernel: Result<Kernel<P>>) -> (String, String) {
        let kernel = kernel.unwrap_or_else(|error| panic!("{}", error.message));
        (kernel.name, kernel.text)
    }
    let mut rows = vec![row(add(target)), row(softmax(target)), row(matmul(target)), row(tile(target))];
    rows.extend((target.to_string() == "sm_90a").then(|| row(hopper(target))));
    rows
}

#[test]
fn whole_kernels_assemble_without_spills() {
    let Some(ptxas) = Assembler::find() else { return };
    for target in crate::ASSEMBLED {
        for (name, text) in all(target) {
            let report = ptxas.assemble(&format!("{name}-{target}"), target, &text);
            assert!(report.fine, "{name} for {target}: {}\n{text}", report.text);
            assert_eq!(report.spilled(), 0, "{name} for {target}: {}", report.text);
            let used = report.text.lines().find(|line| line.contains("Used")).unwrap_or("");
            println!("{name} {target}: {used}");
        }
    }
}

#[test]
fn the_same_rust_gives_the_same_text() {
    assert_eq!(all("sm_80"), all("sm_80"));
    for (name, text) in all("sm_90a") {
        let least = if name == "hopper" { "sm_90a" } else { "sm_80" };
        assert!(text.contains(&format!(".target {least}\n")), "{name} asks for more than it needs");
    }
    if let Some(folder) = env::var_os("WEFT_PTX_OUT") {
        for (name, text) in all("sm_90a") {
            fs::write(Path::new(&folder).join(format!("{name}.ptx")), text).unwrap();
        }
    }
}

#[test]
fn the_text_is_the_one_that_was_read_and_approved() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ptx/add.ptx");
    let text = add(Target::parse("sm_90a").unwrap()).unwrap().text;
    if env::var_os("WEFT_BLESS").is_some() {
        fs::write(file, &text).unwrap();
    }
    assert_eq!(fs::read_to_string(file).unwrap(), text, "refresh: WEFT_BLESS=1 cargo test --test ptx");
}

#[test]
fn launch_bounds_are_kept() {
    let Some(ptxas) = Assembler::find() else { return };
    let target = Target::parse("sm_90a").unwrap();
    let write = |k: &Builder| {
        let values = Ptr::<Global<f32>>::new(k.any()).load_vec::<4>();
        k.keep(values.into_iter().fold(k.var(0.0f32), |sum, value| k.fma(sum, value, value)));
    };
    let build = |shape: Shape| Kernel::<crate::Nothing>::build(&shape, |k, _| write(k)).unwrap();
    let plain = || Shape::new("bounds", target, [256, 2, 1]);
    let kernels = [
        (build(plain().max_registers(24)), ".maxnreg 24", "sm_80"),
        (build(plain().min_blocks(3)), ".minnctapersm 3", "sm_80"),
        (build(plain().cluster([2, 1, 1])), ".reqnctapercluster 2, 1, 1", "sm_90"),
    ];
    for (kernel, directive, least) in kernels {
        assert!(kernel.text.contains(&format!("\n.maxntid 256, 2, 1\n{directive}\n")), "{}", kernel.text);
        assert!(kernel.text.contains(&format!(".target {least}\n")), "{}", kernel.text);
        let report = ptxas.assemble("bounds", "sm_90a", &kernel.text);
        assert!(report.fine && !report.text.contains("warning"), "{}", report.text);
    }
}

#[test]
fn arguments_are_passed_as_declared() {
    params! {
        pub struct Mixed / MixedVals { a: u8, b: u64, c: u16, d: f32, e: Global<f64>, f: i8, g: TensorMap }
    }
    let args = Mixed { a: 1, b: 2, c: 3, d: 4.0, e: 5, f: -6, g: [7; 128] };
    let arguments = args.arguments();
    let fields: Vec<&[u8]> = arguments.fields().collect();
    let shape = Shape::new("mixed", Target::parse("sm_80").unwrap(), [1, 1, 1]);
    let kernel = Kernel::<Mixed>::build(&shape, |k, v: MixedVals<'_>| k.keep(v.b)).unwrap();
    assert_eq!(fields.iter().map(|field| field.len()).collect::<Vec<_>>(), kernel.argument_sizes);
    assert_eq!(kernel.argument_sizes, [1, 8, 2, 4, 8, 1, 128]);
    assert_eq!(
        (fields[0], fields[1], fields[3]),
        (&[1][..], &2u64.to_le_bytes()[..], &4.0f32.to_le_bytes()[..])
    );
    assert_eq!((fields[2], fields[4]), (&3u16.to_le_bytes()[..], &5u64.to_le_bytes()[..]));
    assert_eq!((fields[5], fields[6]), (&[250][..], &[7; 128][..]));
    let none = Kernel::<crate::Nothing>::build(&shape, |k, _| k.trap()).unwrap();
    assert!(none.argument_sizes.is_empty() && crate::Nothing {}.arguments().fields().next().is_none());
}

#[test]
fn shared_memory_says_how_it_is_to_be_had() {
    let bytes = |len: u32| {
        let shape = Shape::new("shared", Target::parse("sm_90a").unwrap(), [32, 1, 1]);
        let write = |k: &Builder| k.keep(k.shared::<f32>(len).at(k.any::<u32>()).load());
        let kernel = Kernel::<crate::Nothing>::build(&shape, |k, _| write(k)).unwrap();
        (kernel.static_shared, kernel.dynamic_shared, kernel.wants_large_shared())
    };
    assert_eq!(bytes(16), (64, 0, false));
    assert_eq!(bytes(12 << 10), (48 << 10, 0, false));
    assert_eq!(bytes((12 << 10) + 1), (0, (48 << 10) + 4, true));
    assert_eq!(bytes(227 << 8), (0, 227 << 10, true));
}

//! A block: its shared memory and barriers, the tiles it takes one after another, and the warpgroup that has them fetched.

use super::plan::{End, Form, Scaled, Tile};
use crate::ops::matmul::cuda::full::FullArgs;
use crate::ops::matmul::cuda::order;
use crate::ptx::mbarrier::Mbarrier;
use crate::ptx::tma::{Fetch, TensorTile};
use crate::ptx::{Builder, Kernel, Ptr, Reg, Shape, Shared, Target, TensorMap, params};
use crate::status::Result;

/// Bytes of a row of a tile in shared memory: what is fetched along k in a step.
pub(super) const LINE: u32 = 128;
/// Bytes of 64 such rows: where lines lie across k, as much as is fetched at once.
const CHUNK: u32 = 64 * LINE;
/// Threads of a warpgroup.
pub(super) const GROUP: u32 = 128;
/// Warpgroups that multiply.
pub(super) const CONSUMERS: u32 = 2;
/// Bytes in which each of them prepares what it writes.
pub(super) const SLAB: u32 = 16 << 10;
/// Shared memory of a block, but for a margin that the barriers lie in.
const ROOM: u32 = (227 << 10) - 512;
/// Registers of a thread: of the warpgroup that fetches, and of those that multiply.
const REGISTERS: [u32; 2] = [40, 232];

params! {
    /// A multiplication, cut into tiles.
    pub struct Args / Vals {
        /// A, B and D for the tensor memory accelerator.
        maps: [TensorMap; 3],
        /// What every kernel of the family takes.
        rest: FullArgs,
        /// 1 where each matrix of the batch has an A of its own, and a B, else 0.
        apart: [u32; 2],
        /// Tiles of a matrix, down and across.
        tiles: [u32; 2],
        /// Matrices.
        matrices: u32,
        /// Steps along k, of all parts and of one.
        steps: [u32; 2],
        /// Tiles of all parts of all matrices.
        total: u32,
        /// Bytes that are fetched in a step.
        bytes: u32,
    }
}

/// The kernel of this form.
pub fn write(target: Target, form: Form) -> Result<Kernel<Args>> {
    let shape = Shape::new(form.name(), target, [GROUP * (1 + CONSUMERS), 1, 1]).min_blocks(1);
    let shape = if form.joined > 1 { shape.cluster([form.joined, 1, 1]) } else { shape };
    Kernel::build(&shape, |k, v: Vals<'_>| {
        let block = Block::new(k, &v, form);
        block.begin();
        k.if_else(block.group.eq(0u32), || block.produce(), || block.consume());
    })
}

impl Form {
    fn name(&self) -> String {
        let [a, b] = self.along.map(u32::from);
        let Tile { rows, columns } = self.tile;
        let types = self.types.map(|dtype| dtype.name().to_lowercase()).join("_");
        let end = match self.end {
            End::Tiles => "tiles".into(),
            End::Sums => "sums".into(),
            End::Any => "any".into(),
            End::Joined => format!("joined_{}", self.joined),
        };
        let lines = self.lines.map_or(String::new(), |dtype| format!("_{}", dtype.name().to_lowercase()));
        let scaled = match self.scaled {
            Scaled::No => "",
            Scaled::Lines => "_lines",
            Scaled::Blocks => "_blocks",
        };
        let flags = [(self.promoted, "_promoted"), (self.own, "_own"), (self.full, "_full")];
        let flags = flags.into_iter().chain([(self.columns, "_columns")]);
        let flags: String = flags.filter(|flag| flag.0).map(|flag| flag.1).collect();
        format!("matmul_wgmma_{types}_{a}_{b}_{rows}_{columns}_{end}{lines}{scaled}{flags}")
    }

    /// Steps that are in shared memory or on their way there.
    fn stages(&self) -> u32 {
        ((ROOM - CONSUMERS * SLAB) / (self.tile.step() + 4 * self.staged_scales())).min(8)
    }
}

impl Tile {
    /// Bytes of a step.
    fn step(&self) -> u32 {
        (self.rows + self.columns) * LINE
    }

    /// Columns of each consumer; its rows are 64.
    pub fn own_columns(&self) -> u32 {
        if self.rows == 128 { self.columns } else { self.columns / 2 }
    }
}

/// What a block keeps from tile to tile.
pub struct Block<'v, 'k> {
    pub k: &'k Builder,
    pub v: &'v Vals<'k>,
    pub form: Form,
    /// The stages: A, then B.
    pub stages: Ptr<'k, Shared<u8>>,
    /// A slab for each consumer.
    pub slabs: Ptr<'k, Shared<u8>>,
    /// The scales of each stage, where steps have their own.
    pub scales: Ptr<'k, Shared<f32>>,
    /// Of each stage, that it is there, and that nobody reads it any more.
    pub full: Mbarrier<'k>,
    pub empty: Mbarrier<'k>,
    /// The block within its cluster.
    pub rank: Reg<'k, u32>,
    /// The warpgroup: 0 fetches.
    pub group: Reg<'k, u32>,
}

/// A tile of D, or a part of its sums.
pub struct Work<'k> {
    /// Its first row and column.
    pub row: Reg<'k, u32>,
    pub col: Reg<'k, u32>,
    pub matrix: Reg<'k, u32>,
    pub part: Reg<'k, u32>,
    /// The first step along k, and how many.
    pub from: Reg<'k, u32>,
    pub count: Reg<'k, u32>,
}

/// A stage, and the parity of the barriers' phase that is waited for there.
pub struct Ring<'k> {
    pub stage: Reg<'k, u32>,
    pub parity: Reg<'k, u32>,
}

impl<'k> Ring<'k> {
    pub fn new(k: &'k Builder, parity: u32) -> Self {
        Self { stage: k.var(0u32), parity: k.var(parity) }
    }

    /// 0: there are not so many stages, but the compiler does not know.
    pub fn zero(&self) -> Reg<'k, u32> {
        self.stage >> 16u32
    }

    /// The next of so many.
    pub fn advance(&self, k: &'k Builder, stages: u32) {
        let next = self.stage + 1u32;
        let around = next.eq(stages);
        self.parity.set(k.select(around, self.parity ^ 1u32, self.parity));
        self.stage.set(k.select(around, 0u32, next));
    }
}

impl<'v, 'k> Block<'v, 'k> {
    fn new(k: &'k Builder, v: &'v Vals<'k>, form: Form) -> Self {
        let stages = form.stages();
        let rank = if form.joined > 1 { k.cluster_rank() } else { k.var(0u32) };
        Self {
            k,
            v,
            form,
            stages: k.shared_aligned(stages * form.tile.step(), 1024),
            slabs: k.shared_aligned(CONSUMERS * SLAB, 1024),
            scales: k.shared_aligned(stages * form.staged_scales(), 16),
            full: k.mbarriers(stages),
            empty: k.mbarriers(stages),
            rank,
            // Told to the whole warp by one lane, so that it is known to be the same for all.
            group: k.broadcast(k.thread_x() >> GROUP.ilog2(), 0u32),
        }
    }

    pub fn stage_count(&self) -> u32 {
        self.form.stages()
    }

    /// Where a stage lies.
    pub fn stage(&self, stage: Reg<'k, u32>) -> Ptr<'k, Shared<u8>> {
        self.stages.displaced(stage * self.form.tile.step())
    }

    /// Initialises the barriers. A stage is free when every warp that multiplies says so.
    fn begin(&self) {
        let k = self.k;
        k.when(k.thread_x().eq(0u32), || {
            for stage in 0..self.stage_count() as i32 {
                self.full.plus(stage).init(1 + self.form.scale_copies());
                self.empty.plus(stage).init(CONSUMERS * 4);
            }
            k.mbarrier_fence();
        });
        self.begin_scales();
        self.meet();
    }

    /// Waits for all threads of the block, or of the cluster.
    pub fn meet(&self) {
        self.k.warp_sync(u32::MAX);
        if self.form.joined > 1 { self.k.cluster_barrier() } else { self.k.barrier() }
    }

    /// Ends: a cluster's blocks together, as others may still read what one has.
    pub fn leave(&self) {
        if self.form.joined > 1 {
            self.meet();
        }
    }

    /// Runs `body` for each of the block's tiles: one, where the blocks of a cluster have parts of it.
    pub fn each(&self, body: impl FnOnce(&Work<'k>)) {
        let k = self.k;
        if self.form.end == End::Joined {
            return body(&self.work(k.cluster_x()));
        }
        let number = k.var(k.block_x());
        k.repeat_while(
            || number.lt(self.v.total),
            || {
                body(&self.work(number));
                number.set(number + k.grid_blocks_x());
            },
        );
    }

    fn work(&self, number: Reg<'k, u32>) -> Work<'k> {
        let (k, v, tile) = (self.k, self.v, self.form.tile);
        let [down, across] = v.tiles;
        let tiles = down * across;
        let whole = k.div(number, tiles);
        let [row, col] = order::tile(k, number - whole * tiles, v.tiles);
        let joined = self.form.end == End::Joined;
        let part = if joined { self.rank } else { k.div(whole, v.matrices) };
        let matrix = if joined { whole } else { whole - part * v.matrices };
        let [all, depth] = v.steps;
        let from = part * depth;
        Work {
            row: row * tile.rows,
            col: col * tile.columns,
            matrix,
            part,
            from,
            count: k.min(all - from, depth),
        }
    }

    /// One thread has all tiles fetched, as far ahead as there are stages.
    fn produce(&self) {
        let k = self.k;
        k.registers_down(REGISTERS[0]);
        k.when(k.thread_x().eq(0u32), || {
            let ring = Ring::new(k, 1);
            self.each(|work| {
                self.fill(&ring, work, |step| self.fetch(work, step * self.form.depth(), ring.stage));
            });
        });
        if self.form.scaled == Scaled::Blocks {
            self.produce_scales();
        }
        if self.form.end == End::Joined {
            self.meet(); // all sums are there
        }
        self.leave();
    }

    /// Runs `body` for each step of a tile, told its number, when its stage is free.
    pub fn fill(&self, ring: &Ring<'k>, work: &Work<'k>, body: impl FnOnce(Reg<'k, u32>)) {
        let k = self.k;
        k.steps(0u32, work.count, 1u32, |step| {
            self.empty.at(ring.stage).wait(ring.parity);
            body(work.from + step);
            ring.advance(k, self.stage_count());
        });
    }

    /// Fetches a step of A and B.
    fn fetch(&self, work: &Work<'k>, depth: Reg<'k, u32>, stage: Reg<'k, u32>) {
        let (tile, to, done) = (self.form.tile, self.stage(stage), self.full.at(stage));
        done.arrive_expecting(self.v.bytes);
        let matrix = |operand: usize| work.matrix * self.v.apart[operand];
        let a = Panel { operand: 0, at: [work.row, depth, matrix(0)], edge: tile.rows };
        let b = Panel { operand: 1, at: [work.col, depth, matrix(1)], edge: tile.columns };
        self.fetch_panel(&a, to, &done);
        self.fetch_panel(&b, to.plus((tile.rows * LINE) as i32), &done);
    }

    fn fetch_panel(&self, panel: &Panel<'k>, to: Ptr<'k, Shared<u8>>, done: &Mbarrier<'k>) {
        let map = self.v.maps[panel.operand];
        let [outer, depth, matrix] = panel.at.map(|index| index.bits::<i32>());
        if self.form.along[panel.operand] {
            return to.tile_from(&TensorTile::new(map, [depth, outer, matrix]), done, Fetch::default());
        }
        for chunk in 0..panel.edge / 64 {
            let tile = TensorTile::new(map, [outer + (chunk * 64) as i32, depth, matrix]);
            to.plus((chunk * CHUNK) as i32).tile_from(&tile, done, Fetch::default());
        }
    }
}

/// So many rows of A or columns of B, in a step.
struct Panel<'k> {
    operand: usize,
    /// The first of them, the first along k, the matrix.
    at: [Reg<'k, u32>; 3],
    edge: u32,
}

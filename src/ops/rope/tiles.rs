//! The kernel that turns tiles: a block computes the cosines and sines of a few positions, or reads them, once into shared memory,
//! and turns the rows of these positions in all heads; what it turns is under way meanwhile.

use super::ptx::{THREADS, clamped, end_if_bad, integer};
use super::tables::wave;
use crate::device::cuda::Key;
use crate::dtype::Dtype;
use crate::kernels::gpu::{Array, Chunk, piece_len};
use crate::ptx::{Builder, Kernel, Ptr, Reg, Shape, Shared, Target, Text, Words, params};
use crate::status::Result;

/// Cosines that a block holds.
pub(super) const HELD: usize = 1024;
/// Frequencies that a launch passes.
pub(super) const PASSED: usize = 128;
/// Pieces that a thread has under way.
const FLIGHT: u32 = 4;

params! {
    /// What the kernel is given. A thread has a piece of a head at a position; from there it goes to `abreast` heads further, and
    /// behind the last head to `apart` positions further. Strides and steps of rows are in bytes, all others in elements.
    pub(super) struct Args / Vals {
        /// All tiles, and those of a batch.
        tiles: [u32; 2],
        /// Positions of a tile, and of a batch.
        positions: [u32; 2],
        heads: u32,
        pairs: u32,
        /// Pieces of a row's turned elements, of pairs of halves those of the first half.
        parts: u32,
        abreast: u32,
        apart: u32,
        /// x and y, and strides of batches, heads and positions.
        rows: [u64; 2],
        strides: [[u64; 3]; 2],
        /// To the next heads, and from a head to itself at the next positions.
        steps: [[u64; 2]; 2],
        /// Numbers of the positions, or 0 where they are counted from `start`, and strides of batches and positions.
        numbers: u64,
        number_strides: [u64; 2],
        start: i64,
        /// Divisors of the frequencies, or 0.
        factors: u64,
        factor_stride: u64,
        /// cos and sin, and strides of batches, positions and pairs.
        tables: [u64; 2],
        table_strides: [[u64; 3]; 2],
        /// Rows of tables that numbers index.
        tables_end: u64,
        /// What cosines and sines are scaled by.
        scales: [f64; 2],
        /// Where it says that nothing may be written, or 0.
        bad: u64,
        frequencies: Words<PASSED>,
    }
}

/// What a kernel is written for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    pub dtype: Dtype,
    /// Of cos and sin, where they are given.
    pub tables: Option<[Dtype; 2]>,
    /// Of the positions' numbers.
    pub indexed: Option<Dtype>,
    pub half_split: bool,
}

/// A thread's way through the rows of a tile, in x or y.
struct Walk<'k> {
    /// In the tile; beyond it for a thread that has nothing to do.
    position: Reg<'k, u32>,
    head: Reg<'k, u32>,
    first_head: Reg<'k, u32>,
    /// The address of its piece.
    at: Reg<'k, u64>,
    steps: [Reg<'k, u64>; 2],
}

impl<'k> Walk<'k> {
    /// From the thread's first row on, in x (0) or y.
    fn new(k: &'k Builder, v: &Vals<'k>, tile: &Tile<'k>, n: usize) -> Self {
        let thread = k.thread_x() / v.parts;
        let group = thread / v.abreast;
        let (head, part) = (thread - group * v.abreast, k.thread_x() - thread * v.parts);
        let position = k.select(group.lt(v.apart), group, 1u32 << 31);
        let [batch, heads, positions] = v.strides[n];
        let row = k.mad(tile.batch.to::<u64>(), batch, v.rows[n]);
        let row = k.mad(head.to::<u64>(), heads, row);
        let row = k.mad((tile.first + group).to::<u64>(), positions, row);
        let at = k.var(k.mad_wide(part, 16u32, row));
        let [near, far] = v.steps[n];
        let back = ((v.heads - 1u32 - head) / v.abreast).to::<u64>() * near;
        Self { position: k.var(position), head: k.var(head), first_head: head, at, steps: [near, far - back] }
    }

    fn is_in(&self, tile: &Tile<'k>) -> Reg<'k, bool> {
        self.position.lt(tile.count)
    }

    fn advance(&self, k: &'k Builder, v: &Vals<'k>) {
        let head = self.head + v.abreast;
        let over = head.ge(v.heads);
        self.head.set(k.select(over, self.first_head, head));
        self.position.set(self.position + k.select(over, v.apart, 0u32));
        self.at.set(self.at + k.select(over, self.steps[1], self.steps[0]));
    }
}

/// A tile.
struct Tile<'k> {
    batch: Reg<'k, u32>,
    /// Its first position, and how many it has.
    first: Reg<'k, u32>,
    count: Reg<'k, u32>,
    /// Shared cosines and sines, [position][pair].
    waves: [Ptr<'k, Shared<f32>>; 2],
}

impl Spec {
    /// Tells it from all others.
    pub fn key(&self) -> Key {
        let code = |dtype: Option<Dtype>| dtype.map_or(0, |dtype| dtype as u32 + 1);
        let [cos, sin] = [0, 1].map(|n| code(self.tables.map(|tables| tables[n])));
        let halves = u32::from(self.half_split);
        Key("rope_tiles", [self.dtype as u32, cos, sin, code(self.indexed), halves, 0, 0, 0])
    }

    /// Writes the kernel.
    pub fn write(self, target: Target) -> Result<Kernel<Args>> {
        let numbers = self.key().1;
        let name =
            numbers[..5].iter().fold("rope_tiles".to_owned(), |name, number| format!("{name}_{number}"));
        let shape = Shape::new(name, target, [THREADS, 1, 1]).min_blocks(4);
        Kernel::build(&shape, |k, v: Vals<'_>| self.tiles(k, &v))
    }

    /// Pieces of a unit.
    pub fn pieces(&self) -> u32 {
        if self.half_split { 2 } else { 1 }
    }

    /// Units that a thread has under way.
    pub fn flight(&self) -> u32 {
        FLIGHT / self.pieces()
    }

    fn tiles<'k>(self, k: &'k Builder, v: &Vals<'k>) {
        end_if_bad(k, v.bad);
        let waves = [k.shared::<f32>(HELD as u32), k.shared::<f32>(HELD as u32)];
        let number = k.var(k.block_x());
        k.repeat_while(
            || number.lt(v.tiles[0]),
            || {
                let batch = number / v.tiles[1];
                let first = (number - batch * v.tiles[1]) * v.positions[0];
                let count = k.min(v.positions[0], v.positions[1] - first);
                self.tile(k, v, &Tile { batch, first, count, waves });
                k.barrier(); // so that the next tile does not overwrite what is still read
                number.set(number + k.grid_blocks_x());
            },
        );
    }

    fn tile<'k>(self, k: &'k Builder, v: &Vals<'k>, tile: &Tile<'k>) {
        let [from, to] = [0, 1].map(|n| Walk::new(k, v, tile, n));
        let load = || -> Vec<_> { (0..self.flight()).map(|_| self.load(k, v, tile, &from)).collect() };
        let finish =
            |loaded: Vec<_>| loaded.iter().for_each(|chunks: &Vec<_>| self.finish(k, v, tile, chunks, &to));
        let loaded = load();
        self.stage(k, v, tile);
        k.barrier();
        finish(loaded);
        k.repeat_while(|| to.is_in(tile), || finish(load()));
    }

    /// The pieces that a walk has come to.
    fn places<'k>(self, k: &'k Builder, v: &Vals<'k>, walk: &Walk<'k>) -> Vec<Array<'k>> {
        let first = Array::new(k, self.dtype, walk.at);
        let second = self.half_split.then(|| first.at32(v.pairs));
        [first].into_iter().chain(second).collect()
    }

    fn load<'k>(self, k: &'k Builder, v: &Vals<'k>, tile: &Tile<'k>, from: &Walk<'k>) -> Vec<Chunk<'k, f32>> {
        let there = from.is_in(tile);
        let chunks = self.places(k, v, from).into_iter().map(|at| Chunk::piece(k, at, there)).collect();
        from.advance(k, v);
        chunks
    }

    /// Turns the pairs of pieces and stores them.
    fn finish<'k>(
        self,
        k: &'k Builder,
        v: &Vals<'k>,
        tile: &Tile<'k>,
        chunks: &[Chunk<'k, f32>],
        to: &Walk<'k>,
    ) {
        let (there, len) = (to.is_in(tile), piece_len(self.dtype));
        let pairs = len * self.pieces() / 2;
        k.when(there, || {
            let part = k.thread_x() % v.parts;
            let first = k.mad(to.position, v.pairs, part * pairs);
            let waves = tile.waves.map(|waves| read(waves.at(first), pairs));
            let turned = self.turned(k, chunks, &waves);
            let places = self.places(k, v, to);
            for ((chunk, values), at) in chunks.iter().zip(turned.chunks(len as usize)).zip(places) {
                chunk.with(values).store(k, at, there);
            }
        });
        to.advance(k, v);
    }

    fn turned<'k>(
        self,
        k: &'k Builder,
        chunks: &[Chunk<'k, f32>],
        [cos, sin]: &[Vec<Reg<'k, f32>>; 2],
    ) -> Vec<Reg<'k, f32>> {
        let mut values: Vec<_> = chunks.iter().flat_map(Chunk::values).collect();
        let count = values.len() / 2;
        for (i, (&cos, &sin)) in cos.iter().zip(sin).enumerate() {
            let [first, second] = if self.half_split { [i, i + count] } else { [2 * i, 2 * i + 1] };
            let (a, b) = (values[first], values[second]);
            values[first] = k.fma(a, cos, -(b * sin));
            values[second] = k.fma(b, cos, a * sin);
        }
        values
    }

    /// The cosines and sines of the tile's positions, scaled, into shared memory.
    fn stage<'k>(self, k: &'k Builder, v: &Vals<'k>, tile: &Tile<'k>) {
        let scales = v.scales.map(|scale| scale.to::<f32>());
        k.steps(k.thread_x(), tile.count * v.pairs, THREADS, |number| {
            let position = number / v.pairs;
            let pair = number - position * v.pairs;
            let position = tile.first + position;
            let waves = match self.tables {
                Some(dtypes) => self.given(k, v, dtypes, [tile.batch, position, pair]),
                None => self.computed(k, v, [tile.batch, position, pair]),
            };
            for n in 0..2 {
                tile.waves[n].at(number).store(waves[n] * scales[n]);
            }
        });
    }

    /// The number of a position that has one.
    fn number<'k>(
        self,
        k: &'k Builder,
        v: &Vals<'k>,
        batch: Reg<'k, u32>,
        position: Reg<'k, u32>,
    ) -> Option<Reg<'k, i64>> {
        let at = k.mad(batch.to::<u64>(), v.number_strides[0], position.to::<u64>() * v.number_strides[1]);
        self.indexed.map(|dtype| integer(Array::new(k, dtype, v.numbers).at(at)))
    }

    fn computed<'k>(
        self,
        k: &'k Builder,
        v: &Vals<'k>,
        [batch, position, pair]: [Reg<'k, u32>; 3],
    ) -> [Reg<'k, f32>; 2] {
        let counted = || v.start + position.to::<u64>().bits::<i64>();
        let number = self.number(k, v, batch, position).unwrap_or_else(counted);
        let word = k.mad_wide(pair, 8u32, v.frequencies.start());
        let frequency = k.var(v.frequencies.behind(word, 0).bits::<f64>());
        k.when(v.factors.ne(0u64), || {
            let at = Array::new(k, Dtype::F32, v.factors).at(pair.to::<u64>() * v.factor_stride);
            frequency.set(k.div(frequency, at.load::<f64>()));
        });
        wave(k, number.to::<f64>() * frequency)
    }

    fn given<'k>(
        self,
        k: &'k Builder,
        v: &Vals<'k>,
        dtypes: [Dtype; 2],
        [batch, position, pair]: [Reg<'k, u32>; 3],
    ) -> [Reg<'k, f32>; 2] {
        let number = self.number(k, v, batch, position).map(|number| clamped(k, number, v.tables_end));
        let row = number.unwrap_or_else(|| position.to::<u64>());
        [0, 1].map(|n| {
            let [outer, step, inner] = v.table_strides[n];
            let at = k.mad(batch.to::<u64>(), outer, k.mad(row, step, pair.to::<u64>() * inner));
            Array::new(k, dtypes[n], v.tables[n]).at(at).load::<f32>()
        })
    }
}

/// `count` neighbours, 2 or a multiple of 4.
fn read<'k>(at: Ptr<'k, Shared<f32>>, count: u32) -> Vec<Reg<'k, f32>> {
    match count {
        2 => at.load_vec::<2>().to_vec(),
        _ => (0..count / 4).flat_map(|i| at.plus(4 * i as i32).load_vec::<4>()).collect(),
    }
}

/// The kernels that tests assemble.
pub(super) fn texts(target: Target) -> Vec<Result<Text>> {
    let mut texts = Vec::new();
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        for half_split in [true, false] {
            let plain = Spec { dtype, tables: None, indexed: None, half_split };
            let indexed = Spec { tables: Some([dtype, Dtype::F32]), indexed: Some(Dtype::I64), ..plain };
            let counted = Spec { indexed: Some(Dtype::I32), ..plain };
            let given = Spec { tables: Some([Dtype::F32; 2]), ..plain };
            texts.extend([plain, indexed, counted, given].map(|spec| spec.write(target).map(Text::from)));
        }
    }
    texts
}

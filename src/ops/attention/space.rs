//! The scratch memory of one chunk of rows: packed operands of a block of keys, scores, sums.

use super::Shape;
use super::line::Line;
use super::simd::Simd;
use crate::device::cpu::Scratch;
use crate::status::Result;

/// Rows whose scores are in memory at once: what a level-1 cache holds beside a panel of keys.
pub(super) const SUB: usize = 24;

/// Rows of a tile.
pub(super) const GROUP: usize = 6;

/// Sizes and places; every place holds 32-bit words.
pub(super) struct Space {
    _memory: Scratch<f32>,
    /// Keys in a block; blocks start at its multiples, so that a row's result does not depend on other rows.
    pub block: usize,
    /// Keys in a packed panel.
    pub panel: usize,
    /// Words in a row of q and of a panel.
    pub depth: usize,
    /// `depth` rounded up to whole vectors: words in a row of packed q, rows in a panel.
    pub padded: usize,
    /// Elements in a row of packed values and of sums: Dv rounded up to whole vectors.
    pub width: usize,
    /// [rows][padded]
    pub q: *mut f32,
    /// [block / panel][padded][panel]
    pub k: *mut f32,
    /// [block / PAIR][width]
    pub v: *mut f32,
    /// [SUB][block]
    pub scores: *mut f32,
    /// The weights as words of `PAIR`: [SUB][block / PAIR]; `scores` itself where a word is an f32.
    pub weights: *mut f32,
    /// [rows][width]: sums of weighted values.
    pub o: *mut f32,
    /// A vector's worth of rows of k, each [padded].
    pub stage: *mut f32,
    /// [block]: a row of the bias.
    pub bias: *mut f32,
    /// [rows]
    pub lines: *mut Line,
}

impl Space {
    /// For `rows` rows; panels of `vectors` vectors of keys. `packs`: whether keys and values will be packed.
    pub fn new<S: Simd>(shape: Shape, rows: usize, vectors: usize, packs: bool) -> Result<Self> {
        let up = |n: usize| n.next_multiple_of(S::LANES);
        let (panel, depth, width) = (vectors * S::LANES, shape.dim.div_ceil(S::PAIR), up(shape.dim_v));
        let (block, padded) = (block_keys(shape), up(depth));
        // Groups of rows are computed whole.
        let rows = rows.next_multiple_of(GROUP);
        let held = rows.min(SUB);
        let keys = if packs { block } else { 0 };
        let counts = [
            rows * size_of::<Line>() / size_of::<f32>(),
            rows * padded,
            keys * padded,
            keys / S::PAIR * width,
            held * block,
            if S::PAIR == 1 { 0 } else { held * block / S::PAIR },
            rows * width,
            S::LANES * padded,
            block,
        ];
        const { assert!(align_of::<Line>() <= 64 && size_of::<Line>().is_multiple_of(size_of::<f32>())) };
        let memory = Scratch::<f32>::new(counts.iter().map(|count| count.next_multiple_of(16)).sum())?;
        let mut at = memory.ptr();
        let [lines, q, k, v, scores, weights, o, stage, bias] = counts.map(|count| {
            let here = at;
            at = at.wrapping_add(count.next_multiple_of(16));
            here
        });
        let weights = if S::PAIR == 1 { scores } else { weights };
        Ok(Self {
            _memory: memory,
            block,
            panel,
            depth,
            padded,
            width,
            q,
            k,
            v,
            scores,
            weights,
            o,
            stage,
            bias,
            lines: lines.cast(),
        })
    }
}

/// Keys in a block: as many as leave packed keys and values in a level-2 cache.
fn block_keys(shape: Shape) -> usize {
    match shape.dim.max(shape.dim_v) {
        0..=128 => 256,
        129..=256 => 128,
        _ => 64,
    }
}

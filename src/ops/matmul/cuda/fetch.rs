//! How the elements of A and B come to shared memory, a few a thread: of any type and strides, scaled on their way or not, or
//! parts of complex numbers.

use super::full::Values;
use super::real::{Bits, is_complex, part};
use super::simt::{Block, DEPTH, EDGE, THREADS, line};
use crate::dtype::Dtype;
use crate::ptx::{Builder, Global, Ptr, Reg, Shared};

/// Elements of A, and of B, that a thread fetches at once.
const EACH: u32 = EDGE * DEPTH / THREADS;
/// Elements of k that share a scale, as a power of two.
const SHARE: u32 = 7;

/// A or B (number 0 or 1), of a tile.
pub struct Factor<'k> {
    pub operand: usize,
    /// The tile's first row of A, or column of B: a part where elements have two.
    pub from: Reg<'k, u64>,
    /// Where its matrix begins, and the matrix's scales.
    pub at: Reg<'k, u64>,
    pub scales: Reg<'k, u64>,
}

/// The elements that a thread brings to shared memory, DEPTH further along k each time.
pub struct Panel<'k, R: Values> {
    dtype: Dtype,
    items: Vec<Item<'k, R>>,
    /// Bytes to the next.
    step: Reg<'k, u64>,
    /// Bytes from a block's scale to the next.
    step_of_scales: Reg<'k, u64>,
}

/// One of them.
struct Item<'k, R: Values> {
    bits: Bits<'k>,
    /// Where the next one is.
    at: Reg<'k, u64>,
    /// How far along k it is in each tile.
    depth: Reg<'k, u64>,
    inside: Reg<'k, bool>,
    to: Ptr<'k, Shared<R>>,
    /// Its scale, and where those of its line begin.
    scale: Option<(Reg<'k, f32>, Reg<'k, u64>)>,
    /// Where it is a part of a complex number: whether it is subtracted.
    negative: Option<Reg<'k, bool>>,
}

/// Where an item lies in a tile.
struct Spot<'k> {
    place: Reg<'k, u32>,
    depth: Reg<'k, u32>,
}

impl<'k, R: Values> Panel<'k, R> {
    pub fn new(block: &Block<'_, 'k, R>, factor: &Factor<'k>, shared: Ptr<'k, Shared<R>>) -> Self {
        let (k, v, dtype) = (block.k, block.v, block.form.types[factor.operand]);
        let along = v.base.more[1 + factor.operand].ne(0u32);
        let items = (0..EACH).map(|number| {
            let number = block.thread + number * THREADS;
            let depth = k.select(along, number & (DEPTH - 1), number >> EDGE.ilog2());
            let place = k.select(along, number >> DEPTH.ilog2(), number & (EDGE - 1));
            Item::new(block, factor, &Spot { place, depth }, shared)
        });
        let items = items.collect();
        let parts = if is_complex(dtype) { 2 } else { 1 };
        let step = stride_of_k(block, factor.operand) * u64::from(DEPTH / parts);
        let step_of_scales = v.more_strides.get(3 + 2 * factor.operand);
        Self { dtype: part(dtype), items, step, step_of_scales }
    }

    /// Fetches those of the tile that begins at `at` along k; zeros beyond the ends.
    pub fn fetch(&self, k: &'k Builder, at: Reg<'k, u64>, end: Reg<'k, u64>) {
        for item in &self.items {
            let depth = at + item.depth;
            let there = item.inside & depth.lt(end);
            item.bits.fetch(item.at, there);
            item.at.set(item.at + self.step);
            if let Some((scale, start)) = item.scale {
                let at = k.mad(depth >> SHARE, self.step_of_scales, start);
                scale.set(Ptr::<Global<f32>>::new(at).load_if(there & start.ne(0u64), 1.0f32));
            }
        }
    }

    /// Stores what was fetched.
    pub fn put(&self, k: &'k Builder) {
        for item in &self.items {
            let x = R::of_bits(k, self.dtype, item.bits);
            let x = item.scale.map_or(x, |(scale, _)| R::scaled(x, scale));
            item.to.store(item.negative.map_or(x, |negative| R::signed(k, negative, x)));
        }
    }
}

/// Bytes from a column of A, or a row of B, to the next.
fn stride_of_k<'k, R: Values>(block: &Block<'_, 'k, R>, operand: usize) -> Reg<'k, u64> {
    block.v.base.strides.get(1 + operand)
}

/// Bytes from a row of A, or a column of B, to the next.
fn stride_of_lines<'k, R: Values>(block: &Block<'_, 'k, R>, operand: usize) -> Reg<'k, u64> {
    block.v.base.strides.get(3 * operand)
}

impl<'k, R: Values> Item<'k, R> {
    fn new(
        block: &Block<'_, 'k, R>,
        factor: &Factor<'k>,
        spot: &Spot<'k>,
        shared: Ptr<'k, Shared<R>>,
    ) -> Self {
        let (k, v, dtype) = (block.k, block.v, block.form.types[factor.operand]);
        let to = shared.at(k.mad(spot.depth, line::<R>(), spot.place));
        let (depth, outside) = (spot.depth.to::<u64>(), factor.from + spot.place.to::<u64>());
        let end = if factor.operand == 0 { v.base.m } else { block.n };
        let item = Self {
            bits: Bits::zero(k, part(dtype)),
            at: factor.at,
            depth,
            inside: outside.lt(end),
            to,
            scale: block.form.scaled.then(|| scale(block, factor, outside)),
            negative: None,
        };
        let strides = [stride_of_lines, stride_of_k].map(|stride| stride(block, factor.operand));
        if is_complex(dtype) {
            item.of_parts(block, factor, spot, outside, strides)
        } else {
            let at = k.var(k.mad(outside, strides[0], k.mad(depth, strides[1], factor.at)));
            Self { at, ..item }
        }
    }

    /// Of A, rows are whole and columns are parts. Of B, rows and columns are parts: real and imaginary part of an element,
    /// and below them the imaginary part, negative, and the real one.
    fn of_parts(
        self,
        block: &Block<'_, 'k, R>,
        factor: &Factor<'k>,
        spot: &Spot<'k>,
        outside: Reg<'k, u64>,
        strides: [Reg<'k, u64>; 2],
    ) -> Self {
        let (k, conjugate) = (block.k, block.v.conjugate[factor.operand]);
        let odd = |number: Reg<'k, u32>| number & 1u32;
        let (line, part, flipped) = match factor.operand {
            0 => (outside, odd(spot.depth), k.var(0u32)),
            _ => {
                let below = odd(spot.depth);
                let imaginary = below ^ odd(spot.place);
                (outside >> 1u32, imaginary, below & imaginary)
            }
        };
        let start = k.mad(part.to::<u64>(), u64::from(R::SIZE), factor.at);
        let start = k.mad((spot.depth >> 1u32).to::<u64>(), strides[1], start);
        let at = k.var(k.mad(line, strides[0], start));
        let negative = (flipped ^ (conjugate & part)).ne(0u32);
        Self { at, negative: Some(negative), ..self }
    }
}

/// A scale's register, and where those of the line `outside` begin; 0 where there are none.
fn scale<'k, R: Values>(
    block: &Block<'_, 'k, R>,
    factor: &Factor<'k>,
    outside: Reg<'k, u64>,
) -> (Reg<'k, f32>, Reg<'k, u64>) {
    let (k, v) = (block.k, block.v);
    let there = v.more_at[1 + factor.operand].ne(0u64);
    let start = v.scale_of(factor.operand, factor.scales, outside);
    (k.var(1.0f32), k.select(there, start, 0u64))
}

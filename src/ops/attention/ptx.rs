//! The kernels of attention on CUDA: one checks what lengths, starts and pages say and notes where sequences lie, one
//! computes the rows.

mod pages;
mod plan;
mod product;
mod row;
mod score;
mod simple;
mod tile;

pub(super) use pages::{THREADS as PAGE_THREADS, pages};
pub(super) use plan::{RECORD, kind, plan};
pub(super) use simple::simple;

use crate::dtype::Dtype;
use crate::dtype::Dtype::{Bf16, Bool, F16, F32};
use crate::ptx::{Builder, Reg, Target, Text, WordList, Words, params};
use crate::status::Result;

/// Words of a tensor: its address and four strides in bytes.
pub(super) const TENSOR: usize = 5;

/// Where each number is among the words.
pub(super) mod at {
    pub(crate) const Q: usize = 0;
    pub(crate) const K: usize = 5;
    pub(crate) const V: usize = 10;
    pub(crate) const O: usize = 15;
    pub(crate) const LSE: usize = 20;
    pub(crate) const BIAS: usize = 25;
    pub(crate) const SLOPES: usize = 30;
    pub(crate) const SINKS: usize = 35;
    pub(crate) const Q_LENGTHS: usize = 40;
    pub(crate) const KV_LENGTHS: usize = 45;
    pub(crate) const Q_STARTS: usize = 50;
    pub(crate) const KV_STARTS: usize = 55;
    pub(crate) const TABLE: usize = 60;
    /// The records of the sequences, the first error among them, and the word that tells the host.
    pub(crate) const RECORDS: usize = 65;
    pub(crate) const FAILED: usize = 66;
    pub(crate) const VERDICT: usize = 67;
    /// Rows times heads times batch entries times pieces of the columns.
    pub(crate) const TASKS: usize = 68;
    pub(crate) const PIECES: usize = 69;
    /// Axis 2 of q.
    pub(crate) const ROWS: usize = 70;
    pub(crate) const HEADS: usize = 71;
    pub(crate) const GROUP: usize = 72;
    pub(crate) const DIM: usize = 73;
    pub(crate) const DIM_V: usize = 74;
    pub(crate) const BATCH: usize = 75;
    pub(crate) const PAGE_SIZE: usize = 76;
    /// Pages of k, and of a row of the table.
    pub(crate) const PAGES: usize = 77;
    pub(crate) const PAGES_EACH: usize = 78;
    /// What the table holds for a sequence at most, in keys; all keys where there is none.
    pub(crate) const CAPACITY: usize = 79;
    pub(crate) const LEFT: usize = 80;
    pub(crate) const RIGHT: usize = 81;
    pub(crate) const KEPT: usize = 82;
    pub(crate) const TOP_LEFT: usize = 83;
    /// Axes 2 and 3 of the bias; 1 where there is none.
    pub(crate) const BIAS_ROWS: usize = 84;
    pub(crate) const BIAS_KEYS: usize = 85;
    pub(crate) const THRESHOLD: usize = 86;
    pub(crate) const KEY_LOW: usize = 87;
    pub(crate) const KEY_HIGH: usize = 88;
    pub(crate) const OFFSET: usize = 89;
    pub(crate) const COUNT: usize = 90;
}

params! {
    /// What all kernels of a request take.
    pub(super) struct Args / Vals {
        /// As [`at`] says.
        words: Words<{ at::COUNT }>,
        scale: f32,
        /// Above 0 where it is used.
        softcap: f32,
        /// What kept weights are multiplied with.
        gain: f32,
    }
}

/// What the text of the kernel of rows depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    /// Of q, k, v and o.
    pub dtype: Dtype,
    /// Of the bias, if there is one.
    pub bias: Option<Dtype>,
    /// Warps that share the keys of a row: 1 or more.
    pub warps: u32,
    /// Columns of o that a lane sums up: 1, 2, 4 or 8.
    pub columns: u32,
    /// Rows of q and k are whole vectors of 16 bytes, aligned to them.
    pub wide: bool,
    /// q is packed.
    pub packed: bool,
    /// k and v are paged.
    pub paged: bool,
    pub slopes: bool,
    pub softcap: bool,
    pub dropout: bool,
}

impl Spec {
    /// The plainest.
    pub const fn of(dtype: Dtype) -> Self {
        Self {
            dtype,
            bias: None,
            warps: 1,
            columns: 1,
            wide: false,
            packed: false,
            paged: false,
            slopes: false,
            softcap: false,
            dropout: false,
        }
    }

    /// All of it, for the kernel's key.
    pub fn key(&self) -> [u32; 8] {
        let flags = [self.wide, self.packed, self.paged, self.slopes, self.softcap, self.dropout];
        let bits = flags.iter().rev().fold(0, |bits, &flag| bits << 1 | u32::from(flag));
        let bias = self.bias.map_or(0, |dtype| 1 + dtype as u32);
        [1, self.dtype as u32, bias, self.warps, self.columns, bits, 0, 0]
    }

    /// The kernel's name.
    pub fn name(&self) -> String {
        let [_, dtype, bias, warps, columns, bits, ..] = self.key();
        format!("attention_simple_{dtype}_{bias}_{warps}_{columns}_{bits}")
    }

    /// Columns of o that a block sums up.
    pub fn width(&self) -> u32 {
        32 * self.columns
    }
}

/// The address of the element of `tensor` at `index`, in its first axes.
fn element<'k>(k: &'k Builder, words: &WordList<'k>, tensor: usize, index: &[Reg<'k, u64>]) -> Reg<'k, u64> {
    let axes = index.iter().enumerate();
    axes.fold(words.get(tensor), |at, (axis, &i)| k.mad(i, words.get(tensor + 1 + axis), at))
}

/// Whether a tensor that may be absent is there.
fn given<'k>(words: &WordList<'k>, tensor: usize) -> Reg<'k, bool> {
    words.get(tensor).ne(0u64)
}

/// Kernels as they come in use, for whoever assembles them.
#[doc(hidden)]
pub fn texts(target: Target) -> Vec<Result<Text>> {
    let mut texts = vec![plan(target).map(Text::from), pages(target).map(Text::from)];
    texts.extend(samples().iter().map(|spec| simple(target, *spec).map(Text::from)));
    texts
}

/// Every flag, dtype and size, in few kernels.
fn samples() -> Vec<Spec> {
    let mut specs = Vec::new();
    for dtype in [F32, F16, Bf16] {
        let sizes = [(1, 1, false), (8, 2, true), (1, 4, true), (8, 8, false)];
        specs.extend(sizes.map(|(warps, columns, wide)| Spec { warps, columns, wide, ..Spec::of(dtype) }));
        let all = Spec { packed: true, slopes: true, softcap: true, dropout: true, ..Spec::of(dtype) };
        specs.push(Spec { bias: Some(dtype), columns: 8, wide: true, ..all });
        specs.push(Spec { bias: Some(Bool), columns: 4, warps: 8, paged: true, ..all });
    }
    specs.push(Spec { bias: Some(F32), ..Spec::of(Bf16) });
    specs.push(Spec { paged: true, warps: 8, columns: 4, wide: true, ..Spec::of(Bf16) });
    specs
}

//! Scales of 8-bit floats as the library takes them: one number, a row of them, or those of blocks, laid out its way. What it does
//! not apply itself is applied to the sums, if they are scaled as a whole.

use super::Task;
use super::full::{Share, pack};
use crate::device::cuda::Stream;
use crate::device::cuda::cublaslt::{Addresses, Product, Scaling};
use crate::ops::matmul::extra::BLOCK;
use crate::status::Result;

/// Those of a call.
pub struct Scales {
    modes: [Option<Scaling>; 2],
    at: [u64; 2],
    /// What has to be laid out anew: lines and blocks, and bytes from one to the next where it goes.
    copies: [Option<Copy>; 2],
}

/// Scales on their way to scratch memory.
struct Copy {
    from: Share,
    counts: [usize; 2],
    strides: [usize; 2],
}

impl Scales {
    /// Those of a task: for D (`whole`), or for sums; `None` if the library cannot apply them and nobody else can.
    pub fn of(task: &Task, whole: bool) -> Option<Self> {
        let none = Self { modes: [None; 2], at: [0; 2], copies: [None, None] };
        let Some(extras) = &task.extras else { return Some(none) };
        let shares = extras.scales;
        if shares.iter().all(Option::is_none) || !whole && !extras.has_blocks() {
            return Some(none);
        }
        let p = &task.problem;
        let modes = shares.map(|share| share.map(mode));
        let whole_only = modes.iter().flatten().any(|&mode| mode != Scaling::All);
        let fits = p.a.dtype.is_small_float()
            && combine(modes)
            && !(whole_only && p.d.dtype.is_small_float() && whole);
        let lines = [p.m, p.n];
        let copies = [0, 1].map(|n| shares[n].and_then(|share| copy(share, lines[n], p.k)));
        // What is laid out anew is so once for all calls.
        let once =
            copies.iter().all(Option::is_none) || task.axes().is_empty() && task.workspace == usize::MAX;
        let blocks = !extras.has_blocks() || p.m.is_multiple_of(4) && p.n.is_multiple_of(4);
        let at = shares.map(|share| share.map_or(0, |share| share.all.at));
        (fits && once && blocks).then_some(Self { modes, at, copies })
    }

    /// Whether each matrix of a batch has to be a call of its own.
    pub fn are_apart(&self, task: &Task) -> bool {
        let lines = self.modes.iter().flatten().any(|&mode| mode != Scaling::All);
        let used = self.modes.iter().any(Option::is_some);
        lines || used && task.axes().last().is_some_and(|axis| axis.1[6] != 0 || axis.1[7] != 0)
    }

    /// The product with them.
    pub fn tell(&self, product: Product) -> Product {
        Product { scaling: self.modes, ..product }
    }

    /// Addresses with theirs.
    pub fn addresses(&self, at: Addresses) -> Addresses {
        Addresses { scales: self.at, ..at }
    }

    /// Lays out anew what has to be. Where all are then.
    pub fn lay_out(&self, stream: &Stream, at: [u64; 2]) -> Result<[u64; 2]> {
        let mut at = at;
        for (at, copy) in at.iter_mut().zip(&self.copies) {
            let Some(copy) = copy else { continue };
            let bytes = copy.strides.iter().zip(copy.counts).map(|(stride, count)| stride * count).max();
            *at = stream.scratch(bytes.unwrap_or(0))?;
            pack(stream, &copy.from.all, *at, copy.counts, copy.strides)?;
        }
        Ok(at)
    }
}

fn mode(share: Share) -> Scaling {
    match (share.lines, share.blocks) {
        (usize::MAX, _) => Scaling::All,
        (BLOCK, true) => Scaling::Squares,
        (_, true) => Scaling::Pieces,
        _ => Scaling::Lines,
    }
}

/// Whether the library has them together. One number for all may be left out: it is 1.
fn combine(modes: [Option<Scaling>; 2]) -> bool {
    use Scaling::{All, Lines, Pieces, Squares};
    match modes {
        [None | Some(All), None | Some(All)] => true,
        [Some(a), Some(b)] => {
            matches!((a, b), (Lines, Lines) | (Pieces, Pieces) | (Pieces, Squares) | (Squares, Pieces))
        }
        _ => false,
    }
}

/// What has to be copied to lie as the library reads it: lines side by side, or, of squares, blocks of k side by side, lines a
/// multiple of four apart.
fn copy(share: Share, lines: usize, k: usize) -> Option<Copy> {
    let blocks = k.div_ceil(BLOCK);
    let (counts, strides) = match mode(share) {
        Scaling::All => return None,
        Scaling::Lines => ([lines, 1], [4, 0]),
        Scaling::Pieces => ([lines, blocks], [4, 4 * lines]),
        Scaling::Squares => ([lines.div_ceil(BLOCK), blocks], [4 * blocks.next_multiple_of(4), 4]),
    };
    let fits = (0..2).all(|n| counts[n] == 1 || share.all.strides[n] == strides[n] as isize);
    let aligned = share.all.at.is_multiple_of(16);
    (!fits || !aligned).then_some(Copy { from: share, counts, strides })
}

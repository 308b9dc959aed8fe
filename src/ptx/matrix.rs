//! Moving fragments between registers and shared memory, a warp at a time: ldmatrix and stmatrix.
//!
//! They move 8 x 8 matrices of 16-bit elements. Each row is 16 bytes at an address of its own: lane `i` gives that of row
//! `i % 8` of matrix `i / 8`. Elements of other widths travel the same way, as 16 bytes a row.

use super::builder::braces;
use super::mma::{A, B, Factor, registers};
use super::pointer::{Ptr, Shared};
use super::target::{EVERY, Needs};
use super::{Element, Reg, Ty};

/// How rows of shared memory become rows of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// As they are.
    Straight,
    /// Transposed: 16-bit elements alone.
    Transposed,
}

impl Turn {
    fn name(self) -> &'static str {
        if self == Self::Straight { "" } else { ".trans" }
    }
}

impl<'k, T: Element> Ptr<'k, Shared<T>> {
    /// `N` matrices (1, 2 or 4), one register of each: of lane `4g + t`, row `g`, elements `2t` and `2t + 1`.
    pub fn load_matrix<P: Element, const N: usize>(&self, turn: Turn) -> [Reg<'k, P>; N] {
        const { assert!(matches!(N, 1 | 2 | 4), "1, 2 or 4 matrices") };
        const { assert!(P::SIZE == 4, "a register of 32 bits") };
        let d = self.k().fresh_array();
        let mnemonic = format!("ldmatrix.sync.aligned.m8n8.x{N}{}.shared.b16", turn.name());
        self.k().op(EVERY, &mnemonic, format_args!("{}, {self}", braces(&d)));
        d
    }

    /// The way back.
    pub fn store_matrix<P: Element, const N: usize>(&self, turn: Turn, values: [Reg<'k, P>; N]) {
        const { assert!(matches!(N, 1 | 2 | 4), "1, 2 or 4 matrices") };
        const { assert!(P::SIZE == 4, "a register of 32 bits") };
        let mnemonic = format!("stmatrix.sync.aligned.m8n8.x{N}{}.shared.b16", turn.name());
        self.k().op(Needs::new(90, 78), &mnemonic, format_args!("{self}, {}", braces(&values)));
    }
}

/// Matrices of 8 rows of 16 bytes that a tile of `registers` comes in: the same number.
fn tile<'k, T: Element, P: Element>(from: &Ptr<'k, Shared<T>>, count: usize, turn: Turn) -> Vec<Reg<'k, P>> {
    match count {
        1 => from.load_matrix::<P, 1>(turn).to_vec(),
        2 => from.load_matrix::<P, 2>(turn).to_vec(),
        _ => from.load_matrix::<P, 4>(turn).to_vec(),
    }
}

impl<'k, T: Factor + Element, const K: usize> A<'k, T, K> {
    /// A tile whose rows lie in shared memory. Lane `i` gives the address of row `i % 16`, and from lane 16 on, of its second
    /// 16 bytes. Transposed (16-bit elements): matrices of 8 x 8 in the order (rows 0-7, k 0-7), (8-15, 0-7), (0-7, 8-15),
    /// (8-15, 8-15), each with a row for each k.
    pub fn load(row: &Ptr<'k, Shared<T>>, turn: Turn) -> Self {
        const { assert!(<T::Packed as Ty>::SIZE == 4 && registers::<T>(16, K) <= 4, "not a tile for ldmatrix") };
        Self(tile(row, registers::<T>(16, K), turn))
    }
}

impl<'k, T: Factor + Element, const K: usize> B<'k, T, K> {
    /// A tile in shared memory: straight where its columns are contiguous (lane `i` gives the address of column `i % 8`, and from
    /// lane 8 on, of its second 16 bytes), transposed where its rows are (lane `i` gives the address of row `i`).
    pub fn load(row: &Ptr<'k, Shared<T>>, turn: Turn) -> Self {
        const { assert!(<T::Packed as Ty>::SIZE == 4 && registers::<T>(K, 8) <= 4, "not a tile for ldmatrix") };
        Self(tile(row, registers::<T>(K, 8), turn))
    }

    /// Two tiles side by side in one instruction: lanes from 16 on give the addresses of the second.
    pub fn load_two(row: &Ptr<'k, Shared<T>>, turn: Turn) -> [Self; 2] {
        const { assert!(<T::Packed as Ty>::SIZE == 4 && registers::<T>(K, 8) == 2, "not a tile for ldmatrix") };
        let [a, b, c, d] = row.load_matrix::<T::Packed, 4>(turn);
        [Self(vec![a, b]), Self(vec![c, d])]
    }
}

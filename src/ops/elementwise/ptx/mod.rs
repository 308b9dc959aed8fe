//! The kernels: one for dense operands, which moves 16 bytes at a time, and one for any layout, an element at a time.

mod formulas;
mod vectors;

use super::functions::*;
use crate::dtype::Dtype;
use crate::kernels::gpu::math::Math;
use crate::kernels::gpu::{Array, Lane, Space, load_words, store_words};
use crate::layout::WEFT_MAX_RANK;
use crate::ptx::{Builder, Kernel, Load, Reg, Shape, Target, Text, Words, params};
use crate::status::Result;

/// Threads of a block.
pub(super) const THREADS: u32 = 256;
/// Words of the space of three operands and y.
const WORDS: usize = Space::<4>::word_count(WEFT_MAX_RANK);

params! {
    /// What a kernel is launched with.
    pub(super) struct Args / Vals {
        /// Elements.
        count: u64,
        /// Whole vectors of elements, of the dense kernel.
        vectors: u32,
        /// Parameters.
        alpha: f64,
        /// Parameters.
        beta: f64,
        /// Where the operands and y begin.
        at: [u64; 4],
        /// The space, of the strided kernel.
        space: Words<WORDS>,
    }
}

/// How the operands lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// One run each; of operands whose bit is set, one element for all.
    Dense { uniform: u32 },
    /// Rows that are; along them, operands whose bit is set have one element for all.
    Rows { uniform: u32, rank: usize },
    /// Anything; `wide` beyond 2^32 elements.
    Strided { rank: usize, wide: bool },
}

/// What a kernel is specialised on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    pub function: &'static Function,
    /// Of the last operand.
    pub dtype: Dtype,
    pub way: Way,
}

impl Spec {
    /// All of it, in numbers.
    pub fn key(&self) -> [u32; 8] {
        let [way, a, b] = match self.way {
            Way::Dense { uniform } => [0, uniform, 0],
            Way::Strided { rank, wide } => [1, rank as u32, u32::from(wide)],
            Way::Rows { uniform, rank } => [2, uniform, rank as u32],
        };
        [self.function.code, self.dtype.code(), way, a, b, 0, 0, 0]
    }

    fn name(&self) -> String {
        let [code, dtype, way, a, b, ..] = self.key();
        format!("elementwise_{code}_{dtype}_{way}_{a}_{b}")
    }

    /// The dtype of operand `number`; y is number 3. What only moves counts as bits.
    fn dtype_of(&self, number: usize) -> Dtype {
        let truth = match self.function.kind {
            Kind::Compare | Kind::Test => number == 3,
            Kind::Select => number == 0,
            Kind::Logic => true,
            Kind::Float | Kind::Number => false,
        };
        if truth { Dtype::Bool } else { self.dtype }
    }

    /// Elements of a vector: 16 bytes of the largest.
    pub fn lanes(&self) -> u32 {
        16 / self.dtype.size() as u32
    }

    /// Bytes of operand `number` in a vector.
    pub fn vector_bytes(&self, number: usize) -> usize {
        self.lanes() as usize * self.dtype_of(number).size()
    }

    /// Vectors that a thread of the dense kernel has under way.
    pub fn unroll(&self) -> u32 {
        match self.function.code {
            WEFT_EW_SWIGLU..=WEFT_EW_GEGLU_TANH | WEFT_EW_SELECT | WEFT_EW_EXP..=WEFT_EW_CELU => 2,
            _ => 4,
        }
    }

    /// Whether it is computed faster than in f32.
    fn is_short(&self) -> bool {
        let halves = matches!(self.dtype, Dtype::F16 | Dtype::Bf16);
        halves
            && matches!(self.function.code, WEFT_EW_SWIGLU..=WEFT_EW_GEGLU_TANH | WEFT_EW_SIGMOID | WEFT_EW_GELU..=WEFT_EW_SILU)
    }

    /// Whether its formula is so long that the memory does not matter.
    pub fn is_long(&self) -> bool {
        matches!(self.function.code, WEFT_EW_POW | WEFT_EW_MOD | WEFT_EW_SIN..=WEFT_EW_COSH | WEFT_EW_ASINH..=WEFT_EW_ATANH)
    }

    /// Writes the kernel.
    pub fn kernel(self, target: Target) -> Result<Kernel<Args>> {
        let shape = Shape::new(self.name(), target, [THREADS, 1, 1]);
        // Without a bound, the assembler puts off loads to need fewer registers.
        let shape = if self.is_short() { shape.min_blocks(5) } else { shape };
        Kernel::build(&shape, |k, v| self.write(k, &v))
    }

    fn write<'k>(self, k: &'k Builder, v: &Vals<'k>) {
        match (self.function.kind, self.dtype) {
            (Kind::Select, _) => self.select(k, v),
            (Kind::Logic, _) | (Kind::Compare, Dtype::Bool) => {
                self.run::<bool, bool, bool>(k, v, |x, _| {
                    formulas::truths(self.function.code, &[&[x.0], x.1].concat())
                });
            }
            (_, Dtype::F64) => self.floats::<f64>(k, v, [v.alpha, v.beta]),
            (_, Dtype::F32 | Dtype::F16 | Dtype::Bf16) => {
                let (code, p) = (self.function.code, [v.alpha, v.beta].map(|p| p.to::<f32>()));
                if !self.is_short() {
                    return self.floats::<f32>(k, v, p);
                }
                self.run::<f32, f32, f32>(k, v, |x, _| formulas::short(k, code, &[&[x.0], x.1].concat(), p))
            }
            (_, Dtype::I8 | Dtype::I16 | Dtype::I32) => self.integers::<i32>(k, v),
            (_, Dtype::I64) => self.integers::<i64>(k, v),
            (_, Dtype::U64) => self.integers::<u64>(k, v),
            _ => self.integers::<u32>(k, v),
        }
    }

    fn floats<'k, T: Math + Lane>(self, k: &'k Builder, v: &Vals<'k>, p: [Reg<'k, T>; 2]) {
        let code = self.function.code;
        match self.function.kind {
            Kind::Compare => {
                self.run::<T, T, bool>(k, v, |x, _| formulas::conditions(code, &[&[x.0], x.1].concat()))
            }
            Kind::Test => self.run::<T, T, bool>(k, v, |x, _| formulas::tests(k, code, x.0)),
            _ => self.run::<T, T, T>(k, v, |x, _| formulas::floats(k, code, &[&[x.0], x.1].concat(), p)),
        }
    }

    fn integers<'k, T: formulas::Integer + Lane>(self, k: &'k Builder, v: &Vals<'k>) {
        let code = self.function.code;
        match self.function.kind {
            Kind::Compare => {
                self.run::<T, T, bool>(k, v, |x, _| formulas::conditions(code, &[&[x.0], x.1].concat()))
            }
            _ => self.run::<T, T, T>(k, v, |x, _| formulas::integers(k, code, &[&[x.0], x.1].concat())),
        }
    }

    fn select<'k>(self, k: &'k Builder, v: &Vals<'k>) {
        match self.dtype.size() {
            16 => self.select_pairs(k, v),
            8 => self.run::<bool, u64, u64>(k, v, |x, _| k.select(x.0, x.1[0], x.1[1])),
            _ => self.run::<bool, u32, u32>(k, v, |x, _| k.select(x.0, x.1[0], x.1[1])),
        }
    }

    /// Elements of 16 bytes: the one that is wanted is loaded.
    fn select_pairs<'k>(self, k: &'k Builder, v: &Vals<'k>) {
        self.each(k, v, |at| {
            let condition = <bool as Lane>::read(k, at[0]);
            let from = k.select(condition, at[1].address(), at[2].address());
            store_words(at[3].address(), 16, &load_words(from, 16, Load::NoAllocate));
        });
    }

    /// Y of an A and of Ts.
    fn run<'k, A: Lane, T: Lane, Y: Lane>(
        self,
        k: &'k Builder,
        v: &Vals<'k>,
        formula: impl Fn((Reg<'k, A>, &[Reg<'k, T>]), ()) -> Reg<'k, Y>,
    ) {
        match self.way {
            Way::Dense { .. } | Way::Rows { .. } => self.vectors(k, v, formula),
            Way::Strided { .. } => self.each(k, v, |at| self.element(k, at, &formula)),
        }
    }

    fn element<'k, A: Lane, T: Lane, Y: Lane>(
        self,
        k: &'k Builder,
        at: [Array<'k>; 4],
        formula: &impl Fn((Reg<'k, A>, &[Reg<'k, T>]), ()) -> Reg<'k, Y>,
    ) {
        let a = A::read(k, at[0]);
        let rest: Vec<_> = (1..self.function.arity).map(|n| T::read(k, at[n])).collect();
        Y::write(k, at[3], formula((a, &rest), ()));
    }

    /// The operands and y, at their first elements.
    fn arrays<'k>(self, k: &'k Builder, v: &Vals<'k>) -> [Array<'k>; 4] {
        std::array::from_fn(|n| Array::new(k, self.dtype_of(n), v.at[n]))
    }

    /// Runs `body` at every element of the space, a thread an element and on by the size of the grid.
    fn each<'k>(self, k: &'k Builder, v: &Vals<'k>, body: impl FnOnce([Array<'k>; 4])) {
        let (rank, wide) = match self.way {
            Way::Strided { rank, wide } => (rank, wide),
            Way::Dense { .. } | Way::Rows { .. } => (1, true),
        };
        let arrays = self.arrays(k, v);
        let number = k.var(k.mad_wide(k.block_x(), THREADS, k.thread_x().to::<u64>()));
        let step = k.mul_wide(k.grid_blocks_x(), THREADS);
        k.repeat_while(
            || number.lt(v.count),
            || {
                let offsets = Space::<4>::locate(k, &v.space, rank, wide, number);
                body(std::array::from_fn(|n| arrays[n].at(offsets[n])));
                number.set(number + step);
            },
        );
    }
}

/// What is assembled for a target by the tests: each function, the long ones in f64 too, and each dtype.
pub(super) fn texts(target: Target) -> Vec<Result<Text>> {
    let strided = Way::Strided { rank: 2, wide: false };
    let mut specs = Vec::new();
    for function in FUNCTIONS {
        let float = |way: Way, dtype: Dtype| Spec { function, dtype, way };
        match function.kind {
            Kind::Logic => specs.push(float(Way::Dense { uniform: 0 }, Dtype::Bool)),
            Kind::Select => {}
            _ => {
                let half = float(Way::Dense { uniform: 0 }, Dtype::Bf16);
                specs.push(if half.is_long() { float(strided, Dtype::F32) } else { half });
                if half.is_long() || half.unroll() == 2 {
                    specs.push(float(strided, Dtype::F64));
                }
            }
        }
        if matches!(function.kind, Kind::Number | Kind::Compare) {
            specs.push(float(Way::Dense { uniform: 0 }, Dtype::I8));
            if matches!(function.code, WEFT_EW_DIV | WEFT_EW_MOD | WEFT_EW_SIGN) {
                specs.push(float(strided, Dtype::U64));
            }
        }
    }
    specs.extend(every_dtype());
    specs.iter().map(|spec| spec.kernel(target).map(Text::from)).collect()
}

/// Sums and selections of every dtype, and every rank.
fn every_dtype() -> Vec<Spec> {
    use Dtype::*;
    let row = |code: u32| &FUNCTIONS[code as usize - 1];
    let mut specs = Vec::new();
    for dtype in [F32, F64, F16, I16, I32, I64, U8, U16, U32, U64] {
        specs.push(Spec { function: row(WEFT_EW_MAX), dtype, way: Way::Dense { uniform: 2 } });
        specs.push(Spec { function: row(WEFT_EW_LESS), dtype, way: Way::Dense { uniform: 0 } });
        specs.push(Spec { function: row(WEFT_EW_SELECT), dtype, way: Way::Dense { uniform: 1 } });
    }
    specs.push(Spec { function: row(WEFT_EW_EQUAL), dtype: Bool, way: Way::Dense { uniform: 0 } });
    let way = Way::Strided { rank: 1, wide: false };
    specs.push(Spec { function: row(WEFT_EW_SELECT), dtype: C64, way });
    for (code, dtype, uniform) in [(WEFT_EW_ADD, Bf16, 0), (WEFT_EW_SWIGLU, F32, 2), (WEFT_EW_SELECT, F64, 1)]
    {
        let function = row(code);
        specs.extend((1..=WEFT_MAX_RANK).map(|rank| Spec {
            function,
            dtype,
            way: Way::Rows { uniform, rank },
        }));
    }
    let ranks = (0..=WEFT_MAX_RANK).map(|rank| Way::Strided { rank, wide: rank % 2 == 1 });
    specs.extend(ranks.map(|way| Spec { function: row(WEFT_EW_FMA), dtype: F16, way }));
    specs
}

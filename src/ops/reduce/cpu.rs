//! Reducing on the CPU: blocks of results times pieces of their elements, shared by threads; pieces merged in their order.

use super::fold::*;
use super::logsumexp::LogSumExp;
use super::plan::{Block, Plan, WIDTH};
use super::*;
use crate::device::cpu::Scratch;
use crate::kernels::convert::Converter;
use crate::kernels::moves::{Run, copy};
use crate::kernels::reader::{CHUNK, Reader, Room};
use crate::op::Choice;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// Best first.
pub(super) const CHOICES: &[Choice<Reduce, Cpu>] = &[Choice { name: "blocks", accepts: |_, _| true, run }];

/// Rough nanoseconds an element, and a block.
const ELEMENT_NS: f64 = 0.2;
const BLOCK_NS: f64 = 50.0;

/// What the end of a reduction depends on besides the running value.
pub struct Facts {
    /// Elements reduced to one.
    pub count: f64,
    /// How often each of them counts.
    pub repeats: u64,
    /// The range of an integer dtype of at most 63 bits.
    pub low: i64,
    /// Its other end.
    pub high: i64,
}

/// A reduction of elements read as `In`, by way of `Acc`, to `Out`.
pub trait Reducer {
    /// An element.
    type In: Number;
    /// A running value.
    type Acc: Copy;
    /// A result, before it is rounded to y's dtype.
    type Out: Number;
    /// Of no elements.
    const START: Self::Acc;
    /// The running values of a block over one piece.
    fn block(cursor: &mut Cursor, block: Block, piece: usize, accs: &mut [Self::Acc]);
    /// Of two pieces.
    fn merge(a: Self::Acc, b: Self::Acc) -> Self::Acc;
    /// Of all pieces.
    fn finish(acc: Self::Acc, facts: &Facts) -> Self::Out;
}

/// A fold and what is done to its end.
struct Ended<F, E>(PhantomData<(F, E)>);

/// The end of a fold.
trait End<A> {
    type Out: Number;
    fn end(acc: A, facts: &Facts) -> Self::Out;
}

impl<F: Fold, E: End<F::Acc>> Reducer for Ended<F, E> {
    type In = F::In;
    type Acc = F::Acc;
    type Out = E::Out;
    const START: F::Acc = F::START;
    fn block(cursor: &mut Cursor, block: Block, piece: usize, accs: &mut [F::Acc]) {
        cursor.fold::<F>(block, piece, None, accs);
    }
    fn merge(a: F::Acc, b: F::Acc) -> F::Acc {
        F::merge(a, b)
    }
    fn finish(acc: F::Acc, facts: &Facts) -> E::Out {
        E::end(acc, facts)
    }
}

macro_rules! ends {
    ($($(#[$doc:meta])* $name:ident: $acc:ty, $end:expr;)*) => {$(
        $(#[$doc])*
        struct $name;
        impl End<$acc> for $name {
            type Out = $acc;
            fn end(acc: $acc, facts: &Facts) -> $acc {
                $end(acc, facts)
            }
        }
    )*};
}
ends! {
    /// The sum over the count.
    Mean: f64, |acc, facts: &Facts| acc / facts.count;
    /// The square root.
    Root: f64, |acc: f64, facts: &Facts| (acc * facts.repeats as f64).sqrt();
    /// The natural logarithm.
    Logarithm: f64, |acc: f64, facts: &Facts| (acc * facts.repeats as f64).ln();
    /// Within the range of the dtype: the end of the largest and smallest of no elements.
    Within: i64, |acc: i64, facts: &Facts| acc.clamp(facts.low, facts.high);
}

/// As it is.
struct Itself;
impl<A: Number> End<A> for Itself {
    type Out = A;
    fn end(acc: A, _: &Facts) -> A {
        acc
    }
}

/// What is added, or multiplied, as often as elements are repeated.
macro_rules! repeated {
    ($($type:ty: $one:expr, $times:expr;)*) => {$(
        impl End<$type> for Times {
            type Out = $type;
            fn end(acc: $type, facts: &Facts) -> $type {
                $times(acc, facts.repeats as $type)
            }
        }
        impl End<$type> for Power {
            type Out = $type;
            fn end(acc: $type, facts: &Facts) -> $type {
                let (mut base, mut left, mut all) = (acc, facts.repeats, $one);
                while left != 0 {
                    if left & 1 != 0 {
                        all = $times(all, base);
                    }
                    (base, left) = ($times(base, base), left >> 1);
                }
                all
            }
        }
    )*};
}
/// Of sums.
struct Times;
/// Of products.
struct Power;
repeated! { f64: 1.0, |a: f64, b: f64| a * b; i64: 1, i64::wrapping_mul; u64: 1, u64::wrapping_mul; }

/// The running values of all pieces of all results.
struct Partials<A>(*mut A);

// SAFETY: scratch memory, of which every thread writes its own blocks and pieces.
unsafe impl<A> Sync for Partials<A> {}

/// A thread's way through x.
pub struct Cursor<'a> {
    plan: &'a Plan,
    reader: Reader,
    x: *mut u8,
    size: isize,
    room: Room,
}

impl Cursor<'_> {
    fn run(&self, at: isize, stride: isize) -> Run {
        Run { at: self.x.wrapping_offset(at * self.size), step: stride * self.size }
    }

    /// The running values of a block over one piece; `shifts` has one for each result.
    pub fn fold<F: Fold>(
        &mut self,
        block: Block,
        piece: usize,
        shifts: Option<&[F::Acc]>,
        accs: &mut [F::Acc],
    ) {
        let none = [F::START; WIDTH];
        let shifts = &shifts.unwrap_or(&none)[..accs.len()];
        accs.fill(F::START);
        let (start, end) = self.plan.piece(piece);
        if !self.plan.along {
            return self.down::<F>(block, start, end, shifts, accs);
        }
        if self.plan.reduced.runs() == 1 && self.together::<F>(block, start, end, shifts, accs) {
            return;
        }
        for (i, acc) in accs.iter_mut().enumerate() {
            let at = block.at[0] + i as isize * self.plan.kept.strides[0];
            *acc = self.line::<F>(at, start, end, &shifts[i..=i]);
        }
    }

    /// All results of a block whose elements lie in one run each, if they can be read as they lie, or in one chunk.
    fn together<F: Fold>(
        &mut self,
        block: Block,
        start: usize,
        end: usize,
        shifts: &[F::Acc],
        accs: &mut [F::Acc],
    ) -> bool {
        let ([stride], step, count) = (self.plan.reduced.strides, self.plan.kept.strides[0], end - start);
        let line = self.run(block.at[0] + start as isize * stride, stride);
        let packed = step == count as isize && stride == 1 && block.width * count <= CHUNK;
        let from = match () {
            _ if self.reader.reads_in_place(line) => line.at.cast_const(),
            // SAFETY: the block's elements lie side by side.
            _ if packed => unsafe { self.reader.read(line, block.width * count, &mut self.room) },
            _ => return false,
        };
        // SAFETY: the block's elements in x's checked layout, or in the room, as the fold's type.
        rows::<F>(unsafe { Lines::new(from.cast(), step) }, count, shifts, accs);
        true
    }

    /// One result's elements, one after another.
    fn line<F: Fold>(&mut self, at: isize, start: usize, end: usize, shift: &[F::Acc]) -> F::Acc {
        let (plan, mut all) = (self.plan, F::START);
        plan.reduced.parts(start, end, |[from], count| {
            let line = self.run(at + from, plan.reduced.strides[0]);
            let longest = if self.reader.reads_in_place(line) { count } else { CHUNK };
            for start in (0..count).step_by(longest) {
                let (part, mut one) = (longest.min(count - start), [F::START]);
                // SAFETY: elements of x's checked layout, read as the fold's type; CHUNK at the most if not in place.
                let line =
                    unsafe { Lines::new(self.reader.read(line.skip(start), part, &mut self.room).cast(), 0) };
                rows::<F>(line, part, shift, &mut one);
                all = F::merge(all, one[0]);
            }
        });
        all
    }

    /// A row of results together, one element each at a time.
    fn down<F: Fold>(
        &mut self,
        block: Block,
        start: usize,
        end: usize,
        shifts: &[F::Acc],
        accs: &mut [F::Acc],
    ) {
        let (plan, width) = (self.plan, block.width);
        let ([step], [stride, _]) = (plan.reduced.strides, plan.kept.strides);
        plan.reduced.parts(start, end, |[from], count| {
            let top = self.run(block.at[0] + from, stride);
            let size = self.size;
            let line =
                |number: usize| Run { at: top.at.wrapping_offset(number as isize * step * size), ..top };
            let in_place = self.reader.reads_in_place(top);
            let packed = stride == 1 && step == width as isize;
            let batch = match () {
                _ if in_place => count,
                _ if packed => (CHUNK / width).min(count),
                _ => 1,
            };
            for first in (0..count).step_by(batch) {
                let (lines, run) = (batch.min(count - first), line(first));
                let elements = if in_place { width } else { lines * width };
                // SAFETY: elements of x's checked layout, read as the fold's type: where they lie, or a chunk at the
                // most, side by side.
                let lines_at =
                    unsafe { Lines::new(self.reader.read(run, elements, &mut self.room).cast(), step) };
                columns::<F>(lines_at, lines, shifts, accs);
            }
        });
    }
}

impl Reduce {
    fn cursor(&self, dtype: Dtype) -> Cursor<'_> {
        let reader = Reader::new(self.x.dtype(), dtype);
        let size = self.x.dtype().size() as isize;
        Cursor { plan: &self.plan, reader, x: self.x.address(), size, room: Room::default() }
    }

    fn facts(&self) -> Facts {
        let (low, high) = range(self.x.dtype());
        Facts { count: self.plan.reduced.count() as f64, repeats: self.repeats, low, high }
    }

    /// Writes the results of a block.
    fn write<R: Reducer>(&self, block: Block, accs: &[R::Acc]) {
        let facts = self.facts();
        let mut near = MaybeUninit::<[u64; WIDTH]>::uninit();
        let mut out = [const { MaybeUninit::<R::Out>::uninit() }; WIDTH];
        for (out, &acc) in out.iter_mut().zip(accs) {
            out.write(R::finish(acc, &facts));
        }
        let size = self.y.dtype().size() as isize;
        let from = Run { at: near.as_mut_ptr().cast(), step: size };
        let to = Run {
            at: self.y.address().wrapping_offset(block.at[1] * size),
            step: self.plan.kept.strides[1] * size,
        };
        let converter = Converter::new(R::Out::DTYPE, self.y.dtype(), false);
        // SAFETY: `accs.len()` results were written to `out`; `near` has room for as many, and y's checked layout has
        // that many elements from the block's first on.
        unsafe {
            converter.run(out.as_ptr().cast(), from.at, accs.len());
            copy(size as usize, from, to, accs.len());
        }
    }
}

/// All of a reduction.
fn reduce<R: Reducer>(op: &Reduce, cpu: &Cpu) -> Result<()> {
    if op.plan.pieces() > 1 {
        return reduce_pieces::<R>(op, cpu);
    }
    let plan = &op.plan;
    let block_ns =
        (plan.outputs() * plan.reduced.count()) as f64 / plan.blocks() as f64 * ELEMENT_NS + BLOCK_NS;
    cpu.parallel_ranges(plan.blocks(), block_ns, |start, end| {
        let mut cursor = op.cursor(R::In::DTYPE);
        let mut accs = [R::START; WIDTH];
        for block in (start..end).map(|number| plan.block(number)) {
            R::block(&mut cursor, block, 0, &mut accs[..block.width]);
            op.write::<R>(block, &accs[..block.width]);
        }
    });
    Ok(())
}

/// The same with each result cut into pieces, which meet in scratch memory: [piece][result].
fn reduce_pieces<R: Reducer>(op: &Reduce, cpu: &Cpu) -> Result<()> {
    let (plan, pieces) = (&op.plan, op.plan.pieces());
    let (outputs, items) = (plan.outputs(), plan.blocks() * pieces);
    let scratch = Scratch::<R::Acc>::new(outputs * pieces)?;
    let partials = Partials(scratch.ptr());
    let item_ns = (outputs * plan.reduced.count()) as f64 / items as f64 * ELEMENT_NS + BLOCK_NS;
    cpu.parallel_ranges(items, item_ns, |start, end| {
        let partials = &partials;
        let mut cursor = op.cursor(R::In::DTYPE);
        let mut accs = [R::START; WIDTH];
        for item in start..end {
            let (block, piece) = (plan.block(item / pieces), item % pieces);
            R::block(&mut cursor, block, piece, &mut accs[..block.width]);
            // SAFETY: this block's and piece's own part of the scratch memory.
            unsafe {
                let to = partials.0.add(piece * outputs + block.first);
                std::ptr::copy_nonoverlapping(accs.as_ptr(), to, block.width);
            }
        }
    });
    for block in (0..plan.blocks()).map(|number| plan.block(number)) {
        // SAFETY: written above, by all threads before the call returned.
        let at = |piece: usize, i: usize| unsafe { *partials.0.add(piece * outputs + block.first + i) };
        let mut accs = [R::START; WIDTH];
        let all = |i: usize| (1..pieces).fold(at(0, i), |acc, piece| R::merge(acc, at(piece, i)));
        accs[..block.width].iter_mut().enumerate().for_each(|(i, acc)| *acc = all(i));
        op.write::<R>(block, &accs[..block.width]);
    }
    Ok(())
}

fn run(op: &Reduce, cpu: &Cpu) -> Result<()> {
    let through_f64 = matches!(
        op.function,
        WEFT_REDUCE_MEAN | WEFT_REDUCE_L2 | WEFT_REDUCE_LOG_SUM | WEFT_REDUCE_LOG_SUM_EXP
    );
    match op.x.dtype() {
        F32 | F16 | Bf16 => floats::<f32>(op, cpu),
        F64 => floats::<f64>(op, cpu),
        _ if through_f64 => floats::<f64>(op, cpu),
        U64 => wholes::<u64, Itself>(op, cpu),
        _ => wholes::<i64, Within>(op, cpu),
    }
}

fn floats<N: Real>(op: &Reduce, cpu: &Cpu) -> Result<()> {
    match op.function {
        WEFT_REDUCE_SUM => reduce::<Ended<Sum<N>, Times>>(op, cpu),
        WEFT_REDUCE_MEAN => reduce::<Ended<Sum<N>, Mean>>(op, cpu),
        WEFT_REDUCE_MAX => reduce::<Ended<Largest<N>, Itself>>(op, cpu),
        WEFT_REDUCE_MIN => reduce::<Ended<Smallest<N>, Itself>>(op, cpu),
        WEFT_REDUCE_PROD => reduce::<Ended<Product<N>, Power>>(op, cpu),
        WEFT_REDUCE_L1 => reduce::<Ended<Magnitudes<N>, Times>>(op, cpu),
        WEFT_REDUCE_L2 => reduce::<Ended<Squares<N>, Root>>(op, cpu),
        WEFT_REDUCE_SUM_SQUARE => reduce::<Ended<Squares<N>, Times>>(op, cpu),
        WEFT_REDUCE_LOG_SUM => reduce::<Ended<Sum<N>, Logarithm>>(op, cpu),
        _ => reduce::<LogSumExp<N>>(op, cpu),
    }
}

fn wholes<N: Whole, E: End<N>>(op: &Reduce, cpu: &Cpu) -> Result<()>
where
    Times: End<N>,
    Power: End<N>,
{
    match op.function {
        WEFT_REDUCE_MAX => reduce::<Ended<WholeLargest<N>, E>>(op, cpu),
        WEFT_REDUCE_MIN => reduce::<Ended<WholeSmallest<N>, E>>(op, cpu),
        WEFT_REDUCE_PROD => reduce::<Ended<WholeProduct<N>, Power>>(op, cpu),
        WEFT_REDUCE_L1 => reduce::<Ended<WholeMagnitudes<N>, Times>>(op, cpu),
        WEFT_REDUCE_SUM_SQUARE => reduce::<Ended<WholeSquares<N>, Times>>(op, cpu),
        _ => reduce::<Ended<WholeSum<N>, Times>>(op, cpu),
    }
}

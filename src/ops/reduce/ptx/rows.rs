//! Along rows: each result, or piece of one, by a thread, a warp or a block that reads its elements side by side.

use super::terms::{Terms, is_narrow};
use super::{Args, Number, Spec, State, THREADS, Vals, leave};
use crate::kernels::gpu::{Array, Space, load_words, turns, turns_together};
use crate::ptx::{Builder, Global, Kernel, Load, Ptr, Reg, Target};
use crate::status::Result;

/// The kernel of `spec`.
pub fn rows<A: Number>(target: Target, spec: Spec) -> Result<Kernel<Args>> {
    Kernel::build(&spec.shape("rows", target), |k, v: Vals<'_>| {
        let (lane, each) = (k.thread_x() & (spec.width - 1), THREADS / spec.width);
        let unit = k.var((k.block_x() * each + k.thread_x() / spec.width).to::<u64>());
        let units = v.results * v.pieces;
        let step = (k.grid_blocks_x() * each).to::<u64>();
        // The same number of turns for all threads of a unit, which meet at barriers and shuffles.
        k.repeat_while(
            || unit.lt(units),
            || {
                one::<A>(k, &v, spec, unit, lane);
                unit.set(unit + step);
            },
        );
    })
}

/// One unit: a piece of a result.
fn one<'k, A: Number>(k: &'k Builder, v: &Vals<'k>, spec: Spec, unit: Reg<'k, u64>, lane: Reg<'k, u32>) {
    let (result, piece) = match spec.partial {
        true => {
            let result = unit / v.pieces;
            (result, unit - result * v.pieces)
        }
        false => (unit, k.var(0u64)),
    };
    let [from, to] = Space::<2>::locate(k, &v.kept, spec.kept as usize, spec.wide, result);
    let start = piece * v.length;
    let length = k.min(v.length, v.count - start);
    let state = State::<A>::new(k, spec.fold);
    let line = spec.array(k, v.x).at(from);
    match spec.packed {
        true => Packed::new(k, spec, line.at(start), (length, lane)).fold(&state),
        false => spread(k, v, spec, &state, line, (start, length, lane)),
    }
    if spec.width >= 32 && !(spec.packed && is_narrow(spec.fold)) {
        state.join_lanes(32);
    }
    if spec.width == THREADS {
        state.join_warps(THREADS);
    }
    k.when(lane.eq(0u32), || leave(v, spec, &state, (result, piece, to)));
}

/// Elements side by side: a few up to an aligned address, vectors, and a few at the end.
struct Packed<'k> {
    k: &'k Builder,
    spec: Spec,
    lane: Reg<'k, u32>,
    line: Array<'k>,
    length: Reg<'k, u64>,
    /// Elements ahead of the vectors.
    head: Reg<'k, u64>,
    vectors: Reg<'k, u64>,
}

impl<'k> Packed<'k> {
    /// `length` elements from `line` on.
    fn new(
        k: &'k Builder,
        spec: Spec,
        line: Array<'k>,
        (length, lane): (Reg<'k, u64>, Reg<'k, u32>),
    ) -> Self {
        let size = line.dtype.size() as u64;
        let below = (k.var(0u64) - line.address()) & u64::from(spec.bytes - 1);
        let head = k.min(below / size, length);
        let vectors = (length - head) / u64::from(spec.vector());
        Self { k, spec, lane, line, length, head, vectors }
    }

    /// `state` with those of this lane; of a sum of exponentials of narrow floats, of its warp.
    fn fold<A: Number>(&self, state: &State<'k, A>) {
        let size = self.line.dtype.size() as u32;
        if is_narrow(self.spec.fold) {
            let terms = Terms::new(self.k, self.line.dtype);
            self.each_vectors(|words| terms.take_words(&words.concat()));
            self.each_single(|word| terms.take_element(word[0]));
            return terms.leave(state, || self.each_element(|word| state.take_words(&word, size)));
        }
        self.each_vectors(|words| words.iter().for_each(|words| state.take_words(words, self.spec.bytes)));
        self.each_single(|word| state.take_words(&word, size));
    }

    /// Runs `take` for the vectors of this lane, several together, as words.
    fn each_vectors(&self, take: impl Fn(Vec<Vec<Reg<'k, u32>>>)) {
        let bytes = self.spec.bytes;
        let load = |number, displaced| {
            let load = self.vector(number).loading(Load::Stream);
            load.plus((displaced * bytes / 4) as i32).load_vec::<4>().to_vec()
        };
        turns_together(self.k, self.spec.width, self.lane, self.vectors, load, take);
    }

    fn vector(&self, number: Reg<'k, u64>) -> Ptr<'k, Global<u32>> {
        Ptr::new(self.k.mad(number, u64::from(self.spec.bytes), self.line.at(self.head).address()))
    }

    /// Runs `take` for the element of this lane that is in no vector: fewer than two vectors' are left, and there are as many
    /// lanes.
    fn each_single(&self, take: impl Fn(Vec<Reg<'k, u32>>)) {
        let (k, head) = (self.k, self.head);
        let (behind, lane) = (head + self.vectors * u64::from(self.spec.vector()), self.lane.to::<u64>());
        let rest = head + (self.length - behind);
        k.when(lane.lt(rest), || {
            let number = k.select(lane.lt(head), lane, lane - head + behind);
            let at = self.line.at(number).address();
            take(load_words(at, self.line.dtype.size() as u32, Load::ReadOnly));
        });
    }

    /// Runs `take` for each element of this lane by itself.
    fn each_element(&self, take: impl Fn(Vec<Reg<'k, u32>>)) {
        let (k, size) = (self.k, self.line.dtype.size() as u32);
        let number = k.var(self.lane.to::<u64>());
        k.repeat_while(
            || number.lt(self.vectors),
            || {
                let vector = self.vector(number).cast::<u8>();
                k.steps(0u32, self.spec.bytes, size, |at| {
                    take(load_words(vector.at(at).address(), size, Load::ReadOnly));
                });
                number.set(number + u64::from(self.spec.width));
            },
        );
        self.each_single(take);
    }
}

/// `length` elements from number `start` on, wherever they lie; as many as a load has lie side by side, aligned.
fn spread<'k, A: Number>(
    k: &'k Builder,
    v: &Vals<'k>,
    spec: Spec,
    state: &State<'k, A>,
    line: Array<'k>,
    (start, length, lane): (Reg<'k, u64>, Reg<'k, u64>, Reg<'k, u32>),
) {
    let vector = u64::from(spec.vector());
    turns(
        k,
        spec.width,
        lane,
        length / vector,
        |number, displaced| {
            let element = k.mad(number + u64::from(displaced), vector, start);
            let [at] = Space::<1>::locate(k, &v.reduced, spec.reduced as usize, spec.wide, element);
            load_words(line.at(at).address(), spec.bytes, Load::ReadOnly)
        },
        |words| state.take_words(&words, spec.bytes),
    );
}

//! The kernel: a team of threads a row; the statistics in f64, of squares that are summed in f32 within a piece. Kernels that
//! take pieces are written for the operands that there are; those that take elements one by one look which there are.

use super::sums::{squares, sums, tree, two_sum};
use crate::device::cuda::Key;
use crate::dtype::Dtype;
use crate::kernels::gpu::{
    Array, Chunk, Extent, Fill, Place, Plan, Real, Team, Way, packed, piece_len, shifted,
};
use crate::ptx::{Builder, Kernel, Reg, Shape, Target, Text, Words, params};
use crate::status::Result;
use std::cell::Cell;

/// Numbers that describe a space of six operands.
pub(super) const WORDS: usize = 7 * crate::layout::WEFT_MAX_RANK;

/// Operands in the spaces of the rows and of a row's elements.
const X: usize = 0;
const RESIDUAL: usize = 1;
const Y: usize = 2;
const SUM: usize = 3;
/// In the space of the rows.
const MEAN: usize = 4;
const RSTD: usize = 5;
/// In the space of a row's elements.
const WEIGHT: usize = 4;
const BIAS: usize = 5;

params! {
    /// What the kernel is given; addresses of what is missing are 0.
    pub(super) struct Args / Vals {
        rows: u64,
        count: u64,
        /// 1 / count.
        share: f64,
        epsilon: f64,
        /// x, residual, y, sum.
        lines: [u64; 4],
        weight: u64,
        bias: u64,
        mean: u64,
        rstd: u64,
        /// Bytes of an element of weight, bias, mean and rstd.
        sizes: [u32; 4],
        /// What is added to weights, for kernels that look: 1 or 0.
        plus: f64,
        /// Of x, residual, y, sum, mean and rstd.
        outer: Words<WORDS>,
        /// Of x, residual, y, sum, weight and bias.
        inner: Words<WORDS>,
    }
}

/// What a kernel is written for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    pub dtype: Dtype,
    pub plan: Plan,
    pub centred: bool,
    /// Nothing for kernels that look.
    pub given: Given,
}

/// What is there beside x and y.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Given {
    pub residual: bool,
    pub sum: bool,
    pub weight: Option<Dtype>,
    pub bias: Option<Dtype>,
    pub weight_plus_one: bool,
}

impl Spec {
    /// Whether mean and variance come of one pass: where f64 is fast, and sums of it are exact enough.
    fn is_at_once(&self, target: Target) -> bool {
        let held = matches!(self.plan.way, Way::Held(_));
        held && self.dtype.size() == 2 && matches!(target.sm(), 80 | 90 | 100)
    }

    /// Tells it from all others.
    pub fn key(&self) -> Key {
        let (given, code) = (self.given, |dtype: Option<Dtype>| dtype.map_or(0, |dtype| dtype as u32 + 1));
        let flags = [given.residual, given.sum, self.centred, given.weight_plus_one];
        let flags = flags.into_iter().fold(0, |bits, flag| bits << 1 | u32::from(flag));
        let [team, way] = self.plan.code();
        Key("norm", [self.dtype as u32, team, way, flags, code(given.weight), code(given.bias), 0, 0])
    }

    /// Writes the kernel.
    pub fn write(&self, target: Target) -> Result<Kernel<Args>> {
        let name =
            self.key().1[..6].iter().fold("norm".to_owned(), |name, number| format!("{name}_{number}"));
        let shape = Shape::new(name, target, [self.plan.block(), 1, 1])
            .min_blocks(self.plan.resident(self.dtype, target));
        Kernel::build(&shape, |_, v: Vals<'_>| match self.dtype {
            Dtype::F64 => rows::<f64>(self, &v),
            _ => rows::<f32>(self, &v),
        })
    }
}

fn rows<F: Real>(spec: &Spec, v: &Vals<'_>) {
    let k = v.kernel;
    let team = Team { k, plan: spec.plan, dtype: spec.dtype };
    team.each_row(v.rows, |row| {
        let begin = team.begin::<6>(&v.outer, row);
        let line = Line::<F>::new(team, spec, v, &begin);
        let (mean, square) = line.moments();
        let centre = mean.map(F::narrow);
        let rstd = F::reciprocal_root(k, square + v.epsilon);
        k.when(team.member().eq(0u32), || {
            let store = |base: Reg<'_, u64>, size, at, value| {
                k.when(base.ne(0u64), || {
                    either(k, spec.dtype, size, |dtype| Array::new(k, dtype, base).at(at).store::<f64>(value))
                });
            };
            mean.into_iter().for_each(|mean| store(v.mean, v.sizes[2], begin[MEAN], mean));
            store(v.rstd, v.sizes[3], begin[RSTD], F::wide(rstd));
        });
        line.write(centre, rstd);
    });
}

/// Runs `body` for f32 if elements have 4 bytes, else for `own`; what is wider than f32 in statistics is f64.
fn either(k: &Builder, own: Dtype, size: Reg<'_, u32>, body: impl Fn(Dtype)) {
    match own {
        Dtype::F32 => body(own),
        _ => k.if_else(size.eq(4u32), || body(Dtype::F32), || body(own)),
    }
}

/// One row.
struct Line<'k, 'v, F> {
    team: Team<'k>,
    spec: &'v Spec,
    v: &'v Vals<'k>,
    extent: Extent<'k>,
    /// x, residual, y, sum, from the row on.
    at: [Array<'k>; 4],
    /// What the thread has of the row, where it is held.
    held: Option<Vec<(Place<'k, 6>, Chunk<'k, F>)>>,
    /// Whether a pass that reads the row has been written.
    begun: Cell<bool>,
}

impl<'k, 'v, F: Real> Line<'k, 'v, F> {
    fn new(team: Team<'k>, spec: &'v Spec, v: &'v Vals<'k>, begin: &[Reg<'k, u64>; 6]) -> Self {
        let at = std::array::from_fn(|i| Array::new(team.k, spec.dtype, v.lines[i]).at(begin[i]));
        let extent = team.extent(v.count, at[X]);
        let mut line = Self { team, spec, v, extent, at, held: None, begun: Cell::new(false) };
        if let Some(places) = team.held::<6>(extent) {
            let chunks = line.take(&places);
            line.held = Some(places.into_iter().zip(chunks).collect());
        }
        line
    }

    /// What is normalised, at `places`. The first time it is x + residual, and goes to the sum; later it may come from there,
    /// for the sum may lie on x.
    fn take(&self, places: &[Place<'k, 6>]) -> Vec<Chunk<'k, F>> {
        let first = self.is_first(places);
        if !self.team.takes_pieces() {
            return self.look(places, first);
        }
        if !first && self.spec.given.sum {
            return self.load(places, SUM);
        }
        if !self.spec.given.residual {
            return self.load(places, X);
        }
        // Few at a time, for both operands take registers.
        places.chunks(2).flat_map(|places| self.take_sums(places, first)).collect()
    }

    /// Whether this is written for the first pass, of which the edge comes last where the row is not held.
    fn is_first(&self, places: &[Place<'k, 6>]) -> bool {
        let first = !self.begun.get();
        let more = self.team.plan.way == Way::Pieces && self.team.plan.edged && !places[0].single;
        self.begun.set(self.begun.get() || !more);
        first
    }

    fn load(&self, places: &[Place<'k, 6>], which: usize) -> Vec<Chunk<'k, F>> {
        let load = |place: &Place<'k, 6>| self.team.load((self.at[which], which), place, Fill::Zero);
        places.iter().map(load).collect()
    }

    fn take_sums(&self, places: &[Place<'k, 6>], first: bool) -> Vec<Chunk<'k, F>> {
        let (x, residual) = (self.load(places, X), self.load(places, RESIDUAL));
        let chunks: Vec<_> = x.iter().zip(residual).map(|(x, other)| x.with(&sums(x, &other))).collect();
        if first && self.spec.given.sum {
            places.iter().zip(&chunks).for_each(|(place, chunk)| self.store(SUM, place, chunk));
        }
        chunks
    }

    /// As [`take`](Self::take), of elements, where the kernel looks what there is.
    fn look(&self, places: &[Place<'k, 6>], first: bool) -> Vec<Chunk<'k, F>> {
        let (k, dtype) = (self.team.k, self.spec.dtype);
        let values: Vec<_> = places.iter().map(|_| k.var(F::constant(0.0))).collect();
        let pairs =
            |which| values.iter().zip(self.load(places, which)).map(|(value, at)| (value, at.values()[0]));
        let set = |which| pairs(which).for_each(|(value, at)| value.set(at));
        let add = || {
            set(X);
            let sum = |(value, at): (&Reg<'k, F>, _)| value.set(F::rounded(dtype, *value + at));
            k.when(self.is_given(RESIDUAL), || pairs(RESIDUAL).for_each(sum));
        };
        let chunks: Vec<_> = values.iter().map(|&value| Chunk::One(dtype, value)).collect();
        if first {
            add();
            let store =
                || places.iter().zip(&chunks).for_each(|(place, chunk)| self.store(SUM, place, chunk));
            k.when(self.is_given(SUM), store);
        } else {
            k.if_else(self.is_given(SUM), || set(SUM), add);
        }
        chunks
    }

    fn is_given(&self, which: usize) -> Reg<'k, bool> {
        self.v.lines[which].ne(0u64)
    }

    fn store(&self, which: usize, place: &Place<'k, 6>, chunk: &Chunk<'k, F>) {
        chunk.store_or(self.team.k, place.of(self.at[which], which), place.there);
    }

    /// Runs `body` for all that this thread has of the row.
    fn pass(&self, body: impl Fn(&Place<'k, 6>, &Chunk<'k, F>)) {
        if let Some(held) = &self.held {
            return held.iter().for_each(|(place, chunk)| body(place, chunk));
        }
        self.team.each_place(self.extent, &self.v.inner, |places| {
            let chunks = self.take(places);
            places.iter().zip(&chunks).for_each(|(place, chunk)| body(place, chunk));
        });
    }

    /// The mean, if it counts, and the mean square of what is left when it is taken off.
    fn moments(&self) -> (Option<Reg<'k, f64>>, Reg<'k, f64>) {
        if self.spec.centred && self.spec.is_at_once(self.team.k.target()) {
            let (mean, square) = self.moments_at_once();
            return (Some(mean), square);
        }
        let mean = self.spec.centred.then(|| self.mean());
        (mean, self.squares(mean.map(F::narrow)) * self.v.share)
    }

    /// The mean and the variance from sums of elements and of squares in f64, of elements of 11 bits at the most and rows of
    /// 2^16 at the most. Where the variance is far below the mean's square, elements are of one size and both sums exact;
    /// where they are not, it is above the sum of squares by 2^-18, and what the sums lost, 2^-48 of them, is little.
    fn moments_at_once(&self) -> (Reg<'k, f64>, Reg<'k, f64>) {
        let (k, sum, squares) = (self.team.k, self.team.k.var(0.0f64), self.team.k.var(0.0f64));
        self.pass(|_, chunk| {
            let values: Vec<_> = chunk.values().into_iter().map(F::wide).collect();
            sum.set(sum + tree(&values));
            squares.set(squares + self::squares(k, &values));
        });
        let [sum, squares] = self.team.fold_all([sum, squares], |a, b| a + b);
        // count squares - sum^2, of products in two parts.
        let count = self.extent.count.to::<f64>();
        let (all, whole) = (squares * count, sum * sum);
        let lost = k.fma(squares, count, -all) - k.fma(sum, sum, -whole);
        let share = self.v.share;
        (sum * share, ((all - whole) + lost) * share * share)
    }

    /// The mean. Sums of f32 carry what their rounding lost; where they overflow, f64 does it again.
    fn mean(&self) -> Reg<'k, f64> {
        let k = self.team.k;
        if self.spec.dtype == Dtype::F64 || !self.team.takes_pieces() {
            return self.share_of(self.exact_sum());
        }
        let (sum, lost) = (k.var(F::constant(0.0)), k.var(F::constant(0.0)));
        self.pass(|_, chunk| {
            for value in chunk.values() {
                let (next, rest) = two_sum(k, sum, value);
                sum.set(next);
                lost.set(k.add(lost, rest));
            }
        });
        let total = F::wide(sum) + F::wide(lost);
        let total = k.var(self.team.fold(total, |a, b| a + b));
        k.unless(k.abs(total).lt(f64::INFINITY), || total.set(self.exact_sum()));
        self.share_of(total)
    }

    fn share_of(&self, sum: Reg<'k, f64>) -> Reg<'k, f64> {
        match self.spec.dtype {
            Dtype::F64 => self.team.k.div(sum, self.extent.count.to::<f64>()),
            _ => sum * self.v.share,
        }
    }

    fn exact_sum(&self) -> Reg<'k, f64> {
        let (k, sum) = (self.team.k, self.team.k.var(0.0f64));
        self.pass(|place, chunk| {
            let values: Vec<_> = chunk.values().into_iter().map(F::wide).collect();
            sum.set(sum + place.or(k, tree(&values), k.var(0.0f64)));
        });
        self.team.fold(sum, |a, b| a + b)
    }

    /// The sum of (x - centre)^2. Where f32 would lose it (squares overflow or vanish), f64 does it again.
    fn squares(&self, centre: Option<Reg<'k, F>>) -> Reg<'k, f64> {
        if self.spec.dtype == Dtype::F64 || !self.team.takes_pieces() {
            return self.exact_squares(centre);
        }
        let (k, sum) = (self.team.k, self.team.k.var(0.0f64));
        self.pass(|place, chunk| {
            let values: Vec<_> = chunk.values().into_iter().map(|x| centre.map_or(x, |c| x - c)).collect();
            let part = F::wide(squares(k, &values));
            // What is not there is 0, whose distance from the mean is none of the sum.
            let part = if centre.is_some() { place.or(k, part, k.var(0.0f64)) } else { part };
            sum.set(sum + part);
        });
        let total = k.var(self.team.fold(sum, |a, b| a + b));
        let fine = total.gt(self.extent.count.to::<f64>() * 1e-24) & total.lt(1e36);
        k.unless(fine, || total.set(self.exact_squares(centre)));
        total
    }

    fn exact_squares(&self, centre: Option<Reg<'k, F>>) -> Reg<'k, f64> {
        let (k, sum) = (self.team.k, self.team.k.var(0.0f64));
        let centre = centre.map(F::wide);
        self.pass(|place, chunk| {
            for x in chunk.values() {
                let x = F::wide(x);
                let off = place.or(k, centre.map_or(x, |centre| x - centre), k.var(0.0f64));
                sum.set(k.fma(off, off, sum));
            }
        });
        self.team.fold(sum, |a, b| a + b)
    }

    /// y = (x - centre) scale weight + bias.
    fn write(&self, centre: Option<Reg<'k, F>>, scale: Reg<'k, F>) {
        let k = self.team.k;
        // A branch around each of many pieces keeps the parameters of all from being fetched at once, to registers that
        // are not there.
        let many = !matches!(self.team.plan.way, Way::Held(0..=4));
        self.pass(|place, chunk| {
            let values = chunk.values().into_iter().map(|x| centre.map_or(x, |centre| x - centre) * scale);
            let write = || match self.team.takes_pieces() {
                true => self.write_chunk(place, chunk, values.collect()),
                false => self.write_element(place, chunk, values.last().unwrap()),
            };
            // Parameters at odd places are read one by one, also where they would not be there.
            if many || self.team.plan.edged { place.when(k, write) } else { write() }
        });
    }

    fn write_chunk(&self, place: &Place<'k, 6>, chunk: &Chunk<'k, F>, values: Vec<Reg<'k, F>>) {
        let (k, given) = (self.team.k, self.spec.given);
        let weights = self.parameter(given.weight, self.v.weight, place, WEIGHT);
        let biases = self.parameter(given.bias, self.v.bias, place, BIAS);
        let one = |(i, value): (usize, Reg<'k, F>)| {
            let plus_one = |weight| if given.weight_plus_one { weight + F::constant(1.0) } else { weight };
            match (&weights, &biases) {
                (Some(weights), Some(biases)) => k.fma(value, plus_one(weights[i]), biases[i]),
                (Some(weights), None) => value * plus_one(weights[i]),
                (None, Some(biases)) => k.add(value, biases[i]),
                (None, None) => value,
            }
        };
        let values: Vec<_> = values.into_iter().enumerate().map(one).collect();
        self.store(Y, place, &chunk.with(&values));
    }

    /// The elements of a weight or bias at a place, if there is one.
    fn parameter(
        &self,
        dtype: Option<Dtype>,
        base: Reg<'k, u64>,
        place: &Place<'k, 6>,
        which: usize,
    ) -> Option<Vec<Reg<'k, F>>> {
        let at = place.of(Array::new(self.team.k, dtype?, base), which);
        let len = if place.single { 1 } else { piece_len(self.spec.dtype) };
        let (k, size) = (self.team.k, at.dtype.size() as u64);
        Some(match self.team.plan.edged {
            _ if place.single => vec![at.load()],
            true if len < piece_len(at.dtype) => (0..len).map(|i| at.plus(i).load()).collect(),
            true => shifted(k, at, len, [base, k.mad(self.extent.count, size, base)]),
            false => packed(k, at, len, place.there),
        })
    }

    /// As [`write_chunk`](Self::write_chunk), where the kernel looks what there is.
    fn write_element(&self, place: &Place<'k, 6>, chunk: &Chunk<'k, F>, value: Reg<'k, F>) {
        let (k, v, value) = (self.team.k, self.v, self.team.k.var(value));
        let given = |base: Reg<'k, u64>, n: usize, at: usize, then: &dyn Fn(Reg<'k, F>)| {
            let load = |dtype| then(place.of(Array::new(k, dtype, base), at).load());
            k.when(base.ne(0u64), || either(k, self.spec.dtype, v.sizes[n], load));
        };
        given(v.weight, 0, WEIGHT, &|weight| value.set(value * (weight + F::narrow(v.plus))));
        given(v.bias, 1, BIAS, &|bias| value.set(k.add(value, bias)));
        self.store(Y, place, &chunk.with(&[value]));
    }
}

/// The kernels that tests assemble.
pub(super) fn texts(target: Target) -> Vec<Result<Text>> {
    let mut specs = Vec::new();
    for dtype in [Dtype::F32, Dtype::F64, Dtype::F16, Dtype::Bf16] {
        for (number, plan) in Plan::samples().into_iter().enumerate() {
            let [all, least] = samples(dtype, plan, number % 2 == 0);
            let given = Given { residual: false, sum: false, weight_plus_one: false, ..all.given };
            specs.extend((plan.full && dtype == Dtype::Bf16).then_some(Spec { given, ..all }));
            // Eight pieces a thread are for what takes few registers.
            let (every, few) = (dtype == Dtype::Bf16, plan.way == Way::Held(8));
            specs.extend((!few && (every || number % 2 == 0)).then_some(all));
            specs.extend((few || every || number % 2 == 1).then_some(least));
        }
    }
    specs.into_iter().map(|spec| spec.write(target).map(Text::from)).collect()
}

/// Everything there is, and the least.
fn samples(dtype: Dtype, plan: Plan, sum: bool) -> [Spec; 2] {
    let least = Spec { dtype, plan, centred: false, given: Given::default() };
    let all = Spec { centred: true, ..least };
    if plan.way == Way::Elements {
        return [all, least];
    }
    let (weight, bias) = (Some(if plan.edged { Dtype::F32 } else { dtype }), Some(dtype));
    let given = Given { residual: true, sum, weight, bias, weight_plus_one: true };
    [Spec { given, ..all }, Spec { given: Given { weight: bias, ..Given::default() }, ..least }]
}

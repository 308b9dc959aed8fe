//! The kernel: a team of threads a row; the statistics in f64, of squares that are summed in f32 within a piece.

use crate::device::cuda::Key;
use crate::dtype::Dtype;
use crate::kernels::gpu::{Array, Chunk, Place, Plan, Real, Team, Way, packed, piece_len};
use crate::ptx::{Builder, Kernel, Reg, Shape, Target, Text, WordList, Words, params};
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
    /// What the kernel is given; addresses of what is missing are not looked at.
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
    pub residual: bool,
    pub sum: bool,
    pub weight: Option<Dtype>,
    pub bias: Option<Dtype>,
    pub mean: Option<Dtype>,
    pub rstd: Option<Dtype>,
    pub centred: bool,
    pub weight_plus_one: bool,
}

impl Spec {
    /// Tells it from all others.
    pub fn key(&self) -> Key {
        let code = |dtype: Option<Dtype>| dtype.map_or(0, |dtype| dtype as u32 + 1);
        let flags = [self.residual, self.sum, self.centred, self.weight_plus_one];
        let flags = flags.into_iter().fold(0, |bits, flag| bits << 1 | u32::from(flag));
        let [team, way] = self.plan.code();
        let [weight, bias, mean, rstd] = [self.weight, self.bias, self.mean, self.rstd].map(code);
        Key("norm", [self.dtype as u32, team, way, flags, weight, bias, mean, rstd])
    }

    /// Writes the kernel.
    pub fn write(&self, target: Target) -> Result<Kernel<Args>> {
        let name = self.key().1.iter().fold("norm".to_owned(), |name, number| format!("{name}_{number}"));
        let shape = Shape::new(name, target, [self.plan.block(), 1, 1]).min_blocks(1);
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
        let mean = spec.centred.then(|| line.mean());
        let centre = mean.map(F::narrow);
        let total = line.squares(centre);
        let rstd = k.rsqrt(k.fma(total, v.share, v.epsilon));
        k.when(team.member().eq(0u32), || {
            let store = |dtype: Option<Dtype>, base, at, value| {
                dtype.map(|dtype| Array::new(k, dtype, base).at(at).store::<f64>(value))
            };
            mean.map(|mean| store(spec.mean, v.mean, begin[MEAN], mean));
            store(spec.rstd, v.rstd, begin[RSTD], rstd);
        });
        line.write(centre, F::narrow(rstd));
    });
}

/// One row.
struct Line<'k, 'v, F> {
    team: Team<'k>,
    spec: &'v Spec,
    count: Reg<'k, u64>,
    share: Reg<'k, f64>,
    inner: &'v WordList<'k>,
    /// x, residual, y, sum, from the row on.
    at: [Array<'k>; 4],
    weight: Reg<'k, u64>,
    bias: Reg<'k, u64>,
    /// What the thread has of the row, where it is held.
    held: Option<Vec<(Place<'k, 6>, Chunk<'k, F>)>>,
    /// Whether a pass that reads the row has been written.
    begun: Cell<bool>,
}

impl<'k, 'v, F: Real> Line<'k, 'v, F> {
    fn new(team: Team<'k>, spec: &'v Spec, v: &'v Vals<'k>, begin: &[Reg<'k, u64>; 6]) -> Self {
        let at = std::array::from_fn(|i| Array::new(team.k, spec.dtype, v.lines[i]).at(begin[i]));
        let (count, share, inner) = (v.count, v.share, &v.inner);
        let (weight, bias, begun) = (v.weight, v.bias, Cell::new(false));
        let mut line = Self { team, spec, count, share, inner, at, weight, bias, held: None, begun };
        if let Some(places) = team.held::<6>(count) {
            let chunks = line.take(&places);
            line.held = Some(places.into_iter().zip(chunks).collect());
        }
        line
    }

    /// What is normalised, at `places`. The first time it is x + residual, and goes to the sum; later it may come from there,
    /// for the sum may lie on x.
    fn take(&self, places: &[Place<'k, 6>]) -> Vec<Chunk<'k, F>> {
        let first = !self.begun.replace(true);
        if !first && self.spec.sum {
            return self.load(places, SUM);
        }
        if !self.spec.residual {
            return self.load(places, X);
        }
        // Few at a time, for both operands take registers.
        places.chunks(2).flat_map(|places| self.take_sums(places, first)).collect()
    }

    fn load(&self, places: &[Place<'k, 6>], which: usize) -> Vec<Chunk<'k, F>> {
        let load = |place: &Place<'k, 6>| self.team.load(self.at[which].at(place.at[which]), place.there);
        places.iter().map(load).collect()
    }

    fn take_sums(&self, places: &[Place<'k, 6>], first: bool) -> Vec<Chunk<'k, F>> {
        let (x, residual) = (self.load(places, X), self.load(places, RESIDUAL));
        let chunks: Vec<_> = x.iter().zip(residual).map(|(x, other)| x.with(&sums(x, &other))).collect();
        if first && self.spec.sum {
            places.iter().zip(&chunks).for_each(|(place, chunk)| self.store(SUM, place, chunk));
        }
        chunks
    }

    fn store(&self, which: usize, place: &Place<'k, 6>, chunk: &Chunk<'k, F>) {
        chunk.store(self.team.k, self.at[which].at(place.at[which]), place.there);
    }

    /// Runs `body` for all that this thread has of the row.
    fn pass(&self, body: impl Fn(&Place<'k, 6>, &Chunk<'k, F>)) {
        if let Some(held) = &self.held {
            return held.iter().for_each(|(place, chunk)| body(place, chunk));
        }
        self.team.each_place(self.count, self.inner, |places| {
            let chunks = self.take(places);
            places.iter().zip(&chunks).for_each(|(place, chunk)| body(place, chunk));
        });
    }

    /// The mean, of a sum in f64.
    fn mean(&self) -> Reg<'k, f64> {
        let (k, sum) = (self.team.k, self.team.k.var(0.0f64));
        self.pass(|place, chunk| {
            let values: Vec<_> = chunk.values().into_iter().map(F::wide).collect();
            sum.set(sum + k.select(place.there, tree(&values), 0.0f64));
        });
        let sum = self.team.fold(sum, k.var(0.0f64), |a, b| a + b);
        match self.spec.dtype {
            Dtype::F64 => k.div(sum, self.count.to::<f64>()),
            _ => sum * self.share,
        }
    }

    /// The sum of (x - centre)^2. Where f32 would lose it (squares overflow or vanish), f64 does it again.
    fn squares(&self, centre: Option<Reg<'k, F>>) -> Reg<'k, f64> {
        if self.spec.dtype == Dtype::F64 || !self.team.takes_pieces() {
            return self.exact_squares(centre);
        }
        let (k, sum) = (self.team.k, self.team.k.var(0.0f64));
        self.pass(|place, chunk| {
            let values: Vec<_> = chunk.values().into_iter().map(|x| centre.map_or(x, |c| x - c)).collect();
            let (low, high) = values.split_at(values.len() / 2);
            let part = F::wide(k.add(chain(k, low), chain(k, high)));
            sum.set(sum + k.select(place.there, part, 0.0f64));
        });
        let total = k.var(self.team.fold(sum, k.var(0.0f64), |a, b| a + b));
        let fine = total.gt(self.count.to::<f64>() * 1e-24) & total.lt(1e36);
        k.unless(fine, || total.set(self.exact_squares(centre)));
        total
    }

    fn exact_squares(&self, centre: Option<Reg<'k, F>>) -> Reg<'k, f64> {
        let (k, sum) = (self.team.k, self.team.k.var(0.0f64));
        let centre = centre.map(F::wide);
        self.pass(|place, chunk| {
            for x in chunk.values() {
                let x = F::wide(x);
                let off = k.select(place.there, centre.map_or(x, |centre| x - centre), 0.0f64);
                sum.set(k.fma(off, off, sum));
            }
        });
        self.team.fold(sum, k.var(0.0f64), |a, b| a + b)
    }

    /// y = (x - centre) scale weight + bias.
    fn write(&self, centre: Option<Reg<'k, F>>, scale: Reg<'k, F>) {
        let k = self.team.k;
        // A branch around each of many pieces keeps the parameters of all from being fetched at once, to registers that
        // are not there.
        let many = !matches!(self.team.plan.way, Way::Held(0..=4));
        self.pass(|place, chunk| {
            let write = || self.write_chunk(place, chunk, centre, scale);
            if many { k.when(place.there, write) } else { write() }
        });
    }

    fn write_chunk(
        &self,
        place: &Place<'k, 6>,
        chunk: &Chunk<'k, F>,
        centre: Option<Reg<'k, F>>,
        scale: Reg<'k, F>,
    ) {
        let k = self.team.k;
        let weights = self.parameter(self.spec.weight, self.weight, place, WEIGHT);
        let biases = self.parameter(self.spec.bias, self.bias, place, BIAS);
        let one = |(i, x): (usize, Reg<'k, F>)| {
            let value = centre.map_or(x, |centre| x - centre) * scale;
            let plus_one =
                |weight| if self.spec.weight_plus_one { weight + F::constant(1.0) } else { weight };
            let value = weights.as_ref().map_or(value, |weights| value * plus_one(weights[i]));
            biases.as_ref().map_or(value, |biases| k.add(value, biases[i]))
        };
        let values: Vec<_> = chunk.values().into_iter().enumerate().map(one).collect();
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
        let at = Array::new(self.team.k, dtype?, base).at(place.at[which]);
        Some(match self.team.takes_pieces() {
            true => packed(self.team.k, at, piece_len(self.spec.dtype), place.there),
            false => vec![at.load()],
        })
    }
}

fn sums<'k, F: Real>(a: &Chunk<'k, F>, b: &Chunk<'k, F>) -> Vec<Reg<'k, F>> {
    a.values().into_iter().zip(b.values()).map(|(a, b)| a + b).collect()
}

/// Their sum, joined two by two.
fn tree<'k>(values: &[Reg<'k, f64>]) -> Reg<'k, f64> {
    match values {
        [one] => *one,
        _ => {
            let (low, high) = values.split_at(values.len() / 2);
            tree(low) + tree(high)
        }
    }
}

/// The sum of their squares.
fn chain<'k, F: Real>(k: &'k Builder, values: &[Reg<'k, F>]) -> Reg<'k, F> {
    let first = values[0] * values[0];
    values[1..].iter().fold(first, |sum, &value| k.fma(value, value, sum))
}

/// The kernels that tests assemble.
pub(super) fn texts(target: Target) -> Vec<Result<Text>> {
    let mut specs = Vec::new();
    for (dtype, every) in [(Dtype::F32, 2), (Dtype::F64, 2), (Dtype::F16, 3), (Dtype::Bf16, 1)] {
        for (number, plan) in Plan::samples().into_iter().enumerate() {
            let [all, least] = samples(dtype, plan, number % 2 == 0);
            // Eight pieces a thread are for what takes few registers.
            specs.extend((number % every == 0 && plan.way != Way::Held(8)).then_some(all));
            specs.extend((number % every == 1 % every).then_some(least));
        }
    }
    specs.into_iter().map(|spec| spec.write(target).map(Text::from)).collect()
}

/// Everything there is, and the least.
fn samples(dtype: Dtype, plan: Plan, sum: bool) -> [Spec; 2] {
    let other = if dtype == Dtype::F64 { Dtype::F64 } else { Dtype::F32 };
    let all = Spec {
        dtype,
        plan,
        residual: true,
        sum,
        weight: Some(Dtype::F32),
        bias: Some(dtype),
        mean: Some(Dtype::F32),
        rstd: Some(other),
        centred: true,
        weight_plus_one: true,
    };
    let least = Spec { residual: false, sum: false, bias: None, mean: None, rstd: None, ..all };
    [all, Spec { weight: Some(dtype), centred: false, weight_plus_one: false, ..least }]
}

//! The kernel: a team of threads a row; largest, exponentials with their sum in f64, and the last touch.

use crate::device::cuda::Key;
use crate::dtype::Dtype;
use crate::kernels::gpu::math::{self, Math};
use crate::kernels::gpu::{Array, Chunk, Extent, Place, Plan, Real, Team, Way};
use crate::ptx::{Kernel, Reg, Shape, Target, Text, WordList, Words, params};
use crate::status::Result;
use std::cell::RefCell;

/// Numbers that describe a space of two operands.
pub(super) const WORDS: usize = 3 * crate::layout::WEFT_MAX_RANK;

params! {
    /// What the kernel is given.
    pub(super) struct Args / Vals {
        rows: u64,
        count: u64,
        scale: f64,
        x: u64,
        y: u64,
        /// Of x and y.
        outer: Words<WORDS>,
        /// Of x and y, along the axis.
        inner: Words<WORDS>,
    }
}

/// What a kernel is written for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spec {
    pub dtype: Dtype,
    pub plan: Plan,
    pub log: bool,
    /// Whether the scale is not 1.
    pub scaled: bool,
}

impl Spec {
    /// Tells it from all others.
    pub fn key(&self) -> Key {
        let [team, way] = self.plan.code();
        Key("softmax", [self.dtype as u32, team, way, u32::from(self.log), u32::from(self.scaled), 0, 0, 0])
    }

    /// Writes the kernel.
    pub fn write(&self, target: Target) -> Result<Kernel<Args>> {
        let name = self.key().1.iter().fold("softmax".to_owned(), |name, number| format!("{name}_{number}"));
        let shape = Shape::new(name, target, [self.plan.block(), 1, 1])
            .min_blocks(self.plan.resident(self.dtype, target));
        Kernel::build(&shape, |_, v: Vals<'_>| match self.dtype {
            Dtype::F64 => rows::<f64>(self, &v),
            _ => rows::<f32>(self, &v),
        })
    }
}

fn rows<F: Real + Math>(spec: &Spec, v: &Vals<'_>) {
    let team = Team { k: v.kernel, plan: spec.plan, dtype: spec.dtype };
    let scale = spec.scaled.then(|| F::narrow(v.scale));
    team.each_row(v.rows, |row| {
        let begin = team.begin::<2>(&v.outer, row);
        let line = Line::<F>::new(team, v, scale, begin);
        let largest = line.largest();
        if spec.log { line.log_softmax(largest) } else { line.softmax(largest) }
    });
}

/// One row.
struct Line<'k, 'v, F> {
    team: Team<'k>,
    extent: Extent<'k>,
    inner: &'v WordList<'k>,
    scale: Option<Reg<'k, F>>,
    x: Array<'k>,
    y: Array<'k>,
    /// What the thread has of the row, where it is held.
    held: Option<Vec<(Place<'k, 2>, Chunk<'k, F>)>>,
}

impl<'k, 'v, F: Real + Math> Line<'k, 'v, F> {
    fn new(team: Team<'k>, v: &'v Vals<'k>, scale: Option<Reg<'k, F>>, begin: [Reg<'k, u64>; 2]) -> Self {
        let at = |base, begin| Array::new(team.k, team.dtype, base).at(begin);
        let (x, y) = (at(v.x, begin[0]), at(v.y, begin[1]));
        let extent = team.extent(v.count, x);
        let mut line = Self { team, extent, inner: &v.inner, scale, x, y, held: None };
        line.held = team.held::<2>(extent).map(|places| {
            let chunks = line.take(&places);
            places.into_iter().zip(chunks).collect()
        });
        line
    }

    fn take(&self, places: &[Place<'k, 2>]) -> Vec<Chunk<'k, F>> {
        places.iter().map(|place| self.team.load(self.x.at(place.at[0]), place)).collect()
    }

    /// Runs `body` for all that this thread has of the row.
    fn pass(&self, body: impl Fn(&Place<'k, 2>, &Chunk<'k, F>)) {
        if let Some(held) = &self.held {
            return held.iter().for_each(|(place, chunk)| body(place, chunk));
        }
        self.team.each_place(self.extent, self.inner, |places| {
            let chunks = self.take(places);
            places.iter().zip(&chunks).for_each(|(place, chunk)| body(place, chunk));
        });
    }

    /// scale x.
    fn scaled(&self, chunk: &Chunk<'k, F>) -> Vec<Reg<'k, F>> {
        let scaled = |x| self.scale.map_or(x, |scale| self.team.k.mul(x, scale));
        chunk.values().into_iter().map(scaled).collect()
    }

    /// e^(scale x - largest).
    fn exponentials(&self, chunk: &Chunk<'k, F>, largest: Reg<'k, F>) -> Vec<Reg<'k, F>> {
        self.scaled(chunk).into_iter().map(|x| math::exp(self.team.k, x - largest)).collect()
    }

    /// The largest of scale x, NaN aside; -inf of none.
    fn largest(&self) -> Reg<'k, F> {
        let (k, none) = (self.team.k, F::constant(f64::NEG_INFINITY));
        let most = k.var(none);
        self.pass(|place, chunk| {
            let here = tree(&self.scaled(chunk), &|a, b| k.max(a, b));
            most.set(k.max(most, k.select(place.there, here, none)));
        });
        self.team.fold(most, k.var(none), |a, b| k.max(a, b))
    }

    /// The sum of the exponentials, which `each` gets to see.
    fn sum(&self, largest: Reg<'k, F>, each: impl Fn(Vec<Reg<'k, F>>)) -> Reg<'k, F> {
        let (k, sum) = (self.team.k, self.team.k.var(0.0f64));
        self.pass(|place, chunk| {
            let values = self.exponentials(chunk, largest);
            let part = F::wide(tree(&values, &|a, b| k.add(a, b)));
            sum.set(sum + k.select(place.there, part, 0.0f64));
            each(values);
        });
        F::narrow(self.team.fold(sum, k.var(0.0f64), |a, b| a + b))
    }

    fn softmax(&self, largest: Reg<'k, F>) {
        let kept = RefCell::new(Vec::new());
        let share = self.team.k.rcp(self.sum(largest, |values| kept.borrow_mut().push(values)));
        let mut kept = kept.into_inner().into_iter();
        let store = |place: &Place<'k, 2>, chunk: &Chunk<'k, F>, values: Vec<Reg<'k, F>>| {
            let values: Vec<_> = values.into_iter().map(|value| value * share).collect();
            self.store(place, &chunk.with(&values));
        };
        match &self.held {
            Some(held) => held.iter().for_each(|(place, chunk)| {
                kept.by_ref().take(1).for_each(|values| store(place, chunk, values));
            }),
            None => self.pass(|place, chunk| store(place, chunk, self.exponentials(chunk, largest))),
        }
    }

    fn log_softmax(&self, largest: Reg<'k, F>) {
        let log = math::log(self.team.k, self.sum(largest, drop));
        self.pass(|place, chunk| {
            let values: Vec<_> = self.scaled(chunk).into_iter().map(|x| (x - largest) - log).collect();
            self.store(place, &chunk.with(&values));
        });
    }

    fn store(&self, place: &Place<'k, 2>, chunk: &Chunk<'k, F>) {
        chunk.store(self.team.k, self.y.at(place.at[1]), place.there);
    }
}

/// All joined, two by two.
fn tree<'k, F: Real>(
    values: &[Reg<'k, F>],
    join: &impl Fn(Reg<'k, F>, Reg<'k, F>) -> Reg<'k, F>,
) -> Reg<'k, F> {
    match values {
        [one] => *one,
        _ => {
            let (low, high) = values.split_at(values.len() / 2);
            join(tree(low, join), tree(high, join))
        }
    }
}

/// The kernels that tests assemble.
pub(super) fn texts(target: Target) -> Vec<Result<Text>> {
    let mut specs = Vec::new();
    for dtype in [Dtype::F32, Dtype::F64, Dtype::F16, Dtype::Bf16] {
        for (number, plan) in Plan::samples().into_iter().enumerate() {
            // Eight pieces of short elements are held for logarithms alone.
            let plain = plan.way != Way::Held(8) || dtype.size() > 2;
            let scaled = plan.way == Way::Elements || number % 2 == 0;
            let every = dtype == Dtype::Bf16;
            let wanted = |log| (log || plain) && (every || log == (number % 2 == 0));
            let spec = |log| Spec { dtype, plan, log, scaled };
            specs.extend([false, true].into_iter().filter(|&log| wanted(log)).map(spec));
        }
    }
    specs.into_iter().map(|spec| spec.write(target).map(Text::from)).collect()
}

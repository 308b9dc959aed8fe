//! The kernel: a team of threads a row; largest, exponentials with their sum in f64, and the last touch.

use crate::device::cuda::Key;
use crate::dtype::Dtype;
use crate::kernels::gpu::math::{self, Math};
use crate::kernels::gpu::{Array, Chunk, Extent, Fill, Place, Plan, Real, Team, Way};
use crate::ptx::{Builder, Element, Kernel, Reg, Shape, Target, Text, WordList, Words, params};
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

fn rows<F: Exponential>(spec: &Spec, v: &Vals<'_>) {
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

impl<'k, 'v, F: Exponential> Line<'k, 'v, F> {
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
        places.iter().map(|place| self.team.load((self.x, 0), place, Fill::Least)).collect()
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

    /// scale x - `less`.
    fn below(&self, chunk: &Chunk<'k, F>, less: Reg<'k, F>) -> Vec<Reg<'k, F>> {
        let below = |x| self.scale.map_or_else(|| x - less, |scale| self.team.k.fma(x, scale, -less));
        chunk.values().into_iter().map(below).collect()
    }

    /// `value`, or `none` where the row does not reach so far: needed where what is there instead, -infinity, is scaled.
    fn or<T: Element>(&self, place: &Place<'k, 2>, value: Reg<'k, T>, none: Reg<'k, T>) -> Reg<'k, T> {
        if self.scale.is_some() { place.or(self.team.k, value, none) } else { value }
    }

    /// The largest of scale x, NaN aside; -inf of none.
    fn largest(&self) -> Reg<'k, F> {
        let (k, none) = (self.team.k, self.team.k.var(F::constant(f64::NEG_INFINITY)));
        let most = k.var(none);
        self.pass(|place, chunk| {
            let here = match self.scale {
                Some(scale) => {
                    let scaled: Vec<_> = chunk.values().into_iter().map(|x| x * scale).collect();
                    self.or(place, tree(&scaled, &|a, b| k.max(a, b)), none)
                }
                None => chunk.largest(),
            };
            most.set(k.max(most, here));
        });
        F::largest_of_team(&self.team, most)
    }

    /// The sum of the exponentials by `exp`, which `each` gets to see.
    fn sum(
        &self,
        largest: Reg<'k, F>,
        exp: fn(&'k Builder, Reg<'k, F>) -> Reg<'k, F>,
        each: impl Fn(Vec<Reg<'k, F>>),
    ) -> Reg<'k, F> {
        let (k, sum) = (self.team.k, self.team.k.var(0.0f64));
        self.pass(|place, chunk| {
            let values: Vec<_> = self.below(chunk, largest).into_iter().map(|x| exp(k, x)).collect();
            let part = F::wide(tree(&values, &|a, b| k.add(a, b)));
            sum.set(sum + self.or(place, part, k.var(0.0f64)));
            each(values);
        });
        F::narrow(self.team.fold(sum, |a, b| a + b))
    }

    fn softmax(&self, largest: Reg<'k, F>) {
        // The least that y can be tells whether exponentials may be taken as 0 below the range of normal numbers.
        let exp = if self.team.dtype == Dtype::F16 { F::exp_of_sum_term } else { F::exp_of_negative };
        let kept = RefCell::new(Vec::new());
        let share = self.team.k.rcp(self.sum(largest, exp, |values| kept.borrow_mut().push(values)));
        let mut kept = kept.into_inner().into_iter();
        let store = |place: &Place<'k, 2>, chunk: &Chunk<'k, F>, values: Vec<Reg<'k, F>>| {
            let values: Vec<_> = values.into_iter().map(|value| value * share).collect();
            self.store(place, &chunk.with(&values));
        };
        match &self.held {
            Some(held) => held.iter().for_each(|(place, chunk)| {
                kept.by_ref().take(1).for_each(|values| store(place, chunk, values));
            }),
            None => self.pass(|place, chunk| {
                let values = self.below(chunk, largest).into_iter().map(|x| exp(self.team.k, x));
                store(place, chunk, values.collect());
            }),
        }
    }

    fn log_softmax(&self, largest: Reg<'k, F>) {
        // The largest first: a logarithm that is added to it is lost beside large elements.
        let rest = math::log(self.team.k, self.sum(largest, F::exp_of_sum_term, drop));
        self.pass(|place, chunk| {
            let values: Vec<_> = self.below(chunk, largest).into_iter().map(|x| x - rest).collect();
            self.store(place, &chunk.with(&values));
        });
    }

    fn store(&self, place: &Place<'k, 2>, chunk: &Chunk<'k, F>) {
        chunk.store_or(self.team.k, place.of(self.y, 1), place.there);
    }
}

/// e^x of what is 0 at the most.
trait Exponential: Real + Math {
    /// Of any size. NaN stays.
    fn exp_of_negative<'k>(k: &'k Builder, x: Reg<'k, Self>) -> Reg<'k, Self>;
    /// 0 where it is less than the least normal number: beside a 1 it is nothing.
    fn exp_of_sum_term<'k>(k: &'k Builder, x: Reg<'k, Self>) -> Reg<'k, Self>;
}

impl Exponential for f32 {
    fn exp_of_negative<'k>(k: &'k Builder, x: Reg<'k, f32>) -> Reg<'k, f32> {
        k.ex2(x * std::f32::consts::LOG2_E)
    }

    fn exp_of_sum_term<'k>(k: &'k Builder, x: Reg<'k, f32>) -> Reg<'k, f32> {
        k.ex2_ftz(x * std::f32::consts::LOG2_E)
    }
}

impl Exponential for f64 {
    fn exp_of_negative<'k>(k: &'k Builder, x: Reg<'k, f64>) -> Reg<'k, f64> {
        math::exp(k, x)
    }

    fn exp_of_sum_term<'k>(k: &'k Builder, x: Reg<'k, f64>) -> Reg<'k, f64> {
        math::exp(k, x)
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

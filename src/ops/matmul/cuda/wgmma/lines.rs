//! Four neighbouring sums of a row on their way to D.

use super::block::Block;
use crate::dtype::Dtype;
use crate::ops::matmul::cuda::arguments::Place;
use crate::ops::matmul::cuda::finish::{apply, finish};
use crate::ops::matmul::cuda::real::Real;
use crate::ptx::{Bf16x2, Builder, F16x2, Global, Ptr, Reg};

/// They, where the first of them belongs, and what is added to them.
pub struct Four<'k> {
    pub row: Reg<'k, u32>,
    pub col: Reg<'k, u32>,
    pub sums: [Reg<'k, f32>; 4],
    pub bias: [Reg<'k, f32>; 4],
}

impl<'k> Block<'_, 'k> {
    /// Runs `body`, told how many to take at once and whether there is an epilogue: of one that is long, fewer.
    pub fn walk(&self, [many, few]: [u32; 2], body: impl Fn(u32, bool)) {
        match self.form.lines {
            Some(_) => {
                self.k.if_else(self.v.rest.base.epilogue.eq(0u32), || body(many, false), || body(few, true))
            }
            None => body(1, true),
        }
    }

    /// The bias of four columns, where whole lines are written.
    pub fn bias(&self, place: &Place<'k>, col: Reg<'k, u32>) -> [Reg<'k, f32>; 4] {
        let (k, v) = (self.k, &self.v.rest.base);
        let bias = [0, 1, 2, 3].map(|_| k.var(0.0f32));
        let Some(own) = self.form.lines else { return bias };
        let col = col.to::<u64>();
        k.when(v.at[4].ne(0u64) & col.lt(v.n), || {
            let fetch = |dtype: Dtype| {
                let values = load(k, dtype, k.mad(col, dtype.size() as u64, place.at[4]));
                bias.iter().zip(values).for_each(|(bias, value)| bias.set(value));
            };
            k.if_else(v.kinds[1].eq(0u32), || fetch(Dtype::F32), || fetch(own));
        });
        bias
    }

    /// Writes those that belong to D, with the epilogue or where there is none.
    pub fn put_fours(&self, place: &Place<'k>, fours: &[Four<'k>], epilogue: bool) {
        match self.form.lines {
            Some(dtype) => self.put_lines(dtype, place, fours, epilogue),
            None => fours.iter().for_each(|four| self.put_one_by_one(place, four)),
        }
    }

    fn put_one_by_one(&self, place: &Place<'k>, four: &Four<'k>) {
        let (k, v) = (self.k, &self.v.rest.base);
        for (number, sum) in (0..).zip(four.sums) {
            let [row, col] = [four.row, four.col + number as u32].map(|index| index.to::<u64>());
            k.when(row.lt(v.m) & col.lt(v.n), || finish(k, v, place, [row, col], sum));
        }
    }

    fn put_lines(&self, dtype: Dtype, place: &Place<'k>, fours: &[Four<'k>], epilogue: bool) {
        let (k, v) = (self.k, &self.v.rest.base);
        let alpha = v.alpha.to::<f32>();
        let values: Vec<_> = fours.iter().map(|four| four.sums.map(|sum| k.var(sum * alpha))).collect();
        let inside = |four: &Four<'k>| four.row.to::<u64>().lt(v.m) & four.col.to::<u64>().lt(v.n);
        let inside: Vec<_> = fours.iter().map(inside).collect();
        k.when(v.at[3].ne(0u64), || {
            let at = |four: &Four<'k>| self.line(place, 3, dtype, four);
            // Outside, what lies where the matrix begins.
            let fetch = |(four, inside): (_, &Reg<'k, bool>)| {
                load(k, dtype, k.select(*inside, at(four), place.at[3]))
            };
            let added: Vec<_> = fours.iter().zip(&inside).map(fetch).collect();
            let beta = v.beta.to::<f32>();
            for (x, c) in values.iter().flatten().zip(added.into_iter().flatten()) {
                x.set(k.fma(c, beta, *x));
            }
        });
        for (four, values) in fours.iter().zip(&values) {
            let biased = values.iter().zip(four.bias);
            k.when(v.at[4].ne(0u64), || biased.for_each(|(x, bias)| x.set(k.add(*x, bias))));
            if epilogue {
                apply(k, v.epilogue, values);
            }
        }
        for ((four, values), inside) in fours.iter().zip(&values).zip(&inside) {
            let to = self.line(place, 2, dtype, four);
            k.when(*inside, || store(k, dtype, to, *values));
        }
    }

    /// Where four elements of D (2) or C (3) lie.
    fn line(&self, place: &Place<'k>, operand: usize, dtype: Dtype, four: &Four<'k>) -> Reg<'k, u64> {
        let (k, v) = (self.k, &self.v.rest.base);
        let line = k.mad(four.row.to::<u64>(), v.strides.get(2 * operand), place.at[operand]);
        k.mad(four.col.to::<u64>(), dtype.size() as u64, line)
    }
}

/// Four neighbours.
fn load<'k>(k: &'k Builder, dtype: Dtype, at: Reg<'k, u64>) -> Vec<Reg<'k, f32>> {
    let at = Ptr::<Global<u32>>::new(at);
    match dtype.size() {
        2 => f32::values(k, dtype, &at.load_vec::<2>()),
        _ => f32::values(k, dtype, &at.load_vec::<4>()),
    }
}

/// The way back, rounded once.
fn store<'k>(k: &'k Builder, dtype: Dtype, at: Reg<'k, u64>, [a, b, c, d]: [Reg<'k, f32>; 4]) {
    let at = Ptr::<Global<u32>>::new(at);
    match dtype.size() {
        2 => at.store_vec([pair(k, dtype, [a, b]), pair(k, dtype, [c, d])]),
        _ => at.store_vec([a, b, c, d].map(|value| value.bits())),
    }
}

/// Two neighbours of D, of f16 or bf16.
pub fn pair<'k>(k: &'k Builder, dtype: Dtype, [a, b]: [Reg<'k, f32>; 2]) -> Reg<'k, u32> {
    match dtype {
        Dtype::F16 => k.pair::<F16x2>(a, b).bits(),
        _ => k.pair::<Bf16x2>(a, b).bits(),
    }
}

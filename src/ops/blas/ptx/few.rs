//! trsm of few unknowns: a lane has a row of the triangle and of some columns of B, all of it in registers; a warp solves
//! several systems at once.

use super::THREADS;
use super::trsm::{Args, Diagonal, Spec, Vals, step};
use super::value::{Part, Value, lanes};
use crate::kernels::gpu::Space;
use crate::ptx::{Builder, Kernel, Ptr, Reg, Target};
use crate::status::Result;

/// Solves whole systems of `spec.side` unknowns at the most.
pub fn solve_few<R: Part>(target: Target, spec: Spec) -> Result<Kernel<Args>> {
    Kernel::build(&spec.shape("few", target), |k, v: Vals<'_>| {
        let each = THREADS / spec.side;
        // The number of the warp's first system, or part of one; all lanes go on or none.
        let first = k.var(k.mad_wide(k.block_x(), each, (k.warp() * (32 / spec.side)).to::<u64>()));
        let count = v.matrices * v.tiles[0].to::<u64>();
        k.repeat_while(
            || first.lt(count),
            || {
                let number = first + (k.lane() / spec.side).to::<u64>();
                let matrix = number / v.tiles[0].to::<u64>();
                let column = (number - matrix * v.tiles[0].to::<u64>()) * u64::from(spec.each);
                let at = Space::<2>::locate_all(k, &v.batch, true, &[k.min(matrix, v.matrices - 1u64)])[0];
                let row = k.lane() & (spec.side - 1);
                let there = number.lt(count) & row.to::<u64>().lt(v.order);
                let lines = [0, 1].map(|n| {
                    let first = k.mad(at[n], spec.dtype.size() as u64, v.at[n]);
                    k.mad(row.to::<u64>(), v.rows[n], first)
                });
                Row { k, v: &v, spec, row, column, lines, there }.solve::<R>();
                first.set(first + k.mul_wide(k.grid_blocks_x(), each));
            },
        );
    })
}

/// A lane's row.
struct Row<'a, 'k> {
    k: &'k Builder,
    v: &'a Vals<'k>,
    spec: Spec,
    row: Reg<'k, u32>,
    /// The first column of B.
    column: Reg<'k, u64>,
    /// Where it begins in A, and in B.
    lines: [Reg<'k, u64>; 2],
    there: Reg<'k, bool>,
}

impl<'k> Row<'_, 'k> {
    fn solve<R: Part>(&self) {
        let (k, spec) = (self.k, self.spec);
        let triangle = self.triangle::<R>();
        let alpha = Value::of(spec.dtype, self.v.alpha);
        let x: Vec<_> = self.values().into_iter().map(|b| alpha.times(k, b).var(k)).collect();
        if spec.unit {
            self.steps(&x, &triangle, &|x| *x);
        } else {
            let at = k.mad(self.row.to::<u64>(), self.v.columns[0], self.lines[0]);
            let own = Value::load_if(at, spec.dtype, self.there).conjugate_if(spec.conjugate);
            let own = Diagonal::new(k, spec, own, self.there);
            let quick = || self.steps(&x, &triangle, &|x| x.times(k, own.inverse));
            let exact = || self.exact_steps(&x, &own);
            k.if_else(k.ballot(own.fine, u32::MAX).eq(u32::MAX), quick, exact);
        }
        self.leave(&x);
    }

    /// What the triangle has to the left of the diagonal, negative; anything elsewhere.
    fn triangle<R: Part>(&self) -> Vec<Value<'k, R>> {
        let (k, Spec { dtype, side, packed, .. }) = (self.k, self.spec);
        let group = if packed { lanes(dtype).min(side) } else { 1 };
        let load = |first: u32| {
            let at = k.mad(self.v.columns[0], u64::from(first), self.lines[0]);
            let there = self.there & self.row.gt(first);
            match group {
                1 => vec![Value::<R>::load_if(at, dtype, there)],
                _ => Value::load_group_if(Ptr::new(at), dtype, there),
            }
        };
        let all = (0..side).step_by(group as usize).flat_map(load);
        all.map(|value| value.conjugate_if(self.spec.conjugate).negative()).collect()
    }

    /// Runs `body` with the address of each column, or group of columns, of this row of B, and whether it is there.
    fn columns<T>(&self, body: impl Fn(u32, Reg<'k, u64>, Reg<'k, bool>) -> T) -> Vec<T> {
        let (k, v, group) = (self.k, self.v, self.group());
        let place = |n: u32| {
            let column = self.column + u64::from(n);
            body(n, k.mad(column, v.columns[1], self.lines[1]), self.there & column.lt(v.sides))
        };
        (0..self.spec.each).step_by(group as usize).map(place).collect()
    }

    /// Columns of B that are read and written at once.
    fn group(&self) -> u32 {
        if self.spec.packed { lanes(self.spec.dtype).min(self.spec.each) } else { 1 }
    }

    fn values<R: Part>(&self) -> Vec<Value<'k, R>> {
        let (dtype, group) = (self.spec.dtype, self.group());
        let load = |_, at, there| match group {
            1 => vec![Value::load_if(at, dtype, there)],
            _ => Value::load_group_if(Ptr::new(at), dtype, there),
        };
        self.columns(load).into_iter().flatten().collect()
    }

    fn steps<R: Part>(
        &self,
        x: &[Value<'k, R>],
        triangle: &[Value<'k, R>],
        found: &dyn Fn(&Value<'k, R>) -> Value<'k, R>,
    ) {
        let (k, side) = (self.k, self.spec.side);
        for (&minus, i) in triangle.iter().zip(0..side - 1) {
            step(k, x, minus, (self.row, k.var(i), side), found);
        }
        x.iter().for_each(|x| x.set(found(x)));
    }

    /// The same by quotients, one after the other: a few hundred of them written out would take long to compile.
    fn exact_steps<R: Part>(&self, x: &[Value<'k, R>], own: &Diagonal<'k, R>) {
        let (k, Spec { dtype, conjugate, side, .. }) = (self.k, self.spec);
        let found = |x: &Value<'k, R>| x.over(k, own.value);
        k.steps(0u32, side - 1, 1u32, |i| {
            let at = k.mad(i.to::<u64>(), self.v.columns[0], self.lines[0]);
            let there = self.there & self.row.gt(i);
            let minus = Value::load_if(at, dtype, there).conjugate_if(conjugate).negative();
            step(k, x, minus, (self.row, i, side), &found);
        });
        x.iter().for_each(|x| x.set(found(x)));
    }

    fn leave<R: Part>(&self, x: &[Value<'k, R>]) {
        self.columns(|n, at, there| {
            let group = &x[n as usize..(n + self.group()) as usize];
            self.k.when(there, || Value::store_all(at, group));
        });
    }
}

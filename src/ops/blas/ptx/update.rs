//! axpy, scal, swap and rot: a thread an element, or as many of both vectors as 16 bytes hold.

use super::THREADS;
use super::value::{Part, Value};
use crate::dtype::Dtype;
use crate::kernels::gpu::Space;
use crate::ops::blas::update::Change;
use crate::ptx::{Builder, Kernel, Ptr, Reg, Shape, Target, Words, params};
use crate::status::Result;

/// Words of the space of two operands.
const WORDS: usize = Space::<2>::word_count(8);

params! {
    /// An update of `count` elements, or groups of them.
    pub struct Args / Vals {
        /// Addresses of x and y.
        at: [u64; 2],
        /// The factor's parts.
        factor: [f64; 2],
        /// The real factor of a rotation.
        cosine: f64,
        /// Elements or groups.
        count: u64,
        /// The space of x and y, in elements.
        space: Words<WORDS>,
    }
}

/// What a kernel is written for.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// What is done.
    pub change: Change,
    /// To what.
    pub dtype: Dtype,
    /// The rank of the space.
    pub rank: u32,
    /// Elements of a group.
    pub lanes: u32,
    /// Whether there are 2^32 of them.
    pub wide: bool,
}

impl Spec {
    /// Groups that a thread has under way, if they are easy to find: several where they are small, or two are read and written.
    pub fn ahead(&self) -> u32 {
        let large = self.lanes as usize * self.dtype.size() == 16 && self.change != Change::Swap;
        if self.rank != 1 || large { 1 } else { 4 }
    }

    /// All of it, for a kernel's key.
    pub fn words(&self) -> [u32; 8] {
        let Self { change, dtype, rank, lanes, wide } = *self;
        [change as u32, dtype as u32, rank, lanes, u32::from(wide), 0, 0, 0]
    }
}

/// The kernel of `spec`.
pub fn write<R: Part>(target: Target, spec: Spec) -> Result<Kernel<Args>> {
    let words = spec.words()[..5].iter().map(u32::to_string).collect::<Vec<_>>().join("_");
    let shape = Shape::new(format!("blas_update_{words}"), target, [THREADS, 1, 1]);
    Kernel::build(&shape, |k, v: Vals<'_>| {
        let rule = Rule::<R>::new(k, &v, spec);
        let (chunk, size) = (THREADS * spec.ahead(), spec.dtype.size() as u64);
        let number = k.var(k.mad_wide(k.block_x(), chunk, k.thread_x().to::<u64>()));
        let place = |n: u32| {
            let number = number + u64::from(n * THREADS);
            let at = Space::<2>::locate(k, &v.space, spec.rank as usize, spec.wide, number);
            std::array::from_fn(|n| k.mad(at[n], size, v.at[n]))
        };
        k.repeat_while(
            || (number + u64::from(chunk - THREADS)).lt(v.count),
            || {
                rule.apply((0..spec.ahead()).map(place).collect());
                number.set(number + k.mul_wide(k.grid_blocks_x(), chunk));
            },
        );
        k.repeat_while(
            || number.lt(v.count),
            || {
                rule.apply(vec![place(0)]);
                number.set(number + u64::from(THREADS));
            },
        );
    })
}

/// The factors, and what is done with them.
struct Rule<'k, R> {
    k: &'k Builder,
    spec: Spec,
    factor: Value<'k, R>,
    cosine: Reg<'k, R>,
}

impl<'k, R: Part> Rule<'k, R> {
    fn new(k: &'k Builder, v: &Vals<'k>, spec: Spec) -> Self {
        Self { k, spec, factor: Value::of(spec.dtype, v.factor), cosine: R::of(v.cosine) }
    }

    /// The groups at these addresses: all are read before the first is written.
    fn apply(&self, places: Vec<[Reg<'k, u64>; 2]>) {
        let read: Vec<_> = places.iter().map(|&place| self.read(place)).collect();
        places.into_iter().zip(read).for_each(|(place, read)| self.write(place, read));
    }

    fn read(&self, [x, y]: [Reg<'k, u64>; 2]) -> [Vec<Value<'k, R>>; 2] {
        let change = self.spec.change;
        let reads = |wanted: bool, at| if wanted { self.load(at) } else { Vec::new() };
        [reads(change != Change::Zero, x), reads(!matches!(change, Change::Zero | Change::Scal), y)]
    }

    fn write(&self, [x_at, y_at]: [Reg<'k, u64>; 2], [x, y]: [Vec<Value<'k, R>>; 2]) {
        let pairs = || x.iter().copied().zip(y.iter().copied());
        match self.spec.change {
            Change::Axpy => {
                let sums = pairs().map(|(x, y)| y.plus_product(self.k, self.factor, x));
                self.store(y_at, sums.collect());
            }
            Change::Scal => self.store(x_at, x.iter().map(|x| self.factor.times(self.k, *x)).collect()),
            Change::Swap => {
                self.store(x_at, y);
                self.store(y_at, x);
            }
            Change::Rot => {
                let (x, y) = pairs().map(|pair| self.turned(pair)).unzip();
                self.store(x_at, x);
                self.store(y_at, y);
            }
            Change::Zero => {
                let zero = Value::zero(self.k, self.spec.dtype);
                self.store(x_at, vec![zero; self.spec.lanes as usize]);
            }
        }
    }

    /// A rotated pair.
    fn turned(&self, (x, y): (Value<'k, R>, Value<'k, R>)) -> (Value<'k, R>, Value<'k, R>) {
        let (k, c) = (self.k, self.cosine);
        let scaled = |by: Value<'k, R>| Value { re: c * by.re, im: by.im.map(|im| c * im) };
        let back = self.factor.conjugate_if(true).negative();
        (scaled(x).plus_product(k, self.factor, y), scaled(y).plus_product(k, back, x))
    }

    fn load(&self, at: Reg<'k, u64>) -> Vec<Value<'k, R>> {
        match self.spec.lanes {
            1 => vec![Value::load(at, self.spec.dtype)],
            _ => Value::load_group(Ptr::new(at), self.spec.dtype),
        }
    }

    fn store(&self, at: Reg<'k, u64>, values: Vec<Value<'k, R>>) {
        Value::store_all(at, &values);
    }
}

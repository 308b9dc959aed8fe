//! Real and complex numbers in registers: kernels are written once, and know while they are written whether there is an imaginary
//! part.

use crate::dtype::Dtype;
use crate::kernels::gpu::math::Arithmetic;
use crate::ops::blas::is_complex;
use crate::ptx::{Builder, Element, Global, Ptr, Reg, Shared};

/// What the parts of a number are.
pub trait Part: Arithmetic {
    /// Of an argument.
    fn of(value: Reg<'_, f64>) -> Reg<'_, Self>;
    /// Exactly.
    fn wide(value: Reg<'_, Self>) -> Reg<'_, f64>;
}

impl Part for f32 {
    fn of(value: Reg<'_, f64>) -> Reg<'_, f32> {
        value.to()
    }
    fn wide(value: Reg<'_, f32>) -> Reg<'_, f64> {
        value.to()
    }
}

impl Part for f64 {
    fn of(value: Reg<'_, f64>) -> Reg<'_, f64> {
        value
    }
    fn wide(value: Reg<'_, f64>) -> Reg<'_, f64> {
        value
    }
}

/// Runs `$body` with `$R` bound to the type of a dtype's parts.
macro_rules! with_part {
    ($dtype:expr, $R:ident => $body:expr) => {
        match $dtype {
            $crate::dtype::Dtype::F32 | $crate::dtype::Dtype::C32 => {
                type $R = f32;
                $body
            }
            _ => {
                type $R = f64;
                $body
            }
        }
    };
}
pub(in crate::ops::blas) use with_part;

/// Elements of a group: what 16 bytes hold, which a thread reads or writes at once.
pub fn lanes(dtype: Dtype) -> u32 {
    16 / dtype.size() as u32
}

/// A number: its real part, and the imaginary part of complex ones.
#[derive(Clone, Copy)]
pub struct Value<'k, R> {
    /// Real part.
    pub re: Reg<'k, R>,
    /// Imaginary part.
    pub im: Option<Reg<'k, R>>,
}

/// Two of real numbers, or of their imaginary parts.
fn both<'k, R, S: Copy>(a: Option<Reg<'k, R>>, b: Option<S>) -> Option<(Reg<'k, R>, S)> {
    a.zip(b)
}

impl<'k, R: Part> Value<'k, R> {
    /// 0, in registers that may be set.
    pub fn zero(k: &'k Builder, dtype: Dtype) -> Self {
        let zero = || k.var(R::constant(0.0));
        Self { re: zero(), im: is_complex(dtype).then(zero) }
    }

    /// Of two arguments.
    pub fn of(dtype: Dtype, [re, im]: [Reg<'k, f64>; 2]) -> Self {
        Self { re: R::of(re), im: is_complex(dtype).then(|| R::of(im)) }
    }

    /// The element of a dtype at an address.
    pub fn load(at: Reg<'k, u64>, dtype: Dtype) -> Self {
        let at = Ptr::<Global<R>>::new(at);
        if !is_complex(dtype) {
            return Self { re: at.load(), im: None };
        }
        let [re, im] = at.load_vec::<2>();
        Self { re, im: Some(im) }
    }

    /// The same where `condition` holds; elsewhere 0, with nothing read.
    pub fn load_if(at: Reg<'k, u64>, dtype: Dtype, condition: Reg<'k, bool>) -> Self {
        let at = Ptr::<Global<R>>::new(at);
        if !is_complex(dtype) {
            return Self { re: at.load_if(condition, R::constant(0.0)), im: None };
        }
        let [re, im] = at.load_vec_if::<2>(condition, R::constant(0.0));
        Self { re, im: Some(im) }
    }

    /// The elements that lie side by side in the 16 bytes from here on.
    pub fn load_group(at: Ptr<'k, Global<R>>, dtype: Dtype) -> Vec<Self> {
        Self::split(
            if R::SIZE == 4 { at.load_vec::<4>().to_vec() } else { at.load_vec::<2>().to_vec() },
            dtype,
        )
    }

    /// The same where `condition` holds; elsewhere 0, with nothing read.
    pub fn load_group_if(at: Ptr<'k, Global<R>>, dtype: Dtype, condition: Reg<'k, bool>) -> Vec<Self> {
        let zero = R::constant(0.0);
        let four = || at.load_vec_if::<4>(condition, zero).to_vec();
        Self::split(if R::SIZE == 4 { four() } else { at.load_vec_if::<2>(condition, zero).to_vec() }, dtype)
    }

    fn split(parts: Vec<Reg<'k, R>>, dtype: Dtype) -> Vec<Self> {
        parts.chunks(if is_complex(dtype) { 2 } else { 1 }).map(Self::of_parts).collect()
    }

    /// Writes the elements of a group, or a single one, to an address.
    pub fn store_all(at: Reg<'k, u64>, values: &[Self]) {
        let at = Ptr::<Global<R>>::new(at);
        match values.iter().flat_map(|value| value.parts()).collect::<Vec<_>>()[..] {
            [a] => at.store(a),
            [a, b] => at.store_vec([a, b]),
            [a, b, c, d] => at.store_vec([a, b, c, d]),
            _ => unreachable!("a group has 1, 2 or 4 parts"),
        }
    }

    /// Writes it to an address.
    pub fn store(self, at: Reg<'k, u64>) {
        let at = Ptr::<Global<R>>::new(at);
        match self.im {
            Some(im) => at.store_vec([self.re, im]),
            None => at.store(self.re),
        }
    }

    /// Overwrites the registers.
    pub fn set(self, value: Self) {
        self.re.set(value.re);
        if let Some((im, value)) = both(self.im, value.im) {
            im.set(value);
        }
    }

    /// In registers of its own.
    pub fn var(self, k: &'k Builder) -> Self {
        Self { re: k.var(self.re), im: self.im.map(|im| k.var(im)) }
    }

    /// The conjugate where `conjugate`.
    pub fn conjugate_if(self, conjugate: bool) -> Self {
        if conjugate { Self { im: self.im.map(|im| -im), ..self } } else { self }
    }

    /// The imaginary part 0.
    pub fn real(self, k: &'k Builder) -> Self {
        Self { im: self.im.map(|_| k.var(R::constant(0.0))), ..self }
    }

    /// Both parts of each, or of one in the stead of the other where a condition holds.
    pub fn select(k: &'k Builder, condition: Reg<'k, bool>, yes: Self, no: Self) -> Self {
        let im = both(yes.im, no.im).map(|(yes, no)| k.select(condition, yes, no));
        Self { re: k.select(condition, yes.re, no.re), im }
    }

    /// Their product.
    pub fn times(self, k: &'k Builder, by: Self) -> Self {
        let Some((a, b)) = both(self.im, by.im) else { return Self { re: self.re * by.re, im: None } };
        let re = k.fma(-a, b, self.re * by.re);
        Self { re, im: Some(k.fma(self.re, b, a * by.re)) }
    }

    /// This and the product of two others.
    pub fn plus_product(self, k: &'k Builder, a: Self, b: Self) -> Self {
        let re = k.fma(a.re, b.re, self.re);
        let Some((x, y)) = both(a.im, b.im) else { return Self { re, im: None } };
        let im = self.im.map(|im| k.fma(x, b.re, k.fma(a.re, y, im)));
        Self { re: k.fma(-x, y, re), im }
    }

    /// The negative.
    pub fn negative(self) -> Self {
        Self { re: -self.re, im: self.im.map(|im| -im) }
    }

    /// Their sum.
    pub fn plus(self, other: Self) -> Self {
        Self { re: self.re + other.re, im: both(self.im, other.im).map(|(a, b)| a + b) }
    }

    /// The quotient, of complex numbers without overflow on the way (R. L. Smith, Algorithm 116).
    pub fn over(self, k: &'k Builder, by: Self) -> Self {
        let Some((x, y)) = both(self.im, by.im) else { return Self { re: self.re / by.re, im: None } };
        let flat = k.abs(by.re).ge(k.abs(y));
        let sorted = |a: Reg<'k, R>, b: Reg<'k, R>| [k.select(flat, a, b), k.select(flat, b, a)];
        let ([more, less], [u, v]) = (sorted(by.re, y), sorted(self.re, x));
        let ratio = less / more;
        let whole = k.fma(less, ratio, more);
        let im = k.fma(-u, ratio, v) / whole;
        Self { re: k.fma(v, ratio, u) / whole, im: Some(k.select(flat, im, -im)) }
    }

    /// The sum of the parts' magnitudes.
    pub fn size(self, k: &'k Builder) -> Reg<'k, R> {
        let re = k.abs(self.re);
        self.im.map_or(re, |im| re + k.abs(im))
    }

    /// Its parts.
    pub fn parts(self) -> Vec<Reg<'k, R>> {
        [Some(self.re), self.im].into_iter().flatten().collect()
    }

    /// Of parts.
    pub fn of_parts(parts: &[Reg<'k, R>]) -> Self {
        Self { re: parts[0], im: parts.get(1).copied() }
    }
}

/// Values in shared memory, real and imaginary parts each in a plane of their own.
#[derive(Clone, Copy)]
pub struct Plane<'k, R: Part> {
    re: Ptr<'k, Shared<R>>,
    /// How far behind the imaginary parts are.
    im: Option<i32>,
}

impl<'k, R: Part> Plane<'k, R> {
    /// Room for `len` values.
    pub fn new(k: &'k Builder, dtype: Dtype, len: u32) -> Self {
        let complex = is_complex(dtype);
        let re = k.shared::<R>(if complex { 2 * len } else { len });
        Self { re, im: complex.then_some(len as i32) }
    }

    /// From value `index` on.
    pub fn at(self, index: Reg<'k, u32>) -> Self {
        Self { re: self.re.at(index), ..self }
    }

    /// From value `index` on, which is known while writing.
    pub fn plus(self, index: u32) -> Self {
        Self { re: self.re.plus(index as i32), ..self }
    }

    /// The value here.
    pub fn load(self) -> Value<'k, R> {
        Value { re: self.re.load(), im: self.im.map(|im| self.re.plus(im).load()) }
    }

    /// Writes the value here.
    pub fn store(self, value: Value<'k, R>) {
        self.re.store(value.re);
        if let Some((im, value)) = self.im.zip(value.im) {
            self.re.plus(im).store(value);
        }
    }

    /// Two neighbours, aligned to both.
    fn pair(self) -> [Value<'k, R>; 2] {
        let [a, b] = self.re.load_vec::<2>();
        let im = self.im.map(|im| self.re.plus(im).load_vec::<2>());
        [Value { re: a, im: im.map(|im| im[0]) }, Value { re: b, im: im.map(|im| im[1]) }]
    }

    /// `count` neighbours from here on, an even number, aligned to two.
    pub fn run(self, count: u32) -> Vec<Value<'k, R>> {
        (0..count).step_by(2).flat_map(|index| self.plus(index).pair()).collect()
    }
}

/// The address of an element `index` steps of `step` bytes on.
pub fn far<'k, T: Element>(base: Reg<'k, u64>, index: Reg<'k, u64>) -> Ptr<'k, Global<T>> {
    Ptr::new(base).at_far(index)
}

//! Factors of 8 bits, which the vendor's library and the tensor cores take only where they are contiguous along k: those that are
//! not are copied to scratch memory first, padded with zeros to 16 elements along k.

use super::turning::{self, Factor, STEP};
use super::{Task, blas, simt, wgmma};
use crate::device::cuda::Stream;
use crate::dtype::Dtype::I8;
use crate::ops::matmul::problem::View;
use crate::status::{Result, WEFT_ERROR_OUT_OF_DEVICE_MEMORY};

/// Multiplications with addition, below which copies are not worth their launches.
const WORK: f64 = 262_144.0;
/// And below which the library takes no longer for bytes as they lie.
const BYTES: f64 = 2_097_152.0;
/// Bytes of both copies, at most.
const ROOM: usize = 4 << 30;

/// Copies of factors: of A and of B, those that there have to be.
struct Copies([Option<Factor>; 2]);

impl Copies {
    /// Those that a task wants; `None` where it wants none, or they do not fit.
    fn of(task: &Task) -> Option<Self> {
        let p = &task.problem;
        if !(p.a.dtype.is_small_float() || p.a.dtype == I8) || p.k == 0 {
            return None;
        }
        let factors = [0, 1].map(|number| factor(task, number));
        let copies = Self(factors.map(|factor| (!factor.is_straight()).then_some(factor)));
        let pays = p.work() * p.batches() as f64 >= WORK && copies.0.iter().any(Option::is_some);
        (pays && copies.bytes() <= ROOM.min(task.workspace)).then_some(copies)
    }

    /// Bytes of all, each of them aligned to 256.
    fn bytes(&self) -> usize {
        let sizes = self.0.iter().flatten().map(|factor| factor.bytes().saturating_add(255) & !255);
        sizes.fold(0, usize::saturating_add)
    }

    /// The task with the copies, which lie one after the other from `at` on, in place of the factors.
    fn place(&self, task: &Task, at: u64) -> Task {
        let mut task = task.again();
        task.workspace -= if task.workspace == usize::MAX { 0 } else { self.bytes() };
        for (number, (factor, at)) in self.places(at) {
            let (line, dtype) = (factor.padded() as isize, factor.dtype);
            let [row, col] = if number == 0 { [line, 1] } else { [1, line] };
            let matrix = factor.matrix() as isize;
            task.problem.relay(number, View { at: at as *mut u8, dtype, row, col }, factor.padded(), matrix);
            task.extras.iter_mut().for_each(|extras| extras.relay(number, matrix));
        }
        task
    }

    /// The number of each factor that is copied, and where its copy goes.
    fn places(&self, at: u64) -> impl Iterator<Item = (usize, (&Factor, u64))> {
        let mut next = at;
        let there = self.0.iter().enumerate().filter_map(|(number, factor)| Some((number, factor.as_ref()?)));
        there.map(move |(number, factor)| {
            let at = next;
            next += (factor.bytes() as u64 + 255) & !255;
            (number, (factor, at))
        })
    }
}

/// A factor as it lies: A is number 0, B number 1.
fn factor(task: &Task, number: usize) -> Factor {
    let p = &task.problem;
    let (view, lines) = [(p.a, p.m), (p.b, p.n)][number];
    let [line, along] = if number == 0 { [view.row, view.col] } else { [view.col, view.row] };
    let axes = task.axes().iter().map(|(dim, strides)| (*dim, strides[number])).collect();
    Factor { at: view.at as u64, dtype: view.dtype, lines, k: p.k, strides: [line, along], axes }
}

/// Whether the vendor's library takes it once its factors are copied.
pub fn accepts(task: &Task, stream: &Stream) -> bool {
    let Some(copies) = Copies::of(task) else { return false };
    // Scratch memory is aligned as well as address 0 is.
    let task = copies.place(task, 0);
    blas::accepts(&task, stream) || blas::accepts_sums(&task, stream)
}

/// Whether the Hopper kernel does.
pub fn accepts_hopper(task: &Task, stream: &Stream) -> bool {
    Copies::of(task).is_some_and(|copies| wgmma::accepts(&copies.place(task, 0), stream))
}

/// Copies, and multiplies by the Hopper kernel.
pub fn run_hopper(task: &Task, stream: &Stream) -> Result<()> {
    match &contiguous_along_k(task, stream)? {
        Some(task) => wgmma::run(task, stream),
        None => simt::run(task, stream),
    }
}

/// Whether copies pay although the library takes the factors as they lie: integers, for which it has slow kernels then.
pub fn is_faster(task: &Task, stream: &Stream) -> bool {
    let p = &task.problem;
    p.a.dtype == I8 && p.work() * p.batches() as f64 >= BYTES && accepts(task, stream)
}

/// Copies, and multiplies.
pub fn run(task: &Task, stream: &Stream) -> Result<()> {
    let Some(task) = &contiguous_along_k(task, stream)? else { return simt::run(task, stream) };
    match blas::accepts(task, stream) {
        true => blas::run(task, stream),
        false => blas::run_sums(task, stream),
    }
}

/// Queues copies of the factors of 8 bits that are not contiguous along k, or not aligned to 16 bytes or padded to as many
/// elements along it: the task with those in their place, whose k is padded. `None` where nothing is to be copied, or there is no
/// memory for it.
pub fn contiguous_along_k(task: &Task, stream: &Stream) -> Result<Option<Task>> {
    let Some(copies) = Copies::of(task) else { return Ok(None) };
    let at = match stream.scratch(copies.bytes()) {
        Err(error) if error.status == WEFT_ERROR_OUT_OF_DEVICE_MEMORY => return Ok(None),
        at => at?,
    };
    for (_, (factor, at)) in copies.places(at) {
        turning::run(factor, at, stream)?;
    }
    Ok(Some(copies.place(task, at)))
}

impl Factor {
    /// Whether it can stay as it is.
    fn is_straight(&self) -> bool {
        let [line, along] = self.strides;
        let apart = self.lines == 1 || line >= self.k as isize && line % STEP as isize == 0;
        let aligned = |at: u64| at.is_multiple_of(STEP as u64);
        let batch = self.axes.iter().all(|axis| aligned(axis.1.unsigned_abs() as u64));
        along == 1 && apart && self.k.is_multiple_of(STEP) && aligned(self.at) && batch
    }
}

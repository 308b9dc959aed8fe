//! A product ready to run: descriptions, layouts and the algorithm that the library's heuristics think best, or that was
//! the fastest of several.

use super::codes::{self, desc, layout, preference};
use super::product::{Addresses, Factors, Matrix, Product};
use super::replay::{Call, Replays};
use super::{Heuristic, Lt, Opaque};
use crate::device::cuda::{Graph, Stream};
use crate::dtype::Dtype;
use crate::status::{Error, Result, WEFT_ERROR_UNSUPPORTED};
use cudarc::driver::sys::CUstream;
use std::ffi::c_void;
use std::ptr::null_mut;

/// So many algorithms are timed.
const TIMED: usize = 8;
/// How often each is timed, one after the other, so that a clock that rises counts for all; and how often it is queued
/// between two looks at the clock.
const ROUNDS: u32 = 3;
const TURNS: u8 = 2;
const BRIEF_TURNS: u8 = 16;
/// Multiplications with addition of a brief product: some 10 microseconds of a large device.
const BRIEF: u64 = 1 << 32;

/// A description, a layout or a preference of the library's, destroyed with it.
struct Held {
    at: Opaque,
    destroy: unsafe fn(&Lt, Opaque) -> Result<()>,
    lt: &'static Lt,
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: created by the library, owned by this alone. An error has nobody to hear it.
        let _ = unsafe { (self.destroy)(self.lt, self.at) };
    }
}

/// A product ready to run. The library's matrices are column by column: it is given D^T = B^T A^T.
pub struct Plan {
    lt: &'static Lt,
    product: Product,
    desc: Held,
    /// Of B, A, C and D, as the library sees them.
    layouts: [Held; 4],
    /// The best first; all but the first are still to be timed.
    ways: Vec<Heuristic>,
    replays: Replays,
}

// SAFETY: descriptions are plain memory of the library's, and a plan is behind a lock.
unsafe impl Send for Plan {}

impl Plan {
    pub fn new(lt: &'static Lt, handle: Opaque, product: &Product) -> Result<Self> {
        let Product { m, n, k, batches, .. } = *product;
        let desc = describe(lt, product)?;
        let layouts = [
            arrange(lt, [k, n], &product.b, batches)?,
            arrange(lt, [m, k], &product.a, batches)?,
            arrange(lt, [m, n], &product.c, batches)?,
            arrange(lt, [m, n], &product.d, batches)?,
        ];
        let wanted = if product.timed { TIMED } else { 1 };
        let ways = choose(lt, handle, &desc, &layouts, &prefer(lt, product)?, wanted)?;
        Ok(Self { lt, product: *product, desc, layouts, ways, replays: Replays::default() })
    }

    /// What it computes.
    pub fn product(&self) -> &Product {
        &self.product
    }

    /// Bytes of scratch memory that it needs.
    pub fn workspace(&self) -> usize {
        self.ways[0].workspace
    }

    /// Whether there are several algorithms that were not compared yet.
    pub fn is_untimed(&self) -> bool {
        self.ways.len() > 1
    }

    /// Keeps the fastest algorithm.
    ///
    /// # Safety
    ///
    /// As [`run`](Self::run); the result is written several times.
    pub unsafe fn time(
        &mut self,
        handle: Opaque,
        stream: &Stream,
        at: &Addresses,
        factors: &Factors,
    ) -> Result<()> {
        let bytes = self.ways.iter().map(|way| way.workspace).max().unwrap_or(0);
        let workspace = if bytes > 0 { stream.scratch(bytes)? } else { 0 };
        let size = self.product.d.dtype.size() as u64;
        let elements = self.product.d.batch.unsigned_abs() * u64::from(self.product.batches.unsigned_abs())
            + self.product.d.leading.unsigned_abs() * self.product.m;
        // What is added must stay as it is.
        let in_place = !self.product.overwrites && at.c == at.d;
        let d = if in_place { stream.scratch((elements * size) as usize)? } else { at.d };
        let at = Addresses { d, ..*at };
        // SAFETY: this function's contract; scratch memory of D's extent and of as much as any of them needs.
        let times =
            self.times(stream, |way, raw| unsafe { self.go(handle, raw, workspace, way, &at, factors) });
        let best = (0..times.len()).min_by(|&a, &b| times[a].total_cmp(&times[b])).unwrap_or(0);
        crate::tell!(WEFT_LOG_DEBUG, "cuBLASLt's algorithms take {times:?} ms: {:?}", self.product);
        self.ways.swap(0, best);
        self.ways.truncate(1);
        Ok(())
    }

    /// Milliseconds of each algorithm, which `go` queues; of a brief product as recorded: the host may take longer to queue it
    /// anew than the device to compute it, and all would seem alike.
    fn times(&self, stream: &Stream, go: impl Fn(&Heuristic, CUstream) -> Result<()>) -> Vec<f32> {
        let brief = self.is_brief();
        let record = |way| Graph::record(stream.gpu(), |raw| go(way, raw)).ok();
        let graphs: Vec<_> = self.ways.iter().map(|way| if brief { record(way) } else { None }).collect();
        let time = |(way, graph): (&Heuristic, &Option<Graph>)| {
            let queue = || match graph {
                // SAFETY: the work of `go`, whose operands are its caller's promise.
                Some(graph) => unsafe { graph.launch(stream) },
                None => stream.gpu().with(|_| go(way, stream.raw())),
            };
            stream.time(if brief { BRIEF_TURNS } else { TURNS }, queue).unwrap_or(f32::INFINITY)
        };
        let mut least = vec![f32::INFINITY; graphs.len()];
        for _ in 0..ROUNDS {
            let times = self.ways.iter().zip(&graphs).map(time);
            least.iter_mut().zip(times).for_each(|(least, time)| *least = least.min(time));
        }
        least
    }

    /// Queues the product.
    ///
    /// # Safety
    ///
    /// Operands and `workspace` are valid while the stream's work runs.
    pub unsafe fn run(
        &mut self,
        handle: Opaque,
        stream: &Stream,
        workspace: u64,
        at: &Addresses,
        factors: &Factors,
    ) -> Result<()> {
        let mut replays = std::mem::take(&mut self.replays);
        // SAFETY: this function's contract, as of what is recorded and launched only in its place.
        let go = |raw| unsafe { self.go(handle, raw, workspace, &self.ways[0], at, factors) };
        let call = Call { at: *at, factors: factors.map(|factor| factor.map(f64::to_bits)), workspace };
        let recorded = if self.is_brief() { replays.find(stream, &call, go) } else { Ok(None) };
        let done = recorded.and_then(|graph| {
            stream.touch()?;
            match graph {
                // SAFETY: as above.
                Some(graph) => unsafe { graph.launch(stream) },
                None => stream.gpu().with(|_| go(stream.raw())),
            }
        });
        self.replays = replays;
        done
    }

    /// Whether the device may be done with it sooner than the host with launching it.
    fn is_brief(&self) -> bool {
        let Product { m, n, k, batches, .. } = self.product;
        let sides = [m, n, k, u64::from(batches.unsigned_abs())];
        sides.iter().fold(1, |work: u64, &side| work.saturating_mul(side)) <= BRIEF
    }

    unsafe fn go(
        &self,
        handle: Opaque,
        stream: CUstream,
        workspace: u64,
        way: &Heuristic,
        at: &Addresses,
        factors: &Factors,
    ) -> Result<()> {
        self.point(at)?;
        let numbers = Numbers::of(self.product.compute_dtype(), factors);
        let [alpha, beta] = numbers.pointers();
        let ([b, a, c, d], size) = (self.layouts.each_ref().map(|held| held.at), way.workspace);
        let (lt, desc, raw, way) = (self.lt, self.desc.at, stream.cast(), &raw const way.algorithm);
        // SAFETY: descriptions and layouts that live, scales of the type that the description names, a workspace as large
        // as the algorithm asks; the operands are the caller's promise.
        unsafe {
            lt.matmul(
                handle, desc, alpha, at.b, b, at.a, a, beta, at.c, c, at.d, d, way, workspace, size, raw,
            )
        }
    }

    /// Tells the description where this call's further operands are.
    fn point(&self, at: &Addresses) -> Result<()> {
        let p = &self.product;
        let pointers = [
            (p.row.is_some(), desc::BIAS_POINTER, at.row),
            (p.aux.is_some(), desc::AUX_POINTER, at.aux),
            (p.scaling[1].is_some(), desc::A_SCALE_POINTER, at.scales[1]),
            (p.scaling[0].is_some(), desc::B_SCALE_POINTER, at.scales[0]),
            (p.scaled, desc::D_SCALE_POINTER, at.scale),
            (p.amax, desc::AMAX_POINTER, at.amax),
        ];
        for (_, attribute, at) in pointers.iter().filter(|pointer| pointer.0) {
            set(self.lt, Lt::desc_set, &self.desc, *attribute, at)?;
        }
        Ok(())
    }
}

impl Product {
    /// What alpha and beta are given in.
    fn compute_dtype(&self) -> Dtype {
        match self.d.dtype {
            dtype @ (Dtype::F64 | Dtype::C32 | Dtype::C64 | Dtype::I32) => dtype,
            _ => Dtype::F32,
        }
    }
}

/// alpha and beta as the library reads them.
enum Numbers {
    Single([[f32; 2]; 2]),
    Double([[f64; 2]; 2]),
    Whole([i32; 2]),
}

impl Numbers {
    fn of(dtype: Dtype, factors: &Factors) -> Self {
        match dtype {
            Dtype::F64 | Dtype::C64 => Self::Double(*factors),
            Dtype::I32 => Self::Whole(factors.map(|factor| factor[0] as i32)),
            _ => Self::Single(factors.map(|factor| factor.map(|part| part as f32))),
        }
    }

    fn pointers(&self) -> [*const c_void; 2] {
        match self {
            Self::Single([alpha, beta]) => [alpha.as_ptr().cast(), beta.as_ptr().cast()],
            Self::Double([alpha, beta]) => [alpha.as_ptr().cast(), beta.as_ptr().cast()],
            Self::Whole(factors) => [(&raw const factors[0]).cast(), (&raw const factors[1]).cast()],
        }
    }
}

/// Sets an attribute to `value`, whose type is what the library asks for there.
fn set<T: Copy>(
    lt: &Lt,
    function: unsafe fn(&Lt, Opaque, i32, *const c_void, usize) -> Result<()>,
    of: &Held,
    attribute: i32,
    value: &T,
) -> Result<()> {
    // SAFETY: a description that lives, and a value of so many bytes, which is copied; another size is refused.
    unsafe { function(lt, of.at, attribute, (&raw const *value).cast(), size_of::<T>()) }
}

fn describe(lt: &'static Lt, product: &Product) -> Result<Held> {
    let mut at = null_mut();
    let (compute, scale) = (codes::compute(product.compute), codes::dtype(product.compute_dtype()));
    // SAFETY: a pointer to a local.
    unsafe { lt.desc_create(&mut at, compute, scale)? };
    let desc = Held { at, destroy: Lt::desc_destroy, lt };
    // CUBLAS_OP_N, _T or _C.
    let turn = |matrix: &Matrix, conjugate: bool| i32::from(matrix.turned) << i32::from(conjugate);
    set(lt, Lt::desc_set, &desc, desc::TRANSPOSE_A, &turn(&product.b, product.conjugate[1]))?;
    set(lt, Lt::desc_set, &desc, desc::TRANSPOSE_B, &turn(&product.a, product.conjugate[0]))?;
    set(lt, Lt::desc_set, &desc, desc::EPILOGUE, &product.epilogue.code(product.row.is_some()))?;
    describe_extras(lt, &desc, product)?;
    describe_scales(lt, &desc, product)?;
    Ok(desc)
}

/// What is added, or summed up, and the epilogue's second matrix. The addresses are any that are aligned, for now.
fn describe_extras(lt: &'static Lt, desc: &Held, product: &Product) -> Result<()> {
    if let Some(row) = product.row {
        set(lt, Lt::desc_set, desc, desc::BIAS_POINTER, &256u64)?;
        set(lt, Lt::desc_set, desc, desc::BIAS_TYPE, &codes::dtype(row.dtype))?;
        if row.batch != 0 {
            set(lt, Lt::desc_set, desc, desc::BIAS_BATCH, &row.batch)?;
        }
    }
    let Some(aux) = product.aux else { return Ok(()) };
    set(lt, Lt::desc_set, desc, desc::AUX_POINTER, &256u64)?;
    set(lt, Lt::desc_set, desc, desc::AUX_LEADING, &aux.leading)?;
    if product.batches > 1 {
        set(lt, Lt::desc_set, desc, desc::AUX_BATCH, &aux.batch)?;
    }
    match aux.dtype {
        Some(dtype) if dtype != product.d.dtype => {
            set(lt, Lt::desc_set, desc, desc::AUX_TYPE, &codes::dtype(dtype))
        }
        _ => Ok(()),
    }
}

/// What 8-bit floats are scaled by. One number for all is what every version of the library takes without being told.
fn describe_scales(lt: &'static Lt, desc: &Held, product: &Product) -> Result<()> {
    let attributes = [
        (product.scaling[1], desc::A_SCALE_POINTER, desc::A_SCALE_MODE),
        (product.scaling[0], desc::B_SCALE_POINTER, desc::B_SCALE_MODE),
    ];
    for (scaling, pointer, mode) in attributes {
        let Some(scaling) = scaling else { continue };
        set(lt, Lt::desc_set, desc, pointer, &256u64)?;
        if scaling as i32 != 0 {
            set(lt, Lt::desc_set, desc, mode, &(scaling as i32))?;
        }
    }
    if product.scaled {
        set(lt, Lt::desc_set, desc, desc::D_SCALE_POINTER, &256u64)?;
    }
    if product.amax {
        set(lt, Lt::desc_set, desc, desc::AMAX_POINTER, &256u64)?;
    }
    if product.fast {
        set(lt, Lt::desc_set, desc, desc::FAST, &1i8)?;
    }
    Ok(())
}

/// The layout of a matrix of [rows, columns], which the library sees transposed unless it is turned.
fn arrange(lt: &'static Lt, [rows, cols]: [u64; 2], matrix: &Matrix, batches: i32) -> Result<Held> {
    let (rows, cols) = if matrix.turned { (rows, cols) } else { (cols, rows) };
    let mut at = null_mut();
    // SAFETY: a pointer to a local.
    unsafe { lt.layout_create(&mut at, codes::dtype(matrix.dtype), rows, cols, matrix.leading)? };
    let held = Held { at, destroy: Lt::layout_destroy, lt };
    set(lt, Lt::layout_set, &held, layout::BATCH_COUNT, &batches)?;
    set(lt, Lt::layout_set, &held, layout::BATCH_OFFSET, &matrix.batch)?;
    Ok(held)
}

/// What the heuristics may choose from.
fn prefer(lt: &'static Lt, product: &Product) -> Result<Held> {
    let mut at = null_mut();
    // SAFETY: a pointer to a local.
    unsafe { lt.preference_create(&mut at)? };
    let held = Held { at, destroy: Lt::preference_destroy, lt };
    set(lt, Lt::preference_set, &held, preference::WORKSPACE, &product.workspace)?;
    set(lt, Lt::preference_set, &held, preference::REDUCTION, &codes::SUMS_IN_COMPUTE_TYPE)?;
    for (number, matrix) in [product.b, product.a, product.c, product.d].iter().enumerate() {
        let attribute = preference::ALIGNMENT_A + number as i32;
        set(lt, Lt::preference_set, &held, attribute, &matrix.alignment)?;
    }
    Ok(held)
}

/// The heuristics' first choices.
fn choose(
    lt: &Lt,
    handle: Opaque,
    desc: &Held,
    layouts: &[Held; 4],
    preference: &Held,
    wanted: usize,
) -> Result<Vec<Heuristic>> {
    let (mut best, mut found) = ([Heuristic::default(); TIMED], 0);
    let [b, a, c, d] = layouts.each_ref().map(|held| held.at);
    let (wanted, preference) = (wanted as i32, preference.at);
    // SAFETY: descriptions that live, room for as many results as are wanted, pointers to locals.
    unsafe { lt.heuristic(handle, desc.at, b, a, c, d, preference, wanted, best.as_mut_ptr(), &mut found)? };
    let found = best[..(found.max(0) as usize).min(TIMED)].iter().filter(|way| way.state == 0);
    let found: Vec<Heuristic> = found.copied().collect();
    match found.is_empty() {
        true => Err(Error::new(WEFT_ERROR_UNSUPPORTED, "cuBLASLt knows no algorithm for it")),
        false => Ok(found),
    }
}

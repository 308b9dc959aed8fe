//! Products ready to run: descriptions, layouts and the algorithm that the library's heuristics think best, kept by
//! everything that they depend on.

use super::{Algorithm, Heuristic, Lt, Opaque, library};
use crate::device::cuda::leave::guard_the_end;
use crate::device::cuda::{Gpu, Stream};
use crate::dtype::Dtype;
use crate::status::{Error, Result, WEFT_ERROR_UNSUPPORTED};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap};
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Arc;

/// What the library may use of the stream's scratch memory.
const WORKSPACE: u64 = 32 << 20;
/// So many plans are kept; then all are forgotten.
const KEPT: usize = 4096;
/// CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE: parts of a sum are added up before they are rounded to the result's type.
const SUMS_IN_COMPUTE_TYPE: u32 = 2;
/// CUBLASLT_EPILOGUE_BIAS.
const BIAS: i32 = 4;

/// CUBLASLT_MATMUL_DESC_ ...
mod desc {
    pub(super) const TRANSPOSE_A: i32 = 3;
    pub(super) const TRANSPOSE_B: i32 = 4;
    pub(super) const EPILOGUE: i32 = 7;
    pub(super) const BIAS_POINTER: i32 = 8;
}

/// CUBLASLT_MATRIX_LAYOUT_ ...
mod layout {
    pub(super) const BATCH_COUNT: i32 = 5;
    pub(super) const BATCH_OFFSET: i32 = 6;
}

/// CUBLASLT_MATMUL_PREF_ ...
mod preference {
    pub(super) const WORKSPACE: i32 = 1;
    pub(super) const REDUCTION: i32 = 3;
    pub(super) const ALIGNMENT_A: i32 = 5;
}

/// A matrix whose rows (or, `turned`, columns) are contiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Matrix {
    /// Its columns are contiguous.
    pub turned: bool,
    /// Elements from one row (or column) to the next.
    pub leading: i64,
    /// Elements from one matrix of the batch to the next.
    pub batch: i64,
    /// Bytes that every address of it is a multiple of: a power of two, 256 at most.
    pub alignment: u32,
}

/// D = alpha A B + beta C + bias: all that its plan depends on, but for the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Product {
    /// Rows of A and D.
    pub m: u64,
    /// Columns of B and D.
    pub n: u64,
    /// Columns of A and rows of B.
    pub k: u64,
    /// How many of them.
    pub batches: i32,
    /// The elements of A and B.
    pub factors: Dtype,
    /// The elements of C, D and the bias.
    pub result: Dtype,
    /// [m, k].
    pub a: Matrix,
    /// [k, n].
    pub b: Matrix,
    /// [m, n], its rows contiguous; as `d` where beta is 0.
    pub c: Matrix,
    /// [m, n], its rows contiguous.
    pub d: Matrix,
    /// Whether a row of n elements is added to each row.
    pub bias: bool,
    /// Whether alpha is 1.
    pub unscaled: bool,
    /// Whether beta is 0.
    pub overwrites: bool,
    /// Whether f32 may be cut to TF32.
    pub tf32: bool,
}

/// Where a product's operands are.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// A.
    pub a: u64,
    /// B.
    pub b: u64,
    /// C, or D.
    pub c: u64,
    /// D.
    pub d: u64,
    /// The bias, or 0.
    pub bias: u64,
}

/// cuBLASLt on one GPU.
pub struct Blas {
    lt: &'static Lt,
    gpu: Arc<Gpu>,
    handle: Opaque,
    plans: RwLock<HashMap<Product, Option<Arc<Mutex<Plan>>>>>,
}

// SAFETY: the library's functions take a handle from any thread, several at once.
unsafe impl Send for Blas {}
// SAFETY: as above.
unsafe impl Sync for Blas {}

/// cuBLASLt for this GPU, kept for the life of the process, as the GPU is; else why not.
pub fn blas(stream: &Stream) -> Result<Arc<Blas>> {
    static OPEN: Mutex<BTreeMap<i32, Result<Arc<Blas>>>> = Mutex::new(BTreeMap::new());
    let gpu = stream.gpu();
    let mut open = match OPEN.try_lock() {
        Some(open) => open,
        None => {
            stream.take_time()?; // somebody may be opening it
            OPEN.lock()
        }
    };
    if let Some(known) = open.get(&gpu.ordinal()) {
        return known.clone();
    }
    stream.take_time()?;
    open.entry(gpu.ordinal()).or_insert_with(|| Blas::new(gpu).map(Arc::new)).clone()
}

impl Blas {
    fn new(gpu: &Arc<Gpu>) -> Result<Self> {
        let (lt, mut handle) = (library()?, null_mut());
        // SAFETY: a pointer to a local; the GPU's context is current.
        gpu.with(|_| unsafe { lt.create(&mut handle) })?;
        Ok(Self { lt, gpu: gpu.clone(), handle, plans: RwLock::new(HashMap::new()) })
    }

    /// Whether the library has an algorithm for this product. The first time takes a while.
    pub fn has(&self, stream: &Stream, product: &Product) -> bool {
        self.plan(stream, product).is_some()
    }

    /// What the library keeps, it may take down in handlers that it registers with its first plans.
    fn plan(&self, stream: &Stream, product: &Product) -> Option<Arc<Mutex<Plan>>> {
        if let Some(plan) = self.plans.read().get(product) {
            return plan.clone();
        }
        stream.take_time().ok()?;
        let plan = self.gpu.with(|_| Plan::new(self.lt, self.handle, product));
        guard_the_end();
        if let Err(error) = &plan {
            crate::tell!(WEFT_LOG_DEBUG, "cuBLASLt does not run {product:?}: {}", error.message);
        }
        let plan = plan.ok().map(|plan| Arc::new(Mutex::new(plan)));
        let mut plans = self.plans.write();
        if plans.len() >= KEPT {
            plans.clear();
        }
        plans.entry(*product).or_insert(plan).clone()
    }

    /// Queues a product.
    ///
    /// # Safety
    ///
    /// The addresses are those of matrices as `product` describes them, valid while the stream's work runs.
    pub unsafe fn run(
        &self,
        stream: &Stream,
        product: &Product,
        at: &Addresses,
        scales: [f64; 2],
    ) -> Result<()> {
        let Some(plan) = self.plan(stream, product) else {
            return Err(Error::new(WEFT_ERROR_UNSUPPORTED, "cuBLASLt has no algorithm for this product"));
        };
        let plan = plan.lock();
        let workspace = if plan.workspace > 0 { stream.scratch(plan.workspace)? } else { 0 };
        stream.touch()?;
        // SAFETY: this function's contract; the plan is locked, and read by the library before it returns.
        self.gpu.with(|_| unsafe { plan.run(self.handle, stream, workspace, at, scales) })
    }
}

/// What the library calls a dtype, cudaDataType.
fn code(dtype: Dtype) -> i32 {
    match dtype {
        Dtype::F64 => 1,
        Dtype::F16 => 2,
        Dtype::Bf16 => 14,
        _ => 0,
    }
}

/// What the library computes in, cublasComputeType_t.
fn compute(product: &Product) -> i32 {
    match product.factors {
        Dtype::F64 => 70,
        Dtype::F32 if product.tf32 => 77,
        _ => 68,
    }
}

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
struct Plan {
    lt: &'static Lt,
    double: bool,
    bias: bool,
    desc: Held,
    /// Of B, A, C and D, as the library sees them.
    layouts: [Held; 4],
    algorithm: Algorithm,
    workspace: usize,
}

// SAFETY: descriptions are plain memory of the library's, and a plan is behind a lock.
unsafe impl Send for Plan {}

impl Plan {
    fn new(lt: &'static Lt, handle: Opaque, product: &Product) -> Result<Self> {
        let Product { m, n, k, .. } = *product;
        let desc = describe(lt, product)?;
        let layouts = [
            arrange(lt, product.factors, [k, n], &product.b, product.batches)?,
            arrange(lt, product.factors, [m, k], &product.a, product.batches)?,
            arrange(lt, product.result, [m, n], &product.c, product.batches)?,
            arrange(lt, product.result, [m, n], &product.d, product.batches)?,
        ];
        let best = choose(lt, handle, &desc, &layouts, &prefer(lt, product)?)?;
        let (double, bias) = (product.factors == Dtype::F64, product.bias);
        Ok(Self { lt, double, bias, desc, layouts, algorithm: best.algorithm, workspace: best.workspace })
    }

    unsafe fn run(
        &self,
        handle: Opaque,
        stream: &Stream,
        workspace: u64,
        at: &Addresses,
        scales: [f64; 2],
    ) -> Result<()> {
        if self.bias {
            set(self.lt, Lt::desc_set, &self.desc, desc::BIAS_POINTER, &at.bias)?;
        }
        let narrow = scales.map(|scale| scale as f32);
        let [alpha, beta]: [*const c_void; 2] = match self.double {
            true => [(&raw const scales[0]).cast(), (&raw const scales[1]).cast()],
            false => [(&raw const narrow[0]).cast(), (&raw const narrow[1]).cast()],
        };
        let ([b, a, c, d], size) = (self.layouts.each_ref().map(|held| held.at), self.workspace);
        let (lt, desc, raw, way) = (self.lt, self.desc.at, stream.raw().cast(), &raw const self.algorithm);
        // SAFETY: descriptions and layouts that live, scales of the type that the description names, a workspace as large
        // as the algorithm asks; the operands are the caller's promise.
        unsafe {
            lt.matmul(
                handle, desc, alpha, at.b, b, at.a, a, beta, at.c, c, at.d, d, way, workspace, size, raw,
            )
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
    let scale = if product.factors == Dtype::F64 { Dtype::F64 } else { Dtype::F32 };
    // SAFETY: a pointer to a local.
    unsafe { lt.desc_create(&mut at, compute(product), code(scale))? };
    let desc = Held { at, destroy: Lt::desc_destroy, lt };
    set(lt, Lt::desc_set, &desc, desc::TRANSPOSE_A, &i32::from(product.b.turned))?;
    set(lt, Lt::desc_set, &desc, desc::TRANSPOSE_B, &i32::from(product.a.turned))?;
    if product.bias {
        set(lt, Lt::desc_set, &desc, desc::EPILOGUE, &BIAS)?;
        set(lt, Lt::desc_set, &desc, desc::BIAS_POINTER, &256u64)?;
    }
    Ok(desc)
}

/// The layout of a matrix of [rows, columns], which the library sees transposed unless it is turned.
fn arrange(
    lt: &'static Lt,
    dtype: Dtype,
    [rows, cols]: [u64; 2],
    matrix: &Matrix,
    batches: i32,
) -> Result<Held> {
    let (rows, cols) = if matrix.turned { (rows, cols) } else { (cols, rows) };
    let mut at = null_mut();
    // SAFETY: a pointer to a local.
    unsafe { lt.layout_create(&mut at, code(dtype), rows, cols, matrix.leading)? };
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
    set(lt, Lt::preference_set, &held, preference::WORKSPACE, &WORKSPACE)?;
    set(lt, Lt::preference_set, &held, preference::REDUCTION, &SUMS_IN_COMPUTE_TYPE)?;
    for (number, matrix) in [product.b, product.a, product.c, product.d].iter().enumerate() {
        let attribute = preference::ALIGNMENT_A + number as i32;
        set(lt, Lt::preference_set, &held, attribute, &matrix.alignment)?;
    }
    Ok(held)
}

/// The heuristics' first choice.
fn choose(lt: &Lt, handle: Opaque, desc: &Held, layouts: &[Held; 4], preference: &Held) -> Result<Heuristic> {
    let (mut best, mut found) = (Heuristic::default(), 0);
    let [b, a, c, d] = layouts.each_ref().map(|held| held.at);
    // SAFETY: descriptions that live, room for one result, pointers to locals.
    unsafe { lt.heuristic(handle, desc.at, b, a, c, d, preference.at, 1, &mut best, &mut found)? };
    match found > 0 && best.state == 0 {
        true => Ok(best),
        false => Err(Error::new(WEFT_ERROR_UNSUPPORTED, "cuBLASLt knows no algorithm for it")),
    }
}

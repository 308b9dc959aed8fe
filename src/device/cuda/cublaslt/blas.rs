//! cuBLASLt on a GPU: its handle, and the plans of all products so far, by everything that they depend on.

use super::plan::Plan;
use super::product::{Addresses, Factors, Product};
use super::{Lt, Opaque, library};
use crate::device::cuda::leave::guard_the_end;
use crate::device::cuda::{Gpu, Stream};
use crate::status::{Result, WEFT_ERROR_UNSUPPORTED};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap};
use std::ptr::null_mut;
use std::sync::Arc;

/// So many plans are kept; then all are forgotten.
const KEPT: usize = 4096;

/// cuBLASLt on one GPU.
pub struct Blas {
    lt: &'static Lt,
    gpu: Arc<Gpu>,
    handle: Opaque,
    plans: RwLock<HashMap<Product, Option<Found>>>,
}

/// A product that the library has an algorithm for.
pub type Found = Arc<Mutex<Plan>>;

// SAFETY: the library's functions take a handle from any thread, several at once.
unsafe impl Send for Blas {}
// SAFETY: as above.
unsafe impl Sync for Blas {}

/// cuBLASLt for this GPU, kept for the life of the process, as the GPU is; `None` where there is none. A stream asks once.
pub fn blas(stream: &Stream) -> Option<&Arc<Blas>> {
    let known = stream.blas();
    if known.get().is_none() {
        let _ = known.set(open(stream).ok()?); // two threads find the same
    }
    known.get()?.as_ref()
}

/// That of all streams of the GPU; an error where opening it would take too long.
fn open(stream: &Stream) -> Result<Option<Arc<Blas>>> {
    static OPEN: Mutex<BTreeMap<i32, Option<Arc<Blas>>>> = Mutex::new(BTreeMap::new());
    let gpu = stream.gpu();
    let mut open = match OPEN.try_lock() {
        Some(open) => open,
        None => {
            stream.take_time()?; // somebody may be opening it
            OPEN.lock()
        }
    };
    if let Some(known) = open.get(&gpu.ordinal()) {
        return Ok(known.clone());
    }
    stream.take_time()?;
    let opened = Blas::new(gpu).inspect_err(|error| {
        crate::tell!(WEFT_LOG_DEBUG, "cuBLASLt is not used: {}", error.message);
    });
    Ok(open.entry(gpu.ordinal()).or_insert(opened.ok().map(Arc::new)).clone())
}

impl Blas {
    fn new(gpu: &Arc<Gpu>) -> Result<Self> {
        let (lt, mut handle) = (library()?, null_mut());
        // SAFETY: a pointer to a local; the GPU's context is current.
        gpu.with(|_| unsafe { lt.create(&mut handle) })?;
        Ok(Self { lt, gpu: gpu.clone(), handle, plans: RwLock::new(HashMap::new()) })
    }

    /// The library's plan for this product, if it has an algorithm. The first time takes a while.
    ///
    /// What the library keeps, it may take down in handlers that it registers with its first plans.
    pub fn find(&self, stream: &Stream, product: &Product) -> Option<Found> {
        if product.is_of_complex_vectors() {
            return None;
        }
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
    /// The addresses are those of matrices as the plan's product describes them, valid while the stream's work runs.
    pub unsafe fn run(&self, stream: &Stream, plan: &Found, at: &Addresses, factors: &Factors) -> Result<()> {
        let mut plan = plan.lock();
        if plan.is_untimed() {
            stream.take_time()?;
            // SAFETY: this function's contract.
            unsafe { plan.time(self.handle, stream, at, factors)? };
        }
        let workspace = if plan.workspace() > 0 { stream.scratch(plan.workspace())? } else { 0 };
        // SAFETY: this function's contract; the plan is locked, and read by the library before it returns.
        let done = unsafe { plan.run(self.handle, stream, workspace, at, factors) };
        done.inspect_err(|error| {
            if error.status == WEFT_ERROR_UNSUPPORTED {
                self.plans.write().insert(*plan.product(), None); // its heuristics had promised too much
            }
        })
    }
}

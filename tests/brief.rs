//! Brief products, which a program that waits for each has run by its own thread: their results, completions and order are
//! those of all others.

mod support;

use std::ffi::c_void;
use std::ptr;
use support::hold::Hold;
use support::*;
use weft::api::operations::weft_matmul;
use weft::api::queue::weft_queue_drain;
use weft::api::request::*;
use weft::api::submit::weft_submit;
use weft::dtype::Dtype::F32;
use weft::ops::matmul::weft_matmul_desc;
use weft::status::*;

const TOWARD_ZERO: i32 = 0xC00;

unsafe extern "C" {
    fn fegetround() -> i32;
    fn fesetround(mode: i32) -> i32;
}

/// A product of ones and thirds, whose sums are rounded.
struct Product {
    operands: [Tensor; 3],
    desc: weft_matmul_desc,
}

impl Product {
    fn new(session: &Session, n: i64) -> Self {
        let mut rng = Rng(7);
        let thirds: Vec<f64> = (0..n * n).map(|i| f64::from(1.0f32 / (3.0 + i as f32))).collect();
        let [a, b] = [0, 1].map(|_| session.exact(&mut rng, F32, &[n, n], Style::Packed, &thirds));
        let d = session.output(&mut rng, F32, &[n, n], Style::Packed);
        let struct_size = size_of::<weft_matmul_desc>() as u32;
        let desc = weft_matmul_desc { struct_size, a: a.desc, b: b.desc, d: d.desc, ..Default::default() };
        Self { operands: [a, b, d], desc }
    }

    fn submit(&self, session: &Session, options: *const weft_submit) -> u64 {
        let mut request = 0;
        // SAFETY: pointers to a struct and a local; options of the caller's.
        ok(unsafe { weft_matmul(session.queue, &self.desc, options, &mut request) });
        request
    }

    fn values(&self, session: &Session) -> Vec<f64> {
        session.read(&self.operands[2])
    }
}

fn wait(request: u64) -> i32 {
    // SAFETY: a pointer to a local.
    let status = unsafe { weft_request_wait(&request, 1, WEFT_WAIT_ALL, u64::MAX, ptr::null_mut()) };
    ok(weft_request_release(request));
    status
}

#[test]
fn whoever_multiplies_gets_the_same() {
    let session = Session::new(1);
    let product = Product::new(&session, 61);
    // The first is nobody's to wait for; the others follow a wait.
    let first = wait(product.submit(&session, ptr::null()));
    let want = product.values(&session);
    assert_eq!(first, WEFT_OK);
    for _ in 0..500 {
        assert_eq!(wait(product.submit(&session, ptr::null())), WEFT_OK);
    }
    assert_eq!(product.values(&session), want);
    // SAFETY: this thread's rounding, put back below.
    let before = unsafe { (fegetround(), fesetround(TOWARD_ZERO)).0 };
    let status = wait(product.submit(&session, ptr::null()));
    // SAFETY: what it was before.
    unsafe { fesetround(before) };
    assert_eq!((status, product.values(&session)), (WEFT_OK, want));
}

#[test]
fn they_keep_their_place_behind_work_that_runs() {
    let session = Session::new(1);
    let product = Product::new(&session, 8);
    for round in 0..50 {
        assert_eq!(wait(product.submit(&session, ptr::null())), WEFT_OK);
        let hold = Hold::of(&session);
        let behind = product.submit(&session, ptr::null());
        assert_eq!(weft_request_poll(behind), WEFT_NOT_READY, "round {round}");
        hold.end();
        assert_eq!(wait(behind), WEFT_OK);
    }
}

#[test]
fn many_threads_share_a_queue() {
    let session = Session::new(1);
    let products: Vec<Product> = (0..4).map(|_| Product::new(&session, 16)).collect();
    std::thread::scope(|scope| {
        for product in &products {
            let session = &session;
            scope.spawn(move || {
                (0..2000).for_each(|_| assert_eq!(wait(product.submit(session, ptr::null())), WEFT_OK))
            });
        }
    });
    ok(weft_queue_drain(session.queue, u64::MAX));
    let want = products[0].values(&session);
    products.iter().for_each(|product| assert_eq!(product.values(&session), want));
}

#[test]
fn errors_and_deadlines_are_theirs_too() {
    let session = Session::new(1);
    let product = Product::new(&session, 8);
    assert_eq!(wait(product.submit(&session, ptr::null())), WEFT_OK);
    let options = weft_submit {
        struct_size: size_of::<weft_submit>() as u32,
        deadline_ns: 3_600_000_000_000,
        user_data: ptr::null::<c_void>() as u64,
        ..Default::default()
    };
    for _ in 0..100 {
        assert_eq!(wait(product.submit(&session, &options)), WEFT_OK);
    }
    let wrong = weft_matmul_desc { epilogue: 99, ..product.desc };
    // SAFETY: pointers to a struct and nothing.
    let refused = unsafe { weft_matmul(session.queue, &wrong, ptr::null(), ptr::null_mut()) };
    assert_eq!(refused, WEFT_ERROR_INVALID_ARGUMENT);
    assert_eq!(wait(product.submit(&session, ptr::null())), WEFT_OK);
}

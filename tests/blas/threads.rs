//! Results do not depend on the number of threads.

use crate::array::Array;
use crate::complex::C;
use crate::support::*;
use crate::{DTYPES, desc};
use weft::api::linear::*;
use weft::ops::blas::*;

/// The results of one function each, of the same operands.
fn results(threads: u32) -> Vec<Vec<C>> {
    let (session, mut rng, mut all) = (Session::new(threads), Rng(31), Vec::new());
    for dtype in DTYPES {
        let mut array = |dims: &[i64]| Array::normal(&session, &mut rng, dtype, dims, Style::Packed);
        let (x, y, sum) = (array(&[150_001]), array(&[150_001]), array(&[]));
        session.run(weft_dot, &desc!(weft_dot_desc { x: x.desc, y: y.desc, result: sum.desc }));
        all.push(sum.read(&session));
        let (a, x, y) = (array(&[40, 20_001]), array(&[20_001]), array(&[40]));
        session.run(weft_gemv, &desc!(weft_gemv_desc { alpha: 1.0, a: a.desc, x: x.desc, y: y.desc }));
        all.push(y.read(&session));
        let mut turned = a.desc;
        turned.dims[..2].copy_from_slice(&[20_001, 40]);
        turned.strides[..2].copy_from_slice(&[1, 20_001]);
        session.run(weft_gemv, &desc!(weft_gemv_desc { alpha: 1.0, a: turned, x: y.desc, y: x.desc }));
        all.push(x.read(&session));
        let (a, c) = (array(&[300, 60]), array(&[300, 300]));
        session.run(weft_syrk, &desc!(weft_syrk_desc { alpha: 1.0, beta: 1.0, a: a.desc, c: c.desc }));
        all.push(c.read(&session));
        let (a, b) = (array(&[150, 150]), array(&[150, 200]));
        let flags = WEFT_BLAS_UNIT;
        session.run(weft_trsm, &desc!(weft_trsm_desc { flags: flags, alpha: 1e-30, a: a.desc, b: b.desc }));
        all.push(b.read(&session));
    }
    all
}

#[test]
fn threads_change_nothing() {
    let bits = |threads| {
        let all = results(threads).into_iter().flatten();
        all.map(|value| [value.re.to_bits(), value.im.to_bits()]).collect::<Vec<_>>()
    };
    let one = bits(1);
    assert!(one == bits(2) && one == bits(5));
}

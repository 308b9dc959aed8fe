//! Shapes, strides and offsets: a million random tensors against a model in 128 bits. The library accepts exactly those
//! whose every element lies in the buffer (outputs: and is named once), and refuses the rest with a sentence.

mod support;

use std::sync::Arc;
use support::Rng;
use weft::device::{Buffer, Context};
use weft::dtype::Dtype::{self, *};
use weft::layout::weft_tensor;
use weft::op::Bind;
use weft::status::{Error, WEFT_ERROR_INVALID_ARGUMENT};

const TENSORS: usize = 1_000_000;
const SIZE: u64 = 4096;

/// A number next to something that matters.
fn hostile(rng: &mut Rng) -> i64 {
    let near = rng.range(-2, 2);
    match rng.next() % 6 {
        0 => near,
        1 => (1i64 << rng.range(0, 62)).wrapping_add(near),
        2 => (1i64 << rng.range(0, 62)).wrapping_neg().wrapping_add(near),
        3 => i64::MAX.wrapping_add(near),
        4 => ((1i64 << rng.range(0, 59)) / rng.range(1, 9)).wrapping_add(near),
        _ => rng.next() as i64,
    }
}

fn tensor(rng: &mut Rng, dtype: Dtype) -> weft_tensor {
    let mut tensor = weft_tensor { buffer: 1, dtype: dtype.code(), ..Default::default() };
    // Mostly small: refused and accepted ones must both be many.
    let wild = [2, 6, 40][(rng.next() % 3) as usize];
    tensor.rank = if rng.chance(200) { rng.pick(&[9, 10, 255, u32::MAX]) } else { rng.range(0, 8) as u32 };
    let (small, stretch) = (rng.range(1, 9), rng.range(0, 64));
    for axis in 0..8 {
        let least = i64::from(!rng.chance(20));
        tensor.dims[axis] = if rng.chance(wild * 4) { hostile(rng) } else { rng.range(least, small) };
        tensor.strides[axis] = if rng.chance(wild * 4) { hostile(rng) } else { rng.range(-stretch, stretch) };
    }
    if rng.chance(3) {
        tensor.strides = [0; 8];
    }
    let size = dtype.size() as u64;
    tensor.offset = match rng.next() % 4 {
        0 => 0,
        1 => hostile(rng) as u64,
        2 => SIZE.wrapping_add((rng.range(-3, 3) as u64).wrapping_mul(size)),
        _ => rng.next() % (SIZE / size) * size,
    };
    tensor
}

/// Magnitude of a signed number, and whether it is negative: the model knows no signed arithmetic.
fn parts(value: i64) -> (u128, bool) {
    (u128::from(value.unsigned_abs()), value < 0)
}

/// What the library may accept, in unsigned 128 bits; `None` where a product leaves even those.
fn fits(tensor: &weft_tensor, size: u128) -> Option<bool> {
    const MOST: u128 = (i64::MAX / 16) as u128;
    let rank = tensor.rank as usize;
    if rank > 8 || tensor.dims[..rank].iter().any(|&dim| dim < 0) {
        return Some(false);
    }
    let dims: Vec<u128> = tensor.dims[..rank].iter().map(|&dim| dim as u128).collect();
    let count = dims.iter().try_fold(1u128, |n, &dim| n.checked_mul(dim.max(1)))?;
    let packed = tensor.strides[..rank].iter().all(|&stride| stride == 0);
    let (mut up, mut down) = (0u128, 0u128);
    for axis in 0..rank {
        let packed_stride = || dims[axis + 1..].iter().try_fold(1u128, |n, &dim| n.checked_mul(dim.max(1)));
        let (stride, back) = if packed { (packed_stride()?, false) } else { parts(tensor.strides[axis]) };
        let reach = (dims[axis].max(1) - 1).checked_mul(stride)?;
        let side = if back { &mut down } else { &mut up };
        *side = side.checked_add(reach)?;
    }
    if count > MOST || up.checked_add(down)? > MOST {
        return Some(false);
    }
    let offset = u128::from(tensor.offset);
    let aligned = offset.is_multiple_of(size);
    if dims.contains(&0) {
        return Some(aligned && offset <= u128::from(SIZE));
    }
    Some(aligned && offset >= down * size && offset + (up + 1) * size <= u128::from(SIZE))
}

/// Whether no two indices name one element, found by looking at each.
fn distinct(tensor: &weft_tensor) -> bool {
    let rank = tensor.rank as usize;
    let packed = tensor.strides[..rank].iter().all(|&stride| stride == 0);
    let dims = &tensor.dims[..rank];
    if packed || dims.contains(&0) {
        return true;
    }
    if dims.iter().product::<i64>() > SIZE as i64 {
        return false; // More elements than the buffer has bytes.
    }
    let mut offsets = vec![0];
    for (&dim, &stride) in dims.iter().zip(&tensor.strides) {
        offsets = offsets.iter().flat_map(|at| (0..dim).map(move |i| at + i * stride)).collect();
    }
    let count = offsets.len();
    offsets.sort_unstable();
    offsets.dedup();
    offsets.len() == count
}

#[test]
fn a_million_tensors_are_judged_as_in_128_bits() {
    let context = Arc::new(Context::open("cpu", 1).unwrap());
    let buffer = Arc::new(Buffer::new(context, SIZE).unwrap());
    let lookup = |_, _| Ok(buffer.clone());
    let bind = Bind::new("test", &lookup);
    let mut rng = Rng(128);
    let (mut inputs, mut outputs) = (0, 0);
    for round in 0..TENSORS {
        let dtype = rng.pick(&[F32, F64, F16, I8, I16, I32, I64, U8]);
        let tensor = tensor(&mut rng, dtype);
        let (input, output) = (bind.input("x", &tensor), bind.output("y", &tensor));
        let expected = fits(&tensor, dtype.size() as u128).unwrap_or(false);
        assert_eq!(input.is_ok(), expected, "tensor {round}: {tensor:?}: {:?}", input.err());
        let expected = expected && distinct(&tensor);
        assert_eq!(output.is_ok(), expected, "output {round}: {tensor:?}: {:?}", output.err());
        let told = |error: Option<Error>| {
            error.is_none_or(|error| {
                error.status == WEFT_ERROR_INVALID_ARGUMENT && error.message.contains("test: ")
            })
        };
        assert!(told(input.as_ref().err().cloned()) && told(output.as_ref().err().cloned()), "{tensor:?}");
        (inputs, outputs) = (inputs + usize::from(input.is_ok()), outputs + usize::from(output.is_ok()));
    }
    println!(
        "{TENSORS} tensors: {inputs} fit as inputs, {outputs} as outputs, 0 disagreements with the model"
    );
    assert!(
        inputs > TENSORS / 5 && outputs > TENSORS / 10 && outputs < inputs,
        "one-sided: {inputs} and {outputs}"
    );
}

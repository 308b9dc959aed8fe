//! The whole kernels on a GPU, where there is one: against the same computed here in f64, over shapes nobody would choose,
//! their outputs poisoned before.

use crate::kernels::*;
use std::sync::Arc;
use weft::device::cuda::{Gpu, Loaded, Memory, Stream, count, driver};
use weft::dtype::bf16;

/// A GPU and a stream; `None`, with the reason printed, where there is none.
fn gpu() -> Option<(Arc<Gpu>, Arc<Stream>)> {
    if count() == 0 {
        let reason = driver().map_or_else(|error| error.message, |_| "the driver knows no device".into());
        println!("skipped: no GPU: {reason}");
        return None;
    }
    let gpu = Gpu::open(0).unwrap();
    Some((gpu.clone(), Stream::new(gpu).unwrap()))
}

/// Numbers that look random, from -1 to 1.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn put<T: Copy>(stream: &Arc<Stream>, values: &[T]) -> Memory {
    let memory = stream.allocate(size_of_val(values)).unwrap();
    // SAFETY: the memory has as many bytes; the stream is done with them before this returns.
    unsafe { stream.write(memory.at(), values.as_ptr().cast(), size_of_val(values)).unwrap() };
    stream.synchronize().unwrap();
    memory
}

fn get<T: Copy>(stream: &Stream, memory: &Memory, count: usize, fill: T) -> Vec<T> {
    let mut values = vec![fill; count];
    // SAFETY: as in `put`.
    unsafe { stream.read(values.as_mut_ptr().cast(), memory.at(), count * size_of::<T>()).unwrap() };
    stream.synchronize().unwrap();
    values
}

#[test]
fn add_adds() {
    let Some((gpu, stream)) = gpu() else { return };
    let kernel = Loaded::new(gpu.clone(), &add(gpu.target().unwrap()).unwrap()).unwrap();
    for n in [1usize, 3, 4, 5, 255, 1021, 65_537, 1_000_003] {
        let (x, y) = (numbers(n, 1), numbers(n, 2));
        let (a, b, c) = (put(&stream, &x), put(&stream, &y), put(&stream, &vec![f32::NAN; n + 1]));
        let args = AddArgs { n: n as u32, a: a.at(), b: b.at(), c: c.at() };
        // SAFETY: three arrays of n elements.
        unsafe { kernel.launch(&stream, [(n as u32).div_ceil(1024).min(264), 1, 1], &args).unwrap() };
        let sums = get(&stream, &c, n + 1, 0.0f32);
        (0..n).for_each(|i| assert_eq!(sums[i], x[i] + y[i], "{i} of {n}"));
        assert!(sums[n].is_nan(), "nothing is written past {n}");
    }
}

#[test]
fn softmax_is_a_softmax() {
    let Some((gpu, stream)) = gpu() else { return };
    let kernel = Loaded::new(gpu.clone(), &softmax(gpu.target().unwrap()).unwrap()).unwrap();
    for (rows, columns) in [(1usize, 1usize), (7, 31), (3, 257), (129, 1000), (2, 40_961)] {
        let x: Vec<bf16> = numbers(rows * columns, 3).iter().map(|x| bf16::from_f32(x * 8.0)).collect();
        let (from, to) = (put(&stream, &x), put(&stream, &vec![bf16::from_f32(f32::NAN); x.len()]));
        let args = SoftmaxArgs { columns: columns as u32, x: from.at(), y: to.at() };
        // SAFETY: two matrices of this shape.
        unsafe { kernel.launch(&stream, [rows as u32, 1, 1], &args).unwrap() };
        let y = get(&stream, &to, x.len(), bf16::from_f32(0.0));
        for (x, y) in x.chunks(columns).zip(y.chunks(columns)) {
            let largest = x.iter().map(|x| f64::from(x.to_f32())).fold(f64::MIN, f64::max);
            let sum: f64 = x.iter().map(|x| (f64::from(x.to_f32()) - largest).exp()).sum();
            for (x, y) in x.iter().zip(y) {
                let (want, got) = ((f64::from(x.to_f32()) - largest).exp() / sum, f64::from(y.to_f32()));
                assert!((got - want).abs() <= want / 200.0 + 1e-30, "{got} for {want} ({rows} x {columns})");
            }
        }
    }
}

/// The largest error against f64, over the size of what is summed.
fn error_of(
    c: &[f32],
    n: usize,
    depth: usize,
    a: impl Fn(usize, usize) -> f32,
    b: impl Fn(usize, usize) -> f32,
) -> f64 {
    let mut worst = 0f64;
    for (index, &got) in c.iter().enumerate() {
        let (i, j) = (index / n, index % n);
        let want: f64 = (0..depth).map(|k| f64::from(a(i, k)) * f64::from(b(k, j))).sum();
        worst = if got.is_nan() { f64::NAN } else { worst.max((f64::from(got) - want).abs()) };
        if got.is_nan() {
            break;
        }
    }
    worst / depth as f64
}

#[test]
fn the_tiled_matmul_multiplies_any_shape() {
    let Some((gpu, stream)) = gpu() else { return };
    let kernel = Loaded::new(gpu.clone(), &matmul(gpu.target().unwrap()).unwrap()).unwrap();
    for (m, n, k) in [(1usize, 1usize, 1usize), (64, 64, 16), (61, 67, 59), (127, 3, 300), (200, 129, 1)] {
        let (x, y) = (numbers(m * k, 5), numbers(k * n, 6));
        let (a, b, c) = (put(&stream, &x), put(&stream, &y), put(&stream, &vec![f32::NAN; m * n]));
        let args = MatmulArgs { m: m as u32, n: n as u32, k: k as u32, a: a.at(), b: b.at(), c: c.at() };
        // SAFETY: three matrices of these shapes.
        unsafe { kernel.launch(&stream, [n.div_ceil(64) as u32, m.div_ceil(64) as u32, 1], &args).unwrap() };
        let error = error_of(&get(&stream, &c, m * n, 0.0), n, k, |i, l| x[i * k + l], |l, j| y[l * n + j]);
        assert!(error < 1e-6, "{error} at {m} x {n} x {k}");
    }
}

#[test]
fn the_tensor_core_tile_multiplies() {
    let Some((gpu, stream)) = gpu() else { return };
    let kernel = Loaded::new(gpu.clone(), &tile(gpu.target().unwrap()).unwrap()).unwrap();
    for (m, n, k) in [(128usize, 128usize, 32usize), (128, 256, 64), (384, 128, 416)] {
        let narrow = |values: Vec<f32>| values.into_iter().map(bf16::from_f32).collect::<Vec<_>>();
        let (x, y) = (narrow(numbers(m * k, 7)), narrow(numbers(n * k, 8)));
        let (a, b, c) = (put(&stream, &x), put(&stream, &y), put(&stream, &vec![f32::NAN; m * n]));
        let args = TileArgs { n: n as u32, k: k as u32, a: a.at(), b: b.at(), c: c.at() };
        // SAFETY: three matrices of these shapes.
        unsafe { kernel.launch(&stream, [(n / 128) as u32, (m / 128) as u32, 1], &args).unwrap() };
        let c = get(&stream, &c, m * n, 0.0);
        let error = error_of(&c, n, k, |i, l| x[i * k + l].to_f32(), |l, j| y[j * k + l].to_f32());
        assert!(error < 1e-6, "{error} at {m} x {n} x {k}");
    }
}

//! Fills memory of a GPU with a pattern of up to 8 bytes.

use crate::device::cuda::{Key, Stream};
use crate::ptx::{Builder, Global, Kernel, Ptr, Shape, Target, Text, params};
use crate::status::Result;

/// Threads of a block.
const THREADS: u32 = 256;
/// Bytes of a vector.
const VECTOR: u64 = 16;
/// Blocks of a multiprocessor.
const BLOCKS: u64 = 8;

params! {
    /// What the kernel is launched with.
    struct Args / Vals {
        /// The first byte.
        at: u64,
        /// How many bytes lie before the first address that is a multiple of 16.
        head: u64,
        /// How many vectors follow.
        vectors: u64,
        /// How many bytes follow those.
        tail: u64,
        /// Eight bytes, over and over from the first byte on.
        pattern: u64,
        /// The same from the first vector on.
        turned: u64,
    }
}

/// Queues that the `bytes` from `at` on become the first `period` (1, 2, 4 or 8) bytes of `pattern`, over and over.
#[allow(dead_code, reason = "called where fills run on CUDA")]
pub(super) fn fill(stream: &Stream, at: u64, bytes: u64, pattern: [u8; 8], period: usize) -> Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    let arguments = split(at, bytes, std::array::from_fn(|i| pattern[i % period]));
    let kernel = stream.kernel(Key("fill", [0; 8]), kernel)?;
    let most = stream.gpu().description.multiprocessors as u64 * BLOCKS;
    let blocks = arguments.vectors.div_ceil(u64::from(THREADS)).clamp(1, most);
    // SAFETY: the kernel writes `bytes` bytes from `at` on, which the caller's checked slice holds.
    unsafe { kernel.launch(stream, [blocks as u32, 1, 1], &arguments) }
}

fn split(at: u64, bytes: u64, pattern: [u8; 8]) -> Args {
    let head = (at.wrapping_neg() % VECTOR).min(bytes);
    let vectors = (bytes - head) / VECTOR;
    let pattern = u64::from_le_bytes(pattern);
    let turned = pattern.rotate_right(head as u32 % 8 * 8);
    Args { at, head, vectors, tail: bytes - head - vectors * VECTOR, pattern, turned }
}

fn kernel(target: Target) -> Result<Kernel<Args>> {
    Kernel::build(&Shape::new("transfer_fill", target, [THREADS, 1, 1]), |k: &Builder, v: Vals<'_>| {
        let first = v.at + v.head;
        let number = k.var(k.mad_wide(k.block_x(), THREADS, k.thread_x().to::<u64>()));
        let step = k.mul_wide(k.grid_blocks_x(), THREADS);
        let vectors = Ptr::<Global<u64>>::new(first);
        k.repeat_while(
            || number.lt(v.vectors),
            || {
                let to = Ptr::<Global<u64>>::new(k.mad(number, VECTOR, vectors.address()));
                to.store_vec([v.turned, v.turned]);
                number.set(number + step);
            },
        );
        // The ends, fewer than 16 bytes each, are the first block's.
        let thread = k.thread_x().to::<u64>();
        let ends = [(v.at, v.head, v.pattern), (k.mad(v.vectors, VECTOR, first), v.tail, v.turned)];
        for (from, count, pattern) in ends {
            k.when(k.block_x().eq(0u32) & thread.lt(count), || {
                let byte = pattern >> ((k.thread_x() & 7u32) << 3u32);
                Ptr::<Global<u8>>::new(from + thread).store(byte.to::<u8>());
            });
        }
    })
}

/// The kernel, for the tests.
pub fn texts(target: Target) -> Vec<Result<Text>> {
    vec![kernel(target).map(Text::from)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_vectors_continue_the_pattern() {
        for (at, bytes) in [(0, 0), (0, 64), (3, 5), (13, 100), (8, 8), (15, 17), (16, 31)] {
            let args = split(at, bytes, [1, 2, 3, 4, 5, 6, 7, 8]);
            assert_eq!(args.head + args.vectors * VECTOR + args.tail, bytes);
            assert!(args.vectors == 0 || (at + args.head).is_multiple_of(VECTOR));
            assert!(args.head < VECTOR && args.tail < VECTOR);
            assert_eq!(u64::from(args.turned.to_le_bytes()[0]), args.head % 8 + 1);
        }
    }
}

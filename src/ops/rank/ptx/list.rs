//! Lists of composites in shared or global memory, and what sorts them: the largest first.

use super::composite::{Composite, Order};
use crate::ptx::{Builder, Global, Ptr, Reg, Shared};

/// A list.
#[derive(Clone, Copy)]
pub enum List<'k> {
    /// Of the block.
    Near(Ptr<'k, Shared<u64>>, Option<Ptr<'k, Shared<u64>>>),
    /// Of the device.
    Far(Ptr<'k, Global<u64>>, Option<Ptr<'k, Global<u64>>>),
}

impl<'k> List<'k> {
    /// Of `count` in the block's memory.
    pub fn near(k: &'k Builder, order: Order, count: u32) -> Self {
        Self::Near(k.shared(count), order.wide.then(|| k.shared(count)))
    }

    /// At addresses in the device's memory.
    pub fn far(order: Order, low: Reg<'k, u64>, high: Reg<'k, u64>) -> Self {
        Self::Far(Ptr::new(low), order.wide.then(|| Ptr::new(high)))
    }

    /// Number `index`.
    pub fn get(&self, index: Reg<'k, u64>) -> Composite<'k> {
        match self {
            Self::Near(low, high) => {
                let index = index.to::<u32>();
                Composite { high: high.map(|high| high.at(index).load()), low: low.at(index).load() }
            }
            Self::Far(low, high) => {
                Composite { high: high.map(|high| high.at_far(index).load()), low: low.at_far(index).load() }
            }
        }
    }

    /// Overwrites number `index`.
    pub fn put(&self, index: Reg<'k, u64>, value: &Composite<'k>) {
        match self {
            Self::Near(low, high) => {
                let index = index.to::<u32>();
                low.at(index).store(value.low);
                high.zip(value.high).into_iter().for_each(|(high, value)| high.at(index).store(value));
            }
            Self::Far(low, high) => {
                low.at_far(index).store(value.low);
                high.zip(value.high).into_iter().for_each(|(high, value)| high.at_far(index).store(value));
            }
        }
    }

    /// One comparison of a bitonic sort: pair `pair` of those that are `apart` (a power of two) from each other, in runs of
    /// `size`, which fall and rise in turn; the list begins at number `from` of what is sorted.
    pub fn compare(&self, k: &'k Builder, pair: Reg<'k, u64>, [apart, size, from]: [Reg<'k, u64>; 3]) {
        let inside = pair & (apart - 1u64);
        let first = ((pair - inside) << 1u32) + inside;
        let second = first + apart;
        let (a, b) = (self.get(first), self.get(second));
        let falls = ((first + from) & size).eq(0u64);
        // In a run that falls they change places where the first is below the second, in one that rises where it is not.
        k.when(!(a.below(k, &b) ^ falls), || {
            self.put(first, &b);
            self.put(second, &a);
        });
    }
}

/// Sorts `count` (a power of two, at least 2) composites of `list` by the `threads` of a block: the runs of size `sizes[0]`,
/// twice that, ... up to `sizes[1]`, as far as they lie in the list. All threads come here, when the list is there for all;
/// it is when they leave.
pub fn sort<'k>(
    k: &'k Builder,
    list: &List<'k>,
    threads: u32,
    (count, from): (Reg<'k, u64>, Reg<'k, u64>),
    sizes: [Reg<'k, u64>; 2],
) {
    let size = k.var(sizes[0]);
    k.repeat_while(
        || size.le(sizes[1]),
        || {
            let apart = k.var(k.min(size, count) >> 1u32);
            k.repeat_while(
                || apart.ne(0u64),
                || {
                    let pair = k.var(k.thread_x().to::<u64>());
                    k.repeat_while(
                        || pair.lt(count >> 1u32),
                        || {
                            list.compare(k, pair, [apart, size, from]);
                            pair.set(pair + u64::from(threads));
                        },
                    );
                    k.barrier();
                    apart.set(apart >> 1u32);
                },
            );
            size.set(size << 1u32);
        },
    );
}

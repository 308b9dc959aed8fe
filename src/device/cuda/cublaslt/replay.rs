//! Replays: a call of the library that comes again and again, with the same operands at the same places, is recorded, and
//! from then on launched as it was recorded. The library takes longer to launch a small product than the device to compute it.

use super::product::Addresses;
use crate::device::cuda::{Graph, Stream};
use crate::status::Result;
use cudarc::driver::sys::CUstream;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};

/// The call of this number is recorded: recording takes as long as so many calls, or some more.
const OFTEN: u32 = 8;
/// So many calls are kept of a product; then all are forgotten.
const KEPT: usize = 256;

/// All that calls of one product differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub at: Addresses,
    /// The bits of alpha and beta.
    pub factors: [[u64; 2]; 2],
    /// Of scratch memory, which belongs to a stream.
    pub workspace: u64,
}

impl Hash for Call {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Addresses { a, b, d, .. } = self.at;
        [a, b, d, self.workspace].into_iter().for_each(|number| state.write_u64(number));
    }
}

/// What is known of a call.
enum Known {
    /// How often it came.
    Seen(u32),
    /// How to launch it.
    Recorded(Graph),
    /// It cannot be recorded.
    Refused,
}

/// The calls of one product.
#[derive(Default)]
pub(super) struct Replays(HashMap<Call, Known>);

impl Replays {
    /// The recorded call, if it is one, or is to be: `queue` queues it on another stream.
    pub fn find(
        &mut self,
        stream: &Stream,
        call: &Call,
        queue: impl FnOnce(CUstream) -> Result<()>,
    ) -> Result<Option<&Graph>> {
        if self.0.len() >= KEPT && !self.0.contains_key(call) {
            self.0.clear();
        }
        let known = self.0.entry(*call).or_insert(Known::Seen(0));
        if let Known::Seen(times) = known {
            if *times + 1 < OFTEN {
                *times += 1;
            } else {
                stream.take_time()?;
                *known = Graph::record(stream.gpu(), queue).map_or(Known::Refused, Known::Recorded);
            }
        }
        Ok(match known {
            Known::Recorded(graph) => Some(graph),
            _ => None,
        })
    }
}

//! Attention on the CPU device.

use super::plan::Plan;
use super::{Attention, decode, plain, tiled};
use crate::device::Cpu;
use crate::op::{Choice, first};
use crate::status::Result;

/// Best first; the last takes everything.
const CHOICES: &[Choice<Attention, Cpu>] = &[
    Choice { name: "decode", accepts: decode::accepts, run: decode::run },
    Choice { name: "tiled", accepts: tiled::accepts, run: tiled::run },
    Choice { name: "plain", accepts: |_, _| true, run: plain::run },
];

/// Runs `op` by the best choice.
pub(super) fn run(op: &Attention, cpu: &Cpu) -> Result<()> {
    if op.o.layout().is_empty() && op.lse.as_ref().is_none_or(|lse| lse.layout().is_empty()) {
        // Nothing to write, perhaps for a great many rows of nothing; the numbers in buffers are still checked.
        return Plan::new(op).map(drop);
    }
    first("attention", CHOICES, op, cpu)
}

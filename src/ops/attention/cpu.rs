//! Attention on the CPU device.

use super::{Attention, decode, plain, tiled};
use crate::device::Cpu;
use crate::op::{Choice, first};
use crate::status::Result;

/// Best first; the last takes everything.
const CHOICES: &[Choice<Attention>] = &[
    Choice { name: "decode", accepts: decode::accepts, run: decode::run },
    Choice { name: "tiled", accepts: tiled::accepts, run: tiled::run },
    Choice { name: "plain", accepts: |_, _| true, run: plain::run },
];

/// Runs `op` by the best choice.
pub(super) fn run(op: &Attention, cpu: &Cpu) -> Result<()> {
    first("attention", CHOICES, op, cpu)
}

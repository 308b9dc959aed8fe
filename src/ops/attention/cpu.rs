//! Attention on the CPU device.

use super::{Attention, plain};
use crate::device::Cpu;
use crate::op::{Choice, first};
use crate::status::Result;

/// Best first; the last takes everything.
const CHOICES: &[Choice<Attention>] = &[Choice { name: "plain", accepts: |_, _| true, run: plain::run }];

/// Runs `op` by the best choice.
pub(super) fn run(op: &Attention, cpu: &Cpu) -> Result<()> {
    first("attention", CHOICES, op, cpu)
}

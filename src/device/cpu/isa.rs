//! Which instruction set kernels may use, asked once. `WEFT_ISA=scalar|avx2|avx512` lowers it, for tests.

use crate::tell;
use once_cell::sync::Lazy;

/// Instruction sets with kernels of their own, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Whatever the target guarantees.
    Scalar,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512 F, BW, DQ and VL besides.
    Avx512,
    /// AVX512_BF16 besides.
    Avx512Bf16,
}

static ISA: Lazy<Isa> = Lazy::new(|| wanted().map_or(detected(), |wanted| wanted.min(detected())));

/// The instruction set of this machine.
pub fn isa() -> Isa {
    *ISA
}

fn wanted() -> Option<Isa> {
    match std::env::var("WEFT_ISA").ok().filter(|name| !name.is_empty())?.as_str() {
        "scalar" => Some(Isa::Scalar),
        "avx2" => Some(Isa::Avx2),
        "avx512" => Some(Isa::Avx512),
        name => {
            tell!(WEFT_LOG_WARN, "WEFT_ISA is {name:?}; expected scalar, avx2 or avx512: taken as none");
            None
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn detected() -> Isa {
    use std::arch::is_x86_feature_detected as has;
    let avx2 = has!("avx2") && has!("fma") && has!("f16c");
    let avx512 = has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl");
    match (avx2, avx2 && avx512, has!("avx512bf16")) {
        (_, true, true) => Isa::Avx512Bf16,
        (_, true, false) => Isa::Avx512,
        (true, ..) => Isa::Avx2,
        _ => Isa::Scalar,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detected() -> Isa {
    Isa::Scalar
}

//! One body, compiled for each instruction set and chosen at run time.

/// Defines `fn name(args)` whose body is compiled for AVX-512, AVX2 and the target's baseline; the caller gets the best
/// that the machine has. The body is plain Rust that the compiler vectorises; what it calls must be `#[inline(always)]`.
#[macro_export]
#[doc(hidden)]
macro_rules! for_each_isa {
    ($(#[$attr:meta])* $vis:vis fn $name:ident $(<$($G:ident: $bound:path),+>)? ($($arg:ident: $type:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$attr])*
        $vis fn $name $(<$($G: $bound),+>)? ($($arg: $type),*) $(-> $ret)? {
            #[inline(always)]
            fn body $(<$($G: $bound),+>)? ($($arg: $type),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
            fn avx512 $(<$($G: $bound),+>)? ($($arg: $type),*) $(-> $ret)? {
                body $(::<$($G),+>)? ($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,f16c")]
            fn avx2 $(<$($G: $bound),+>)? ($($arg: $type),*) $(-> $ret)? {
                body $(::<$($G),+>)? ($($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            match $crate::device::cpu::isa() {
                // SAFETY: `isa` answers so only on a machine that has these features.
                $crate::device::cpu::Isa::Avx512 | $crate::device::cpu::Isa::Avx512Bf16 => return unsafe { avx512 $(::<$($G),+>)? ($($arg),*) },
                // SAFETY: as above.
                $crate::device::cpu::Isa::Avx2 => return unsafe { avx2 $(::<$($G),+>)? ($($arg),*) },
                _ => {}
            }
            body $(::<$($G),+>)? ($($arg),*)
        }
    };
}

#[cfg(test)]
mod tests {
    for_each_isa! {
        fn scale(values: &mut [f32], by: f32) -> usize {
            values.iter_mut().for_each(|x| *x = crate::kernels::math::exp(*x) * by);
            values.len()
        }
    }

    #[test]
    fn the_versions_compute_the_body() {
        let mut values = [0.0, 1.0, f32::NEG_INFINITY];
        assert_eq!(scale(&mut values, 2.0), 3);
        assert_eq!((values[0], values[2]), (2.0, 0.0));
    }
}

//! Activations on vectors.

use crate::kernels::f32::Activation;
use crate::kernels::isa::vector::Vector;

/// Applies the activation to all values, deciding once which one it is.
///
/// # Safety
/// As for every method of [`Vector`].
#[inline(always)]
pub(in crate::kernels) unsafe fn activate<V: Vector>(values: &mut [V], activation: Activation) {
    // SAFETY: arithmetic only; the caller vouches for the instruction set.
    unsafe {
        let (zero, one) = (V::splat(0.0), V::splat(1.0));
        match activation {
            Activation::Clamp { min, max } => {
                let (min, max) = (V::splat(min), V::splat(max));
                for x in values {
                    *x = x.max(min).min(max);
                }
            }
            Activation::HardSwish => {
                let (sixth, half) = (V::splat(1.0 / 6.0), V::splat(0.5));
                for x in values {
                    *x = x.mul(x.mul_add(sixth, half).max(zero).min(one));
                }
            }
            Activation::HardSigmoid { alpha, beta } => {
                let (alpha, beta) = (V::splat(alpha), V::splat(beta));
                for x in values {
                    *x = x.mul_add(alpha, beta).max(zero).min(one);
                }
            }
        }
    }
}

//! Activations on vectors, and the way from the sums of a register tile to the output.

use graft_patches::layout::scale_index;

use super::Epilogue;
use crate::kernels::f32::{Activation, PANEL};
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
            Activation::Clamp { min, max } => clamp(values, min, max),
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

/// `min(max(x, min), max)` of all values.
///
/// # Safety
/// As for every method of [`Vector`].
#[inline(always)]
unsafe fn clamp<V: Vector>(values: &mut [V], min: f32, max: f32) {
    // SAFETY: arithmetic only; the caller vouches for the instruction set.
    unsafe {
        let (min, max) = (V::splat(min), V::splat(max));
        for x in values {
            *x = x.max(min).min(max);
        }
    }
}

/// Where the results of a register tile go.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct Destination {
    /// The first pixel, at channel 0.
    pub(in crate::kernels) pixel: *mut f32,
    /// Channels of a pixel.
    pub(in crate::kernels) channels: usize,
    /// Channel at which the tile starts.
    pub(in crate::kernels) channel: usize,
    /// Pixels to write, of those that the tile has.
    pub(in crate::kernels) pixels: usize,
}

/// Scale, bias and activation of the sums of `PIXELS` pixels, and the store of what is in bounds.
///
/// # Safety
/// The table has all vectors of channels, each of which lies inside one panel; `to` says which pixels may be written,
/// and of each all channels below `to.channels`. The CPU has the instruction set of `V`.
#[inline(always)]
pub(in crate::kernels) unsafe fn finish<V: Vector, const WIDTH: usize, const PIXELS: usize>(
    mut sums: [[V; WIDTH]; PIXELS],
    epilogue: &Epilogue,
    to: Destination,
) {
    let channels = to.channels - to.channel;
    let whole = to.pixels >= PIXELS && channels >= WIDTH * V::LANES;
    // SAFETY: passed on from the caller; `whole` says that all of the tile may be written.
    unsafe {
        let table = epilogue.table.as_ptr().add(scale_index(to.channel));
        scale_and_bias(&mut sums, table);
        if let Activation::Clamp { min, max } = epilogue.activation
            && whole
        {
            // Side by side the stores hide behind the clamps.
            clamp(sums.as_flattened_mut(), min, max);
            store(&sums, to);
        } else {
            activate(sums.as_flattened_mut(), epilogue.activation);
            store_part(&sums, to);
        }
    }
}

/// `scale * sum + bias`, from the table at the tile's first channel.
///
/// # Safety
/// The table holds the `WIDTH` vectors.
#[inline(always)]
unsafe fn scale_and_bias<V: Vector, const WIDTH: usize, const PIXELS: usize>(
    sums: &mut [[V; WIDTH]; PIXELS],
    table: *const f32,
) {
    for v in 0..WIDTH {
        // SAFETY: inside the table by the caller's promise.
        unsafe {
            let scale = table.add(scale_index(v * V::LANES));
            let (scale, bias) = (V::load(scale), V::load(scale.add(PANEL)));
            for sums in sums.iter_mut() {
                sums[v] = sums[v].scale(scale, bias);
            }
        }
    }
}

/// Stores all of a tile.
///
/// # Safety
/// All of it is in bounds.
#[inline(always)]
unsafe fn store<V: Vector, const WIDTH: usize, const PIXELS: usize>(
    sums: &[[V; WIDTH]; PIXELS],
    to: Destination,
) {
    for (pixel, sums) in sums.iter().enumerate() {
        for (v, sum) in sums.iter().enumerate() {
            // SAFETY: by the caller's promise.
            unsafe {
                sum.store(
                    to.pixel
                        .add(pixel * to.channels + to.channel + v * V::LANES),
                )
            };
        }
    }
}

/// Stores the pixels and channels of a tile that are in bounds.
///
/// # Safety
/// As for [`finish`].
#[inline(always)]
unsafe fn store_part<V: Vector, const WIDTH: usize, const PIXELS: usize>(
    sums: &[[V; WIDTH]; PIXELS],
    to: Destination,
) {
    for (pixel, sums) in sums.iter().enumerate().take(to.pixels) {
        for (v, sum) in sums.iter().enumerate() {
            let channel = to.channel + v * V::LANES;
            if channel < to.channels {
                // SAFETY: no more is written than the rest of the pixel.
                unsafe {
                    let output = to.pixel.add(pixel * to.channels + channel);
                    sum.store_up_to(output, to.channels - channel);
                }
            }
        }
    }
}

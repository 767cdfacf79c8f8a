//! Writes an image to the input tensor.

use graft_patches::geometry::Activation;
use graft_patches::scale::Scale;

use crate::{Image, Patch};

/// Most channels of an input.
const CHANNELS: usize = 4;

/// Normalised, in f32. The image has as many values as the patch's input.
pub(crate) fn normalise(image: Image<'_>, patch: &Patch, tensor: &mut [f32]) {
    match image {
        Image::Values(values) => tensor[..values.len()].copy_from_slice(values),
        Image::Pixels(pixels) => look_up(pixels, patch, |value| value, tensor),
    }
}

/// Normalised, in bytes of this scale.
pub(crate) fn quantise(image: Image<'_>, patch: &Patch, scale: Scale, tensor: &mut [i8]) {
    match image {
        Image::Values(values) => {
            let output = scale.quantized(Activation::NONE);
            for (to, &from) in tensor.iter_mut().zip(values) {
                *to = output.saturate(from / scale.scale);
            }
        }
        Image::Pixels(pixels) => look_up(pixels, patch, |value| scale.byte(value), tensor),
    }
}

/// Writes what `of` makes of each normalised pixel.
fn look_up<T: Copy + Default>(
    pixels: &[u8],
    patch: &Patch,
    of: impl Fn(f32) -> T,
    tensor: &mut [T],
) {
    let input = patch.input();
    let channels = input.shape.channels;
    let mut tables = [[T::default(); 256]; CHANNELS];
    // A division for each byte, of which an image has many.
    for (c, table) in tables.iter_mut().enumerate().take(channels) {
        for (pixel, value) in (0u8..=255).zip(table) {
            *value = of((f32::from(pixel) - input.mean[c]) / input.std[c]);
        }
    }
    match channels {
        3 => look_up_channels(pixels, &tables, 3, tensor),
        _ => look_up_channels(pixels, &tables, channels, tensor),
    }
}

/// Writes the entry of each pixel; inlined, for the usual number of channels to be a constant.
#[inline(always)]
fn look_up_channels<T: Copy>(
    pixels: &[u8],
    tables: &[[T; 256]; CHANNELS],
    channels: usize,
    tensor: &mut [T],
) {
    let pixels = pixels.chunks_exact(channels);
    for (to, from) in tensor.chunks_exact_mut(channels).zip(pixels) {
        for ((to, &from), table) in to.iter_mut().zip(from).zip(tables) {
            *to = table[usize::from(from)];
        }
    }
}

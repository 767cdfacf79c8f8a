//! Writes an image to the input tensor.

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
            for (to, &from) in tensor.iter_mut().zip(values) {
                *to = scale.byte(from);
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
        1 => look_up_channels::<T, 1>(pixels, &tables, tensor),
        2 => look_up_channels::<T, 2>(pixels, &tables, tensor),
        3 => look_up_channels::<T, 3>(pixels, &tables, tensor),
        _ => look_up_channels::<T, CHANNELS>(pixels, &tables, tensor),
    }
}

/// Writes the entry of each pixel of `N` channels.
fn look_up_channels<T: Copy, const N: usize>(
    pixels: &[u8],
    tables: &[[T; 256]; CHANNELS],
    tensor: &mut [T],
) {
    let (pixels, tensor) = (pixels.as_chunks::<N>().0, tensor.as_chunks_mut::<N>().0);
    for (to, from) in tensor.iter_mut().zip(pixels) {
        for ((to, &from), table) in to.iter_mut().zip(from).zip(tables) {
            *to = table[usize::from(from)];
        }
    }
}

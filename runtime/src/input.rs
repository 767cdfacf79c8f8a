//! Writes an image to the input tensor.

use graft_patches::scale::Scale;

use crate::{Image, Patch};

/// Most channels of an input.
const CHANNELS: usize = 4;

/// Normalised, in f32. The image has as many values as the patch's input.
pub(crate) fn normalise(image: Image<'_>, patch: &Patch, tensor: &mut [f32]) {
    match image {
        Image::Values(values) => tensor[..values.len()].copy_from_slice(values),
        Image::Pixels(pixels) => {
            let input = patch.input();
            let channels = input.shape.channels;
            let pixels = pixels.chunks_exact(channels);
            for (to, from) in tensor.chunks_exact_mut(channels).zip(pixels) {
                for (c, (to, &from)) in to.iter_mut().zip(from).enumerate() {
                    *to = (f32::from(from) - input.mean[c]) / input.std[c];
                }
            }
        }
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
        Image::Pixels(pixels) => {
            let input = patch.input();
            let channels = input.shape.channels;
            let mut tables = [[0; 256]; CHANNELS];
            for (c, table) in tables.iter_mut().enumerate().take(channels) {
                for (pixel, byte) in (0u8..=255).zip(table) {
                    *byte = scale.byte((f32::from(pixel) - input.mean[c]) / input.std[c]);
                }
            }
            let pixels = pixels.chunks_exact(channels);
            for (to, from) in tensor.chunks_exact_mut(channels).zip(pixels) {
                for ((to, &from), table) in to.iter_mut().zip(from).zip(&tables) {
                    *to = table[usize::from(from)];
                }
            }
        }
    }
}

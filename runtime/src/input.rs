//! Writes an image to the input tensor.

use crate::workers::{Output, Workers};
use crate::{Image, Patch};

/// Most channels of an input.
const CHANNELS: usize = 4;

/// Multiply-adds that take about as long as writing a value: one that is looked up takes twice as long, one that is copied
/// a fraction of it.
const WORK: usize = 8;

/// Writes what `of` makes of each normalised value of an image, which has as many as the patch's input.
pub(crate) fn write<T: Copy + Default + Send + Sync>(
    image: Image<'_>,
    patch: &Patch,
    of: impl Fn(f32) -> T + Sync,
    tensor: &mut [T],
    workers: &mut Workers,
) {
    let input = patch.input();
    let channels = input.shape.channels;
    let row = input.shape.width * channels;
    let values = &mut tensor[..input.shape.len()];
    let output = Output {
        work: values.len() * WORK,
        values,
        unit: row,
        grain: row,
    };
    match image {
        Image::Values(values) => workers.compute(output, &mut [], 0, &|first, out, _| {
            for (to, &from) in out.iter_mut().zip(&values[first * row..]) {
                *to = of(from);
            }
        }),
        Image::Pixels(pixels) => {
            let mut tables = [[T::default(); 256]; CHANNELS];
            // A division for each byte, of which an image has many.
            for (c, table) in tables.iter_mut().enumerate().take(channels) {
                for (pixel, value) in (0u8..=255).zip(table) {
                    *value = of((f32::from(pixel) - input.mean[c]) / input.std[c]);
                }
            }
            workers.compute(output, &mut [], 0, &|first, out, _| {
                let pixels = &pixels[first * row..];
                match channels {
                    3 => look_up(pixels, &tables, 3, out),
                    _ => look_up(pixels, &tables, channels, out),
                }
            });
        }
    }
}

/// Writes the entry of each pixel; inlined, for the usual number of channels to be a constant.
#[inline(always)]
fn look_up<T: Copy>(
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

//! The batch shared among threads: each lane works on some of the images, with scratch memory and sums of its own.

use std::vec;
use std::vec::Vec;

use rayon::prelude::*;

/// Most parts of a batch, and so most threads that work on it. A fixed number: sums are added in the order of the lanes,
/// so that a result depends neither on the number of threads nor on their timing.
pub(super) const LANES: usize = 16;

/// Floats of a group of images that should stay in a second-level cache.
const GROUP: usize = 64 * 1024;

/// Scratch memory of a lane.
#[derive(Default)]
pub(super) struct Lane {
    /// Operands of a layer.
    pub(super) operands: [Vec<f32>; 2],
    /// Gradient of the accumulators.
    pub(super) accumulators: Vec<f32>,
    /// Gradient of an input that has another one already.
    pub(super) input: Vec<f32>,
    /// Windows of a dense convolution.
    pub(super) columns: Vec<f32>,
    /// Sums for each channel, of up to two tensors.
    pub(super) sums: [Vec<f32>; 2],
    /// Sums of the weights' gradient.
    pub(super) weights: Vec<f32>,
}

/// The first `len` values of a buffer that grows on demand.
pub(super) fn grown(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

/// Images that work is done on at a time, where each has `values_of_an_image` values.
pub(super) fn group(values_of_an_image: usize) -> usize {
    (GROUP / values_of_an_image.max(1)).max(1)
}

/// The images `first..first + images` of a batch, with their part of each output.
pub(super) struct Part<'a, const N: usize> {
    pub(super) first: usize,
    pub(super) images: usize,
    pub(super) outs: [&'a mut [f32]; N],
}

/// Runs `work` on all images of a batch, `group` at a time, with their part of the outputs. An output is given with the
/// number of its values for one image.
pub(super) fn share<const N: usize>(
    lanes: &mut [Lane],
    images: usize,
    group: usize,
    outs: [(&mut [f32], usize); N],
    work: impl Fn(&mut Lane, Part<'_, N>) + Sync,
) {
    let parts = parts(images);
    let start = |part| part * images / parts;
    let mut rest = outs.map(|(out, len)| (&mut out[..images * len], len));
    let parts: Vec<_> = (0..parts)
        .map(|part| {
            let (first, images) = (start(part), start(part + 1) - start(part));
            (first, images, cut(&mut rest, images))
        })
        .collect();
    parts.into_par_iter().zip(lanes.par_iter_mut()).for_each(
        |((first, images, mut rest), lane)| {
            for at in (0..images).step_by(group) {
                let images = group.min(images - at);
                let outs = cut(&mut rest, images).map(|(out, _)| out);
                work(
                    lane,
                    Part {
                        first: first + at,
                        images,
                        outs,
                    },
                );
            }
        },
    );
}

/// Takes `images` images off the front of each output.
fn cut<'a, const N: usize>(
    outs: &mut [(&'a mut [f32], usize); N],
    images: usize,
) -> [(&'a mut [f32], usize); N] {
    outs.each_mut().map(|(out, len)| {
        let (front, back) = std::mem::take(out).split_at_mut(images * *len);
        *out = back;
        (front, *len)
    })
}

/// The number of parts that a batch is cut into.
fn parts(images: usize) -> usize {
    images.min(LANES)
}

/// The lanes that have a part of a batch.
fn used(lanes: &[Lane], images: usize) -> impl Iterator<Item = &Lane> {
    lanes.iter().take(parts(images))
}

/// Sets all lanes' sums of one tensor to zero.
pub(super) fn clear_sums(lanes: &mut [Lane], at: usize, len: usize) {
    for lane in lanes {
        grown(&mut lane.sums[at], len).fill(0.0);
    }
}

/// Adds up the lanes' sums of one tensor, in the order of the lanes.
pub(super) fn total_sums(lanes: &[Lane], images: usize, at: usize, len: usize) -> Vec<f32> {
    let mut total = vec![0.0; len];
    for lane in used(lanes, images) {
        for (total, sum) in total.iter_mut().zip(&lane.sums[at]) {
            *total += sum;
        }
    }
    total
}

/// Adds up the lanes' gradients of weights, in the order of the lanes.
pub(super) fn total_weights(lanes: &[Lane], images: usize, total: &mut [f32]) {
    const CHUNK: usize = 16 * 1024;
    total
        .par_chunks_mut(CHUNK)
        .enumerate()
        .for_each(|(at, total)| {
            total.fill(0.0);
            for lane in used(lanes, images) {
                for (total, sum) in total.iter_mut().zip(&lane.weights[at * CHUNK..]) {
                    *total += sum;
                }
            }
        });
}

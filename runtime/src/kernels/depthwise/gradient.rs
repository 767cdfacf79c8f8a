//! Gradients of the depthwise convolution: of its input (a gather over the outputs that an input pixel went into) and
//! of its filters.

use graft_patches::geometry::Padding;
use graft_patches::layout::{padded, weights_len};

#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
use crate::kernels::vector::Vector;
use crate::kernels::{Shape, Window};

/// One image of a depthwise convolution, and the gradient of its accumulators.
#[derive(Clone, Copy, Debug)]
pub struct DepthwiseGradient<'a> {
    /// Shape of the input.
    pub input_shape: Shape,
    /// Shape of the output.
    pub output_shape: Shape,
    /// Kernel, stride, padding.
    pub window: Window,
    /// Gradient of the accumulators, `output_shape`.
    pub gradient: &'a [f32],
}

/// Filters turned by half a circle, and the padding with which a forward convolution of stride 1 of the gradient gives
/// the gradient of the input; `None` for other strides.
pub fn flip(
    weights: &[f32],
    input: Shape,
    output: Shape,
    window: Window,
) -> Option<(std::vec::Vec<f32>, Window)> {
    if window.stride != [1, 1] {
        return None;
    }
    let [top, left] = window.pad_before(input);
    let [height, width] = window.kernel;
    let (top, left) = (height - 1 - top, width - 1 - left);
    let padding = Padding::Explicit {
        top,
        left,
        bottom: (input.height + height - 1).checked_sub(output.height + top)?,
        right: (input.width + width - 1).checked_sub(output.width + left)?,
    };
    let row = padded(input.channels);
    let flipped = weights
        .chunks_exact(row)
        .take(height * width)
        .rev()
        .flatten()
        .copied()
        .collect();
    Some((flipped, Window { padding, ..window }))
}

/// Panics unless the operands have the lengths that the shapes say.
pub(in crate::kernels) fn check_input(task: &DepthwiseGradient, weights: &[f32], out: &[f32]) {
    check(task, weights.len());
    assert!(out.len() == task.input_shape.len(), "not the input's shape");
}

/// Panics unless the operands have the lengths that the shapes say.
pub(in crate::kernels) fn check_filter(task: &DepthwiseGradient, input: &[f32], sums: &[f32]) {
    check(task, sums.len());
    assert!(
        input.len() == task.input_shape.len(),
        "not the input's shape"
    );
}

fn check(task: &DepthwiseGradient, weights: usize) {
    let [height, width] = task.window.kernel;
    let channels = task.input_shape.channels;
    assert!(task.output_shape.channels == channels, "channels differ");
    assert!(
        task.gradient.len() == task.output_shape.len(),
        "not the output's shape"
    );
    assert!(
        weights >= weights_len(channels, height * width),
        "weights are too short"
    );
    assert!(
        task.window.output(task.input_shape)
            == Some([task.output_shape.height, task.output_shape.width]),
        "the window does not give the output's shape"
    );
}

/// Outputs along one axis that input position `at` went into: (kernel position, output position).
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
fn taps(
    at: usize,
    pad: usize,
    stride: usize,
    kernel: usize,
    size: usize,
) -> impl Iterator<Item = (usize, usize)> + Clone {
    let place = at + pad;
    // The kernel positions that a whole number of strides away.
    (place % stride..kernel)
        .step_by(stride)
        .take_while(move |&k| k <= place)
        .map(move |k| (k, (place - k) / stride))
        .filter(move |&(_, output)| output < size)
}

/// Gradient of the input. The taps of a pixel stay in the first-level cache, so plain loops vectorise well.
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
pub(in crate::kernels) fn input_plain(task: &DepthwiseGradient, weights: &[f32], out: &mut [f32]) {
    let (input, output, window) = (task.input_shape, task.output_shape, task.window);
    let [top, left] = window.pad_before(input);
    let channels = input.channels;
    for (i, out) in out.chunks_exact_mut(channels).enumerate() {
        let (y, x) = (i / input.width, i % input.width);
        out.fill(0.0);
        for (ky, oy) in taps(y, top, window.stride[0], window.kernel[0], output.height) {
            for (kx, ox) in taps(x, left, window.stride[1], window.kernel[1], output.width) {
                let tap = ky * window.kernel[1] + kx;
                let gradient = &task.gradient[(oy * output.width + ox) * channels..][..channels];
                let weights = &weights[tap * padded(channels)..][..channels];
                for c in 0..channels {
                    out[c] += weights[c] * gradient[c];
                }
            }
        }
    }
}

/// Adds the gradient of filters of any width to the packed `sums`.
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
fn filter_plain(task: &DepthwiseGradient, input: &[f32], sums: &mut [f32]) {
    let (shape, output, window) = (task.input_shape, task.output_shape, task.window);
    let [top, left] = window.pad_before(shape);
    let channels = shape.channels;
    for (i, x) in input.chunks_exact(channels).enumerate() {
        for (ky, oy) in taps(
            i / shape.width,
            top,
            window.stride[0],
            window.kernel[0],
            output.height,
        ) {
            for (kx, ox) in taps(
                i % shape.width,
                left,
                window.stride[1],
                window.kernel[1],
                output.width,
            ) {
                let tap = ky * window.kernel[1] + kx;
                let gradient = &task.gradient[(oy * output.width + ox) * channels..];
                for c in 0..channels {
                    sums[tap * padded(channels) + c] += x[c] * gradient[c];
                }
            }
        }
    }
}

/// Adds the gradient of the filters to the packed `sums`: for each vector of channels and kernel row, the sums of the
/// row's taps stay in registers over the whole image.
///
/// # Safety
/// `check_filter(task, input, sums)` holds; the CPU has the instruction set of `V`.
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
pub(in crate::kernels) unsafe fn filter<V: Vector>(
    task: &DepthwiseGradient,
    input: &[f32],
    sums: &mut [f32],
) {
    // SAFETY: passed on from the caller.
    unsafe {
        match task.window.kernel[1] {
            3 => filter_rows::<V, 3>(task, input, sums),
            5 => filter_rows::<V, 5>(task, input, sums),
            _ => filter_plain(task, input, sums),
        }
    }
}

/// # Safety
/// As for [`filter`]; the kernel is `KERNEL` wide.
#[cfg(any(test, target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
unsafe fn filter_rows<V: Vector, const KERNEL: usize>(
    task: &DepthwiseGradient,
    input: &[f32],
    sums: &mut [f32],
) {
    let (shape, output, window) = (task.input_shape, task.output_shape, task.window);
    let [top, left] = window.pad_before(shape);
    let channels = shape.channels;
    for channel in (0..channels).step_by(V::LANES) {
        let lanes = channels - channel;
        for ky in 0..window.kernel[0] {
            // SAFETY: only rows and columns inside of the input, channels below `channels`; packed sums have whole
            // panels.
            unsafe {
                let mut acc = [V::splat(0.0); KERNEL];
                for oy in 0..output.height {
                    let y = (oy * window.stride[0] + ky).wrapping_sub(top);
                    if y >= shape.height {
                        continue;
                    }
                    let row = input.as_ptr().add(y * shape.width * channels + channel);
                    let gradient = task
                        .gradient
                        .as_ptr()
                        .add(oy * output.width * channels + channel);
                    for ox in 0..output.width {
                        let d = V::load_up_to(gradient.add(ox * channels), lanes);
                        let corner = ox * window.stride[1];
                        for (kx, acc) in acc.iter_mut().enumerate() {
                            let x = (corner + kx).wrapping_sub(left);
                            if x < shape.width {
                                *acc = V::load_up_to(row.add(x * channels), lanes).mul_add(d, *acc);
                            }
                        }
                    }
                }
                for (kx, acc) in acc.into_iter().enumerate() {
                    let tap = ky * KERNEL + kx;
                    let to = sums.as_mut_ptr().add(tap * padded(channels) + channel);
                    V::load(to).add(acc).store(to);
                }
            }
        }
    }
}

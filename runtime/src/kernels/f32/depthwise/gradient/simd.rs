//! Fast gradients of the depthwise convolution.

use graft_patches::layout::padded;

use super::DepthwiseGradient;
use crate::kernels::isa::vector::Vector;

/// Outputs along one axis that input position `at` went into: (kernel position, output position).
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
#[inline(always)]
pub(in crate::kernels) fn input(call: &DepthwiseGradient, weights: &[f32], out: &mut [f32]) {
    let (input, output, window) = (call.input_shape, call.output_shape, call.window);
    let [top, left] = window.pad_before(input);
    let channels = input.channels;
    for (i, out) in out.chunks_exact_mut(channels).enumerate() {
        let (y, x) = (i / input.width, i % input.width);
        out.fill(0.0);
        for (ky, oy) in taps(y, top, window.stride[0], window.kernel[0], output.height) {
            for (kx, ox) in taps(x, left, window.stride[1], window.kernel[1], output.width) {
                let tap = ky * window.kernel[1] + kx;
                let gradient = &call.gradient[(oy * output.width + ox) * channels..][..channels];
                let weights = &weights[tap * padded(channels)..][..channels];
                for c in 0..channels {
                    out[c] += weights[c] * gradient[c];
                }
            }
        }
    }
}

/// Adds the gradient of filters of any width to the packed `sums`.
#[inline(always)]
fn filter_plain(call: &DepthwiseGradient, input: &[f32], sums: &mut [f32]) {
    let (shape, output, window) = (call.input_shape, call.output_shape, call.window);
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
                let gradient = &call.gradient[(oy * output.width + ox) * channels..];
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
/// `check_filter(call, input, sums)` holds; the CPU has the instruction set of `V`.
#[inline(always)]
pub(in crate::kernels) unsafe fn filter<V: Vector>(
    call: &DepthwiseGradient,
    input: &[f32],
    sums: &mut [f32],
) {
    // SAFETY: passed on from the caller.
    unsafe {
        match call.window.kernel[1] {
            3 => filter_rows::<V, 3>(call, input, sums),
            5 => filter_rows::<V, 5>(call, input, sums),
            _ => filter_plain(call, input, sums),
        }
    }
}

/// # Safety
/// As for [`filter`]; the kernel is `KERNEL` wide.
#[inline(always)]
unsafe fn filter_rows<V: Vector, const KERNEL: usize>(
    call: &DepthwiseGradient,
    input: &[f32],
    sums: &mut [f32],
) {
    let (shape, output, window) = (call.input_shape, call.output_shape, call.window);
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
                    let gradient = call
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

//! Gradients of the pools, plain: they are few and small. Each adds to `out`, the gradient of one image's input. Only the
//! maximum reads the call's input.

use crate::kernels::f32::Pool;
use crate::kernels::window::clip;

/// Of an average pool: its gradient in equal parts to the pixels that it averaged.
pub fn average(call: &Pool, gradient: &[f32], out: &mut [f32]) {
    windows(call, |pixel, inputs| {
        let whole = call.window.kernel[0] * call.window.kernel[1];
        let count = if call.count_padding {
            whole
        } else {
            inputs.len()
        };
        let channels = call.input_shape.channels;
        let gradient = &gradient[pixel * channels..][..channels];
        for &input in inputs {
            for (out, d) in out[input * channels..].iter_mut().zip(gradient) {
                *out += d / count as f32;
            }
        }
    });
}

/// Of a maximum pool: its gradient to the first of the largest pixels, as PyTorch has it.
pub fn max(call: &Pool, gradient: &[f32], out: &mut [f32]) {
    windows(call, |pixel, inputs| {
        let channels = call.input_shape.channels;
        for c in 0..channels {
            let mut best: Option<usize> = None;
            for &input in inputs {
                let at = input * channels + c;
                if best.is_none_or(|best| call.input[at] > call.input[best]) {
                    best = Some(at);
                }
            }
            if let Some(best) = best {
                out[best] += gradient[pixel * channels + c];
            }
        }
    });
}

/// Of the mean over all pixels.
pub fn global_average(call: &Pool, gradient: &[f32], out: &mut [f32]) {
    let pixels = call.input_shape.pixels() as f32;
    for out in out.chunks_exact_mut(call.input_shape.channels) {
        for (out, d) in out.iter_mut().zip(gradient) {
            *out += d / pixels;
        }
    }
}

/// Calls `each(output pixel, input pixels)` for every window.
fn windows(call: &Pool, mut each: impl FnMut(usize, &[usize])) {
    let (shape, output, window) = (call.input_shape, call.output_shape, call.window);
    let [top, left] = window.pad_before(shape);
    let mut inputs = std::vec::Vec::new();
    for pixel in 0..output.pixels() {
        let (y, x) = (pixel / output.width, pixel % output.width);
        let rows = clip(y, window.stride[0], top, window.kernel[0], shape.height);
        let columns = clip(x, window.stride[1], left, window.kernel[1], shape.width);
        inputs.clear();
        for row in rows.start..rows.start + rows.taps.len() {
            for column in columns.start..columns.start + columns.taps.len() {
                inputs.push(row * shape.width + column);
            }
        }
        each(pixel, &inputs);
    }
}

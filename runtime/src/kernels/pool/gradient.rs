//! Gradients of the pools, plain: they are few and small. Each adds to `out`, the gradient of one image's input. Only the
//! maximum reads the task's input.

use crate::kernels::Pool;
use crate::kernels::window::clip;

/// Of an average pool: its gradient in equal parts to the pixels that it averaged.
pub fn average(task: &Pool, gradient: &[f32], out: &mut [f32]) {
    windows(task, |pixel, inputs| {
        let whole = task.window.kernel[0] * task.window.kernel[1];
        let count = if task.count_padding {
            whole
        } else {
            inputs.len()
        };
        let channels = task.input_shape.channels;
        let gradient = &gradient[pixel * channels..][..channels];
        for &input in inputs {
            for (out, d) in out[input * channels..].iter_mut().zip(gradient) {
                *out += d / count as f32;
            }
        }
    });
}

/// Of a maximum pool: its gradient to the first of the largest pixels, as PyTorch has it.
pub fn max(task: &Pool, gradient: &[f32], out: &mut [f32]) {
    windows(task, |pixel, inputs| {
        let channels = task.input_shape.channels;
        for c in 0..channels {
            let mut best: Option<usize> = None;
            for &input in inputs {
                let at = input * channels + c;
                if best.is_none_or(|best| task.input[at] > task.input[best]) {
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
pub fn global_average(task: &Pool, gradient: &[f32], out: &mut [f32]) {
    let pixels = task.input_shape.pixels() as f32;
    for out in out.chunks_exact_mut(task.input_shape.channels) {
        for (out, d) in out.iter_mut().zip(gradient) {
            *out += d / pixels;
        }
    }
}

/// Calls `each(output pixel, input pixels)` for every window.
fn windows(task: &Pool, mut each: impl FnMut(usize, &[usize])) {
    let (shape, output, window) = (task.input_shape, task.output_shape, task.window);
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

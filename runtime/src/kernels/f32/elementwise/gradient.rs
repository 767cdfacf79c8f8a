//! Gradient of the product, plain: squeeze-excite is small. The second operand has one value for each element or for
//! each channel.

/// Adds to the gradient of the first operand of one image's product.
pub fn multiply_left(right: &[f32], gradient: &[f32], out: &mut [f32]) {
    for (out, gradient) in out
        .chunks_mut(right.len())
        .zip(gradient.chunks(right.len()))
    {
        for ((out, d), right) in out.iter_mut().zip(gradient).zip(right) {
            *out += d * right;
        }
    }
}

/// Adds to the gradient of the second operand of one image's product.
pub fn multiply_right(left: &[f32], gradient: &[f32], out: &mut [f32]) {
    for (left, gradient) in left.chunks(out.len()).zip(gradient.chunks(out.len())) {
        for ((out, d), left) in out.iter_mut().zip(gradient).zip(left) {
            *out += d * left;
        }
    }
}

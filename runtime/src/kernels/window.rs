//! Which part of a sliding window lies on the input.

use core::ops::Range;

/// One axis of a window at one output position.
pub(super) struct Span {
    /// Kernel positions that lie on the input.
    pub(super) taps: Range<usize>,
    /// Input position of the first of them.
    pub(super) start: usize,
}

/// Clips the window of output position `index` to an input of `size`.
#[inline(always)]
pub(super) fn clip(index: usize, stride: usize, pad: usize, kernel: usize, size: usize) -> Span {
    let corner = index * stride;
    let low = pad.saturating_sub(corner).min(kernel);
    let high = (size + pad).saturating_sub(corner).clamp(low, kernel);
    Span {
        taps: low..high,
        start: (corner + low).saturating_sub(pad).min(size),
    }
}

/// The output positions, of `outputs`, whose windows lie on an input of `size` as a whole.
#[inline(always)]
pub(super) fn inside(
    stride: usize,
    pad: usize,
    kernel: usize,
    size: usize,
    outputs: usize,
) -> Range<usize> {
    let start = pad.div_ceil(stride).min(outputs);
    // The last window ends with the input.
    let end = (size + pad)
        .checked_sub(kernel)
        .map_or(0, |last| last / stride + 1);
    start..end.clamp(start, outputs)
}

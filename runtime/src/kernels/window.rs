//! Windows that slide over an input, and the part of each that lies on it.

use core::ops::Range;

use super::{Shape, Window};

/// Kernel positions of a window.
pub(super) const fn taps(window: &Window) -> usize {
    window.kernel[0].saturating_mul(window.kernel[1])
}

/// Values of a window over `channels`.
pub(super) const fn depth(window: &Window, channels: usize) -> usize {
    taps(window).saturating_mul(channels)
}

/// A window that slides over an input.
#[derive(Clone, Copy)]
pub(super) struct Sliding {
    /// Shape of the input.
    pub(super) input: Shape,
    /// Kernel, stride, padding.
    pub(super) window: Window,
    /// Rows of padding above, columns to the left.
    pub(super) pad: [usize; 2],
}

impl Sliding {
    #[inline(always)]
    pub(super) fn new(input: Shape, window: Window) -> Self {
        let pad = window.pad_before(input);
        Self { input, window, pad }
    }

    /// Rows or columns of the input.
    #[inline(always)]
    pub(super) fn size(&self, axis: usize) -> usize {
        [self.input.height, self.input.width][axis]
    }

    /// The row or column of the input under a tap of the window at an output position, unless it lies on padding.
    fn place(&self, axis: usize, index: usize, tap: usize) -> Option<usize> {
        let place = (index * self.window.stride[axis] + tap).checked_sub(self.pad[axis])?;
        (place < self.size(axis)).then_some(place)
    }

    /// The pixel of the input under a tap of the window at an output position, unless it lies on padding.
    pub(super) fn pixel(&self, [y, x]: [usize; 2], [ky, kx]: [usize; 2]) -> Option<usize> {
        Some(self.place(0, y, ky)? * self.input.width + self.place(1, x, kx)?)
    }

    /// The taps of the window at an output position that do not lie on padding, each with the pixel under it.
    pub(super) fn pixels(self, [y, x]: [usize; 2]) -> impl Iterator<Item = (usize, usize)> {
        let [height, width] = self.window.kernel;
        let rows = (0..height).filter_map(move |ky| Some((ky, self.place(0, y, ky)?)));
        rows.flat_map(move |(ky, row)| {
            let columns = (0..width).filter_map(move |kx| Some((kx, self.place(1, x, kx)?)));
            columns.map(move |(kx, column)| (ky * width + kx, row * self.input.width + column))
        })
    }

    /// Clips an axis of the window at output position `index` to the input.
    #[inline(always)]
    pub(super) fn span(&self, axis: usize, index: usize) -> Span {
        let (pad, kernel, size) = (self.pad[axis], self.window.kernel[axis], self.size(axis));
        let corner = index * self.window.stride[axis];
        let low = pad.saturating_sub(corner).min(kernel);
        let high = (size + pad).saturating_sub(corner).clamp(low, kernel);
        Span {
            taps: low..high,
            start: (corner + low).saturating_sub(pad).min(size),
        }
    }

    /// Clips the window at an output position to the input.
    #[inline(always)]
    pub(super) fn clip(self, [y, x]: [usize; 2]) -> Clipped {
        Clipped {
            rows: self.span(0, y),
            columns: self.span(1, x),
            sliding: self,
        }
    }

    /// The windows of output rows of `width` pixels, from row `first`, clipped.
    #[cfg(any(test, simd, feature = "gradient"))]
    #[inline(always)]
    pub(super) fn windows(self, first: usize, width: usize) -> impl Iterator<Item = Clipped> {
        (first * width..).map(move |pixel| self.clip([pixel / width, pixel % width]))
    }

    /// The output positions of an axis, of `outputs`, whose windows lie on the input as a whole.
    #[inline(always)]
    pub(super) fn inside(&self, axis: usize, outputs: usize) -> Range<usize> {
        let (pad, stride) = (self.pad[axis], self.window.stride[axis]);
        let start = pad.div_ceil(stride).min(outputs);
        // The last window ends with the input.
        let end = (self.size(axis) + pad)
            .checked_sub(self.window.kernel[axis])
            .map_or(0, |last| last / stride + 1);
        start..end.clamp(start, outputs)
    }
}

/// One axis of a window at one output position.
pub(super) struct Span {
    /// Kernel positions that lie on the input.
    pub(super) taps: Range<usize>,
    /// Input position of the first of them.
    pub(super) start: usize,
}

/// The part of a window that lies on the input.
pub(super) struct Clipped {
    sliding: Sliding,
    rows: Span,
    columns: Span,
}

/// Values that lie side by side in a window `[kh][kw][C]` and on the input.
pub(super) struct Run {
    /// Those of the window.
    pub(super) window: Range<usize>,
    /// Those of the input.
    pub(super) input: Range<usize>,
}

impl Clipped {
    /// Rows and columns.
    #[inline(always)]
    pub(super) fn taps(&self) -> [usize; 2] {
        [self.rows.taps.len(), self.columns.taps.len()]
    }

    /// Row and column in the window of its first tap.
    #[cfg(any(test, simd))]
    #[inline(always)]
    pub(super) fn first_tap(&self) -> [usize; 2] {
        [self.rows.taps.start, self.columns.taps.start]
    }

    /// Index of its first value in the input.
    #[cfg(any(test, simd))]
    #[inline(always)]
    pub(super) fn corner(&self) -> usize {
        let input = self.sliding.input;
        (self.rows.start * input.width + self.columns.start) * input.channels
    }

    /// Whether it is all of the window.
    #[cfg(any(test, feature = "gradient", target_arch = "arm"))]
    #[inline(always)]
    pub(super) fn is_whole(&self) -> bool {
        self.taps() == self.sliding.window.kernel
    }

    /// Its runs, one for each row.
    #[inline(always)]
    pub(super) fn runs(&self) -> impl Iterator<Item = Run> {
        let Shape {
            width, channels, ..
        } = self.sliding.input;
        let kernel_width = self.sliding.window.kernel[1];
        let length = self.columns.taps.len() * channels;
        let (tap, column) = (self.columns.taps.start, self.columns.start);
        let rows = (self.rows.start..).zip(self.rows.taps.clone());
        rows.map(move |(row, ky)| {
            let window = (ky * kernel_width + tap) * channels;
            let input = (row * width + column) * channels;
            Run {
                window: window..window + length,
                input: input..input + length,
            }
        })
    }

    /// Copies the window, `[kh][kw][C]`, with `padding` where it does not lie on the input.
    #[cfg(any(test, feature = "gradient", target_arch = "arm"))]
    pub(super) fn gather<T: Copy>(&self, input: &[T], padding: T, to: &mut [T]) {
        if !self.is_whole() {
            to.fill(padding);
        }
        for run in self.runs() {
            to[run.window].copy_from_slice(&input[run.input]);
        }
    }
}

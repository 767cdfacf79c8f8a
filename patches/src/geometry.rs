//! Shapes of activations and the arithmetic of sliding windows.

use core::ops::Range;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Height, width and channels of an NHWC activation of one image.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Shape {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels.
    pub channels: usize,
}

impl Shape {
    /// A shape from rows, columns and channels.
    pub const fn new(height: usize, width: usize, channels: usize) -> Self {
        Self {
            height,
            width,
            channels,
        }
    }

    /// Rows times columns; the largest number where that is too much for this machine.
    pub const fn pixels(&self) -> usize {
        self.height.saturating_mul(self.width)
    }

    /// Values in the activation; the largest number where that is too much for this machine.
    pub const fn len(&self) -> usize {
        self.pixels().saturating_mul(self.channels)
    }

    /// Whether the activation has no values.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl core::fmt::Display for Shape {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}x{}x{}", self.height, self.width, self.channels)
    }
}

/// Zeros around the input of a sliding window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Fixed rows and columns, as PyTorch pads.
    Explicit {
        /// Rows above.
        top: usize,
        /// Columns to the left.
        left: usize,
        /// Rows below.
        bottom: usize,
        /// Columns to the right.
        right: usize,
    },
    /// TensorFlow's SAME: the output is `ceil(input / stride)`, the odd row or column of padding goes to the bottom
    /// or right. Depends on the input's size, so one network keeps its meaning at any resolution.
    Same,
}

impl Padding {
    /// No padding.
    pub const VALID: Self = Self::Explicit {
        top: 0,
        left: 0,
        bottom: 0,
        right: 0,
    };
}

/// The sliding window of a convolution or pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Vertical and horizontal stride.
    pub stride: [usize; 2],
    /// Zeros around the input.
    pub padding: Padding,
}

impl Window {
    /// 1 x 1, stride 1, no padding: operators without a window carry this.
    pub const POINT: Self = Self {
        kernel: [1, 1],
        stride: [1, 1],
        padding: Padding::VALID,
    };

    /// Rows and columns of the output, or `None` where the window does not fit the padded input once.
    pub fn output(&self, input: Shape) -> Option<[usize; 2]> {
        let size = [input.height, input.width];
        let padding = match self.padding {
            Padding::Same => {
                return Some([
                    size[0].div_ceil(self.stride[0]),
                    size[1].div_ceil(self.stride[1]),
                ]);
            }
            Padding::Explicit {
                top,
                left,
                bottom,
                right,
            } => [top + bottom, left + right],
        };
        let axis = |i: usize| {
            Some((size[i] + padding[i]).checked_sub(self.kernel[i])? / self.stride[i] + 1)
        };
        Some([axis(0)?, axis(1)?])
    }

    /// The band of some rows of the output, which the window has for an input of this shape.
    pub fn band(&self, input: Shape, rows: Range<usize>) -> Band {
        let size = [input.height, input.width];
        let before = self.pad_before(input);
        // Of rows or columns of the output: the input under them, with padding before and after.
        let under = |axis: usize, outputs: Range<usize>| {
            let start = outputs.start * self.stride[axis];
            let end = (outputs.end.max(1) - 1) * self.stride[axis] + self.kernel[axis];
            let inside = |at: usize| at.saturating_sub(before[axis]).min(size[axis]);
            let input = inside(start)..inside(end);
            let left = before[axis].saturating_sub(start);
            let right = end.saturating_sub(before[axis] + size[axis]);
            (input, left, right)
        };
        let columns = self.output(input).map_or(0, |[_, columns]| columns);
        let (input, top, bottom) = under(0, rows);
        let (_, left, right) = under(1, 0..columns);
        Band {
            input,
            window: Self {
                padding: Padding::Explicit {
                    top,
                    left,
                    bottom,
                    right,
                },
                ..*self
            },
        }
    }

    /// Input rows under `rows` neighbouring rows of the output, where no padding is among them.
    pub const fn rows_under(&self, rows: usize) -> usize {
        rows.saturating_sub(1)
            .saturating_mul(self.stride[0])
            .saturating_add(self.kernel[0])
    }

    /// Rows of padding above and columns to the left, for an input of this size.
    pub fn pad_before(&self, input: Shape) -> [usize; 2] {
        match self.padding {
            Padding::Explicit { top, left, .. } => [top, left],
            Padding::Same => {
                let size = [input.height, input.width];
                [0, 1].map(|i| {
                    let last = size[i].div_ceil(self.stride[i]).saturating_sub(1) * self.stride[i];
                    (last + self.kernel[i]).saturating_sub(size[i]) / 2
                })
            }
        }
    }
}

/// Some rows of a window's output: what makes them of the input rows under them alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Band {
    /// Rows of the input.
    pub input: Range<usize>,
    /// The window on these rows; its padding is explicit.
    pub window: Window,
}

/// The function that follows `scale * acc + bias` in a layer, fused into the kernel's store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `min(max(x, min), max)`: none (infinite bounds), ReLU, ReLU6.
    Clamp {
        /// Lower bound.
        min: f32,
        /// Upper bound.
        max: f32,
    },
    /// `x * clamp(x / 6 + 1/2, 0, 1)` (MobileNetV3, section 5.2).
    HardSwish,
    /// `clamp(alpha * x + beta, 0, 1)`.
    HardSigmoid {
        /// Slope.
        alpha: f32,
        /// Offset.
        beta: f32,
    },
}

impl Activation {
    /// The identity.
    pub const NONE: Self = Self::Clamp {
        min: f32::NEG_INFINITY,
        max: f32::INFINITY,
    };
    /// `max(x, 0)`.
    pub const RELU: Self = Self::Clamp {
        min: 0.0,
        max: f32::INFINITY,
    };
    /// `min(max(x, 0), 6)`.
    pub const RELU6: Self = Self::Clamp { min: 0.0, max: 6.0 };

    /// Whether it is more than a clamp: int8 layers look it up in a table.
    pub const fn is_curve(self) -> bool {
        !matches!(self, Self::Clamp { .. })
    }

    /// The activation of one value. NaN stays NaN.
    pub fn of(self, x: f32) -> f32 {
        // Unlike `f32::clamp`, no panic on bounds out of order.
        let clamp = |x: f32, min, max| {
            let x = if x < min { min } else { x };
            if x > max { max } else { x }
        };
        match self {
            Self::Clamp { min, max } => clamp(x, min, max),
            Self::HardSwish => x * clamp(x / 6.0 + 0.5, 0.0, 1.0),
            Self::HardSigmoid { alpha, beta } => clamp(alpha * x + beta, 0.0, 1.0),
        }
    }
}

//! Activations and their slopes, as types, so that a loop is compiled for each.

/// An activation and its derivative.
pub(super) trait Slope: Copy {
    /// The activation of `y`.
    fn value(self, y: f32) -> f32;
    /// Its derivative at `y`; at a corner that of the flat side, as PyTorch has it.
    fn slope(self, y: f32) -> f32;
}

/// `min(max(y, min), max)`.
#[derive(Clone, Copy)]
pub(super) struct Clamp {
    pub(super) min: f32,
    pub(super) max: f32,
}

impl Slope for Clamp {
    #[inline(always)]
    fn value(self, y: f32) -> f32 {
        let y = if y < self.min { self.min } else { y };
        if y > self.max { self.max } else { y }
    }

    #[inline(always)]
    fn slope(self, y: f32) -> f32 {
        if (y > self.min) & (y < self.max) {
            1.0
        } else {
            0.0
        }
    }
}

/// `y * clamp(y / 6 + 1/2, 0, 1)`.
#[derive(Clone, Copy)]
pub(super) struct HardSwish;

impl Slope for HardSwish {
    #[inline(always)]
    fn value(self, y: f32) -> f32 {
        y * UNIT.value(y * (1.0 / 6.0) + 0.5)
    }

    #[inline(always)]
    fn slope(self, y: f32) -> f32 {
        let inner = y * (1.0 / 3.0) + 0.5;
        let inner = if y <= -3.0 { 0.0 } else { inner };
        if y >= 3.0 { 1.0 } else { inner }
    }
}

/// `clamp(alpha * y + beta, 0, 1)`.
#[derive(Clone, Copy)]
pub(super) struct HardSigmoid {
    pub(super) alpha: f32,
    pub(super) beta: f32,
}

impl Slope for HardSigmoid {
    #[inline(always)]
    fn value(self, y: f32) -> f32 {
        UNIT.value(self.alpha * y + self.beta)
    }

    #[inline(always)]
    fn slope(self, y: f32) -> f32 {
        self.alpha * UNIT.slope(self.alpha * y + self.beta)
    }
}

const UNIT: Clamp = Clamp { min: 0.0, max: 1.0 };

/// Runs an expression with the activation as a [`Slope`].
macro_rules! with_slope {
    ($activation:expr, $slope:ident => $body:expr) => {
        match $activation {
            $crate::kernels::Activation::Clamp { min, max } => {
                let $slope = $crate::kernels::f32::norm::slope::Clamp { min, max };
                $body
            }
            $crate::kernels::Activation::HardSwish => {
                let $slope = $crate::kernels::f32::norm::slope::HardSwish;
                $body
            }
            $crate::kernels::Activation::HardSigmoid { alpha, beta } => {
                let $slope = $crate::kernels::f32::norm::slope::HardSigmoid { alpha, beta };
                $body
            }
        }
    };
}

pub(super) use with_slope;

//! Functions of one activation that a layer may be able to fuse, gathered node by node.
//!
//! Exporters spell hard-swish as `x * clip(x + 3, 0, 6) / 6` in any order and grouping. All of these, and every clamp
//! and hard-sigmoid, have one form, `[x *] clamp(slope * x + offset, min, max)`, which is closed under the nodes that
//! such spellings use.

use graft_patches::geometry::Activation;

/// `clamp(slope * x + offset, min, max)`, times x if `times_x`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Expression {
    times_x: bool,
    slope: f32,
    offset: f32,
    min: f32,
    max: f32,
}

/// The parts of an expression that the layer which computes x takes over: an affine map, then an activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fused {
    pub(super) slope: f32,
    pub(super) offset: f32,
    pub(super) activation: Activation,
}

/// Exporters round 1/6 to as few as four digits.
const TOLERANCE: f32 = 1e-4;

impl Expression {
    pub(super) const IDENTITY: Self = Self {
        times_x: false,
        slope: 1.0,
        offset: 0.0,
        min: f32::NEG_INFINITY,
        max: f32::INFINITY,
    };

    pub(super) const HARD_SWISH: Self = Self {
        times_x: true,
        slope: 1.0 / 6.0,
        offset: 0.5,
        min: 0.0,
        max: 1.0,
    };

    pub(super) fn is_identity(&self) -> bool {
        *self == Self::IDENTITY
    }

    /// Whether more than a factor may still be applied.
    pub(super) fn is_open(&self) -> bool {
        !self.times_x
    }

    /// The expression plus a number; only of an open one.
    pub(super) fn plus(self, number: f32) -> Self {
        Self {
            offset: self.offset + number,
            min: self.min + number,
            max: self.max + number,
            ..self
        }
    }

    /// The expression times a positive number.
    pub(super) fn times(self, factor: f32) -> Self {
        Self {
            slope: self.slope * factor,
            offset: self.offset * factor,
            min: self.min * factor,
            max: self.max * factor,
            ..self
        }
    }

    /// The expression within bounds; only of an open one.
    pub(super) fn clamped(self, min: f32, max: f32) -> Self {
        Self {
            min: self.min.max(min).min(max),
            max: self.max.max(min).min(max),
            ..self
        }
    }

    /// The expression of an x that is within bounds itself; only of an open one.
    pub(super) fn of_clamped(self, [min, max]: [f32; 2]) -> Self {
        let [min, max] = [min, max].map(|bound| self.slope * bound + self.offset);
        Self {
            min: self.min.max(min).min(self.max),
            max: self.max.min(max).max(self.min),
            ..self
        }
    }

    /// x times the expression; only of an open one.
    pub(super) fn times_x(self) -> Self {
        Self {
            times_x: true,
            ..self
        }
    }

    /// The activation that computes this, if there is one.
    pub(super) fn fused(&self) -> Option<Fused> {
        let plain = |activation| Fused {
            slope: 1.0,
            offset: 0.0,
            activation,
        };
        if self.times_x {
            let hard_swish = Self::HARD_SWISH;
            return self
                .is_close(&hard_swish)
                .then_some(plain(Activation::HardSwish));
        }
        let is_plain_clamp = self.slope == 1.0 && self.offset == 0.0;
        if !is_plain_clamp && close(self.min, 0.0) && close(self.max, 1.0) {
            return Some(plain(Activation::HardSigmoid {
                alpha: self.slope,
                beta: self.offset,
            }));
        }
        Some(Fused {
            slope: self.slope,
            offset: self.offset,
            activation: Activation::Clamp {
                min: self.min,
                max: self.max,
            },
        })
    }

    fn is_close(&self, other: &Self) -> bool {
        close(self.slope, other.slope)
            && close(self.offset, other.offset)
            && close(self.min, other.min)
            && close(self.max, other.max)
    }
}

fn close(a: f32, b: f32) -> bool {
    (a - b).abs() < TOLERANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_hard_swish_is_one() {
        let relu6 = Expression::IDENTITY.plus(3.0).clamped(0.0, 6.0);
        let spellings = [
            relu6.times_x().times(1.0 / 6.0),
            relu6.times(1.0 / 6.0).times_x(),
            relu6.times_x().times(0.16666),
            Expression::IDENTITY
                .times(1.0 / 6.0)
                .plus(0.5)
                .clamped(0.0, 1.0)
                .times_x(),
        ];
        for spelling in spellings {
            let fused = spelling.fused().unwrap();
            assert_eq!(fused.activation, Activation::HardSwish, "{spelling:?}");
        }
        assert_eq!(relu6.times_x().fused(), None);
        assert_eq!(Expression::IDENTITY.times_x().fused(), None);
    }

    #[test]
    fn clamps_compose_and_keep_an_affine_map_apart() {
        let twice = Expression::IDENTITY
            .clamped(0.0, f32::INFINITY)
            .clamped(-1.0, 6.0);
        assert_eq!(twice.fused().unwrap().activation, Activation::RELU6);
        let shifted = Expression::IDENTITY
            .plus(2.0)
            .clamped(0.0, f32::INFINITY)
            .fused();
        let expected = Fused {
            slope: 1.0,
            offset: 2.0,
            activation: Activation::RELU,
        };
        assert_eq!(shifted, Some(expected));
        let doubled = Expression::IDENTITY.times(2.0).plus(1.0);
        let bounded = doubled.of_clamped([0.0, 3.0]).clamped(-5.0, 6.0).fused();
        let clamp = Activation::Clamp { min: 1.0, max: 6.0 };
        assert_eq!(bounded.unwrap().activation, clamp);
        let sigmoid = Expression::IDENTITY
            .plus(3.0)
            .clamped(0.0, 6.0)
            .times(1.0 / 6.0);
        let activation = sigmoid.fused().unwrap().activation;
        assert!(matches!(activation, Activation::HardSigmoid { beta, .. } if beta == 0.5));
    }
}

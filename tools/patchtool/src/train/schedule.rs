//! The learning rate over a run.

use std::f64::consts::PI;

/// Linear warm-up, then a cosine down to a fraction of the base rate (SGDR without restarts, Loshchilov and Hutter
/// 2017, eq. 5).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Rate at the end of the warm-up.
    pub base: f32,
    /// Steps of the whole run.
    pub steps: usize,
    /// Steps of the warm-up, which are part of `steps`.
    pub warmup: usize,
    /// Share of the base rate that is left at the end, 0 to 1.
    pub last: f32,
}

impl Schedule {
    /// The rate of step `step`, counted from 0. The first step already moves, and so does the last.
    pub fn rate(&self, step: usize) -> f32 {
        if step < self.warmup {
            return (f64::from(self.base) * (step + 1) as f64 / self.warmup as f64) as f32;
        }
        let length = self.steps.saturating_sub(self.warmup).max(1);
        let progress = ((step - self.warmup) as f64 / length as f64).min(1.0);
        let cosine = 0.5 * (1.0 + (PI * progress).cos());
        let last = f64::from(self.last);
        (f64::from(self.base) * (last + (1.0 - last) * cosine)) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_rate_rises_in_a_line_and_falls_in_a_cosine() {
        let schedule = Schedule {
            base: 0.8,
            steps: 12,
            warmup: 4,
            last: 0.25,
        };
        let expected = [
            (0, 0.2),
            (1, 0.4),
            (3, 0.8),
            (4, 0.8),
            // Half way between 0.8 and 0.2.
            (8, 0.5),
            (12, 0.2),
            (1000, 0.2),
        ];
        for (step, rate) in expected {
            assert!((schedule.rate(step) - rate).abs() < 1e-6, "step {step}");
        }
    }

    proptest! {
        #[test]
        fn every_step_moves_and_none_exceeds_the_base(steps in 1usize..500, warmup in 0usize..600, base in 1e-6f32..1.0) {
            let schedule = Schedule { base, steps, warmup, last: 0.0 };
            for step in 0..steps {
                let rate = schedule.rate(step);
                prop_assert!(rate > 0.0 && rate <= base, "step {step}: {rate}");
            }
        }
    }
}

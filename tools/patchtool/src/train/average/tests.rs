//! Averages are those of their definitions, and those of the theory on a quadratic.

use graft_tests::Random;
use proptest::prelude::*;

use super::*;

fn rule(text: &str) -> Rule {
    text.parse().unwrap()
}

#[test]
fn rules_are_read_as_they_are_written() {
    for text in ["two-point:1", "two-point:1000", "ema:0.99", "swa"] {
        assert_eq!(rule(text).to_string(), text);
    }
    let refused = [
        ("two-point", "whole number of steps"),
        ("two-point:0", "found \"0\""),
        ("two-point:2.5", "found \"2.5\""),
        ("two-point:-1", "above zero"),
        ("ema", "above 0 and below 1"),
        ("ema:1", "found \"1\""),
        ("ema:NaN", "found \"NaN\""),
        ("swa:3", "no average is called \"swa:3\""),
        ("mean", "two-point:STEPS"),
    ];
    for (text, words) in refused {
        let error = text.parse::<Rule>().unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

/// The steps that an average has values of, each with its weight.
fn weights(rule: Rule, steps: usize) -> Vec<f64> {
    let mut weights = vec![0.0; steps];
    match rule {
        Rule::TwoPoint(apart) => {
            let apart = apart.get() as usize;
            let other = match steps / apart {
                0 => steps,
                1 => apart,
                multiple => (multiple - 1) * apart,
            };
            weights[steps - 1] += 0.5;
            weights[other - 1] += 0.5;
        }
        Rule::Ema(decay) => {
            let decay = f64::from(decay);
            for (step, weight) in weights.iter_mut().enumerate() {
                *weight = decay.powf((steps - 1 - step) as f64);
            }
            let sum: f64 = weights.iter().sum();
            weights.iter_mut().for_each(|weight| *weight /= sum);
        }
        Rule::Swa => {
            let first = (1_usize << steps.ilog2()) / 2;
            let first = first.max(1);
            weights[first - 1..].fill(1.0 / (steps - first + 1) as f64);
        }
    }
    weights
}

proptest! {
    #[test]
    fn an_average_is_that_of_its_definition(
        values in prop::collection::vec(-1f32..1.0, 1..200),
        apart in 1u64..40,
        decay in 0.01f32..0.999,
    ) {
        let rules = [Rule::TwoPoint(NonZeroU64::new(apart).unwrap()), Rule::Ema(decay), Rule::Swa];
        for rule in rules {
            let mut average = Average::new(rule, 2);
            for (step, &value) in values.iter().enumerate() {
                average.add(&[value, -value]);
                let found = average.of(&[value, -value]);
                let weights = weights(rule, step + 1);
                let products = weights.iter().zip(&values).map(|(weight, &value)| weight * f64::from(value));
                let expected: f64 = products.sum();
                prop_assert!((f64::from(found[0]) - expected).abs() < 1e-5, "{rule} after {step}");
                prop_assert_eq!(found[0], -found[1]);
            }
        }
    }
}

#[test]
fn memory_is_what_it_says_and_nothing_is_averaged_before_the_first_step() {
    for (text, copies) in [("two-point:7", 2), ("ema:0.5", 1), ("swa", 2)] {
        let average = Average::new(rule(text), 5);
        assert_eq!(average.bytes(), copies * 5 * 4);
        assert_eq!(average.of(&[3.0; 5]), [3.0; 5]);
    }
}

/// Curvature and noise of the quadratic.
const CURVATURE: f32 = 1.0;

/// Variances of the last values and of averages around the minimum of a quadratic, on which gradient descent at this rate has
/// gradients with noise of variance 1: many runs side by side, measured every `every` steps once they have settled.
fn variances(rate: f32, rules: &[Rule], (steps, every): (u64, u64)) -> (f64, Vec<f64>) {
    const RUNS: usize = 1000;
    let settled = steps / 5;
    let mut random = Random(7);
    let mut values = vec![0.0_f32; RUNS];
    let mut averages: Vec<Average> = rules.iter().map(|&rule| Average::new(rule, RUNS)).collect();
    let (mut last, mut sums, mut count) = (0.0, vec![0.0; rules.len()], 0.0);
    // Uniform noise between -1 and 1 has a variance of a third.
    let spread = 3.0_f32.sqrt();
    let squares = |values: &[f32]| {
        values
            .iter()
            .map(|&v| f64::from(v) * f64::from(v))
            .sum::<f64>()
    };
    for step in 1..=steps {
        for value in &mut values {
            let noise = spread * random.value();
            *value -= rate * (CURVATURE * *value + noise);
        }
        averages.iter_mut().for_each(|average| average.add(&values));
        if step > settled && step % every == 0 {
            last += squares(&values);
            for (sum, average) in sums.iter_mut().zip(&averages) {
                *sum += squares(&average.of(&values));
            }
            count += RUNS as f64;
        }
    }
    (last / count, sums.iter().map(|sum| sum / count).collect())
}

/// The excess loss of the average of two points n steps apart is (1 + (1 - rate * curvature)^n) / 2 of that of the last
/// values: half for points that are far apart.
#[test]
fn on_a_quadratic_two_points_are_what_the_theory_says() {
    let rate = 0.1;
    let apart = [1, 10, 100, 1000];
    let rules = apart.map(|n| Rule::TwoPoint(NonZeroU64::new(n).unwrap()));
    // Wherever all are exactly as far apart as they say.
    let (last, found) = variances(rate, &rules, (100_000, 1000));
    let theory = f64::from(rate) / (2.0 - f64::from(rate));
    assert!((last / theory - 1.0).abs() < 0.02, "{last} {theory}");
    for (n, found) in apart.iter().zip(&found) {
        let expected = 0.5 * (1.0 + (1.0 - f64::from(rate)).powf(*n as f64));
        assert!(
            (found / last / expected - 1.0).abs() < 0.02,
            "{n}: {} {expected}",
            found / last
        );
    }
    let half = found[3] / last;
    assert!((half - 0.5).abs() < 0.02, "{half}");
}

/// As [`on_a_quadratic_two_points_are_what_the_theory_says`].
#[test]
fn on_a_quadratic_ema_is_what_the_theory_says() {
    let (rate, decays) = (0.1, [0.5_f32, 0.9, 0.99]);
    let (last, found) = variances(rate, &decays.map(Rule::Ema), (20_000, 50));
    let left = 1.0 - f64::from(rate);
    for (decay, found) in decays.iter().zip(&found) {
        let b = f64::from(*decay);
        let expected = (1.0 - b) / (1.0 + b) * (1.0 + b * left) / (1.0 - b * left);
        assert!(
            (found / last / expected - 1.0).abs() < 0.03,
            "{decay}: {} {expected}",
            found / last
        );
    }
}

//! Least squares with a quadratic.

/// The share of the variance of the second values that a quadratic in the first ones explains (R2, at most 1). `None` where
/// there are fewer than four points, nothing varies, or something is not finite.
pub(super) fn r2(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let mean = points.iter().map(|point| point.1).sum::<f64>() / count;
    let variance: f64 = points.iter().map(|point| (point.1 - mean).powi(2)).sum();
    let middle = points.iter().map(|point| point.0).sum::<f64>() / count;
    let widest = points.iter().map(|point| (point.0 - middle).abs());
    let widest = widest.fold(0.0, f64::max);
    let may_fit = points.len() >= 4 && variance > 0.0 && widest > 0.0;
    if !may_fit || !variance.is_finite() || !widest.is_finite() {
        return None;
    }
    // Columns that are orthogonal to each other (Gram and Schmidt), from 1, x and x^2.
    let along: Vec<f64> = points
        .iter()
        .map(|point| (point.0 - middle) / widest)
        .collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let squares: Vec<f64> = along.iter().map(|x| x * x).collect();
    let (level, slope) = (
        squares.iter().sum::<f64>() / count,
        dot(&squares, &along) / dot(&along, &along),
    );
    let bent: Vec<f64> = squares
        .iter()
        .zip(&along)
        .map(|(square, x)| square - level - slope * x)
        .collect();
    let values: Vec<f64> = points.iter().map(|point| point.1 - mean).collect();
    let explained = [&along, &bent].map(|column| {
        let norm = dot(column, column);
        // Two places only: no bend.
        match norm > 1e-12 {
            true => dot(column, &values).powi(2) / norm,
            false => 0.0,
        }
    });
    Some((explained[0] + explained[1]) / variance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_quadratic_is_explained_whole(a in -5f64..5.0, b in -5f64..5.0, c in 0.1f64..5.0, start in -100f64..100.0) {
            let points: Vec<(f64, f64)> = (0..9)
                .map(|x| start + f64::from(x * x) / 7.0)
                .map(|x| (x, a + b * (x - start) + c * (x - start).powi(2)))
                .collect();
            prop_assert!((r2(&points).unwrap() - 1.0).abs() < 1e-7);
        }
    }

    #[test]
    fn what_is_no_quadratic_is_explained_in_part() {
        let cubic: Vec<(f64, f64)> = (-4..=4)
            .map(|x| (f64::from(x), f64::from(x).powi(3)))
            .collect();
        // By its slope alone: (sum x^4)^2 / (sum x^2 sum x^6).
        let sum = |power| 2.0 * (1..=4).map(|x| f64::from(x).powi(power)).sum::<f64>();
        let expected = sum(4).powi(2) / (sum(2) * sum(6));
        assert!((r2(&cubic).unwrap() - expected).abs() < 1e-9);
        assert_eq!(r2(&cubic[..3]), None);
        assert_eq!(r2(&[(0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (3.0, 1.0)]), None);
        assert_eq!(
            r2(&[(0.0, 1.0), (1.0, f64::NAN), (2.0, 1.0), (3.0, 1.0)]),
            None
        );
    }
}

//! Methods to choose the range of a tensor.

use std::fmt;
use std::str::FromStr;

use graft_patches::scale::Scale;

use super::Statistics;

/// Range of the values of a tensor that its bytes reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// All of them.
    MinMax,
    /// All but the outermost: this share in a hundred is kept, values beyond it at each end are cut off.
    Percentile(f64),
    /// The range with the least mean squared error, of rounding and cutting off together.
    Mse,
}

impl Default for Method {
    /// Nearly all of them: on EfficientNet-Lite0 as good as the least squared error, and quicker (`tools/RESULTS.md`).
    fn default() -> Self {
        Self::Percentile(99.999)
    }
}

impl Method {
    /// Least and greatest value that a tensor's bytes should reach.
    pub fn range(self, statistics: &Statistics) -> (f32, f32) {
        match self {
            Self::MinMax => (statistics.low, statistics.high),
            Self::Percentile(kept) => percentile(statistics, kept),
            Self::Mse => least_error(statistics),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MinMax => f.write_str("minmax"),
            Self::Percentile(kept) => write!(f, "percentile:{kept}"),
            Self::Mse => f.write_str("mse"),
        }
    }
}

/// Text that names no method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected minmax, mse, or percentile:P with P from 90 to 100")]
pub struct UnknownMethod;

impl FromStr for Method {
    type Err = UnknownMethod;

    fn from_str(text: &str) -> Result<Self, UnknownMethod> {
        match (text, text.strip_prefix("percentile:")) {
            ("minmax", _) => Ok(Self::MinMax),
            ("mse", _) => Ok(Self::Mse),
            (_, Some(kept)) => match kept.parse() {
                Ok(kept) if (90.0..=100.0).contains(&kept) => Ok(Self::Percentile(kept)),
                _ => Err(UnknownMethod),
            },
            _ => Err(UnknownMethod),
        }
    }
}

/// Width of a bin.
fn width(statistics: &Statistics) -> f32 {
    (statistics.high - statistics.low) / statistics.histogram.len().max(1) as f32
}

fn percentile(statistics: &Statistics, kept: f64) -> (f32, f32) {
    let total: u64 = statistics.histogram.iter().sum();
    let cut = (total as f64 * (100.0 - kept) / 100.0) as u64;
    let width = width(statistics);
    let outer = |bins: &mut dyn Iterator<Item = &u64>| {
        let mut seen = 0;
        let is_cut = |&&count: &&u64| {
            seen += count;
            seen <= cut
        };
        bins.take_while(is_cut).count() as f32
    };
    (
        statistics.low + width * outer(&mut statistics.histogram.iter()),
        statistics.high - width * outer(&mut statistics.histogram.iter().rev()),
    )
}

/// Tries shares of both ends.
fn least_error(statistics: &Statistics) -> (f32, f32) {
    const STEPS: usize = 40;
    let shares = |end: f32| {
        let steps = if end == 0.0 { 1 } else { STEPS };
        (0..steps).map(move |step| end * (1.0 - 0.8 * step as f32 / STEPS as f32))
    };
    let mut best = (f64::INFINITY, (statistics.low, statistics.high));
    for high in shares(statistics.high) {
        for low in shares(statistics.low) {
            let error = error(statistics, low, high);
            if error < best.0 {
                best = (error, (low, high));
            }
        }
    }
    best.1
}

/// Sum of the squared errors of all values in bytes of a range.
fn error(statistics: &Statistics, low: f32, high: f32) -> f64 {
    let scale = Scale::of_range(low, high);
    let (width, ends) = (width(statistics), [scale.value(-128), scale.value(127)]);
    // Rounding leaves an even error from -1/2 to 1/2 of a step.
    let rounding = f64::from(scale.scale) * f64::from(scale.scale) / 12.0;
    let centre = |bin: usize| statistics.low + (bin as f32 + 0.5) * width;
    let bins = statistics.histogram.iter().enumerate();
    bins.filter(|(_, count)| **count > 0)
        .map(|(bin, &count)| {
            let beyond = centre(bin) - centre(bin).clamp(ends[0], ends[1]);
            let cut = f64::from(beyond) * f64::from(beyond);
            count as f64 * if beyond == 0.0 { rounding } else { cut }
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values from 0 to 1, and one at 100.
    fn outlier() -> Statistics {
        let mut histogram = vec![0; 1000];
        histogram[..10].fill(1000);
        histogram[999] = 1;
        Statistics {
            low: 0.0,
            high: 100.0,
            not_finite: None,
            means: Vec::new(),
            histogram,
        }
    }

    #[test]
    fn an_outlier_is_cut_off_by_all_but_minmax() {
        let statistics = outlier();
        assert_eq!(Method::MinMax.range(&statistics), (0.0, 100.0));
        let (low, high) = Method::Percentile(99.9).range(&statistics);
        assert!(low == 0.0 && (0.9..=1.1).contains(&high), "{low}, {high}");
        assert_eq!(Method::Percentile(100.0).range(&statistics), (0.0, 100.0));
        let (low, high) = Method::Mse.range(&statistics);
        assert!(low == 0.0 && high < 100.0, "{low}, {high}");
    }

    #[test]
    fn text_names_methods() {
        for method in [Method::MinMax, Method::Percentile(99.99), Method::Mse] {
            assert_eq!(method.to_string().parse(), Ok(method));
        }
        for text in ["", "max", "percentile", "percentile:50", "percentile:nan"] {
            assert_eq!(text.parse::<Method>(), Err(UnknownMethod), "{text}");
        }
    }
}

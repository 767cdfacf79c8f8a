//! The independent judge of an import: the original model, run by tract on the images that the backbone runs on.
//!
//! Nothing of the importer takes part. tract reads the file itself, and the pixels are normalised as the user says it,
//! not as the backbone does it, which may have taken over preprocessing from the model.

use std::path::Path;
use std::sync::Arc;

use graft_patches::geometry::Shape;
use graft_patches::records::Dtype;
use graft_runtime::{Backbone, Session};
use tract_onnx::prelude::{
    DatumType, Framework as _, InferenceFact, InferenceModelExt as _, IntoRunnable as _, Tensor,
    ToDim as _, TractError, TractResult, TypedSimplePlan, tvec,
};
use tract_onnx::tract_hir::infer::Factoid as _;

use super::onnx::Softmax;

#[cfg(test)]
mod tests;

/// Least probability that has a logarithm here: that of a score 80 below the best.
const SMALLEST: f32 = 1.8e-35;
/// Step of probabilities where a quantised model writes them.
const PROBABILITY_STEP: f32 = 1.0 / 256.0;

/// An import that cannot be judged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Operators that tract does not have.
    #[error("tract cannot judge the model: it does not have {}", operators.join(", "))]
    Operators {
        /// Each with the name of a node.
        operators: Vec<String>,
    },
    /// A model that tract cannot read or run.
    #[error("tract cannot judge the model: {reason}")]
    Tract {
        /// The error of tract, in one line.
        reason: String,
    },
    /// A model with other scores than the backbone's.
    #[error("the original model gives {found} scores, the backbone {expected}")]
    Scores {
        /// Scores of the model.
        found: usize,
        /// Scores of the backbone.
        expected: usize,
    },
    /// No image to compare on.
    #[error("no image to verify the import on")]
    NoImages,
    /// A backbone that does not run.
    #[error(transparent)]
    Runtime(#[from] graft_runtime::Error),
}

impl VerifyError {
    /// The remedy that a user has.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Operators { .. } | Self::Tract { .. } => {
                "import without --verify, and compare scores with another runtime on inputs of `patchtool run --dump-inputs`"
            }
            Self::Scores { .. } => "give the model that the backbone was imported from",
            Self::NoImages => "give a folder, tar or zip archive of images, or image files",
            Self::Runtime(error) => error.hint(),
        }
    }
}

impl From<TractError> for VerifyError {
    fn from(error: TractError) -> Self {
        let reason = format!("{error:#}");
        Self::Tract {
            reason: reason.split_whitespace().collect::<Vec<_>>().join(" "),
        }
    }
}

/// A model as its file says it, and the inputs that it wants.
#[derive(Debug)]
pub struct Original<'a> {
    /// The ONNX file.
    pub path: &'a Path,
    /// Mean of pixels, one value a channel.
    pub mean: [f32; 4],
    /// Standard deviation of pixels, one value a channel.
    pub std: [f32; 4],
    /// The function of its scores that the backbone leaves out.
    pub softmax: Option<Softmax>,
}

/// The scores of a backbone compared with those of the original.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Number of images.
    pub images: usize,
    /// Largest difference of a score.
    pub max_difference: f32,
    /// Largest difference of a score, relative to the range of the scores of its image.
    pub max_relative: f32,
    /// Mean difference of a score in steps of its scale; of int8 backbones.
    pub mean_steps: Option<f32>,
    /// Share of images with the same best class.
    pub equal_top1: f64,
}

impl Comparison {
    /// Largest tolerated `max_relative`: sums in another order differ by less, a wrong weight by more.
    pub const F32_TOLERANCE: f32 = 1e-4;
    /// Largest tolerated `mean_steps`: engines round products otherwise where they lie between two steps, which random
    /// weights make 2.4 steps of; the scores of another image are 8 to 17 steps away.
    pub const INT8_TOLERANCE: f32 = 3.0;

    /// The measure that decides: `mean_steps` of int8 backbones, else `max_relative`.
    pub fn measure(&self) -> f32 {
        self.mean_steps.unwrap_or(self.max_relative)
    }

    /// The tolerance of that measure where the user gives none.
    pub fn default_tolerance(&self) -> f32 {
        match self.mean_steps {
            Some(_) => Self::INT8_TOLERANCE,
            None => Self::F32_TOLERANCE,
        }
    }

    /// Whether the scores are those of the original; never if one is not a number.
    pub fn passes(&self, tolerance: f32) -> bool {
        self.measure() <= tolerance
    }
}

/// Runs both on images: the backbone on pixels NHWC, the original on what it says it wants.
///
/// # Errors
/// A model that tract cannot run or that has other outputs, a backbone that does not run, no images.
pub fn compare(
    original: &Original<'_>,
    backbone: &Backbone,
    images: &[Vec<u8>],
) -> Result<Comparison, VerifyError> {
    let judge = Judge::open(original.path, backbone.image().input().shape)?;
    let (mut session, own) = (Session::new(backbone)?, backbone.identity());
    let step = step(backbone, original.softmax);
    let mut found = Comparison {
        images: images.len(),
        max_difference: 0.0,
        max_relative: 0.0,
        mean_steps: None,
        equal_top1: 0.0,
    };
    let (mut equal, mut sum) = (0, 0.0);
    for pixels in images {
        let expected = judge.scores(pixels, original)?;
        let scores = session.run(&own, pixels)?;
        if scores.len() != expected.len() {
            return Err(VerifyError::Scores {
                found: expected.len(),
                expected: scores.len(),
            });
        }
        equal += usize::from(best(scores) == best(&expected));
        let [scores, expected] = alike(scores, expected, original.softmax, step.is_some());
        let (largest, mean) = differences(&scores, &expected);
        found.max_difference = worse(found.max_difference, largest);
        found.max_relative = worse(found.max_relative, largest / range(&expected));
        sum += mean;
    }
    if images.is_empty() {
        return Err(VerifyError::NoImages);
    }
    let count = images.len() as f32;
    found.mean_steps = step.map(|step| sum / count / step);
    found.equal_top1 = equal as f64 / images.len() as f64;
    Ok(found)
}

/// The step of an int8 backbone's scores.
fn step(backbone: &Backbone, softmax: Option<Softmax>) -> Option<f32> {
    match backbone.image().dtype() {
        Dtype::F32 | Dtype::F16 => None,
        Dtype::I8 | Dtype::I8Half => {
            let scales = backbone.image().scales();
            let own = scales.last().map(|scale| scale.get().outer.scale)?;
            Some(match softmax {
                Some(Softmax::Probabilities) => own.max(PROBABILITY_STEP),
                Some(Softmax::Logarithms) | None => own,
            })
        }
    }
}

/// Scores of the backbone and of the original as the same function of logits. Probabilities of a float model are
/// compared as logarithms, so that those of unlikely classes count as much.
fn alike(
    scores: &[f32],
    expected: Vec<f32>,
    softmax: Option<Softmax>,
    is_quantized: bool,
) -> [Vec<f32>; 2] {
    let best = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = scores.iter().map(|score| (score - best).exp()).sum();
    let logarithms = || scores.iter().map(|score| score - best - sum.ln());
    match softmax {
        None => [scores.to_vec(), expected],
        Some(Softmax::Logarithms) => [logarithms().collect(), expected],
        Some(Softmax::Probabilities) if is_quantized => {
            [logarithms().map(f32::exp).collect(), expected]
        }
        Some(Softmax::Probabilities) => [
            logarithms().map(|log| log.max(SMALLEST.ln())).collect(),
            expected.iter().map(|p| p.max(SMALLEST).ln()).collect(),
        ],
    }
}

/// The largest and the mean difference; NaN where one is.
fn differences(scores: &[f32], expected: &[f32]) -> (f32, f32) {
    let each = scores.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let (largest, sum) = each.fold((0.0, 0.0), |(largest, sum), difference| {
        (worse(largest, difference), sum + difference)
    });
    (largest, sum / scores.len().max(1) as f32)
}

/// The larger of two numbers; NaN where one is.
fn worse(a: f32, b: f32) -> f32 {
    if a.is_nan() || b.is_nan() {
        f32::NAN
    } else {
        a.max(b)
    }
}

/// Range of scores; where all are the same, their size, at least a little.
fn range(scores: &[f32]) -> f32 {
    let low = scores.iter().copied().fold(f32::INFINITY, f32::min);
    let high = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let candidates = [high - low, high.abs(), 1.0];
    let found = candidates.into_iter().find(|&range| range > 0.0);
    found.unwrap_or(1.0)
}

/// Index of the best score; of equal ones the first.
fn best(scores: &[f32]) -> usize {
    let mut best = 0;
    for (index, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = index;
        }
    }
    best
}

/// The original, ready to run.
struct Judge {
    plan: Arc<TypedSimplePlan>,
    /// Of its input.
    dims: [usize; 4],
    element: DatumType,
    is_channels_last: bool,
}

impl Judge {
    /// Reads a model for one image of this shape.
    fn open(path: &Path, shape: Shape) -> Result<Self, VerifyError> {
        // The shapes of inner values are those of another resolution where the user has chosen one.
        let reader = tract_onnx::onnx().with_ignore_value_info(true);
        let mut model = reader.model_for_path(path)?;
        let unknown = model.nodes().iter().filter_map(|node| {
            let name = node.op.name();
            let op = name.strip_prefix("Unimplemented(")?.strip_suffix(')')?;
            Some(format!("operator {op} (node {:?})", node.name))
        });
        let operators: Vec<String> = unknown.collect();
        if !operators.is_empty() {
            return Err(VerifyError::Operators { operators });
        }
        let fact = model.input_fact(0)?;
        let element = fact.datum_type.concretize();
        let element = element.unwrap_or(DatumType::F32);
        let is_channels = |axis| {
            let dim = fact.shape.dim(axis).and_then(|dim| dim.concretize());
            dim == Some(shape.channels.to_dim())
        };
        let is_channels_last = !is_channels(1) && is_channels(3);
        let Shape {
            height,
            width,
            channels,
        } = shape;
        let dims = match is_channels_last {
            true => [1, height, width, channels],
            false => [1, channels, height, width],
        };
        model.set_input_fact(0, InferenceFact::dt_shape(element, dims))?;
        Ok(Self {
            plan: model.into_optimized()?.into_runnable()?,
            dims,
            element,
            is_channels_last,
        })
    }

    /// Its scores for pixels NHWC.
    fn scores(&self, pixels: &[u8], original: &Original<'_>) -> TractResult<Vec<f32>> {
        let normalised = |channel: usize, pixel: u8| {
            (f32::from(pixel) - original.mean[channel]) / original.std[channel]
        };
        let row = |channel: usize, channels: usize| {
            let own = pixels.iter().skip(channel).step_by(channels);
            own.map(move |&pixel| normalised(channel, pixel))
        };
        let values: Vec<f32> = match self.is_channels_last {
            true => {
                let each = pixels.iter().enumerate();
                each.map(|(at, &pixel)| normalised(at % self.dims[3], pixel))
                    .collect()
            }
            false => (0..self.dims[1])
                .flat_map(|channel| row(channel, self.dims[1]))
                .collect(),
        };
        let input = Tensor::from_shape(&self.dims, &values)?;
        let input = input.cast_to_dt(self.element)?.into_owned();
        let outputs = self.plan.run(tvec!(input.into()))?;
        let scores = outputs[0].cast_to::<f32>()?;
        Ok(scores.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
    }
}

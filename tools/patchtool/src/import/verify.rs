//! The independent judge of an import: the original model, run by tract on the images that the backbone runs on.
//!
//! tract reads the file itself, and the pixels are normalised as the user says it, not as the backbone does it, which may
//! have taken over preprocessing from the model. The importer says one thing only, which scores cannot be compared
//! without: the softmax or sigmoid at the end that it left out, and the step of its output where that is quantised.

use std::path::Path;
use std::sync::Arc;

use graft_patches::geometry::Shape;
use graft_patches::records::Dtype;
use graft_runtime::{Backbone, Patch, Session};
use tract_onnx::prelude::{
    DatumType, Framework as _, InferenceFact, InferenceModelExt as _, IntoRunnable as _, Tensor,
    ToDim as _, TractError, TractResult, TypedSimplePlan, tvec,
};
use tract_onnx::tract_hir::infer::Factoid as _;

use super::onnx::Ending;

#[cfg(test)]
mod tests;

/// Least probability that has a logarithm here: that of a score 80 below the best.
const SMALLEST: f32 = 1.8e-35;

/// The score whose sigmoid is a step of f32 below 1.
const SURE: f32 = 16.0;

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
    /// A score that no comparison can be made with.
    #[error("{side} gives the score {score} on image {image}, expected finite scores")]
    NotFinite {
        /// The original model or the backbone.
        side: &'static str,
        /// The score.
        score: f32,
        /// Number of the image, from 1.
        image: usize,
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
            Self::NotFinite { .. } => {
                "check --mean and --std, and the weights of the model for values that overflow"
            }
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
    pub ending: Option<Ending>,
    /// Step of that function's values where the model quantises them.
    pub ending_step: Option<f32>,
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
    /// Mean difference of a score in steps of its scale; of int8 backbones. NaN where the original's probabilities are
    /// all too small for their step, so that they say nothing.
    pub mean_steps: Option<f32>,
    /// Share of images on which the best class of the backbone is the original's, or as good there.
    pub equal_top1: f64,
}

impl Comparison {
    /// Largest tolerated `max_relative`: sums in another order differ by less, a wrong weight by more unless later
    /// layers hide it.
    pub const F32_TOLERANCE: f32 = 1e-4;
    /// Largest tolerated `mean_steps`, for trained weights: engines round products otherwise where they lie between two
    /// steps. Random weights make 2.4 steps of that; the scores of another image are 8 to 17 steps away.
    pub const INT8_TOLERANCE: f32 = 0.5;
    /// Least tolerated `equal_top1` of int8 backbones.
    pub const INT8_TOP1: f64 = 0.99;

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

    /// The least `equal_top1`: of int8 backbones, unless the user's tolerance alone decides.
    pub fn least_top1(&self, tolerance: Option<f32>) -> Option<f64> {
        match (self.mean_steps, tolerance) {
            (Some(_), None) => Some(Self::INT8_TOP1),
            (_, Some(_)) | (None, None) => None,
        }
    }

    /// Whether the scores are those of the original, by the user's tolerance or else the defaults; never if one is not a
    /// number.
    pub fn passes(&self, tolerance: Option<f32>) -> bool {
        let is_near = self.measure() <= tolerance.unwrap_or(self.default_tolerance());
        let least = self.least_top1(tolerance);
        is_near && least.is_none_or(|least| self.equal_top1 >= least)
    }
}

/// A comparison under way, image by image.
pub struct Verifier<'a> {
    original: &'a Original<'a>,
    judge: Judge,
    session: Session<'static>,
    own: Patch,
    /// Of the backbone's scores, if it is int8.
    step: Option<f32>,
    images: usize,
    equal: usize,
    max_difference: f32,
    max_relative: f32,
    /// Sum and number of the differences.
    sum: f64,
    count: usize,
}

impl<'a> Verifier<'a> {
    /// Makes both ready to run.
    ///
    /// # Errors
    /// A model that tract cannot run, a backbone that does not run.
    pub fn new(original: &'a Original<'a>, backbone: &Backbone) -> Result<Self, VerifyError> {
        Ok(Self {
            original,
            judge: Judge::open(original, backbone.image().input().shape)?,
            session: Session::new(backbone)?,
            own: backbone.identity(),
            step: step(backbone),
            images: 0,
            equal: 0,
            max_difference: 0.0,
            max_relative: 0.0,
            sum: 0.0,
            count: 0,
        })
    }

    /// Runs both on an image: the backbone on pixels NHWC, the original on what it says it wants.
    ///
    /// # Errors
    /// An original or a backbone that does not run, outputs of different lengths, a score that is not finite.
    pub fn image(&mut self, pixels: &[u8]) -> Result<(), VerifyError> {
        let expected = self.judge.scores(pixels, self.original)?;
        let scores = self.session.run(&self.own, pixels)?;
        if scores.len() != expected.len() {
            return Err(VerifyError::Scores {
                found: expected.len(),
                expected: scores.len(),
            });
        }
        self.images += 1;
        finite("the original model", &expected, self.images)?;
        finite("the backbone", scores, self.images)?;
        self.equal += usize::from(expected[best(scores)] >= expected[best(&expected)]);
        let found = differences(scores, &expected, self.original);
        for difference in found.each {
            self.max_difference = worse(self.max_difference, difference);
            self.max_relative = worse(self.max_relative, difference / found.range);
            self.sum += f64::from(difference);
            self.count += 1;
        }
        Ok(())
    }

    /// The comparison of all images.
    ///
    /// # Errors
    /// No images.
    pub fn finish(self) -> Result<Comparison, VerifyError> {
        if self.images == 0 {
            return Err(VerifyError::NoImages);
        }
        let mean = (self.sum / self.count as f64) as f32;
        Ok(Comparison {
            images: self.images,
            max_difference: self.max_difference,
            max_relative: self.max_relative,
            mean_steps: self.step.map(|step| mean / step),
            equal_top1: self.equal as f64 / self.images as f64,
        })
    }
}

/// The step of an int8 backbone's scores, which are logits.
fn step(backbone: &Backbone) -> Option<f32> {
    match backbone.image().dtype() {
        Dtype::F32 | Dtype::F16 => None,
        Dtype::I8 | Dtype::I8Half => {
            let scales = backbone.image().scales();
            scales.last().map(|scale| scale.get().outer.scale)
        }
    }
}

fn finite(side: &'static str, scores: &[f32], image: usize) -> Result<(), VerifyError> {
    match scores.iter().find(|score| !score.is_finite()) {
        None => Ok(()),
        Some(&score) => Err(VerifyError::NotFinite { side, score, image }),
    }
}

/// The differences of an image's scores that say anything.
struct Differences {
    each: Vec<f32>,
    /// Of the original's scores.
    range: f32,
}

/// Compares scores of the backbone, which are logits, with those of the original, as the same function of logits:
/// probabilities as logarithms, so that those of unlikely classes count as much. A quantised value stands for all that
/// round to it; a class that both sides put below half a step is left out, for it would only dilute the mean.
fn differences(scores: &[f32], expected: &[f32], original: &Original<'_>) -> Differences {
    let half = original.ending_step.unwrap_or(0.0) / 2.0;
    let log = |p: f32| p.max(SMALLEST).ln();
    let own = match original.ending {
        None => scores.to_vec(),
        Some(Ending::LogSoftmax) => log_softmax(scores).collect(),
        Some(Ending::Softmax) => log_softmax(scores).map(|own| own.max(log(0.0))).collect(),
        Some(Ending::Sigmoid) => scores.iter().map(|own| own.clamp(-SURE, SURE)).collect(),
    };
    let bounds = |&value: &f32| match original.ending {
        None | Some(Ending::LogSoftmax) => [value - half, value + half],
        Some(Ending::Softmax) if value < half => [f32::NEG_INFINITY, log(half)],
        Some(Ending::Softmax) => [log(value - half), log(value + half)],
        Some(Ending::Sigmoid) => {
            let half = half.max(f32::EPSILON * value);
            [logit(value - half), logit(value + half)]
        }
    };
    let bounds: Vec<[f32; 2]> = expected.iter().map(bounds).collect();
    let pairs = own.iter().zip(&bounds);
    let said = pairs.filter(|(own, [low, high])| low.is_finite() || *own > high);
    let each = said.map(|(own, [low, high])| (low - own).max(own - high).max(0.0));
    let highest: Vec<f32> = bounds.iter().map(|[_, high]| *high).collect();
    Differences {
        each: each.collect(),
        range: range(&highest),
    }
}

/// The score of which a probability is the sigmoid, where f32 tells them apart.
fn logit(p: f32) -> f32 {
    let p = p.clamp(0.0, 1.0);
    (p.ln() - (-p).ln_1p()).clamp(-SURE, SURE)
}

/// The logarithms of the probabilities that logits stand for.
fn log_softmax(scores: &[f32]) -> impl Iterator<Item = f32> {
    let best = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = scores.iter().map(|score| (score - best).exp()).sum();
    scores.iter().map(move |score| score - best - sum.ln())
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
    fn open(original: &Original<'_>, shape: Shape) -> Result<Self, VerifyError> {
        // The shapes of inner values are those of another resolution where the user has chosen one.
        let reader = tract_onnx::onnx().with_ignore_value_info(true);
        let mut model = reader.model_for_path(original.path)?;
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
        // tract's optimised softmax of bytes gives other values than the nodes that it takes the place of.
        let model = match original.ending_step {
            Some(_) => model.into_typed()?,
            None => model.into_optimized()?,
        };
        Ok(Self {
            plan: model.into_runnable()?,
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

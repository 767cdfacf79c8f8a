//! The values that a generator makes of one support set, and how they become a patch.

use crate::bar::Bar;
use graft_patches::metadata::PatchMetadata;
use graft_patches::records::{Dtype, Kinds};
use graft_patches::writer::WriteError;
use graft_patches::{BackboneImage, ContinualState, ImageError};
use graft_runtime::{Backbone, Patch};

use crate::quantize::{self, Images, Method, QuantizeError, QuantizedPatch};
use crate::replacements::{Replacements, SiteReplacement};

/// The values of one task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Generated {
    /// The task.
    pub name: String,
    /// The origin of the values: see [`Generated::source`].
    pub source: String,
    /// Those of every site but the head, in the order of the sites; none where the backbone is frozen.
    pub convolutions: Vec<Convolution>,
    /// The last layer.
    pub head: Head,
    /// Class names, one for each row of the head.
    pub labels: Vec<String>,
    /// The state of its classes, where it goes on learning.
    pub continual_state: Option<ContinualState>,
}

/// The values of one convolution and what follows it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Convolution {
    /// `[outputs][inputs * kernel]`, columns in (input channel, kernel row, kernel column) order; `None` where those of the
    /// backbone serve.
    pub weights: Option<Vec<f32>>,
    /// Scale of each output channel.
    pub scale: Vec<f32>,
    /// Bias of each output channel.
    pub bias: Vec<f32>,
}

/// The values of the last layer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Head {
    /// `[classes][features]`.
    pub weights: Vec<f32>,
    /// One for each class.
    pub bias: Vec<f32>,
}

/// Reasons why generated values cannot become a patch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GeneratedError {
    /// A backbone that ends in something else.
    #[error("the backbone has no head: its last layer has no weights")]
    NoHead,
    /// Values of another number than there should be.
    #[error("{found} {what}, expected {expected}")]
    Count {
        /// The values.
        what: &'static str,
        /// Their number.
        found: usize,
        /// The number that there should be.
        expected: usize,
    },
    /// Values that are no numbers to compute with.
    #[error("site {site}: generated {value}, expected finite numbers")]
    NotFinite {
        /// The site.
        site: usize,
        /// The value.
        value: f32,
    },
    /// The patch cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The patch cannot be quantised.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// An error of the runtime.
    #[error(transparent)]
    Runtime(#[from] graft_runtime::Error),
}

impl From<ImageError> for GeneratedError {
    fn from(error: ImageError) -> Self {
        Self::Runtime(error.into())
    }
}

impl GeneratedError {
    /// The way out, for the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoHead => "give a backbone of several layers that ends in a fully connected one",
            Self::Count { .. } => "give the backbone that the generator was trained for",
            Self::NotFinite { .. } => "check the support images and the backbone's normalisation",
            Self::Write(error) => error.hint(),
            Self::Quantize(error) => error.hint(),
            Self::Runtime(error) => error.hint(),
        }
    }
}

impl Generated {
    /// The source of a patch's values, in words.
    pub fn source(images: usize, classes: usize, unlabelled: usize, by: &str) -> String {
        let plural = |count: usize, one: &str, more: &str| match count {
            1 => format!("1 {one}"),
            _ => format!("{count} {more}"),
        };
        let others = match unlabelled {
            0 => String::new(),
            count => format!(" and {count} without a class"),
        };
        format!(
            "generated from {} of {}{others} by {by}",
            plural(images, "image", "images"),
            plural(classes, "class", "classes"),
        )
    }

    /// `generated` with weights of convolutions, `bn+head` with none, `head` without convolutions.
    pub fn kinds(&self) -> Kinds {
        match self.convolutions.as_slice() {
            [] => Kinds::HEAD,
            all if all.iter().all(|site| site.weights.is_none()) => Kinds::BN.with(Kinds::HEAD),
            _ => Kinds::GENERATED,
        }
    }

    /// The patch for an f32 backbone, at the backbone's own resolution; photographs are not cropped.
    ///
    /// # Errors
    /// Values that do not fit the backbone or that `dtype` cannot hold.
    pub fn compile(
        &self,
        backbone: &BackboneImage<'_>,
        dtype: Dtype,
    ) -> Result<Vec<u8>, GeneratedError> {
        Ok(self.replacements(backbone)?.compile(backbone, dtype)?)
    }

    /// [`Generated::compile`], ready to run.
    ///
    /// # Errors
    /// As [`Generated::compile`], and more classes than the backbone's plan has room for.
    pub fn bind(&self, backbone: &Backbone) -> Result<Patch, GeneratedError> {
        let bytes = self.compile(&backbone.image(), Dtype::F32)?;
        Ok(Patch::from_bytes(&bytes, backbone)?)
    }

    /// The patch for an int8 backbone that was made of the f32 one that the values are for. Activations are scaled by what the
    /// task's network computes from the support images, all of their range: they are few.
    ///
    /// # Errors
    /// Values that do not fit the backbone, more classes than its plan has room for, in half precision what that cannot hold.
    pub fn quantize(
        &self,
        int8: &Backbone,
        support: &Images,
        dtype: Dtype,
    ) -> Result<QuantizedPatch, GeneratedError> {
        let values = self.replacements(&int8.image())?;
        let bar = Bar::hidden();
        Ok(quantize::patch(
            &values,
            int8,
            support,
            Method::MinMax,
            dtype,
            &bar,
        )?)
    }

    /// The sites that the patch replaces: checked, rows in the order of the sites of this backbone.
    ///
    /// # Errors
    /// Values that do not fit it.
    pub fn replacements(
        &self,
        backbone: &BackboneImage<'_>,
    ) -> Result<Replacements, GeneratedError> {
        let head = backbone.head().ok_or(GeneratedError::NoHead)?;
        if !self.convolutions.is_empty() {
            check("convolutions", self.convolutions.len(), head)?;
        }
        let convolutions = self.convolutions.iter().enumerate();
        let mut sites = convolutions
            .map(|(site, values)| Ok((site, convolution(backbone, site, values)?)))
            .collect::<Result<Vec<_>, GeneratedError>>()?;
        sites.push((head, self.head(backbone.site(head).depth, head)?));
        Ok(Replacements {
            kinds: self.kinds(),
            input: backbone.input(),
            metadata: PatchMetadata {
                name: self.name.clone(),
                source: self.source.clone(),
                tool: crate::TOOL.into(),
                resize: backbone.metadata()?.resize.uncropped(),
                labels: self.labels.clone(),
                ..PatchMetadata::default()
            },
            continual_state: self.continual_state.clone(),
            temperature: None,
            from_layer: 0,
            sites: sites.into_iter().collect(),
        })
    }

    fn head(&self, features: usize, site: usize) -> Result<SiteReplacement, GeneratedError> {
        let Head { weights, bias } = &self.head;
        let classes = self.labels.len();
        check("biases of classes", bias.len(), classes.max(1))?;
        check("weights of the head", weights.len(), classes * features)?;
        check_finite(site, weights.iter().chain(bias))?;
        Ok(SiteReplacement {
            weights: Some(weights.clone()),
            epilogue: Some((vec![1.0; classes], bias.clone())),
        })
    }
}

fn convolution(
    backbone: &BackboneImage<'_>,
    index: usize,
    values: &Convolution,
) -> Result<SiteReplacement, GeneratedError> {
    let Convolution {
        weights,
        scale,
        bias,
    } = values;
    let site = backbone.site(index);
    let kernel = backbone.layer(site.layer).window.kernel;
    check("scales of a convolution", scale.len(), site.outputs)?;
    check("biases of a convolution", bias.len(), site.outputs)?;
    if let Some(weights) = weights {
        let expected = site.outputs * site.depth;
        check("weights of a convolution", weights.len(), expected)?;
    }
    let all = weights.iter().flatten().chain(scale).chain(bias);
    check_finite(index, all)?;
    let inputs = site.depth / (kernel[0] * kernel[1]);
    Ok(SiteReplacement {
        weights: weights.as_ref().map(|own| rows(own, kernel, inputs)),
        epilogue: Some((scale.clone(), bias.clone())),
    })
}

fn check(what: &'static str, found: usize, expected: usize) -> Result<(), GeneratedError> {
    match found == expected {
        true => Ok(()),
        false => Err(GeneratedError::Count {
            what,
            found,
            expected,
        }),
    }
}

fn check_finite<'a>(
    site: usize,
    mut values: impl Iterator<Item = &'a f32>,
) -> Result<(), GeneratedError> {
    match values.find(|value| !value.is_finite()) {
        Some(&value) => Err(GeneratedError::NotFinite { site, value }),
        None => Ok(()),
    }
}

/// Rows of (input channel, kernel row, kernel column) as PyTorch has them, in (kernel row, kernel column, input channel) order
/// as Graft has them. Values that are no whole row are left out.
pub(super) fn rows(weights: &[f32], [height, width]: [usize; 2], inputs: usize) -> Vec<f32> {
    let taps = height * width;
    let permuted = |row: &'_ [f32]| -> Vec<f32> {
        let columns = (0..taps).flat_map(|tap| (0..inputs).map(move |input| input * taps + tap));
        columns.map(|column| row[column]).collect()
    };
    let depth = (taps * inputs).max(1);
    weights.chunks_exact(depth).flat_map(permuted).collect()
}

/// The other way: rows in (kernel row, kernel column, input channel) order in the order of PyTorch.
pub(super) fn columns(rows: &[f32], [height, width]: [usize; 2], inputs: usize) -> Vec<f32> {
    let taps = height * width;
    let permuted = |row: &'_ [f32]| -> Vec<f32> {
        let columns = (0..inputs).flat_map(|input| (0..taps).map(move |tap| tap * inputs + input));
        columns.map(|column| row[column]).collect()
    };
    let depth = (taps * inputs).max(1);
    rows.chunks_exact(depth).flat_map(permuted).collect()
}

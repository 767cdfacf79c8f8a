//! A share of what a patch changes, taken out of it again.
//!
//! A patch is a difference to a frozen network, so what it learned may be made sparse by arithmetic: each tensor of the
//! difference on its own, as a training makes its updates sparse.

use graft_patches::layout::{unpack_epilogue, unpack_weights};
use graft_patches::records::{Dtype, What};
use graft_patches::{BackboneImage, ImageError, PatchImage};

use crate::replacements::{Replacements, SiteReplacement};
use crate::sparse::{Rule, Tensor};

/// A patch without a share of its difference.
#[derive(Clone, Debug)]
pub struct Unlearned {
    /// Its values, labels and origin. What was measured of the patch, or remembers its examples, is left out.
    pub replacements: Replacements,
    /// What each tensor lost.
    pub tensors: Vec<Tensor>,
    /// Where the head's difference begins, if the patch has one.
    pub head: Option<HeadStart>,
}

/// Where the difference of a head begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadStart {
    /// At the head of the patch that was given.
    Patch,
    /// At the backbone's own, which is of the same classes.
    Own,
    /// At zero, as training does: the backbone's is of other classes.
    Zero,
}

/// Reasons why nothing can be taken out of a patch.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnlearnError {
    /// A table of an int8 patch mixes what was learned with the scales of activations.
    #[error("{which} is in {found}: its tables hold no differences of what was learned")]
    Int8 {
        /// The patch.
        which: &'static str,
        /// Its dtype.
        found: Dtype,
    },
    /// The two patches are of different classes.
    #[error("the patch has labels {found:?}, the one that it comes from {expected:?}")]
    Labels {
        /// Labels of the patch.
        found: Vec<String>,
        /// Labels of the other.
        expected: Vec<String>,
    },
    /// The patch lacks something that the other has.
    #[error("the patch that it comes from replaces the {what} of site {site}, the patch does not")]
    Missing {
        /// The site.
        site: usize,
        /// The values.
        what: What,
    },
    /// Their heads are of other sizes.
    #[error("the head of the patch has {found} weights, that of the one it comes from {expected}")]
    Head {
        /// Weights of the patch's head.
        found: usize,
        /// Weights of the other's.
        expected: usize,
    },
    /// Values that are no numbers of this backbone.
    #[error(transparent)]
    Image(#[from] ImageError),
}

impl UnlearnError {
    /// Advice to the user.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Int8 { .. } => {
                "give the patch in f32 or f16 that it was made of, and export the result for the int8 backbone"
            }
            Self::Labels { .. } | Self::Head { .. } => {
                "give a patch of the same task with --from, or leave it out"
            }
            Self::Missing { .. } => {
                "give a patch of the same kinds, or fewer, with --from, or leave it out"
            }
            Self::Image(error) => error.hint(),
        }
    }
}

/// Takes what `rule` does not keep out of the difference between a patch and `from`, which by default, and for all that it
/// leaves out, is the backbone itself.
///
/// # Errors
/// See [`UnlearnError`].
pub fn unlearn(
    patch: &PatchImage<'_>,
    from: Option<&PatchImage<'_>>,
    backbone: &BackboneImage<'_>,
    rule: Rule,
) -> Result<Unlearned, UnlearnError> {
    let mut replacements = float("the patch", patch, backbone)?;
    let from = from
        .map(|from| float("the patch that it comes from", from, backbone))
        .transpose()?;
    if let Some(from) = &from {
        check_start(&replacements, from)?;
    }
    let own_labels = backbone.metadata()?.labels;
    let labels = &replacements.metadata.labels;
    let are_own = labels.is_empty() || *labels == own_labels;
    let (mut tensors, mut head) = (Vec::new(), None);
    for (&index, values) in &mut replacements.sites {
        let given = from.as_ref().and_then(|from| from.sites.get(&index));
        let mut start = own(backbone, index);
        if backbone.head() == Some(index) && values.weights.is_some() {
            head = Some(match given.is_some_and(|given| given.weights.is_some()) {
                true => HeadStart::Patch,
                false if are_own && weights(&start) == weights(values) => HeadStart::Own,
                false => HeadStart::Zero,
            });
            if head == Some(HeadStart::Zero) {
                start = zero(values);
            }
        }
        if let Some(given) = given.cloned() {
            start = SiteReplacement {
                weights: given.weights.or(start.weights),
                epilogue: given.epilogue.or(start.epilogue),
            };
        }
        for ((part, values), (_, start)) in parts(values).into_iter().zip(parts(&mut start)) {
            let (Some(values), Some(start)) = (values, start) else {
                continue;
            };
            let count = values.len();
            tensors.push(Tensor {
                site: index,
                part,
                values: count,
                loss: rule.apply(values, start, count),
            });
        }
    }
    // Both were of the values before: a measurement of them, and what remembers the examples.
    replacements.temperature = None;
    replacements.continual_state = None;
    if let Some(training) = &mut replacements.metadata.training {
        (training.test_images, training.test_accuracy) = (0, 0.0);
    }
    let metadata = &mut replacements.metadata;
    metadata.source = format!("{}, unlearned {rule}", metadata.source);
    metadata.tool = crate::TOOL.into();
    Ok(Unlearned {
        replacements,
        tensors,
        head,
    })
}

/// The values of a patch, if they are numbers as they were learned.
fn float(
    which: &'static str,
    patch: &PatchImage<'_>,
    backbone: &BackboneImage<'_>,
) -> Result<Replacements, UnlearnError> {
    let found = patch.dtype();
    match found {
        Dtype::F32 | Dtype::F16 => Ok(Replacements::of(patch, backbone)?),
        Dtype::I8 | Dtype::I8Half => Err(UnlearnError::Int8 { which, found }),
    }
}

/// Whether one patch can be what another comes from.
fn check_start(patch: &Replacements, from: &Replacements) -> Result<(), UnlearnError> {
    let [found, expected] = [patch, from].map(|values| &values.metadata.labels);
    // A patch without a head has none.
    if found != expected && !expected.is_empty() {
        return Err(UnlearnError::Labels {
            found: found.clone(),
            expected: expected.clone(),
        });
    }
    let none = SiteReplacement::default();
    for (&site, start) in &from.sites {
        let values = patch.sites.get(&site).unwrap_or(&none);
        if let (Some(found), Some(expected)) = (weights(values), weights(start))
            && found != expected
        {
            return Err(UnlearnError::Head { found, expected });
        }
        for (what, is_missing) in [
            (
                What::Epilogue,
                start.epilogue.is_some() && values.epilogue.is_none(),
            ),
            (
                What::Weights,
                start.weights.is_some() && values.weights.is_none(),
            ),
        ] {
            if is_missing {
                return Err(UnlearnError::Missing { site, what });
            }
        }
    }
    Ok(())
}

/// Number of weights of a site.
fn weights(values: &SiteReplacement) -> Option<usize> {
    values.weights.as_ref().map(Vec::len)
}

/// The backbone's own values of a site.
fn own(backbone: &BackboneImage<'_>, index: usize) -> SiteReplacement {
    let site = backbone.site(index);
    let (outputs, depth) = (site.outputs, site.depth);
    SiteReplacement {
        weights: Some(unpack_weights(
            backbone.weights(&site),
            outputs,
            depth,
            site.is_depthwise,
        )),
        epilogue: Some(unpack_epilogue(backbone.epilogue(&site), outputs)),
    }
}

/// A head that knows nothing yet, of the shape of this one, with its scales.
fn zero(head: &SiteReplacement) -> SiteReplacement {
    let zeros = |values: &Vec<f32>| vec![0.0; values.len()];
    SiteReplacement {
        weights: head.weights.as_ref().map(zeros),
        epilogue: head
            .epilogue
            .as_ref()
            .map(|(scale, bias)| (scale.clone(), zeros(bias))),
    }
}

/// The tensors of a site, each under its name.
fn parts(values: &mut SiteReplacement) -> [(&'static str, Option<&mut Vec<f32>>); 3] {
    let (scale, bias) = match &mut values.epilogue {
        Some((scale, bias)) => (Some(scale), Some(bias)),
        None => (None, None),
    };
    [
        ("scale", scale),
        ("bias", bias),
        ("weights", values.weights.as_mut()),
    ]
}

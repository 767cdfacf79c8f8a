//! From a few labelled images to the values of a patch: what a generator does on a device.

use graft_patches::layout::{unpack_epilogue, unpack_weights};
use graft_patches::records::{Dtype, What};
use graft_patches::{BackboneImage, ContinualClass, ContinualState, PatchImage, Verify};
use graft_runtime::Backbone;

use super::convolution::EARLIER;
use super::generated::{Convolution, Generated, Head, columns};
use super::{Config, Examples, Generates, Hyper, HyperError, SupportSet, prototype};
use crate::quantize::float_id;
use graft_data::composed;

impl Hyper {
    /// The values of a patch for a support set of images as the backbone's input wants them. `name` is the task's, `by` that of
    /// the generator's file. A continual generator starts from the backbone's own weights.
    ///
    /// # Errors
    /// Another backbone than the generator's, more classes than it knows, a model that cannot run.
    pub fn values(
        &self,
        name: &str,
        by: &str,
        backbone: &Backbone,
        support: &SupportSet,
    ) -> Result<Generated, HyperError> {
        let image = backbone.image();
        self.check_backbone(&image)?;
        let start = match self.config().continual {
            true if image.dtype() != Dtype::F32 => return Err(HyperError::ContinualInt8),
            true => own_weights(&image),
            false => Vec::new(),
        };
        self.generated_from(name, by, backbone, support, &start)
    }

    /// Goes on learning: the values of the patch after `previous`. Classes that are not in `previous` become a task of their
    /// own, after those before; classes that all are in it are learned further, their prototypes are means over all examples.
    ///
    /// # Errors
    /// A generator that is not continual, a patch that is not its own, classes some of which are known and some are not.
    pub fn learn(
        &self,
        by: &str,
        backbone: &Backbone,
        previous: &PatchImage<'_>,
        support: &SupportSet,
    ) -> Result<Generated, HyperError> {
        let image = backbone.image();
        self.check_backbone(&image)?;
        if !self.config().continual {
            return Err(HyperError::NotContinual);
        }
        if [image.dtype(), previous.dtype().of_backbone()] != [Dtype::F32; 2] {
            return Err(HyperError::ContinualInt8);
        }
        previous.check_against(&image, Verify::Full)?;
        let metadata = previous.metadata()?;
        let state = previous.continual_state()?.ok_or(HyperError::NotLearned)?;
        let known = Known::of(&image, previous, state, metadata.labels)?;
        let start = previous_weights(&image, previous).ok_or(HyperError::NotLearned)?;
        let new = self.generated_from(&metadata.name, by, backbone, support, &start)?;
        known.with(new)
    }

    fn check_backbone(&self, image: &BackboneImage<'_>) -> Result<(), HyperError> {
        let found = float_id(image)?;
        let expected = self.backbone();
        match found == expected {
            true => Ok(()),
            false => Err(HyperError::Backbone { found, expected }),
        }
    }

    fn generated_from(
        &self,
        name: &str,
        by: &str,
        backbone: &Backbone,
        support: &SupportSet,
        start: &[Vec<f32>],
    ) -> Result<Generated, HyperError> {
        let count = support.labels.len();
        let known = support.classes.iter().copied().map(Some);
        let unknown = support.unlabelled.iter().map(|_| None);
        let examples = Examples {
            images: normalised(backbone, support),
            labels: known.chain(unknown).collect(),
            classes: count,
        };
        let mut outputs = self.generate(&examples, start)?;
        let mut take = |name: String| outputs.remove(&name).unwrap_or_default();
        let convolution = |layer| Convolution {
            weights: (self.config().generates == Generates::All)
                .then(|| take(format!("conv.{layer}"))),
            scale: take(format!("scale.{layer}")),
            bias: take(format!("bias.{layer}")),
        };
        let convolutions = (0..Config::CONVOLUTIONS).map(convolution).collect();
        let head = Head {
            weights: take("head.weight".into()),
            bias: take("head.bias".into()),
        };
        let continual_state = self.config().continual.then(|| first(support));
        Ok(Generated {
            name: name.into(),
            source: Generated::source(support.classes.len(), count, support.unlabelled.len(), by),
            convolutions,
            head,
            labels: support.labels.clone(),
            continual_state,
        })
    }
}

/// The state after one support set.
fn first(support: &SupportSet) -> ContinualState {
    let examples = |class| support.classes.iter().filter(|&&of| of == class).count() as u32;
    let class = |class| ContinualClass {
        task: 0,
        examples: examples(class),
    };
    ContinualState {
        counter: 1,
        classes: (0..support.labels.len()).map(class).collect(),
    }
}

/// All images: those with labels, then those without.
fn pixels(support: &SupportSet) -> impl Iterator<Item = &Vec<u8>> {
    support.images.pixels.iter().chain(&support.unlabelled)
}

fn normalised(backbone: &Backbone, support: &SupportSet) -> Vec<f32> {
    let input = backbone.image().input();
    let channels = input.shape.channels;
    let value = |(index, &pixel): (usize, &u8)| {
        let channel = index % channels;
        (f32::from(pixel) - input.mean[channel]) / input.std[channel]
    };
    let images = pixels(support);
    images
        .flat_map(|pixels| pixels.iter().enumerate().map(value))
        .collect()
}

/// The convolutions of a backbone as [`super::network::Generator::generate`] goes on from them: there is no patch yet.
fn own_weights(image: &BackboneImage<'_>) -> Vec<Vec<f32>> {
    let sites = convolutions(image);
    sites
        .map(|index| {
            let packed = image.weights(&image.site(index));
            earlier(image, index, packed, |_| [0.0; EARLIER])
        })
        .collect()
}

/// The same of a patch; `None` where it leaves one to the backbone.
fn previous_weights(image: &BackboneImage<'_>, patch: &PatchImage<'_>) -> Option<Vec<Vec<f32>>> {
    let sites = convolutions(image);
    sites
        .map(|index| {
            let packed = patch.find(index, What::Weights)?.values.to_vec();
            let epilogue = patch.find(index, What::Epilogue)?.values.to_vec();
            let (scale, bias) = unpack_epilogue(&epilogue, image.site(index).outputs);
            let known = |output: usize| [1.0, scale[output], bias[output]];
            Some(earlier(image, index, &packed, known))
        })
        .collect()
}

/// A convolution row by row: its weights in the generator's order, then what goes with them.
fn earlier(
    image: &BackboneImage<'_>,
    index: usize,
    packed: &[f32],
    epilogue: impl Fn(usize) -> [f32; EARLIER],
) -> Vec<f32> {
    let weights = generated_order(image, index, packed);
    let rows = weights.chunks_exact(image.site(index).depth).enumerate();
    rows.flat_map(|(output, row)| row.iter().copied().chain(epilogue(output)))
        .collect()
}

fn convolutions(image: &BackboneImage<'_>) -> impl Iterator<Item = usize> {
    0..image.head().unwrap_or(0)
}

fn generated_order(image: &BackboneImage<'_>, index: usize, packed: &[f32]) -> Vec<f32> {
    let site = image.site(index);
    let kernel = image.layer(site.layer).window.kernel;
    let rows = unpack_weights(packed, site.outputs, site.depth, site.is_depthwise);
    columns(&rows, kernel, site.depth / (kernel[0] * kernel[1]))
}

/// The state of a patch so far.
struct Known {
    state: ContinualState,
    labels: Vec<String>,
    /// Prototype of each class: half of the head's row.
    prototypes: Vec<Vec<f32>>,
}

impl Known {
    fn of(
        image: &BackboneImage<'_>,
        patch: &PatchImage<'_>,
        state: ContinualState,
        labels: Vec<String>,
    ) -> Result<Self, HyperError> {
        let head = image.head().ok_or(HyperError::NotLearned)?;
        let packed = patch
            .find(head, What::Weights)
            .ok_or(HyperError::NotLearned)?;
        if packed.outputs != labels.len() || state.classes.len() != labels.len() {
            return Err(HyperError::NotLearned);
        }
        let depth = image.site(head).depth;
        let rows = unpack_weights(&packed.values.to_vec(), labels.len(), depth, false);
        let prototype = |row: &[f32]| row.iter().map(|weight| weight / 2.0).collect();
        Ok(Self {
            prototypes: rows.chunks_exact(depth).map(prototype).collect(),
            state,
            labels,
        })
    }

    /// The values after one more support set: the new convolutions, all prototypes.
    fn with(mut self, new: Generated) -> Result<Generated, HyperError> {
        let places: Vec<Option<usize>> = new
            .labels
            .iter()
            .map(|label| {
                self.labels
                    .iter()
                    .position(|known| composed(known) == *label)
            })
            .collect();
        let known = places.iter().flatten().count();
        if known != 0 && known != places.len() {
            let new = new.labels.len() - known;
            return Err(HyperError::MixedClasses { known, new });
        }
        let depth = self.prototypes.first().map_or(0, Vec::len);
        let task = self.state.tasks() as u16;
        let examples = new.continual_state.iter().flat_map(|state| &state.classes);
        let rows = new.head.weights.chunks_exact(depth.max(1));
        for (((place, row), class), label) in places.iter().zip(rows).zip(examples).zip(&new.labels)
        {
            let own: Vec<f32> = row.iter().map(|weight| weight / 2.0).collect();
            match *place {
                Some(place) => self.average(place, &own, class.examples),
                None => {
                    self.prototypes.push(own);
                    self.labels.push(label.clone());
                    let examples = class.examples;
                    self.state.classes.push(ContinualClass { task, examples });
                }
            }
        }
        self.state.counter += 1;
        Ok(Generated {
            head: prototype::head(&self.prototypes, 1.0),
            labels: self.labels,
            continual_state: Some(self.state),
            ..new
        })
    }

    /// The mean over the examples before and the new ones.
    fn average(&mut self, place: usize, own: &[f32], examples: u32) {
        let class = &mut self.state.classes[place];
        let all = class.examples.saturating_add(examples);
        let share = examples as f32 / all as f32;
        class.examples = all;
        for (value, new) in self.prototypes[place].iter_mut().zip(own) {
            *value += (new - *value) * share;
        }
    }
}

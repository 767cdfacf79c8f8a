//! A backbone with the state of a training run.

use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use graft_patches::geometry::Shape;
use graft_patches::layout::{unpack_epilogue, unpack_weights, weights_len};
use graft_patches::metadata::SiteMetadata;
use graft_patches::plan::infer_shapes;
use graft_patches::records::{Dtype, Site};
use graft_patches::{BackboneImage, ImageError};

use super::epilogue::{Batch, State, TrainedEpilogue};
use super::lanes::{LANES, Lane};
use super::node::{Node, SiteNode};
use super::values::SiteParameters;
use crate::kernels::f32::{Kernels, by_name, select};
use crate::kernels::{Activation, PANEL};
use crate::{Backbone, Error};

/// The mean and variance that a trained batch norm normalises with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchNormMode {
    /// The backbone's own, as constants: training starts from exactly the backbone's scores.
    Frozen,
    /// Those of the batch (Ioffe and Szegedy 2015, algorithm 1); their running means go into the result.
    #[default]
    Batch,
}

/// The values that are trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trainable {
    /// Scale and bias of every site but the head: gamma and beta where the backbone has raw batch norm.
    pub norm: bool,
    /// Mean and variance of raw batch norm that is trained.
    pub batch_norm: BatchNormMode,
    /// Filters of depthwise sites.
    pub depthwise: bool,
    /// Weights of all other sites but the head.
    pub dense: bool,
    /// Weights and bias of the head.
    pub head: bool,
    /// First layer that is trained: those before it run as the backbone has them, and no gradient goes back to them.
    pub from_layer: usize,
}

/// The role of a parameter in its site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Gamma of batch norm, or the scale of a site without it.
    Scale,
    /// Beta of batch norm, or the bias of a site without it.
    Bias,
    /// Packed weights.
    Weights,
}

/// Values of a site that are trained together.
#[derive(Debug)]
pub struct Parameter<'a> {
    /// Index of the site.
    pub site: usize,
    /// Their role in it.
    pub role: Role,
    /// Number of trained values: padding does not count.
    pub trained: usize,
    /// Weights in the packed layout, whose padding is zero and has a gradient of zero; otherwise one per channel.
    pub values: &'a mut [f32],
    /// As many as values.
    pub gradient: &'a [f32],
}

/// A backbone in training: frozen values are read in place, trained ones have gradients and batch norm statistics.
///
/// Use: [`forward`](Self::forward) a batch, [`backward`](Self::backward) the gradient of the loss, then change the
/// [`parameters`](Self::parameters). The batch is shared among up to 16 of rayon's threads; results do not depend on
/// their number.
///
/// ```
/// # std::env::set_current_dir("../tools/assets/demo").unwrap();
/// use graft_runtime::Backbone;
/// use graft_runtime::gradient::Network;
///
/// let backbone = Backbone::open("demo.backbone")?;
/// let mut network = Network::head(&backbone, 3)?; // trains the last layer alone, for 3 classes
/// let embeddings = vec![0.1; 4 * network.input_len()]; // of 4 images
/// for _ in 0..20 {
///     let scores = network.forward(&embeddings);
///     // Loss: half the squared distance of each score from 1.
///     let gradient: Vec<f32> = scores.iter().map(|score| score - 1.0).collect();
///     network.backward(&gradient);
///     for parameter in network.parameters() {
///         for (value, gradient) in parameter.values.iter_mut().zip(parameter.gradient) {
///             *value -= 0.01 * gradient;
///         }
///     }
/// }
/// assert!(network.forward(&embeddings).iter().all(|score| (0.5..1.5).contains(score)));
/// # Ok::<(), graft_runtime::Error>(())
/// ```
pub struct Network {
    pub(super) backbone: Backbone,
    pub(super) kernels: &'static Kernels,
    pub(super) nodes: Vec<Node>,
    /// First layer that runs: 0, or the head.
    pub(super) first: usize,
    /// Shapes of all tensors.
    pub(super) shapes: Vec<Shape>,
    /// Whether a tensor depends on a parameter.
    pub(super) wanted: Vec<bool>,
    pub(super) lanes: Vec<Lane>,
    /// Of the last forward pass: the input at `first`, and at i + 1 the accumulators of layer i, for all images.
    pub(super) tensors: Vec<Vec<f32>>,
    pub(super) logits: Vec<f32>,
    /// Images of the last forward pass.
    pub(super) batch: usize,
    /// Free memory for gradients of tensors.
    pub(super) free: Vec<Vec<f32>>,
    /// Scales of one, biases of zero.
    pub(super) identity: Vec<f32>,
}

impl Network {
    /// A network for batches of images of this shape, with a head of `classes` classes.
    ///
    /// The head starts at zero where it is trained, everything else at the backbone's values.
    ///
    /// # Errors
    /// * [`Error::NoHead`], [`Error::HeadPixels`]: the backbone does not end in a head that scores an image once;
    /// * [`Error::NoClasses`]; [`Error::FrozenHead`]: other classes than those of a head that is not trained;
    /// * [`Error::Image`]: a shape or classes that the backbone has no room for, or metadata that cannot be read or
    ///   whose batch norms do not fit their sites.
    pub fn new(
        backbone: &Backbone,
        input: Shape,
        classes: usize,
        trainable: Trainable,
    ) -> Result<Self, Error> {
        Self::build(backbone, input, classes, trainable, false)
    }

    /// Only the head, for batches of its inputs: `[images][inputs]`.
    ///
    /// # Errors
    /// As [`Network::new`], for the backbone's own input.
    pub fn head(backbone: &Backbone, classes: usize) -> Result<Self, Error> {
        let input = backbone.image().input().shape;
        let trainable = Trainable {
            head: true,
            ..Trainable::default()
        };
        Self::build(backbone, input, classes, trainable, true)
    }

    fn build(
        backbone: &Backbone,
        input: Shape,
        classes: usize,
        trainable: Trainable,
        is_head: bool,
    ) -> Result<Self, Error> {
        let image = backbone.image();
        let found = image.dtype();
        if found != Dtype::F32 {
            return Err(Error::NotFloat { found });
        }
        let head = image.head().ok_or(Error::NoHead)?;
        check_classes(&image, head, classes, trainable)?;
        let metadata = image.metadata()?;
        if trainable.norm {
            for (at, site) in metadata.sites.iter().enumerate().take(image.site_count()) {
                site.check(at, image.site(at).outputs)?;
            }
        }
        let layers = image.layer_count();
        let mut shapes = vec![Shape::default(); layers + 1];
        infer_shapes(&image, input, &mut shapes)?;
        shapes[layers].channels = classes;
        if shapes[layers].pixels() != 1 {
            let found = shapes[layers].pixels();
            return Err(Error::HeadPixels { found });
        }
        let build = Build {
            image,
            trainable,
            classes,
            head,
            shapes: &shapes,
        };
        let mut nodes: Vec<Node> = (0..layers)
            .map(|index| build.node(index, &metadata.sites))
            .collect();
        let first = if is_head { layers - 1 } else { 0 };
        let mut wanted = vec![false; layers + 1];
        for (index, node) in nodes.iter().enumerate().skip(first) {
            let operands = &node.layer.inputs[..node.layer.op.arity()];
            let own = node
                .site
                .as_ref()
                .is_some_and(|site| site.weights.is_some())
                || node
                    .epilogue
                    .as_ref()
                    .is_some_and(TrainedEpilogue::needs_sums);
            wanted[index + 1] = own || operands.iter().any(|&tensor| wanted[tensor]);
        }
        for node in &mut nodes[first..] {
            if wanted[node.layer.inputs[0]] {
                node.transpose(&image, &shapes);
            }
        }
        // A convolution's gradient is a product with a window of all its inputs.
        let depths = nodes
            .iter()
            .filter_map(|node| Some(node.site.as_ref()?.site.depth));
        let channels = shapes.iter().map(|shape| shape.channels);
        let widest = channels.chain(depths).max().unwrap_or(0);
        let panels = widest.div_ceil(PANEL);
        Ok(Self {
            backbone: backbone.clone(),
            kernels: select()?,
            nodes,
            first,
            wanted,
            lanes: (0..LANES).map(|_| Lane::default()).collect(),
            tensors: vec![Vec::new(); layers + 1],
            shapes,
            logits: Vec::new(),
            batch: 0,
            free: Vec::new(),
            identity: [[1.0; PANEL], [0.0; PANEL]].concat().repeat(panels),
        })
    }

    /// Floats of one input.
    pub fn input_len(&self) -> usize {
        self.shapes[self.input()].len()
    }

    /// Classes that the head scores.
    pub fn classes(&self) -> usize {
        self.shapes[self.nodes.len()].channels
    }

    /// The tensor that a batch is put into.
    pub(super) fn input(&self) -> usize {
        self.nodes[self.first].layer.inputs[0]
    }

    /// Uses the f32 kernels of this name from now on, whatever was picked; [`crate::kernel_names`] has those of this
    /// machine.
    ///
    /// # Errors
    /// [`Error::Kernels`] where this machine has none of this name.
    pub fn use_kernels(&mut self, name: &str) -> Result<(), Error> {
        self.kernels = by_name(name)?;
        Ok(())
    }

    /// All trained values with the gradients of the last backward pass, always in the same order.
    pub fn parameters(&mut self) -> Vec<Parameter<'_>> {
        let mut parameters = Vec::new();
        for node in &mut self.nodes {
            let Some(site) = &mut node.site else { continue };
            let index = site.index;
            if let (Some(values), false) = (&mut site.weights, site.gradient.is_empty()) {
                let outputs = node
                    .epilogue
                    .as_ref()
                    .map_or(site.site.outputs, |epilogue| epilogue.scale.len());
                parameters.push(Parameter {
                    site: index,
                    role: Role::Weights,
                    trained: outputs * site.site.depth,
                    values,
                    gradient: &site.gradient,
                });
            }
            let Some(TrainedEpilogue {
                scale,
                bias,
                state,
                gradients,
                ..
            }) = &mut node.epilogue
            else {
                continue;
            };
            let (scale, bias) = match state {
                State::Frozen => continue,
                State::Affine { is_head } => ((!*is_head).then_some(scale), bias),
                State::Batch(batch) => (Some(&mut batch.gamma), &mut batch.beta),
            };
            let values = [(Role::Scale, scale), (Role::Bias, Some(bias))];
            for ((role, values), gradient) in values.into_iter().zip(gradients) {
                let Some(values) = values else { continue };
                let trained = values.len();
                parameters.push(Parameter {
                    site: index,
                    role,
                    trained,
                    values,
                    gradient,
                });
            }
        }
        parameters
    }

    /// Running means and variances of all batch norms, always in the same order: part of a checkpoint.
    pub fn statistics(&mut self) -> Vec<&mut [f32]> {
        let epilogues = self
            .nodes
            .iter_mut()
            .filter_map(|node| node.epilogue.as_mut());
        epilogues
            .filter_map(|epilogue| match &mut epilogue.state {
                State::Batch(batch) => {
                    Some([&mut batch.running_mean[..], &mut batch.running_var[..]])
                }
                State::Frozen | State::Affine { .. } => None,
            })
            .flatten()
            .collect()
    }

    /// The trained values by site, to save.
    pub fn trained(&self) -> Vec<(usize, SiteParameters)> {
        let sites = self
            .nodes
            .iter()
            .filter_map(|node| Some((node, node.site.as_ref()?)));
        sites
            .filter_map(|(node, site)| {
                let epilogue = node.epilogue.as_ref()?;
                let weights = site.weights.as_ref().map(|weights| {
                    unpack_weights(
                        weights,
                        epilogue.scale.len(),
                        site.site.depth,
                        site.site.is_depthwise,
                    )
                });
                let norm = epilogue.norm();
                (weights.is_some() || norm.is_some())
                    .then_some((site.index, SiteParameters { weights, norm }))
            })
            .collect()
    }
}

fn check_classes(
    image: &BackboneImage<'_>,
    head: usize,
    classes: usize,
    trainable: Trainable,
) -> Result<(), Error> {
    let expected = image.site(head).outputs;
    if classes == 0 {
        return Err(Error::NoClasses);
    }
    if !trainable.head && classes != expected {
        return Err(Error::FrozenHead {
            found: classes,
            expected,
        });
    }
    if classes > image.max_classes() {
        return Err(Error::Image(ImageError::TooManyClasses {
            found: classes,
            expected: image.max_classes(),
        }));
    }
    Ok(())
}

/// The inputs of all nodes.
struct Build<'a> {
    image: BackboneImage<'a>,
    trainable: Trainable,
    classes: usize,
    head: usize,
    shapes: &'a [Shape],
}

impl Build<'_> {
    fn node(&self, index: usize, metadata: &[SiteMetadata]) -> Node {
        let layer = self.image.layer(index);
        let channels = self.shapes[index + 1].channels;
        let Some(at) = layer.site else {
            let epilogue = (layer.activation != Activation::NONE)
                .then(|| TrainedEpilogue::activation(layer.activation, channels));
            return Node {
                layer,
                site: None,
                epilogue,
            };
        };
        let site = self.image.site(at);
        let is_head = at == self.head && self.trainable.head;
        let epilogue = if is_head {
            let state = State::Affine { is_head: true };
            TrainedEpilogue::new(
                vec![1.0; channels],
                vec![0.0; channels],
                layer.activation,
                state,
            )
        } else {
            let (scale, bias) = unpack_epilogue(self.image.epilogue(&site), site.outputs);
            TrainedEpilogue::new(
                scale,
                bias,
                layer.activation,
                self.state(at, &site, metadata),
            )
        };
        let epilogue = Some(epilogue);
        let site = Some(self.site(at, site));
        Node {
            layer,
            site,
            epilogue,
        }
    }

    fn state(&self, at: usize, site: &Site, metadata: &[SiteMetadata]) -> State {
        let is_before = site.layer < self.trainable.from_layer;
        if !self.trainable.norm || at == self.head || is_before {
            return State::Frozen;
        }
        let known = metadata.get(at);
        match known.and_then(|site| site.batch_norm.as_ref()) {
            Some(norm) => State::Batch(Box::new(Batch::new(
                norm,
                known.and_then(|site| site.bias.as_deref()),
                self.trainable.batch_norm,
            ))),
            None => State::Affine { is_head: false },
        }
    }

    fn site(&self, index: usize, site: Site) -> SiteNode {
        let is_head = index == self.head;
        let is_of_kind = match (is_head, site.is_depthwise) {
            (true, _) => self.trainable.head,
            (false, true) => self.trainable.depthwise,
            (false, false) => self.trainable.dense,
        };
        let trained = is_of_kind && (is_head || site.layer >= self.trainable.from_layer);
        let outputs = if is_head { self.classes } else { site.outputs };
        let len = weights_len(outputs, site.depth);
        let weights = trained.then(|| {
            if is_head {
                vec![0.0; len]
            } else {
                self.image.weights(&site).to_vec()
            }
        });
        SiteNode {
            index,
            site,
            gradient: if trained { vec![0.0; len] } else { Vec::new() },
            weights,
            transposed: Vec::new(),
            flipped: None,
        }
    }
}

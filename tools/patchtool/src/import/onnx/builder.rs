//! The graph under construction, and what may still be fused into its layers.

use std::collections::HashMap;

use graft_patches::geometry::{Activation, Shape};
use graft_patches::scale::Scale;

use super::affine::{self, Affine};
use super::node::Node;
use super::scales::{self, Scales};
use super::value::View;
use super::{Ending, InputAffine};
use crate::import::error::ImportError;
use crate::import::graph::{BatchNorm, Graph, Layer, Op, TensorId, Weights};

/// Rows, columns and channels of any activation; keeps hostile shapes from overflowing.
const MAX_DIM: usize = 1 << 16;

/// Builds a [`Graph`] layer by layer.
pub(super) struct Builder<'a> {
    pub(super) graph: Graph,
    pub(super) input_affine: Option<InputAffine>,
    /// The end of the model that was left out: nothing may follow.
    pub(super) ending: Option<(Node<'a>, Ending)>,
    /// Step of its output where that is quantised.
    pub(super) ending_step: Option<f32>,
    pub(super) scales: Scales,
    states: Vec<State>,
    /// The number of requests for each layer name.
    names: HashMap<String, usize>,
}

/// The producer and the readers of a tensor.
#[derive(Default)]
struct State {
    producer: Option<usize>,
    /// ONNX reads of it that are still to come.
    open_reads: usize,
    is_read: bool,
    generation: u32,
}

impl<'a> Builder<'a> {
    pub(super) fn new(input: Shape) -> Result<Self, ImportError> {
        let mut builder = Self {
            graph: Graph::default(),
            input_affine: None,
            ending: None,
            ending_step: None,
            scales: Scales::default(),
            states: Vec::new(),
            names: HashMap::new(),
        };
        if !is_possible(input) {
            return Err(ImportError::Interface {
                found: format!("an image of {input}"),
                expected: "1 to 65536 rows and columns",
            });
        }
        builder.graph.tensors.push(input);
        builder.states.push(State::default());
        Ok(builder)
    }

    pub(super) fn shape(&self, view: &View<'_>) -> Shape {
        self.graph.tensors[view.tensor]
    }

    /// Announces reads of a tensor.
    pub(super) fn expect_reads(&mut self, tensor: TensorId, reads: usize) {
        self.states[tensor].open_reads += reads;
    }

    /// One announced read is happening.
    pub(super) fn take_read(&mut self, tensor: TensorId) {
        let open = &mut self.states[tensor].open_reads;
        *open = open.saturating_sub(1);
    }

    /// Adds a layer and returns its output tensor.
    pub(super) fn push(
        &mut self,
        node: Node<'a>,
        op: Op,
        inputs: &[&View<'a>],
        shape: Shape,
    ) -> Result<TensorId, ImportError> {
        self.check_ending()?;
        if !is_possible(shape) {
            return Err(node.malformed(format!("its output would be {shape}")));
        }
        for view in inputs {
            self.check_generation(node, view)?;
            self.states[view.tensor].is_read = true;
        }
        let output = self.graph.tensors.len();
        self.graph.tensors.push(shape);
        self.states.push(State {
            producer: Some(self.graph.layers.len()),
            ..State::default()
        });
        let name = self.unique_name(node.name());
        self.graph.layers.push(Layer {
            name,
            op,
            inputs: inputs.iter().map(|view| view.tensor).collect(),
            output,
            activation: Activation::NONE,
        });
        Ok(output)
    }

    /// Fuses the view's pending expression into the layer that computes its tensor.
    pub(super) fn fuse(&mut self, node: Node<'a>, view: &View<'a>) -> Result<u32, ImportError> {
        let unknown =
            || node.unsupported("this function is not a clamp, hard-swish or hard-sigmoid");
        let mut fused = view.expression.fused().ok_or_else(unknown)?;
        self.claim(node, view)?;
        // A curve reads its layer's bytes, which are within the clamp.
        if !fused.activation.is_curve()
            && let Some(clamp) = self.implied_clamp(view.tensor)
        {
            fused = view
                .expression
                .of_clamped(clamp)
                .fused()
                .ok_or_else(unknown)?;
        }
        if fused.slope != 1.0 || fused.offset != 0.0 {
            self.scales.fold(node.name(), view.tensor);
            let each = |value: f32| vec![value; view.channels()];
            self.add_affine(node, view.tensor, each(fused.slope), each(fused.offset))?;
        }
        if fused.activation != Activation::NONE {
            self.add_activation(node, view.tensor, fused.activation)?;
        }
        let has_curve = fused.activation.is_curve();
        match (view.is_rounded, has_curve) {
            (true, true) => self.scales.curves += 1,
            (true, false) => self.scales.left_out(node.name()),
            (false, _) => {}
        }
        self.scales
            .set(node.name(), view.tensor, view.scale, has_curve);
        Ok(self.next_generation(view.tensor))
    }

    /// Fuses `scale * x + shift`, one value a channel.
    pub(super) fn fuse_affine(
        &mut self,
        node: Node<'a>,
        view: &View<'a>,
        scale: Vec<f32>,
        shift: Vec<f32>,
    ) -> Result<u32, ImportError> {
        self.claim(node, view)?;
        self.refuse_implied_clamp(node, view)?;
        self.add_affine(node, view.tensor, scale, shift)?;
        self.scales.fold(node.name(), view.tensor);
        Ok(self.next_generation(view.tensor))
    }

    /// Fuses a batch norm and keeps its raw parameters where the layer has none yet.
    pub(super) fn fuse_batch_norm(
        &mut self,
        node: Node<'a>,
        view: &View<'a>,
        norm: BatchNorm,
    ) -> Result<u32, ImportError> {
        self.claim(node, view)?;
        self.refuse_implied_clamp(node, view)?;
        match self.site(view.tensor) {
            Some(weights) if weights.batch_norm.is_none() => weights.batch_norm = Some(norm),
            _ => {
                let Affine { scale, shift } = Affine::from(&norm);
                self.add_affine(node, view.tensor, scale, shift)?;
            }
        }
        self.scales.fold(node.name(), view.tensor);
        Ok(self.next_generation(view.tensor))
    }

    /// The view's tensor is quantised. Where it was before, by another scale, nothing may have read it so.
    pub(super) fn quantise(
        &mut self,
        node: Node<'a>,
        view: &View<'a>,
        scale: Scale,
    ) -> Result<(), ImportError> {
        self.check_generation(node, view)?;
        let known = self.scales.outer(view.tensor);
        if known.is_some_and(|known| known != scale) {
            self.claim(node, view)?;
        }
        let layer = self.layer(view.tensor);
        let has_curve = layer.is_some_and(|layer| layer.activation.is_curve());
        self.scales
            .set(node.name(), view.tensor, Some(scale), has_curve);
        Ok(())
    }

    /// Fails if a value of an older generation is read: a node wants the tensor as it was before something was fused.
    pub(super) fn check_generation(
        &self,
        node: Node<'a>,
        view: &View<'a>,
    ) -> Result<(), ImportError> {
        if view.generation == self.states[view.tensor].generation {
            return Ok(());
        }
        Err(node.unsupported(
            "its input is also read through an activation, which the layer that computes it has fused",
        ))
    }

    /// Whether an affine map of the view can be fused: into a layer's weights, or into what is done to the image.
    pub(super) fn takes_affine(&mut self, view: &View<'a>) -> bool {
        let state = &self.states[view.tensor];
        let (is_shared, is_image) = (
            state.is_read || state.open_reads > 0,
            state.producer.is_none(),
        );
        !is_shared && (is_image || self.site(view.tensor).is_some())
    }

    /// Fails if a node cannot read the view as it is.
    pub(super) fn check_reader(&self, node: Node<'a>, view: &View<'a>) -> Result<(), ImportError> {
        self.check_ending()?;
        self.check_generation(node, view)
    }

    /// Fails unless the view is the only reader of its tensor.
    fn claim(&self, node: Node<'a>, view: &View<'a>) -> Result<(), ImportError> {
        self.check_ending()?;
        self.check_generation(node, view)?;
        let state = &self.states[view.tensor];
        if state.is_read || state.open_reads > 0 {
            return Err(node.unsupported(
                "other nodes read its input too, so it cannot be fused into the layer that computes it",
            ));
        }
        Ok(())
    }

    /// The clamp that a Q/DQ pair behind a layer stands for.
    fn implied_clamp(&self, tensor: TensorId) -> Option<[f32; 2]> {
        self.states[tensor].producer?;
        scales::implied_clamp(self.scales.outer(tensor)?)
    }

    /// Fails if work on each channel would get past the clamp that a Q/DQ pair stands for.
    fn refuse_implied_clamp(&self, node: Node<'a>, view: &View<'a>) -> Result<(), ImportError> {
        match self.implied_clamp(view.tensor) {
            Some([min, max]) => Err(node.unsupported(format!(
                "the quantisation of its input keeps values from {min} to {max}, which stands for a ReLU or Clip that the \
                 quantiser left out: it cannot be fused into the layer before"
            ))),
            None => Ok(()),
        }
    }

    /// Fails if the function at the end of the model has been left out already.
    pub(super) fn check_ending(&self) -> Result<(), ImportError> {
        match self.ending {
            Some((node, _)) => Err(node.unsupported("expected it as the last operator only")),
            None => Ok(()),
        }
    }

    fn next_generation(&mut self, tensor: TensorId) -> u32 {
        let state = &mut self.states[tensor];
        state.generation += 1;
        state.generation
    }

    fn layer(&mut self, tensor: TensorId) -> Option<&mut Layer> {
        let producer = self.states[tensor].producer?;
        Some(&mut self.graph.layers[producer])
    }

    /// The weights of the layer that computes a tensor, while nothing comes between them and the tensor.
    fn site(&mut self, tensor: TensorId) -> Option<&mut Weights> {
        let layer = self.layer(tensor)?;
        if layer.activation != Activation::NONE {
            return None;
        }
        layer.op.weights_mut()
    }

    fn add_affine(
        &mut self,
        node: Node<'a>,
        tensor: TensorId,
        scale: Vec<f32>,
        shift: Vec<f32>,
    ) -> Result<(), ImportError> {
        if scale.iter().chain(&shift).any(|value| !value.is_finite()) {
            return Err(node.malformed("it scales or shifts by infinity or NaN"));
        }
        if self.states[tensor].producer.is_none() {
            if !scale.iter().all(|&scale| scale > 0.0) {
                return Err(node.unsupported("it scales the image by 0 or less"));
            }
            let affine = self.input_affine.take();
            self.input_affine = Some(InputAffine::then(affine, scale, shift));
            return Ok(());
        }
        let weights = self
            .site(tensor)
            .ok_or_else(|| node.unsupported(affine::NOT_DIRECT))?;
        scale_and_shift(weights, node.name(), scale, shift);
        Ok(())
    }

    fn add_activation(
        &mut self,
        node: Node<'a>,
        tensor: TensorId,
        activation: Activation,
    ) -> Result<(), ImportError> {
        let clamped_before = self.clamped_before(tensor, activation);
        let layer = self
            .layer(tensor)
            .ok_or_else(|| node.unsupported("it is applied to the image, expected a layer"))?;
        match layer.op {
            Op::MaxPool(_) if let Some(before) = clamped_before => {
                self.next_generation(before);
                return self.add_activation(node, before, activation);
            }
            Op::AveragePool(..) | Op::MaxPool(_) | Op::GlobalAveragePool => {
                return Err(node.unsupported("it follows a pool, which cannot fuse it"));
            }
            Op::Conv(..)
            | Op::Depthwise(..)
            | Op::Pointwise(_)
            | Op::Linear(_)
            | Op::Add
            | Op::Multiply => {}
        }
        layer.activation = match (layer.activation, activation) {
            (Activation::NONE, new) => new,
            (Activation::Clamp { min: a, max: b }, Activation::Clamp { min, max }) => {
                Activation::Clamp {
                    min: a.max(min).min(max),
                    max: b.max(min).min(max),
                }
            }
            (
                Activation::Clamp { .. } | Activation::HardSwish | Activation::HardSigmoid { .. },
                _,
            ) => return Err(node.unsupported("the layer before already has an activation")),
        };
        Ok(())
    }

    /// The tensor in front of a maximum pool that a clamp may move to: the clamp of the greatest is the greatest of what is
    /// clamped. Nothing else reads that tensor, and no scale of its own rounds it.
    fn clamped_before(&self, tensor: TensorId, activation: Activation) -> Option<TensorId> {
        let pool = &self.graph.layers[self.states[tensor].producer?];
        if !matches!(pool.op, Op::MaxPool(_)) || activation.is_curve() {
            return None;
        }
        let before = pool.inputs[0];
        let layers = self.graph.layers.iter();
        let readers = layers.filter(|layer| layer.inputs.contains(&before));
        let is_alone = readers.count() == 1 && self.states[before].open_reads == 0;
        (is_alone && self.scales.outer(before).is_none()).then_some(before)
    }

    fn unique_name(&mut self, name: &str) -> String {
        let mut unique = name.to_owned();
        while self.names.contains_key(&unique) {
            let count = self.names.entry(name.to_owned()).or_default();
            *count += 1;
            unique = format!("{name}_{count}");
        }
        self.names.insert(unique.clone(), 1);
        unique
    }
}

fn is_possible(shape: Shape) -> bool {
    [shape.height, shape.width, shape.channels]
        .iter()
        .all(|dim| (1..=MAX_DIM).contains(dim))
}

fn scale_and_shift(weights: &mut Weights, name: &str, scale: Vec<f32>, shift: Vec<f32>) {
    if let Some(norm) = &mut weights.batch_norm {
        for ((gamma, beta), (scale, shift)) in norm
            .gamma
            .iter_mut()
            .zip(&mut norm.beta)
            .zip(scale.iter().zip(&shift))
        {
            *gamma *= scale;
            *beta = *beta * scale + shift;
        }
    } else if scale.iter().all(|&scale| scale == 1.0) {
        let bias = weights.bias.get_or_insert_with(|| vec![0.0; shift.len()]);
        for (bias, shift) in bias.iter_mut().zip(&shift) {
            *bias += shift;
        }
    } else {
        weights.batch_norm = Some(affine::unit(name, Affine { scale, shift }));
    }
}

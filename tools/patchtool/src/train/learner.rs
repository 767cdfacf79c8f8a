//! A network with its loss and its optimiser: what a batch goes into.

use std::collections::BTreeMap;

use graft_patches::BackboneImage;
use graft_patches::geometry::Shape;
use graft_patches::layout::pack_weights;
use graft_patches::records::What;
use graft_runtime::gradient::{
    BatchNormMode, MOMENTUM, Network, Norm, Parameter, Role, SiteParameters, Trainable,
};
use graft_runtime::{Backbone, Error};
use serde::{Deserialize, Serialize};

use super::control::Selection;
use super::loss::{Loss, cross_entropy};
use super::optimizer::{self, Algorithm, Optimizer, Update};
use crate::trained::TrainKind;

/// Settings of a learner.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Kind of the training.
    pub kind: TrainKind,
    /// The update rule.
    pub algorithm: Algorithm,
    /// Pulls weights towards zero, by this much times the learning rate.
    pub weight_decay: f32,
    /// Learning-rate multiplier of scales and biases: weights are far smaller.
    pub scale_lr_multiplier: f32,
    /// Mode of the batch norms that are trained.
    pub batch_norm: BatchNormMode,
    /// Part of the target that is spread over all classes.
    pub smoothing: f32,
    /// First layer that is trained.
    pub from_layer: usize,
    /// Chooses the weights of the control kind.
    pub seed: u64,
}

/// A network in training.
pub struct Learner {
    network: Network,
    /// Of all parameters, or of those that are not shared.
    optimizer: Optimizer,
    /// Only in simultaneous training.
    shared: Option<Shared>,
    smoothing: f32,
    class_weights: Option<Vec<f32>>,
    scale_lr_multiplier: f32,
    batch_norm: BatchNormMode,
    /// Only for the control kind.
    selection: Option<Selection>,
    /// Of the loss by the scores.
    gradient: Vec<f32>,
}

/// What a learner trains together with those of other tasks.
struct Shared {
    /// Whether a parameter is, in the network's order.
    is_shared: Vec<bool>,
    /// Whether statistics are, too.
    has_statistics: bool,
    /// With the learner that has the values of now.
    optimizer: Option<Optimizer>,
}

/// Everything of a [`Learner`] that training changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Values of every parameter, in the network's order.
    pub parameters: Vec<Vec<f32>>,
    /// Running statistics of every batch norm, in the network's order.
    pub statistics: Vec<Vec<f32>>,
    /// Memory of the optimiser.
    pub optimizer: optimizer::State,
    /// That of what is shared, where this learner has it.
    pub shared: Option<optimizer::State>,
}

/// A [`State`] of another network.
#[derive(Debug, thiserror::Error)]
#[error("the saved state is of another network: {what} differ")]
pub struct StateError {
    what: &'static str,
}

impl Learner {
    /// A learner for images of this shape.
    ///
    /// # Errors
    /// A backbone that cannot be trained: see [`Network::new`].
    pub fn new(
        backbone: &Backbone,
        input: Shape,
        classes: usize,
        settings: Settings,
    ) -> Result<Self, Error> {
        let kind = settings.kind;
        let is_control = kind == TrainKind::RandomHead;
        let trainable = Trainable {
            norm: kind.trains_norms(),
            batch_norm: settings.batch_norm,
            depthwise: kind.trains_depthwise() || is_control,
            dense: kind == TrainKind::Full || is_control,
            head: true,
            from_layer: settings.from_layer,
        };
        let network = Network::new(backbone, input, classes, trainable)?;
        Ok(Self::of(network, backbone, settings))
    }

    /// A learner of the last layer alone, for embeddings in place of images.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn head(backbone: &Backbone, classes: usize, settings: Settings) -> Result<Self, Error> {
        Ok(Self::of(
            Network::head(backbone, classes)?,
            backbone,
            settings,
        ))
    }

    fn of(mut network: Network, backbone: &Backbone, settings: Settings) -> Self {
        let parameters = network.parameters();
        let is_control = settings.kind == TrainKind::RandomHead;
        let selection =
            is_control.then(|| Selection::new(&parameters, &backbone.image(), settings.seed));
        // What is not selected must not decay either.
        let weight_decay = if is_control {
            0.0
        } else {
            settings.weight_decay
        };
        let lengths = parameters.iter().map(|parameter| parameter.values.len());
        let optimizer = Optimizer::new(settings.algorithm, weight_decay, lengths);
        Self {
            network,
            optimizer,
            shared: None,
            smoothing: settings.smoothing,
            class_weights: None,
            scale_lr_multiplier: settings.scale_lr_multiplier,
            batch_norm: settings.batch_norm,
            selection,
            gradient: Vec::new(),
        }
    }

    /// The same, whose loss weighs every image by its class; `None` weighs all alike.
    #[must_use]
    pub fn with_class_weights(mut self, weights: Option<Vec<f32>>) -> Self {
        self.class_weights = weights;
        self
    }

    /// The same, which shares all parameters with the learners of other tasks but those of a patch of kind `own`; the
    /// head is its own unless `shares_head`.
    #[must_use]
    pub fn sharing(
        mut self,
        backbone: &BackboneImage<'_>,
        own: TrainKind,
        shares_head: bool,
    ) -> Self {
        let parameters = self.network.parameters();
        let is_shared: Vec<bool> = parameters
            .iter()
            .map(|parameter| {
                let site = backbone.site(parameter.site);
                let what = match parameter.role {
                    Role::Weights => What::Weights,
                    Role::Scale | Role::Bias => What::Epilogue,
                };
                match site.is_head {
                    true => shares_head,
                    false => !own.replaces(&site, what),
                }
            })
            .collect();
        let optimizer = |shared: bool| {
            let chosen = parameters.iter().zip(&is_shared);
            let chosen = chosen.filter(|(_, is_shared)| **is_shared == shared);
            let lengths = chosen.map(|(parameter, _)| parameter.values.len());
            self.optimizer.for_lengths(lengths)
        };
        let (own_optimizer, optimizer) = (optimizer(false), Some(optimizer(true)));
        self.optimizer = own_optimizer;
        self.shared = Some(Shared {
            is_shared,
            has_statistics: !own.trains_norms(),
            optimizer,
        });
        self
    }

    /// Takes what is shared as `from` has trained it, and its optimiser.
    pub fn take_shared(&mut self, from: &mut Self) {
        let (Some(own), Some(shared)) = (&mut self.shared, &mut from.shared) else {
            return;
        };
        let parameters = self.network.parameters();
        let parameters = parameters.into_iter().zip(from.network.parameters());
        for ((to, from), is_shared) in parameters.zip(&own.is_shared) {
            if *is_shared {
                to.values.copy_from_slice(from.values);
            }
        }
        own.optimizer = shared.optimizer.take();
        if own.has_statistics {
            let statistics = from.statistics();
            self.set_statistics(&statistics);
        }
    }

    /// Number of values that are trained, without those that are shared.
    pub fn trainable(&mut self) -> usize {
        match &self.selection {
            Some(selection) => selection.count(&self.network.parameters()),
            None => self.count(false),
        }
    }

    /// Number of values that are trained together with the learners of other tasks.
    pub fn shared(&mut self) -> usize {
        self.count(true)
    }

    fn count(&mut self, shared: bool) -> usize {
        let is_shared = |at: usize| self.shared.as_ref().is_some_and(|all| all.is_shared[at]);
        let parameters = self.network.parameters();
        let parameters = parameters.iter().enumerate();
        let counted = parameters.filter(|(at, _)| is_shared(*at) == shared);
        counted.map(|(_, parameter)| parameter.trained).sum()
    }

    /// One step on a batch of inputs and their classes, at this learning rate.
    ///
    /// # Panics
    /// If there are not as many inputs as classes.
    pub fn step(&mut self, rate: f32, inputs: &[f32], targets: &[usize]) -> Loss {
        let loss = self.forward(inputs, targets);
        self.descend(rate);
        loss
    }

    /// One step on a batch of inputs at this learning rate, by a loss of the caller's: it gets the scores and writes its
    /// derivative by each of them over the zeros of the second slice. Returns what it returns.
    pub fn step_by<T>(
        &mut self,
        rate: f32,
        inputs: &[f32],
        loss: impl FnOnce(&[f32], &mut [f32]) -> T,
    ) -> T {
        let scores = self.network.forward(inputs);
        self.gradient.clear();
        self.gradient.resize(scores.len(), 0.0);
        let result = loss(scores, &mut self.gradient);
        self.descend(rate);
        result
    }

    /// Changes the values by the gradient of the loss by the scores.
    fn descend(&mut self, rate: f32) {
        self.network.backward(&self.gradient);
        let mut parameters = self.network.parameters();
        let masked = self
            .selection
            .as_mut()
            .map(|selection| selection.masked(&parameters));
        let (mut own, mut shared) = (Vec::new(), Vec::new());
        for (at, parameter) in parameters.iter_mut().enumerate() {
            let is_shared = self.shared.as_ref().is_some_and(|all| all.is_shared[at]);
            let updates = if is_shared { &mut shared } else { &mut own };
            updates.push(Update {
                values: &mut *parameter.values,
                gradient: masked.map_or(parameter.gradient, |masked| &masked[at]),
                decays: parameter.role == Role::Weights,
                lr_multiplier: lr_multiplier(parameter.role, self.scale_lr_multiplier),
            });
        }
        self.optimizer.step(rate, own);
        let optimizer = self.shared.as_mut().and_then(|all| all.optimizer.as_mut());
        if let Some(optimizer) = optimizer {
            optimizer.step(rate, shared);
        }
    }

    /// The loss of a batch as a step computes it, and its gradient by the scores.
    fn forward(&mut self, inputs: &[f32], targets: &[usize]) -> Loss {
        let scores = self.network.forward(inputs);
        self.gradient.resize(scores.len(), 0.0);
        let weights = self.class_weights.as_deref();
        cross_entropy(scores, targets, self.smoothing, weights, &mut self.gradient)
    }

    /// The loss of a batch as a step computes it, which leaves everything as it is.
    ///
    /// # Panics
    /// If there are not as many inputs as classes.
    pub fn loss(&mut self, inputs: &[f32], targets: &[usize]) -> f64 {
        let before = self.statistics();
        let loss = self.forward(inputs, targets).mean;
        self.set_statistics(&before);
        loss
    }

    /// The loss of a batch, and the direction of a step of plain gradient descent on it: the gradient of each of
    /// [`Self::values`], times its learning-rate multiplier. It leaves everything as it is.
    ///
    /// # Panics
    /// If there are not as many inputs as classes.
    pub fn direction(&mut self, inputs: &[f32], targets: &[usize]) -> (f64, Vec<f32>) {
        let before = self.statistics();
        let loss = self.forward(inputs, targets).mean;
        self.network.backward(&self.gradient);
        self.set_statistics(&before);
        let parameters = self.network.parameters();
        let masked = self
            .selection
            .as_mut()
            .map(|selection| selection.masked(&parameters));
        let mut direction = Vec::new();
        for (at, parameter) in parameters.iter().enumerate() {
            let times = lr_multiplier(parameter.role, self.scale_lr_multiplier);
            let gradient = masked.map_or(parameter.gradient, |masked| &masked[at]);
            direction.extend(gradient.iter().map(|gradient| times * gradient));
        }
        (loss, direction)
    }

    /// The scores of a batch of inputs, as a step computes them.
    pub fn scores(&mut self, inputs: &[f32]) -> &[f32] {
        self.network.forward(inputs)
    }

    /// The trained values, by site.
    pub fn trained(&self) -> BTreeMap<usize, SiteParameters> {
        let mut trained: BTreeMap<_, _> = self.network.trained().into_iter().collect();
        if let Some(selection) = &self.selection {
            selection.complete(&mut trained);
        }
        trained
    }

    /// The state to restore to go on from here.
    pub fn state(&mut self) -> State {
        let values = |parameter: Parameter<'_>| parameter.values.to_vec();
        State {
            parameters: self.network.parameters().into_iter().map(values).collect(),
            statistics: self.statistics(),
            optimizer: self.optimizer.state(),
            shared: self
                .shared
                .as_ref()
                .and_then(|all| Some(all.optimizer.as_ref()?.state())),
        }
    }

    fn statistics(&mut self) -> Vec<Vec<f32>> {
        let all = self.network.statistics().into_iter();
        all.map(|values| values.to_vec()).collect()
    }

    fn set_statistics(&mut self, values: &[Vec<f32>]) {
        for (own, values) in self.network.statistics().into_iter().zip(values) {
            own.copy_from_slice(values);
        }
    }

    /// All trained values with the gradients of the last step, always in the same order.
    pub fn parameters(&mut self) -> Vec<Parameter<'_>> {
        self.network.parameters()
    }

    /// The values of all parameters, one after the other, as they are trained: packed, and before batch norms are folded.
    pub fn values(&mut self) -> Vec<f32> {
        let parameters = self.network.parameters();
        let slices: Vec<&[f32]> = parameters.iter().map(|p| &*p.values).collect();
        slices.concat()
    }

    /// Puts values in the place of what [`Self::values`] gave.
    ///
    /// # Panics
    /// If they are not as many.
    pub fn set_values(&mut self, mut values: &[f32]) {
        for parameter in self.network.parameters() {
            let (own, rest) = values.split_at(parameter.values.len());
            parameter.values.copy_from_slice(own);
            values = rest;
        }
        assert!(values.is_empty(), "as many values as there are");
    }

    /// Begins at trained values of these sites of the backbone, in place of the backbone's; statistics stay as they are.
    ///
    /// # Errors
    /// If they are not those of its parameters; the learner is not to be used then.
    pub fn start_at(
        &mut self,
        sites: &BTreeMap<usize, SiteParameters>,
        backbone: &BackboneImage<'_>,
    ) -> Result<(), StateError> {
        let what = "the trained values";
        let (mut own, mut values) = (Vec::new(), Vec::new());
        for parameter in self.network.parameters() {
            let site = backbone.site(parameter.site);
            let given = sites.get(&parameter.site).ok_or(StateError { what })?;
            let given = match (parameter.role, &given.norm, &given.weights) {
                (Role::Weights, _, Some(rows)) => {
                    let outputs = rows.len() / site.depth;
                    Some(pack_weights(rows, outputs, site.depth, site.is_depthwise))
                }
                (Role::Scale, Some(Norm::Batch(norm)), _) => Some(norm.gamma.clone()),
                (Role::Bias, Some(Norm::Batch(norm)), _) => Some(norm.beta.clone()),
                (Role::Scale, Some(Norm::Affine { scale, .. }), _) => Some(scale.clone()),
                (Role::Bias, Some(Norm::Affine { bias, .. }), _) => Some(bias.clone()),
                (Role::Weights, _, None) | (Role::Scale | Role::Bias, None, _) => None,
            };
            values.push(given.ok_or(StateError { what })?);
            own.push(parameter.values);
        }
        copy(own, &values, what)
    }

    /// Whether the statistics of its batch norms depend on its values: in batch mode.
    pub fn measures_statistics(&mut self) -> bool {
        self.batch_norm == BatchNormMode::Batch && !self.network.statistics().is_empty()
    }

    /// Moves the running statistics by this share of the way to those of a batch of inputs; a share of 1 / k of batch k, from 1
    /// on, makes them the means over all batches.
    pub fn measure_statistics(&mut self, inputs: &[f32], share: f32) {
        let before = self.statistics();
        self.network.forward(inputs);
        let moved = self.network.statistics().into_iter().zip(&before);
        for (index, (now, before)) in moved.enumerate() {
            // Means and variances alternate; rounding must not take a variance below zero.
            let least = [f32::NEG_INFINITY, 0.0][index % 2];
            for (now, before) in now.iter_mut().zip(before) {
                *now = (before + share / MOMENTUM * (*now - before)).max(least);
            }
        }
    }

    /// Goes on from a state of the same network and the same settings.
    ///
    /// # Errors
    /// If it is of another one; the learner is not to be used then.
    pub fn restore(&mut self, state: State) -> Result<(), StateError> {
        let values = self
            .network
            .parameters()
            .into_iter()
            .map(|parameter| parameter.values);
        copy(values.collect(), &state.parameters, "parameters")?;
        copy(self.network.statistics(), &state.statistics, "statistics")?;
        let what = "the optimiser's means";
        let error = |_| StateError { what };
        self.optimizer.restore(state.optimizer).map_err(error)?;
        let optimizer = self.shared.as_mut().map(|all| &mut all.optimizer);
        match (optimizer, state.shared) {
            (Some(Some(optimizer)), Some(state)) => optimizer.restore(state).map_err(error),
            // Another learner has it.
            (Some(optimizer), None) => {
                *optimizer = None;
                Ok(())
            }
            (None, None) => Ok(()),
            (Some(None) | None, Some(_)) => Err(StateError { what }),
        }
    }
}

fn lr_multiplier(role: Role, of_scales: f32) -> f32 {
    match role {
        Role::Weights => 1.0,
        Role::Scale | Role::Bias => of_scales,
    }
}

fn copy(to: Vec<&mut [f32]>, from: &[Vec<f32>], what: &'static str) -> Result<(), StateError> {
    let lengths = to.iter().map(|to| to.len());
    if !lengths.eq(from.iter().map(Vec::len)) {
        return Err(StateError { what });
    }
    for (to, from) in to.into_iter().zip(from) {
        to.copy_from_slice(from);
    }
    Ok(())
}

#[cfg(test)]
mod tests;

//! A network with its loss and its optimiser: what a batch goes into.

use std::collections::BTreeMap;

use graft_patches::geometry::Shape;
use graft_runtime::gradient::{
    BatchNormMode, MOMENTUM, Network, Parameter, Role, SiteParameters, Trainable,
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
    optimizer: Optimizer,
    smoothing: f32,
    class_weights: Option<Vec<f32>>,
    scale_lr_multiplier: f32,
    batch_norm: BatchNormMode,
    /// Only for the control kind.
    selection: Option<Selection>,
    /// Of the loss by the scores.
    gradient: Vec<f32>,
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

    /// Number of values that are trained.
    pub fn trainable(&mut self) -> usize {
        match &self.selection {
            Some(selection) => selection.count(&self.network.parameters()),
            None => self
                .network
                .parameters()
                .iter()
                .map(|parameter| parameter.trained)
                .sum(),
        }
    }

    /// One step on a batch of inputs and their classes, at this learning rate.
    ///
    /// # Panics
    /// If there are not as many inputs as classes.
    pub fn step(&mut self, rate: f32, inputs: &[f32], targets: &[usize]) -> Loss {
        let scores = self.network.forward(inputs);
        self.gradient.resize(scores.len(), 0.0);
        let weights = self.class_weights.as_deref();
        let loss = cross_entropy(scores, targets, self.smoothing, weights, &mut self.gradient);
        self.network.backward(&self.gradient);
        let mut parameters = self.network.parameters();
        let masked = self
            .selection
            .as_mut()
            .map(|selection| selection.masked(&parameters));
        let updates = parameters
            .iter_mut()
            .enumerate()
            .map(|(at, parameter)| Update {
                values: &mut *parameter.values,
                gradient: masked.map_or(parameter.gradient, |masked| &masked[at]),
                decays: parameter.role == Role::Weights,
                lr_multiplier: match parameter.role {
                    Role::Weights => 1.0,
                    Role::Scale | Role::Bias => self.scale_lr_multiplier,
                },
            });
        self.optimizer.step(rate, updates);
        loss
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
        }
    }

    fn statistics(&mut self) -> Vec<Vec<f32>> {
        let all = self.network.statistics().into_iter();
        all.map(|values| values.to_vec()).collect()
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
        for (now, before) in moved.flat_map(|(now, before)| now.iter_mut().zip(before)) {
            *now = before + share / MOMENTUM * (*now - before);
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
        self.optimizer
            .restore(state.optimizer)
            .map_err(|_| StateError {
                what: "the optimiser's means",
            })
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
mod tests {
    use super::*;
    use graft_tests::Random;

    const SIDE: usize = 16;
    const CLASSES: usize = 3;

    const SETTINGS: Settings = Settings {
        kind: TrainKind::BN_HEAD,
        algorithm: Algorithm::Adam,
        weight_decay: 0.01,
        scale_lr_multiplier: 1.0,
        batch_norm: BatchNormMode::Batch,
        smoothing: 0.05,
        from_layer: 0,
        seed: 4,
    };

    fn learner(kind: TrainKind) -> Learner {
        let backbone = graft_tests::backbone(SIDE, 3);
        let settings = Settings { kind, ..SETTINGS };
        Learner::new(&backbone, Shape::new(SIDE, SIDE, 3), CLASSES, settings).unwrap()
    }

    /// Images of noise.
    fn batch(seed: u64) -> (Vec<f32>, Vec<usize>) {
        let targets = (0..12).map(|image| image % CLASSES).collect();
        (Random(seed).values(12 * SIDE * SIDE * 3, 1.0), targets)
    }

    #[test]
    fn every_kind_learns_a_batch_by_heart() {
        let (inputs, targets) = batch(1);
        let mut last = Vec::new();
        for kind in [
            TrainKind::HEAD,
            TrainKind::RandomHead,
            TrainKind::DW_HEAD,
            TrainKind::BN_HEAD,
            TrainKind::BN_DW_HEAD,
            TrainKind::Full,
        ] {
            let mut learner = learner(kind);
            let losses: Vec<f64> = (0..60)
                .map(|_| learner.step(0.01, &inputs, &targets).mean)
                .collect();
            assert!(
                (losses[0] - (CLASSES as f64).ln()).abs() < 1e-3,
                "{kind}: a head of zeros knows nothing"
            );
            assert!(losses[59] < 0.8 * losses[0], "{kind}: {losses:?}");
            last.push(losses[59]);
        }
        assert!(
            last[5] < last[0],
            "all weights learn more than the last layer: {last:?}"
        );
    }

    #[test]
    fn a_class_of_weight_zero_is_not_learned() {
        let (inputs, targets) = batch(1);
        let mut plain = learner(TrainKind::HEAD);
        let mut weighted = learner(TrainKind::HEAD).with_class_weights(Some(vec![1.5, 0.0, 1.5]));
        for _ in 0..60 {
            plain.step(0.01, &inputs, &targets);
            weighted.step(0.01, &inputs, &targets);
        }
        let loss_of_class_1 = |learner: &mut Learner| {
            let (scores, weights) = (learner.scores(&inputs), [0.0, 1.0, 0.0]);
            let mut gradient = vec![0.0; scores.len()];
            cross_entropy(scores, &targets, 0.0, Some(&weights), &mut gradient).mean
        };
        assert!(loss_of_class_1(&mut weighted) > 2.0 * loss_of_class_1(&mut plain));
    }

    #[test]
    fn a_restored_state_goes_on_alike() {
        let mut first = learner(TrainKind::BN_DW_HEAD);
        let (inputs, targets) = batch(1);
        first.step(0.01, &inputs, &targets);
        let state = first.state();
        let mut second = learner(TrainKind::BN_DW_HEAD);
        second.restore(state.clone()).unwrap();
        for seed in 2..5 {
            let (inputs, targets) = batch(seed);
            let losses =
                [&mut first, &mut second].map(|learner| learner.step(0.01, &inputs, &targets).mean);
            assert_eq!(losses[0].to_bits(), losses[1].to_bits());
        }
        assert_eq!(first.trained(), second.trained());
        assert!(learner(TrainKind::HEAD).restore(state).is_err());
    }

    #[test]
    fn values_come_and_go_and_statistics_are_measured_for_them() {
        let backbone = Backbone::from_bytes(&graft_tests::operators::with_batch_norm()).unwrap();
        let shape = backbone.image().input().shape;
        let mut learner = Learner::new(&backbone, shape, CLASSES, SETTINGS).unwrap();
        assert!(learner.measures_statistics());
        let targets = batch(1).1;
        let [inputs, other] =
            [1, 2].map(|seed| Random(seed).values(targets.len() * shape.len(), 1.0));
        let start = learner.values();
        learner.step(0.01, &inputs, &targets);
        let stepped = learner.state();
        learner.set_values(&start);
        assert_eq!(learner.values(), start);
        // The mean of the statistics of two batches, whatever was there before.
        let mut measured = |batches: [&[f32]; 2], before: &State| {
            learner.restore(before.clone()).unwrap();
            for (at, inputs) in batches.iter().enumerate() {
                learner.measure_statistics(inputs, 1.0 / (at + 1) as f32);
            }
            learner.state().statistics.concat()
        };
        let moved = State {
            statistics: stepped
                .statistics
                .iter()
                .map(|s| vec![0.5; s.len()])
                .collect(),
            ..stepped.clone()
        };
        let [one, two, both] = [[&inputs[..]; 2], [&other[..]; 2], [&inputs, &other]]
            .map(|batches| measured(batches, &stepped));
        let again = measured([&other, &inputs], &moved);
        for ((one, two), (both, again)) in one.iter().zip(&two).zip(both.iter().zip(&again)) {
            let expected = 0.5 * (one + two);
            assert!(
                (both - expected).abs() < 1e-4 * (1.0 + expected.abs()),
                "{both} {expected}"
            );
            assert!(
                (again - expected).abs() < 1e-4 * (1.0 + expected.abs()),
                "{again} {expected}"
            );
        }
    }

    #[test]
    fn the_control_trains_as_many_values_as_bn_and_leaves_the_others() {
        let mut bn = learner(TrainKind::BN_HEAD);
        let mut control = learner(TrainKind::RandomHead);
        assert_eq!(control.trainable(), bn.trainable());
        let before = control.state();
        let (inputs, targets) = batch(1);
        for _ in 0..3 {
            control.step(0.01, &inputs, &targets);
        }
        let after = control.state();
        let changed = before.parameters.iter().zip(&after.parameters);
        let changed: usize = changed
            .map(|(a, b)| a.iter().zip(b).filter(|(a, b)| a != b).count())
            .sum();
        assert!(changed <= control.trainable(), "{changed} values changed");
        assert!(
            changed > control.trainable() / 2,
            "{changed} values changed"
        );
    }
}

//! A client: a frozen backbone, a patch, and a last layer of several heads.
//!
//! The heads are rows of one last layer, `(heads + 1) x classes`: head 0, the main one, learns private labels; head k
//! learns what the believed teacher's head k - 1 says of public images ("Decentralized Learning with Multi-Headed
//! Distillation", Zhmoginov et al. 2023, section 3). So knowledge travels one client a head, and the main head, which
//! never learns from others, keeps its accuracy on private data. Batch norms use the backbone's own statistics.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use graft_data::augment::{Augment, Augmenter};
use graft_data::batches::{Batch, Batches, steps};
use graft_data::evaluation_set::EvaluationSet;
use graft_data::preprocess::Preprocess;
use graft_data::random::{Purpose, generator};
use graft_data::training_set::TrainingSet;
use graft_patches::Digest;
use graft_patches::records::Dtype;
use graft_runtime::Backbone;
use graft_runtime::gradient::{Norm, SiteParameters};
use patchtool::confusion::predicted;
use patchtool::hint::Hint;
use patchtool::train::learner::{Learner, Settings, State};
use patchtool::train::schedule::Schedule;
use patchtool::trained::Trained;

use crate::choice::Belief;
use crate::lessons::{Lessons, Loss, Round};
use crate::predictions::Predictions;

/// Images that are scored at once.
const CHUNK: usize = 64;
/// Private epochs that a round may have, at most.
const EPOCHS_OF_A_ROUND: u32 = 1 << 12;

/// How a client learns.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Heads besides the main one.
    pub heads: usize,
    /// Rounds of the federation.
    pub rounds: u32,
    /// Private images of a step, and as many public ones.
    pub batch: usize,
    /// Largest learning rate.
    pub rate: f32,
    /// Weight of the losses of the heads that learn from others.
    pub weight: f32,
    /// Changes of training images.
    pub augment: Augment,
    /// Of every random number.
    pub seed: u64,
}

/// What a client learns from: its own images, and those that everybody has.
#[derive(Clone)]
pub struct Images {
    /// To learn from, with labels.
    pub private: Arc<TrainingSet>,
    /// To learn from, without.
    pub public: Arc<TrainingSet>,
    /// The public ones, as they are.
    pub public_inputs: Arc<EvaluationSet>,
}

/// A client.
pub struct Client {
    backbone: Backbone,
    learner: Learner,
    template: Trained,
    images: Images,
    preprocess: Preprocess,
    plan: Plan,
    round: u32,
}

impl Client {
    /// A client before its first round. `template` says what its patches are but for their values.
    ///
    /// # Errors
    /// A backbone that cannot be trained.
    pub fn new(
        backbone: &Backbone,
        template: Trained,
        images: Images,
        preprocess: Preprocess,
        settings: Settings,
        plan: Plan,
    ) -> Result<Self> {
        for (what, images) in [("private", &images.private), ("public", &images.public)] {
            if steps(images.len(), plan.batch) == 0 {
                bail!(Hint::new(
                    format!(
                        "{} {what} images make no batch of {}",
                        images.len(),
                        plan.batch
                    ),
                    "give more images, or a larger --batch",
                ));
            }
        }
        let outputs = template.labels.len() * (plan.heads + 1);
        let learner = Learner::new(backbone, template.input.shape, outputs, settings)
            .with_context(|| {
                format!(
                    "{} cannot be trained with these heads",
                    template.backbone.name
                )
            })?;
        Ok(Self {
            backbone: backbone.clone(),
            learner,
            template,
            images,
            preprocess,
            plan,
            round: 0,
        })
    }

    /// The lessons of a round: the most confident of these teachers, of whom the first is the client itself, is believed.
    pub fn lessons(&self, teachers: Vec<Vec<Predictions>>, belief: Belief) -> Lessons {
        // Another stream than that of the order of images.
        let seed = self.plan.seed.rotate_left(32);
        let epoch = self.round;
        Lessons::new(
            teachers,
            belief,
            &mut generator(seed, Purpose::Order { epoch }),
        )
    }

    /// Rounds behind it.
    pub fn round(&self) -> u32 {
        self.round
    }

    /// Goes on at a later round, whose learning rate is that of the others.
    pub fn skip_to(&mut self, round: u32) {
        self.round = self.round.max(round);
    }

    /// What training has changed, to go on from.
    pub fn state(&mut self) -> State {
        self.learner.state()
    }

    /// Goes on from a state of the same client after so many rounds.
    ///
    /// # Errors
    /// If it is of another one.
    pub fn restore(&mut self, state: State, round: u32) -> Result<()> {
        self.learner.restore(state)?;
        self.round = round;
        Ok(())
    }

    /// Number of private images.
    pub fn private_images(&self) -> usize {
        self.images.private.len()
    }

    /// All trained values.
    pub fn values(&mut self) -> Vec<f32> {
        self.learner.values()
    }

    /// Puts values in the place of those.
    ///
    /// # Panics
    /// If they are not as many.
    pub fn set_values(&mut self, values: &[f32]) {
        self.learner.set_values(values);
    }

    /// Digest of the private images.
    pub fn private_digest(&self) -> Digest {
        self.template.data.digest
    }

    fn classes(&self) -> usize {
        self.template.labels.len()
    }

    /// What each head but the last says of the public images: what leaves the client.
    pub fn predictions(&mut self) -> Vec<Predictions> {
        let (classes, speaking) = (self.classes(), self.plan.heads);
        let inputs = self.images.public_inputs.clone();
        let mut of_heads = vec![Vec::new(); speaking];
        self.for_each_scores(&inputs, |_, scores| {
            for (head, scores) in scores.chunks_exact(classes).take(speaking).enumerate() {
                of_heads[head].extend_from_slice(scores);
            }
        });
        let of_heads = of_heads.iter();
        of_heads
            .map(|scores| Predictions::of(scores, classes))
            .collect()
    }

    /// Numbers of test images by head and class: right, and all.
    pub fn test(&mut self, set: &EvaluationSet) -> Vec<Vec<(usize, usize)>> {
        let classes = self.classes();
        let mut counts = vec![vec![(0, 0); classes]; self.plan.heads + 1];
        self.for_each_scores(set, |image, scores| {
            let class = set.class(image);
            for (counts, scores) in counts.iter_mut().zip(scores.chunks_exact(classes)) {
                counts[class].0 += usize::from(predicted(scores) == Some(class));
                counts[class].1 += 1;
            }
        });
        counts
    }

    /// Calls `each` with the scores of all heads for every image.
    fn for_each_scores(&mut self, set: &EvaluationSet, mut each: impl FnMut(usize, &[f32])) {
        let values = self.preprocess.values();
        let outputs = self.classes() * (self.plan.heads + 1);
        let mut inputs = Vec::new();
        for first in (0..set.len()).step_by(CHUNK) {
            let images = first..set.len().min(first + CHUNK);
            inputs.resize(images.len() * values, 0.0);
            for (image, input) in images.clone().zip(inputs.chunks_exact_mut(values)) {
                self.preprocess.normalise(&set.input(image), input);
            }
            let scores = self.learner.scores(&inputs).chunks_exact(outputs);
            for (image, scores) in images.zip(scores) {
                each(image, scores);
            }
        }
    }

    /// Steps of a round: every public image once.
    pub fn steps(&self) -> usize {
        steps(self.images.public.len(), self.plan.batch)
    }

    /// A round: as many private images as there are public ones, and with lessons those, too.
    ///
    /// # Errors
    /// A loss that is no number, and a system that has no thread left.
    pub fn learn(&mut self, lessons: Option<&Lessons>) -> Result<Round> {
        let (batch, seed, round) = (self.plan.batch, self.plan.seed, self.round);
        let in_round = self.steps();
        let schedule = Schedule {
            base: self.plan.rate,
            steps: in_round * self.plan.rounds as usize,
            warmup: in_round.min(100),
            last: 0.0,
        };
        let augmenter = Augmenter::new(self.plan.augment, self.preprocess.clone());
        let public = match lessons {
            Some(_) => Some(Batches::start(
                self.images.public.clone(),
                augmenter.clone(),
                batch,
                (seed, round),
                0,
            )?),
            None => None,
        };
        let mut private =
            Private::new(self.images.private.clone(), augmenter, batch, (seed, round));
        let mut public = public.into_iter().flatten();
        let mut sums = Round::default();
        for step in 0..in_round {
            let own = private.next()?;
            let theirs = public.next();
            let mut inputs = own.inputs.clone();
            if let Some(theirs) = &theirs {
                inputs.extend_from_slice(&theirs.inputs);
            }
            let rate = schedule.rate(round as usize * in_round + step);
            let loss = Loss {
                classes: self.classes(),
                heads: self.plan.heads,
                weight: self.plan.weight,
                labels: &own.labels,
                lessons: lessons.zip(theirs.as_ref().map(|theirs| &theirs.images[..])),
            };
            let of_step = self
                .learner
                .step_by(rate, &inputs, |scores, gradient| loss.of(scores, gradient));
            if !(of_step.private_loss + of_step.public_loss).is_finite() {
                bail!(Hint::new(
                    format!(
                        "learning diverged in round {}: the loss is no number",
                        round + 1
                    ),
                    "try a smaller --lr or --weight, with --force",
                ));
            }
            sums.private_loss += of_step.private_loss / in_round as f64;
            sums.private_accuracy += of_step.private_accuracy / in_round as f64;
            sums.public_loss += of_step.public_loss / in_round as f64;
        }
        self.round += 1;
        Ok(sums)
    }

    /// The patch of one head: the client's batch norms or filters, and that head's rows of the last layer.
    pub fn trained(&mut self, head: usize, name: String) -> Trained {
        let classes = self.classes();
        let mut sites = self.learner.trained();
        let own = self.backbone.image().head().expect("a learner has a head");
        keep_rows(&mut sites, own, head * classes..(head + 1) * classes);
        let mut trained = Trained {
            name,
            sites,
            ..self.template.clone()
        };
        trained.metrics.epochs = self.round;
        trained
    }

    /// The bytes of a trained file of one head, and of its patch.
    ///
    /// # Errors
    /// Values that cannot be compiled: training diverged.
    pub fn files(&self, trained: &Trained) -> Result<[Vec<u8>; 2]> {
        let image = self.backbone.image();
        Ok([
            trained.to_bytes(&image)?,
            trained.compile(&image, Dtype::F32)?,
        ])
    }
}

/// Leaves these outputs of a site alone.
fn keep_rows(sites: &mut BTreeMap<usize, SiteParameters>, site: usize, rows: Range<usize>) {
    let Some(values) = sites.get_mut(&site) else {
        return;
    };
    if let Some(Norm::Affine { scale, bias }) = &mut values.norm {
        let outputs = scale.len();
        for values in [scale, bias] {
            *values = values[rows.clone()].to_vec();
        }
        if let Some(weights) = &mut values.weights {
            let depth = weights.len() / outputs;
            *weights = weights[rows.start * depth..rows.end * depth].to_vec();
        }
    }
}

/// Private batches without end.
struct Private {
    images: Arc<TrainingSet>,
    augmenter: Augmenter,
    batch: usize,
    seed: u64,
    epoch: u32,
    batches: Option<Batches>,
}

impl Private {
    fn new(
        images: Arc<TrainingSet>,
        augmenter: Augmenter,
        batch: usize,
        (seed, round): (u64, u32),
    ) -> Self {
        Self {
            images,
            augmenter,
            batch,
            seed,
            epoch: round * EPOCHS_OF_A_ROUND,
            batches: None,
        }
    }

    fn next(&mut self) -> Result<Batch> {
        loop {
            if let Some(batch) = self.batches.as_mut().and_then(Iterator::next) {
                return Ok(batch);
            }
            let of = (self.seed, self.epoch);
            let (images, augmenter) = (self.images.clone(), self.augmenter.clone());
            let batches = Batches::start(images, augmenter, self.batch, of, 0);
            self.batches = Some(batches.context("cannot start a thread")?);
            self.epoch += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_of_the_last_layer_keeps_its_rows() {
        let affine = Norm::Affine {
            scale: vec![1.0; 6],
            bias: vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
        };
        let weights = (0..12).map(|value| value as f32).collect();
        let values = SiteParameters {
            weights: Some(weights),
            norm: Some(affine),
        };
        let mut sites = BTreeMap::from([(7, values)]);
        keep_rows(&mut sites, 7, 2..4);
        assert_eq!(sites[&7].weights, Some(vec![4.0, 5.0, 6.0, 7.0]));
        let expected = Norm::Affine {
            scale: vec![1.0; 2],
            bias: vec![2.0, 3.0],
        };
        assert_eq!(sites[&7].norm, Some(expected));
    }
}

//! Learns heads from the frames that the device sees: sums of embeddings in memory, from which a patch is made into a slot.

use core::mem::size_of;

use graft_link::{Refusal, Task};
use graft_patches::Digest;
use graft_patches::head_patch::HeadPatchError;
use graft_runtime::Backbone;
use graft_runtime::head_learner::{
    About, GD_PLUS_PLUS, HeadLearner, LearnError, MAX_STEPS, Method, Projection, Recipe, Step,
};
use graft_slots::Upload;
use heapless::{String, Vec};
use zerocopy::FromBytes as _;

use crate::board::{Board, Clock};
use crate::error::{Error, Problem};
use crate::log::info;
use crate::server::{FlashError, Server};

/// Most bytes of a class name.
pub const LABEL: usize = 32;
/// Most classes that a device learns, whatever memory it has.
const CLASSES: usize = 64;

/// Memory to learn in.
pub struct LearnBuffers {
    /// Of the sums: [`HeadLearner::words_len`] of the dimensions and of as many classes as the device can be taught.
    pub sums: &'static mut [i32],
    /// Dimensions that embeddings are projected to.
    pub dimensions: usize,
    /// Names of the classes.
    pub labels: &'static mut [String<LABEL>],
}

/// The sums, and the names of their classes.
pub(crate) struct Learner {
    pub(crate) sums: HeadLearner<'static>,
    labels: &'static mut [String<LABEL>],
}

impl Learner {
    /// `None` for a backbone without a head.
    pub(crate) fn new<F: core::fmt::Debug>(
        backbone: &Backbone,
        buffers: LearnBuffers,
    ) -> Result<Option<Self>, Error<F>> {
        let LearnBuffers {
            sums,
            dimensions,
            labels,
        } = buffers;
        if backbone.image().embedding_layer().is_none() {
            return Ok(None);
        }
        let projection = Projection::of(&backbone.image(), dimensions, 0)?;
        Ok(Some(Self {
            sums: HeadLearner::new(projection, sums)?,
            labels,
        }))
    }

    /// Names of the classes that it knows.
    fn known(&self) -> &[String<LABEL>] {
        &self.labels[..self.sums.classes()]
    }

    fn class(&self, label: &str) -> Option<usize> {
        self.known().iter().position(|known| known == label)
    }

    /// Classes that there is room for.
    fn capacity(&self) -> usize {
        self.sums.capacity().min(self.labels.len()).min(CLASSES)
    }

    /// The state of the learner.
    pub(crate) fn describe(&self) -> graft_link::Learner {
        graft_link::Learner {
            classes: self.sums.classes() as u8,
            capacity: self.capacity() as u8,
            dimensions: self.sums.projection().dimensions() as u16,
            bytes: (HeadLearner::words_len(
                self.sums.projection().dimensions(),
                self.sums.capacity(),
            ) * size_of::<i32>()) as u32,
        }
    }

    /// Name and examples of a class.
    pub(crate) fn describe_class(&self, class: u8) -> Result<(&str, u32), Refusal<'static>> {
        let class = usize::from(class);
        let label = self.known().get(class).ok_or(Refusal::NoSuchClass)?;
        Ok((label, self.sums.examples(class) as u32))
    }
}

/// The recipe of the host; `None` where it sends none.
fn own_recipe<'s>(
    bytes: &[u8],
    steps: &'s mut [Step; MAX_STEPS],
) -> Result<Option<Recipe<'s>>, LearnError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let wrong = LearnError::Recipe {
        problem: "no steps, or too many",
    };
    let (numbers, rest) = bytes.as_chunks::<4>();
    let mut numbers = numbers.iter().map(|&bytes| f32::from_le_bytes(bytes));
    let confidence = numbers.next().ok_or(wrong)?;
    let count = numbers.len() / 2;
    let is_whole = rest.is_empty() && numbers.len().is_multiple_of(2);
    let steps = steps.get_mut(..count).filter(|_| is_whole).ok_or(wrong)?;
    for step in &mut *steps {
        if let (Some(eta), Some(gamma)) = (numbers.next(), numbers.next()) {
            *step = Step { eta, gamma };
        }
    }
    Ok(Some(Recipe {
        method: Method::Descent(steps),
        confidence,
    }))
}

impl<B: Board> Server<B> {
    /// Adds the image to the examples of a class; returns how many those are, and the ticks that it took.
    pub(crate) fn teach(&mut self, label: &str) -> Result<(u32, u32), Problem<FlashError<B>>> {
        if self.backbone.trust().is_some() {
            return Err(Refusal::OnlySigned.into());
        }
        self.ready(Task::Own)?;
        self.held_for = 0;
        let Self {
            session,
            tasks,
            image,
            board,
            learner,
            ..
        } = self;
        let learner = learner.as_mut().ok_or(Refusal::CannotLearn)?;
        let known = learner.class(label);
        let class = known.unwrap_or(learner.sums.classes());
        let capacity = learner.capacity();
        if class >= capacity {
            let capacity = capacity as u8;
            return Err(Refusal::NoMoreClasses { capacity }.into());
        }
        let own = String::try_from(label).map_err(|_| Refusal::LongLabel { most: LABEL as u8 })?;
        let start = board.clock().ticks();
        let mut added = Ok(());
        session.run_embedding(
            tasks.get_or_own(Task::Own),
            &image[..self.image_len],
            |embedding| added = learner.sums.add(class, embedding),
        )?;
        added?;
        let ticks = board.clock().ticks().wrapping_sub(start);
        if known.is_none() {
            learner.labels[class] = own;
        }
        info!("class {=usize} has another example", class);
        Ok((learner.sums.examples(class) as u32, ticks))
    }

    /// Takes a class away with all of its examples.
    pub(crate) fn forget(&mut self, label: &str) -> Result<(), Problem<FlashError<B>>> {
        let learner = self.learner.as_mut().ok_or(Refusal::CannotLearn)?;
        let class = learner.class(label).ok_or(Refusal::NoSuchClass)?;
        let classes = learner.sums.classes();
        learner.sums.forget(class)?;
        learner.labels[class..classes].rotate_left(1);
        Ok(())
    }

    /// Makes a head of the sums, writes it as a patch to a slot, and serves it on trial. Returns its length, and the ticks
    /// that making it took.
    pub(crate) fn learn(
        &mut self,
        slot: u8,
        name: &str,
        recipe: &[u8],
    ) -> Result<(u32, u32), Problem<FlashError<B>>> {
        let mut steps = [Step {
            eta: 0.0,
            gamma: 0.0,
        }; MAX_STEPS];
        let recipe = match own_recipe(recipe, &mut steps)? {
            None => GD_PLUS_PLUS,
            Some(own) => own,
        };
        let start = self.board.clock().ticks();
        let (place, digest) = self.make(name, &recipe)?;
        let ticks = self.board.clock().ticks().wrapping_sub(start);
        let length = place.len() as u32;
        self.begin(
            slot,
            Upload {
                length,
                digest: digest.0,
                answer: None,
            },
        )?;
        self.store.write(0, &self.session.arena_mut()[place])?;
        self.finish()?;
        self.activate(slot)?;
        Ok((length, ticks))
    }

    /// Makes the patch in the arena, which is free between two frames; returns where it is.
    fn make(
        &mut self,
        name: &str,
        recipe: &Recipe<'_>,
    ) -> Result<(core::ops::Range<usize>, Digest), Problem<FlashError<B>>> {
        let Self {
            session,
            learner,
            backbone,
            ..
        } = self;
        let learner = learner.as_ref().ok_or(Refusal::CannotLearn)?;
        let (sums, arena) = (&learner.sums, session.arena_mut());
        let [work_len, weights_len] =
            [sums.work_len(recipe.method), sums.weights_len()].map(|len| len * size_of::<f32>());
        let (start, room) = (work_len + weights_len, arena.len());
        let too_small = Refusal::NoRoom {
            found: room as u32,
            expected: start as u32,
        };
        let (work, rest) = arena.split_at_mut_checked(work_len).ok_or(too_small)?;
        let (weights, bytes) = rest.split_at_mut_checked(weights_len).ok_or(too_small)?;
        // The arena is aligned to 64, and its parts are whole numbers.
        let work = <[f32]>::mut_from_bytes(work).map_err(|_| too_small)?;
        let weights = <[f32]>::mut_from_bytes(weights).map_err(|_| too_small)?;
        weights.fill(0.0);
        let head = sums.learn(recipe, work, weights)?;
        let labels: Vec<&str, CLASSES> = learner.known().iter().map(String::as_str).collect();
        let about = About {
            name,
            labels: &labels,
            dtype: backbone.image().dtype(),
            keeps_sums: false,
        };
        let written = sums.patch(backbone.image(), (&head, recipe), about, |patch| {
            let patch = patch.write(bytes)?;
            Ok((patch.len(), Digest::of(patch)))
        });
        let (length, digest) = match written {
            Err(HeadPatchError::Memory { expected, .. }) => {
                return Err(Refusal::NoRoom {
                    found: room as u32,
                    expected: (start + expected) as u32,
                }
                .into());
            }
            written => written?,
        };
        Ok((start..start + length, digest))
    }
}

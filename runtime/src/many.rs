//! Several patches on one image: what they have in common is computed once.

use core::ops::Range;

use graft_patches::BackboneImage;
use graft_patches::geometry::Shape;

use crate::arena::Parts;
use crate::{Backbone, Error, Image, Patch, Session};

impl Backbone {
    /// Layers that [`Session::run_many`] computes once for all of these patches: whole steps of the plan before the first
    /// layer that one of them computes with other values than the first, and never the last step. None where inputs differ
    /// in resolution or normalisation.
    pub fn shared_layers(&self, patches: &[&Patch]) -> usize {
        let Some((first, others)) = patches.split_first() else {
            return 0;
        };
        let is_like =
            |patch: &&Patch| patch.backbone_id() == self.id() && patch.input() == first.input();
        if !patches.iter().all(is_like) {
            return 0;
        }
        let image = self.image();
        let differences = others
            .iter()
            .filter_map(|other| first.first_difference(other, &image));
        let layer = differences.min().unwrap_or(image.layer_count());
        let starts = image.steps().map(|step| step.first);
        starts
            .take_while(|&start| start <= layer)
            .last()
            .unwrap_or(0)
    }
}

impl Session<'_> {
    /// Runs one image through the backbone as each of these patches has it, and gives `each` their indices and scores, in
    /// order. Scores are those of [`Session::run`], to the bit; but the layers that all of them compute with the same values
    /// ([`Backbone::shared_layers`]) are computed once.
    ///
    /// What they leave to be read by others is saved where those write over it: nothing for patches of the head. The memory
    /// for that is allocated by the first call that needs it; a session in memory of the caller takes it from the bytes
    /// behind [`Session::arena_len`], of which [`Session::many_arena_len`] says how many there must be.
    ///
    /// # Errors
    /// As [`Session::run`], before anything is computed; [`Error::Arena`] where the caller's memory is too small, and
    /// `Error::Memory` where the system has none.
    ///
    /// ```
    /// # std::env::set_current_dir("../tools/assets/demo").unwrap();
    /// use graft_runtime::{Backbone, Patch, Session};
    ///
    /// let backbone = Backbone::open("demo.backbone")?;
    /// let fashion = Patch::open("fashion.patch", &backbone)?;
    /// let digits = Patch::open("sign-digits.patch", &backbone)?;
    /// let frame = vec![0u8; 48 * 48 * 3];
    /// let mut session = Session::new(&backbone)?;
    /// let mut best = [0.0f32; 2];
    /// session.run_many(&[&fashion, &digits], &frame, |task, scores| {
    ///     best[task] = scores.iter().copied().fold(f32::MIN, f32::max);
    /// })?;
    /// # Ok::<(), graft_runtime::Error>(())
    /// ```
    pub fn run_many<'i>(
        &mut self,
        patches: &[&Patch],
        image: impl Into<Image<'i>>,
        mut each: impl FnMut(usize, &[f32]),
    ) -> Result<(), Error> {
        let image = image.into();
        for patch in patches {
            self.prepare(patch, &image)?;
        }
        let backbone = self.backbone.clone();
        let shared = backbone.shared_layers(patches);
        let layers = backbone.image().layer_count();
        if self.arena.reserve(saved_bytes(&backbone.image(), shared))? {
            self.shaped_for = Shape::default();
        }
        for (index, patch) in patches.iter().enumerate() {
            self.prepare(patch, &image)?;
            match index {
                0 if shared > 0 => {
                    self.compute(patch, image, 0..shared, &mut |_, _| {});
                    self.each_saved(shared, |kept, copy| copy.copy_from_slice(kept));
                }
                _ => self.each_saved(shared, |kept, copy| kept.copy_from_slice(copy)),
            }
            each(
                index,
                self.compute(patch, image, shared..layers, &mut |_, _| {}),
            );
        }
        Ok(())
    }

    /// Bytes of arena that [`Session::run_many`] needs for these patches, in a session of one thread.
    pub fn many_arena_len(backbone: &Backbone, patches: &[&Patch]) -> usize {
        let shared = backbone.shared_layers(patches);
        Session::arena_len(backbone) + saved_bytes(&backbone.image(), shared)
    }

    /// Gives `copy` the bytes of each tensor that is saved at the boundary before this layer, in the plan and in the copy.
    fn each_saved(&mut self, layer: usize, copy: impl Fn(&mut [u8], &mut [u8])) {
        let backbone = self.backbone.image();
        let Parts {
            activations,
            mut saved,
            ..
        } = self.arena.parts();
        for range in saved_tensors(&backbone, layer) {
            let (own, rest) = saved.split_at_mut(range.len());
            copy(&mut activations[range], own);
            saved = rest;
        }
    }
}

fn saved_bytes(image: &BackboneImage<'_>, layer: usize) -> usize {
    saved_tensors(image, layer).map(|range| range.len()).sum()
}

/// The bytes among the activations of each tensor that is written before this layer and read from it on, if anything is
/// written over it in the end.
fn saved_tensors<'a>(
    image: &BackboneImage<'a>,
    layer: usize,
) -> impl Iterator<Item = Range<usize>> + use<'a> {
    let image = *image;
    let alive = (0..=layer).filter(move |&tensor| layer > 0 && image.tensor(tensor).last >= layer);
    alive
        .map(move |tensor| bytes(&image, tensor))
        .filter(move |own| {
            let steps = image.steps().filter(|step| step.first >= layer);
            let mut outputs = steps.map(|step| bytes(&image, step.last + 1));
            outputs.any(|output| output.start < own.end && own.start < output.end)
        })
}

/// The place of a tensor among the activations, the scores with room for the plan's most classes.
fn bytes(image: &BackboneImage<'_>, tensor: usize) -> Range<usize> {
    let own = image.tensor(tensor);
    let channels = match tensor == image.layer_count() {
        true => image.max_classes(),
        false => own.shape.channels,
    };
    let length = own.shape.pixels() * channels * image.dtype().size();
    own.offset..own.offset + length
}

//! An int8 backbone with two patches, and what the host's engine gives for them.

use graft_client::{Client, DeviceError, Push, Pushed, push};
use graft_runtime::{Backbone, Patch, Session};

/// Bytes of a page of the board's flash.
pub(crate) const PAGE: usize = 4096;
const CLASSES: usize = 50;

/// An int8 backbone and two patches of it, and what it was made of.
pub(crate) struct Models {
    pub(crate) float: Backbone,
    pub(crate) backbone: Backbone,
    pub(crate) patches: [Vec<u8>; 2],
}

impl Models {
    pub(crate) fn new() -> Self {
        let float = graft_tests::wide_linear();
        let bytes = graft_tests::int8::backbone(&float);
        let backbone = Backbone::from_bytes(&bytes).expect("it is valid");
        let patches = [7, 8].map(|seed| {
            let [_, patch] = graft_tests::int8::random_patches(&float, &backbone, CLASSES, seed);
            patch
        });
        Self {
            float,
            backbone,
            patches,
        }
    }

    pub(crate) fn pages(&self) -> u32 {
        self.patches[0].len().div_ceil(PAGE) as u32
    }

    pub(crate) fn image(&self) -> Vec<u8> {
        let length = self.backbone.image().input().shape.len();
        (0..length).map(|at| (at * 31 % 251) as u8).collect()
    }

    /// Scores of the host's engine; without a patch, with the backbone's own values.
    pub(crate) fn scores(&self, patch: Option<usize>) -> Vec<f32> {
        let patch = match patch {
            Some(patch) => Patch::from_bytes(&self.patches[patch], &self.backbone),
            None => Ok(self.backbone.identity()),
        };
        let mut session = Session::new(&self.backbone).expect("kernels are there");
        let patch = patch.expect("it fits");
        session
            .run(&patch, &self.image())
            .expect("it fits")
            .to_vec()
    }

    pub(crate) fn push(
        &self,
        client: &mut Client,
        patch: usize,
        options: Push,
    ) -> Result<Pushed, DeviceError> {
        let patch = Patch::from_bytes(&self.patches[patch], &self.backbone).expect("it fits");
        let image = patch.image().expect("it has one");
        let mut steps = Vec::new();
        let pushed = push(client, &image, options, |step| {
            steps.push((step.done, step.total))
        })?;
        assert!(steps.iter().all(|(done, total)| done <= total));
        assert_eq!(steps.last(), Some(&(pushed.bytes, pushed.bytes)));
        Ok(pushed)
    }
}

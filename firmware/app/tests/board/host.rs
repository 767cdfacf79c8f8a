//! The host of the device: what it asks, and the models that it has.

use graft_link::{CHUNK, Device, Reply, Request, State, Task};
use graft_runtime::{Backbone, Patch, Session};

use super::Setup;

/// A backbone and two patches of it.
pub(crate) fn models() -> (Backbone, [Vec<u8>; 2]) {
    let float = graft_tests::backbone(16, 1);
    let int8 = Backbone::from_bytes(&graft_tests::int8::backbone(&float)).expect("it is valid");
    let patches = [7, 8].map(|seed| {
        let [_, patch] = graft_tests::int8::random_patches(&float, &int8, 5, seed);
        patch
    });
    (int8, patches)
}

pub(crate) fn image(backbone: &Backbone) -> Vec<u8> {
    let length = backbone.image().input().shape.len();
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

/// The scores of the host's engine.
pub(crate) fn scores(backbone: &Backbone, patch: &Patch, image: &[u8]) -> Vec<u8> {
    let mut session = Session::new(backbone).expect("kernels are there");
    let scores = session.run(patch, image).expect("the image fits");
    scores
        .iter()
        .flat_map(|score| score.to_le_bytes())
        .collect()
}

pub(crate) fn answer(backbone: &Backbone, patch: &[u8]) -> [u8; 8] {
    let patch = Patch::from_bytes(patch, backbone).expect("it fits");
    let mut pattern = vec![0; patch.input().shape.len()];
    graft_link::test_pattern(&mut pattern);
    let digest = blake3::hash(&scores(backbone, &patch, &pattern));
    *digest.as_bytes().first_chunk().expect("32 bytes")
}

impl Setup {
    /// Whether a request is done.
    pub(crate) fn done(&mut self, request: Request<'_>) -> Result<(), String> {
        self.ask(request, |reply| {
            let Reply::Done = reply else {
                return Err(format!("{reply:?}"));
            };
            Ok(())
        })
    }

    pub(crate) fn describe<T>(&mut self, read: impl FnOnce(Device<'_>) -> T) -> T {
        self.ask(Request::Device, |reply| {
            let Reply::Device(device) = reply else {
                panic!("{reply:?}");
            };
            read(device)
        })
    }

    pub(crate) fn state(&mut self, slot: u8) -> State {
        self.ask(Request::Slot(slot), |reply| {
            let Reply::Slot(slot) = reply else {
                panic!("{reply:?}");
            };
            slot.state
        })
    }

    pub(crate) fn send_image(&mut self, image: &[u8]) {
        for (part, bytes) in image.chunks(CHUNK).enumerate() {
            let offset = (part * CHUNK) as u32;
            self.done(Request::Image { offset, bytes })
                .expect("it fits");
        }
    }

    /// Runs the image with the served task; what with, and the scores.
    pub(crate) fn run(&mut self, task: Option<Task>) -> (Task, Vec<u8>) {
        let task = self.ask(Request::Run(task), |reply| {
            let Reply::Ran { task, .. } = reply else {
                panic!("{reply:?}");
            };
            task
        });
        let scores = self.ask(Request::Scores(0), |reply| {
            let Reply::Bytes { bytes, .. } = reply else {
                panic!("{reply:?}");
            };
            bytes.to_vec()
        });
        (task, scores)
    }

    pub(crate) fn push(
        &mut self,
        slot: u8,
        patch: &[u8],
        answer: Option<[u8; 8]>,
    ) -> Result<(), String> {
        let length = patch.len() as u32;
        let digest = *blake3::hash(patch).as_bytes();
        self.done(Request::Begin {
            slot,
            length,
            digest,
            answer,
        })?;
        for (part, bytes) in patch.chunks(CHUNK).enumerate() {
            let offset = (part * CHUNK) as u32;
            self.done(Request::Write { offset, bytes })?;
        }
        self.done(Request::Finish)
    }

    pub(crate) fn make_good(&mut self, slot: u8, patch: &[u8]) {
        self.push(slot, patch, None).expect("it is a patch");
        self.done(Request::Activate(slot)).expect("it is written");
        self.done(Request::Confirm).expect("it is on trial");
    }
}

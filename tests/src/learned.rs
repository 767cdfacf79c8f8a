//! Patches of heads that were learned, with their sums.

use graft_patches::records::Dtype;
use graft_runtime::head_learner::{About, GD_PLUS_PLUS, HeadLearner, Projection};
use graft_runtime::{Backbone, Session};

use crate::Random;

/// Class names of the patch.
pub const LABELS: [&str; 3] = ["north", "east", "south"];
const DIMENSIONS: usize = 8;

/// A learner that has seen random images of as many classes as there are labels.
///
/// # Panics
/// If the backbone has no head or cannot be run.
pub fn learner<'m>(backbone: &Backbone, memory: &'m mut Vec<i32>) -> HeadLearner<'m> {
    let projection = Projection::of(&backbone.image(), DIMENSIONS, 3).expect("it has a head");
    *memory = vec![0; HeadLearner::words_len(projection.dimensions(), LABELS.len())];
    let mut learner = HeadLearner::new(projection, memory).expect("there is memory");
    let mut session = Session::new(backbone).expect("there is memory");
    let mut random = Random(9);
    let own = backbone.identity();
    for example in 0..2 * LABELS.len() {
        let values = random.values(own.input().shape.len(), 2.0);
        let image = graft_runtime::Image::Values(&values);
        let mut added = Ok(());
        let run = session.run_embedding(&own, image, |embedding| {
            added = learner.add(example % LABELS.len(), embedding);
        });
        run.expect("it runs");
        added.expect("there is room");
    }
    learner
}

/// The patch of a head that such a learner makes.
///
/// # Panics
/// If the backbone has no head or cannot be run, or has values of another dtype.
pub fn patch(backbone: &Backbone, dtype: Dtype, keeps_sums: bool) -> Vec<u8> {
    let mut memory = Vec::new();
    let learner = learner(backbone, &mut memory);
    let mut work = vec![0.0; learner.work_len(GD_PLUS_PLUS.method)];
    let mut weights = vec![0.0; learner.weights_len()];
    let head = learner.learn(&GD_PLUS_PLUS, &mut work, &mut weights);
    let head = head.expect("there are examples");
    let about = About {
        name: "winds",
        labels: &LABELS,
        dtype,
        keeps_sums,
    };
    learner.patch(backbone.image(), (&head, &GD_PLUS_PLUS), about, |patch| {
        let mut bytes = vec![0xaa; patch.length().expect("it can be written")];
        patch.write(&mut bytes).expect("there is room");
        bytes
    })
}

//! The memory to learn in.

use graft_firmware::{LABEL, LearnBuffers};
use graft_runtime::head_learner::HeadLearner;
use heapless::String;
use static_cell::ConstStaticCell;

/// Dimensions of the sums.
const DIMENSIONS: usize = 64;
/// Classes that the device can be taught: 8.6 kB each.
const CLASSES: usize = 8;
const WORDS: usize = HeadLearner::words_len(DIMENSIONS, CLASSES);

static SUMS: ConstStaticCell<[i32; WORDS]> = ConstStaticCell::new([0; WORDS]);
static LABELS: ConstStaticCell<[String<LABEL>; CLASSES]> =
    ConstStaticCell::new([const { String::new() }; CLASSES]);

/// All of it; a second call panics.
pub fn buffers() -> LearnBuffers {
    LearnBuffers {
        sums: SUMS.take(),
        dimensions: DIMENSIONS,
        labels: LABELS.take(),
    }
}

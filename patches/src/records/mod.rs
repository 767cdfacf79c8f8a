//! The fixed-size records of both images. See `FORMAT.md`, "Records".

mod block;
mod field;
mod input;
mod kinds;
mod layer;
mod replacement;
mod site;
mod tensor;

pub use block::{Block, BlockRecord, MAX_BLOCK};
pub use field::MAX_SIDE;
pub use input::{Input, InputRecord};
pub use kinds::{Kinds, UnknownKind};
pub use layer::{Layer, LayerRecord, MAX_LAYERS, NONE, Op};
pub use replacement::{Dtype, PatchRecord, What};
pub use site::{Site, SiteRecord};
pub use tensor::{PlanRecord, Tensor, TensorRecord};

//! Signed patches of a key that is known.

use graft_patches::metadata::PatchMetadata;
use graft_patches::records::Kinds;
use graft_patches::signature::Trust;
use graft_patches::writer::{PatchWriter, SigningKey, sign, with_temperature};
use graft_runtime::{Backbone, ImageBytes};

/// Name of the task that the patches are for.
pub const TASK: &str = "task";

/// The key that signs them.
pub fn key() -> SigningKey {
    SigningKey::from_seed([1; 32])
}

/// The small backbone that they are of, under a policy of the key and another.
pub fn backbone() -> Backbone {
    let other = SigningKey::from_seed([2; 32]);
    crate::backbone(24, 1).trusting(Trust::two(other.public(), key().public()))
}

/// Three patches: a head with counter 5, another with 6, and bn+head with a temperature and 7.
pub fn patches(backbone: &Backbone) -> [Vec<u8>; 3] {
    let unsigned = |kinds, source: &str| {
        let metadata = PatchMetadata {
            name: TASK.into(),
            source: source.into(),
            ..PatchMetadata::default()
        };
        let writer = PatchWriter::identity(backbone.image(), kinds);
        writer.finish(&metadata).expect("metadata can be encoded")
    };
    let head = unsigned(Kinds::HEAD, "one");
    let other = unsigned(Kinds::HEAD, "another");
    let warm = unsigned(Kinds::BN.with(Kinds::HEAD), "warm");
    let warm = with_temperature(ImageBytes::copied(&warm).as_slice(), 2.5);
    let signed = |bytes: &[u8], counter| {
        let bytes = ImageBytes::copied(bytes);
        sign(bytes.as_slice(), &key(), counter).expect("the patch is valid")
    };
    [
        signed(&head, 5),
        signed(&other, 6),
        signed(&warm.expect("the patch is valid"), 7),
    ]
}

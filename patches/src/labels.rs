//! Class names in metadata, read in place: a microcontroller has no memory for all of them.

use postcard::take_from_bytes;
use serde::Deserialize;

use crate::error::ImageError;
use crate::resize::Resize;

/// The fields before the labels in the metadata of a backbone: name, source, tool, resizing.
pub(crate) type BackboneFields<'a> = (&'a str, &'a str, &'a str, Resize);
/// The fields before the labels in the metadata of a patch: also its first patched layer.
pub(crate) type PatchFields<'a> = (&'a str, &'a str, &'a str, Resize, u16);

/// The name of a class in metadata that start with these fields; `None` where there are not that many names.
pub(crate) fn label<'a, Fields: Deserialize<'a>>(
    metadata: &'a [u8],
    class: usize,
) -> Result<Option<&'a str>, ImageError> {
    let find = || {
        let (_, rest) = take_from_bytes::<Fields>(metadata)?;
        let (count, mut rest) = take_from_bytes::<usize>(rest)?;
        if class >= count {
            return Ok(None);
        }
        for _ in 0..class {
            (_, rest) = take_from_bytes::<&str>(rest)?;
        }
        take_from_bytes(rest).map(|(label, _)| Some(label))
    };
    find().map_err(|_: postcard::Error| ImageError::Metadata)
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use alloc::string::String;

    use super::{BackboneFields, PatchFields, label};
    use crate::error::ImageError;
    use crate::metadata::{BackboneMetadata, Fit, PatchMetadata};

    const LABELS: [&str; 3] = ["ankle boot", "", "sac à main"];

    #[test]
    fn labels_are_those_of_the_metadata() {
        let labels = LABELS.map(String::from).to_vec();
        let mut patch = PatchMetadata {
            name: "fashion".into(),
            labels: labels.clone(),
            first_patched_layer: Some(300),
            ..PatchMetadata::default()
        };
        patch.resize.fit = Fit::Crop { share: 875 };
        let backbone = BackboneMetadata {
            source: "lite0.onnx".into(),
            labels,
            layers: ["stem".into()].into(),
            ..BackboneMetadata::default()
        };
        let patch = postcard::to_allocvec(&patch).expect("it can be encoded");
        let backbone = postcard::to_allocvec(&backbone).expect("it can be encoded");
        for class in 0..5 {
            let expected = Ok(LABELS.get(class).copied());
            assert_eq!(label::<PatchFields>(&patch, class), expected);
            assert_eq!(label::<BackboneFields>(&backbone, class), expected);
        }
        assert_eq!(
            label::<PatchFields>(&patch[..20], 2),
            Err(ImageError::Metadata)
        );
        assert_eq!(label::<PatchFields>(&[], 0), Err(ImageError::Metadata));
    }
}

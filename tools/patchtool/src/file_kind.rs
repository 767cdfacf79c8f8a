//! Files that are in the wrong place, recognised by their content.

use std::path::PathBuf;

use graft_onnx::Message as _;
use graft_onnx::proto::ModelProto;
use image::ImageFormat;

use crate::hyper::{Hyper, HyperError};
use crate::trained::{Trained, TrainedError};

/// A kind of file that users have beside backbones and patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// What `train` writes.
    Trained,
    /// Tensors by another tool.
    Safetensors,
    /// What `meta-train` writes.
    Generator,
    /// A network by another tool.
    Onnx,
    /// A PyTorch checkpoint, or another zip archive.
    Torch,
    /// A photograph.
    Picture,
}

impl FileKind {
    /// The kind of a file with this content; `None` where it is none of these.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let picture = || image::guess_format(bytes).ok();
        if is_safetensors(bytes) {
            return Some(match Trained::from_bytes(bytes) {
                Err(TrainedError::Foreign { .. }) => Self::Safetensors,
                Ok(_) | Err(_) => Self::Trained,
            });
        }
        if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(&[0x80, 2]) {
            return Some(Self::Torch);
        }
        if let Some(ImageFormat::Jpeg | ImageFormat::Png) = picture() {
            return Some(Self::Picture);
        }
        let model = ModelProto::decode(bytes).ok()?;
        let has_nodes = model.graph.is_some_and(|graph| !graph.node.is_empty());
        has_nodes.then(|| match Hyper::from_bytes(bytes) {
            Err(HyperError::NotOnnx | HyperError::NotAGenerator { .. }) => Self::Onnx,
            // One that cannot be used is one all the same.
            Ok(_) | Err(_) => Self::Generator,
        })
    }

    /// Its name, with an article.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trained => "a file that `train` wrote",
            Self::Safetensors => "a safetensors file by another tool",
            Self::Generator => "a generator",
            Self::Onnx => "an ONNX model",
            Self::Torch => "a PyTorch file or a zip archive",
            Self::Picture => "a photograph",
        }
    }

    /// What it is good for where a backbone or a patch is expected.
    fn hint(self) -> &'static str {
        match self {
            Self::Trained => {
                "make a patch of it first: patchtool export FILE.safetensors --backbone B -o P"
            }
            Self::Safetensors | Self::Torch => {
                "give a .backbone or a .patch; a PyTorch state dict becomes a backbone with `patchtool import --torch`"
            }
            Self::Generator => {
                "make a patch with it first: patchtool generate --hyper H --support DIR -o P"
            }
            Self::Onnx => {
                "make a backbone of it first: patchtool import MODEL.onnx -o B (or a patch, if `export --onnx` wrote it: patchtool export --from-onnx MODEL.onnx)"
            }
            Self::Picture => {
                "photographs go to `patchtool run` without an option; name the file that belongs here"
            }
        }
    }
}

/// Whether the bytes start as a safetensors file does: with the length of a JSON object, then that.
pub fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk() else {
        return false;
    };
    // The longest header that the library reads.
    u64::from_le_bytes(*length) <= 100_000_000 && rest.first() == Some(&b'{')
}

/// What belongs where a user names a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A file of the format in [`graft_patches`].
    Graft,
    /// What `train` writes.
    Trained,
    /// What `meta-train` writes.
    Generator,
}

impl Expected {
    /// Its name, with an article.
    fn name(self) -> &'static str {
        match self {
            Self::Graft => "a Graft image (.backbone or .patch)",
            Self::Trained => FileKind::Trained.name(),
            Self::Generator => FileKind::Generator.name(),
        }
    }

    /// Whether a file of this kind belongs there.
    pub fn is(self, found: FileKind) -> bool {
        match self {
            Self::Graft => false,
            Self::Trained => found == FileKind::Trained,
            Self::Generator => found == FileKind::Generator,
        }
    }
}

/// A file of one kind where another was expected.
#[derive(Debug, thiserror::Error)]
#[error("{} is {}, not {}", path.display(), found.name(), expected.name())]
pub struct WrongKind {
    /// The file.
    pub path: PathBuf,
    /// What it is.
    pub found: FileKind,
    /// What was expected.
    pub expected: Expected,
}

impl WrongKind {
    /// Advice to the user.
    pub fn hint(&self) -> &'static str {
        match self.expected {
            Expected::Graft => self.found.hint(),
            Expected::Trained => {
                "give the file that `patchtool train -o` wrote, or an ONNX model that `export --onnx` wrote with --from-onnx"
            }
            Expected::Generator => HyperError::NotOnnx.hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safetensors_are_recognised_whatever_the_length_of_their_header() {
        for length in 2..600_usize {
            let mut file = (length as u64).to_le_bytes().to_vec();
            let header = format!("{{{:1$}}}", "", length - 2);
            file.extend(header.as_bytes());
            assert_eq!(FileKind::of(&file), Some(FileKind::Safetensors), "{length}");
        }
    }

    #[test]
    fn files_of_all_kinds_are_recognised() {
        let known = |bytes: &[u8]| FileKind::of(bytes);
        let onnx = include_bytes!("import/onnx/tests/tiny.onnx");
        assert_eq!(known(onnx), Some(FileKind::Onnx));
        let hyper = include_bytes!("../../assets/omniglot.hyper");
        assert_eq!(known(hyper), Some(FileKind::Generator));
        let picture = include_bytes!("../../assets/coffee.jpg");
        assert_eq!(known(picture), Some(FileKind::Picture));
        let backbone = include_bytes!("../../assets/omniglot.backbone");
        for other in [&backbone[..], b"", b"text", &[0; 64]] {
            assert_eq!(known(other), None);
        }
    }
}

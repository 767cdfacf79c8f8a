//! PyTorch state dicts of known architectures.
//!
//! A state dict names tensors but not what is computed with them, so each architecture is written down here. Every
//! tensor is checked against it, and a tensor that it doesn't use is an error: half a network is never imported.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use self::choice::Choice;
use self::names::Names;
use self::network::Network;
use super::error::ImportError;
use super::onnx::Imported;

mod bounds;
mod checkpoint;
mod choice;
mod efficientnet_lite;
mod mobilenet_v2;
mod names;
mod network;
mod residual;
mod state_dict;
mod tensor;

#[cfg(test)]
mod tests;

/// An architecture whose state dict can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// EfficientNet-Lite0, 224 pixels.
    EfficientNetLite0,
    /// EfficientNet-Lite1, 240 pixels.
    EfficientNetLite1,
    /// EfficientNet-Lite2, 260 pixels.
    EfficientNetLite2,
    /// MobileNetV2 of torchvision or timm, any width, 224 pixels.
    MobileNetV2,
}

impl Arch {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::EfficientNetLite0,
        Self::EfficientNetLite1,
        Self::EfficientNetLite2,
        Self::MobileNetV2,
    ];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EfficientNetLite0 => "efficientnet-lite0",
            Self::EfficientNetLite1 => "efficientnet-lite1",
            Self::EfficientNetLite2 => "efficientnet-lite2",
            Self::MobileNetV2 => "mobilenet-v2",
        }
    }

    /// The libraries whose state dicts are known.
    const fn names(self) -> &'static [Names] {
        match self {
            Self::EfficientNetLite0 | Self::EfficientNetLite1 | Self::EfficientNetLite2 => {
                &[Names::EfficientNet, Names::Timm]
            }
            Self::MobileNetV2 => &[Names::Torchvision, Names::Timm],
        }
    }

    /// Rows and columns that it was trained with.
    pub const fn resolution(self) -> usize {
        match self {
            Self::EfficientNetLite0 | Self::MobileNetV2 => 224,
            Self::EfficientNetLite1 => 240,
            Self::EfficientNetLite2 => 260,
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Arch {
    type Err = ImportError;

    fn from_str(name: &str) -> Result<Self, ImportError> {
        let found = Self::ALL.into_iter().find(|arch| arch.name() == name);
        found.ok_or_else(|| ImportError::UnknownArchitecture {
            found: name.to_owned(),
            expected: Self::ALL.map(Self::name).join(", "),
        })
    }
}

/// Imports a state dict; without `resolution` for images of the size the architecture was trained with. Of a checkpoint
/// that holds several, `key` says which.
pub fn load(
    path: &Path,
    arch: Arch,
    resolution: Option<usize>,
    key: Option<&str>,
) -> Result<Imported, ImportError> {
    let Choice {
        state,
        names,
        mut notes,
    } = choice::choose(checkpoint::open(path)?, arch, key, path)?;
    let design = match arch {
        Arch::EfficientNetLite0 => efficientnet_lite::design(1.0, 1.0),
        Arch::EfficientNetLite1 => efficientnet_lite::design(1.0, 1.1),
        Arch::EfficientNetLite2 => efficientnet_lite::design(1.1, 1.2),
        Arch::MobileNetV2 => mobilenet_v2::design(),
    };
    if names == Names::Timm && arch != Arch::MobileNetV2 {
        notes.push(format!(
            "taken as timm's tf_{0} (padding SAME, epsilon 0.001); its {0} without tf_ has the same keys and is \
             another network: export that to ONNX",
            arch.name().replace('-', "_")
        ));
    }
    let mut network = Network::new(state, resolution.unwrap_or(arch.resolution()), notes)?;
    residual::build(&mut network, &design, names)?;
    let (graph, notes) = network.finish()?;
    for note in &notes {
        tracing::warn!("{note}");
    }
    Ok(Imported {
        notes,
        ..graph.into()
    })
}

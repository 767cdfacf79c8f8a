//! The names that libraries give to the modules of a network of inverted residuals.

/// A library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// torchvision's MobileNetV2.
    Torchvision,
    /// The package efficientnet_lite_pytorch.
    EfficientNet,
    /// timm.
    Timm,
}

/// Where a block is.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Of all blocks.
    pub(super) index: usize,
    pub(super) stage: usize,
    /// Within its stage.
    pub(super) repeat: usize,
    /// Whether the block widens its input first.
    pub(super) is_expanded: bool,
}

/// A convolution and the batch norm behind it.
pub(super) struct Pair {
    pub(super) conv: String,
    pub(super) norm: String,
}

fn pair(conv: impl Into<String>, norm: impl Into<String>) -> Pair {
    Pair {
        conv: conv.into(),
        norm: norm.into(),
    }
}

impl Names {
    /// The first convolution.
    pub(super) fn stem(self) -> Pair {
        match self {
            Self::Torchvision => pair("features.0.0", "features.0.1"),
            Self::EfficientNet => pair("_conv_stem", "_bn0"),
            Self::Timm => pair("conv_stem", "bn1"),
        }
    }

    /// The key by which a state dict is recognised.
    pub(super) fn anchor(self) -> String {
        format!("{}.weight", self.stem().conv)
    }

    /// The pointwise convolution that widens a block.
    pub(super) fn expand(self, at: Place) -> Pair {
        let name = |part| self.part(at, part);
        match self {
            Self::Torchvision => pair(name("conv.0.0"), name("conv.0.1")),
            Self::EfficientNet => pair(name("_expand_conv"), name("_bn0")),
            Self::Timm => pair(name("conv_pw"), name("bn1")),
        }
    }

    /// The depthwise convolution of a block.
    pub(super) fn depthwise(self, at: Place) -> Pair {
        let name = |part| self.part(at, part);
        match (self, at.is_expanded) {
            // Modules are numbered; without expansion they start here.
            (Self::Torchvision, true) => pair(name("conv.1.0"), name("conv.1.1")),
            (Self::Torchvision, false) => pair(name("conv.0.0"), name("conv.0.1")),
            (Self::EfficientNet, _) => pair(name("_depthwise_conv"), name("_bn1")),
            (Self::Timm, true) => pair(name("conv_dw"), name("bn2")),
            (Self::Timm, false) => pair(name("conv_dw"), name("bn1")),
        }
    }

    /// The pointwise convolution at the end of a block.
    pub(super) fn project(self, at: Place) -> Pair {
        let name = |part| self.part(at, part);
        match (self, at.is_expanded) {
            (Self::Torchvision, true) => pair(name("conv.2"), name("conv.3")),
            (Self::Torchvision, false) => pair(name("conv.1"), name("conv.2")),
            (Self::EfficientNet, _) => pair(name("_project_conv"), name("_bn2")),
            (Self::Timm, true) => pair(name("conv_pwl"), name("bn3")),
            (Self::Timm, false) => pair(name("conv_pw"), name("bn2")),
        }
    }

    /// The sum of a block and its input, which has no parameters.
    pub(super) fn add(self, at: Place) -> String {
        self.part(at, "add")
    }

    /// The last convolution, behind this many blocks.
    pub(super) fn head(self, blocks: usize) -> Pair {
        match self {
            Self::Torchvision => {
                let name = |part| format!("features.{}.{part}", blocks + 1);
                pair(name(0), name(1))
            }
            Self::EfficientNet => pair("_conv_head", "_bn1"),
            Self::Timm => pair("conv_head", "bn2"),
        }
    }

    /// The classifier: a linear layer, or modules of which one is.
    pub(super) const fn classifier(self) -> &'static str {
        match self {
            Self::Torchvision | Self::Timm => "classifier",
            Self::EfficientNet => "_fc",
        }
    }

    fn part(self, at: Place, part: &str) -> String {
        match self {
            Self::Torchvision => format!("features.{}.{part}", at.index + 1),
            Self::EfficientNet => format!("_blocks.{}.{part}", at.index),
            Self::Timm => format!("blocks.{}.{}.{part}", at.stage, at.repeat),
        }
    }
}

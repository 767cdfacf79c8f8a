//! What a training run may change.

use graft_patches::records::{Dtype, Kinds, Site, What};

/// What is trained: a kind of patch, or a baseline to compare patches with.
///
/// The first four are patches (Mudrakarta et al. 2019, "K for the Price of 1").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrainKind {
    /// The last layer.
    Head,
    /// Every batch norm, and the last layer.
    #[default]
    BnHead,
    /// Every depthwise filter, and the last layer.
    DwHead,
    /// Every batch norm, every depthwise filter, and the last layer.
    BnDwHead,
    /// Baseline: every value.
    Full,
    /// Control: the last layer, and as many weights as `bn` has scales and biases, chosen at random.
    RandomHead,
}

impl TrainKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Head,
        Self::BnHead,
        Self::DwHead,
        Self::BnDwHead,
        Self::Full,
        Self::RandomHead,
    ];

    /// As users type it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::BnHead => "bn+head",
            Self::DwHead => "dw+head",
            Self::BnDwHead => "bn+dw+head",
            Self::Full => "full",
            Self::RandomHead => "random+head",
        }
    }

    /// Whether scale and bias of sites other than the head are trained.
    pub const fn trains_norms(self) -> bool {
        matches!(self, Self::BnHead | Self::BnDwHead | Self::Full)
    }

    /// Whether depthwise filters are trained.
    pub const fn trains_depthwise(self) -> bool {
        matches!(self, Self::DwHead | Self::BnDwHead | Self::Full)
    }

    /// Kinds of the patch that carries it. A baseline replaces everything.
    pub const fn kinds(self) -> Kinds {
        match self {
            Self::Head => Kinds::HEAD,
            Self::BnHead => Kinds::HEAD.with(Kinds::BN),
            Self::DwHead => Kinds::HEAD.with(Kinds::DW),
            Self::BnDwHead => Kinds::HEAD.with(Kinds::BN).with(Kinds::DW),
            Self::Full | Self::RandomHead => Kinds::GENERATED,
        }
    }

    /// Whether it is there to compare patches with, and is none itself.
    pub const fn is_baseline(self) -> bool {
        matches!(self, Self::Full | Self::RandomHead)
    }

    /// Whether trained values have `what` for `site`: no more, no less.
    pub fn replaces(self, site: &Site, what: What) -> bool {
        self.kinds().covers(site, what, Dtype::F32)
    }
}

impl std::fmt::Display for TrainKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl std::str::FromStr for TrainKind {
    type Err = UnknownTrainKind;

    /// The parts in any order: `head+bn` is `bn+head`.
    fn from_str(text: &str) -> Result<Self, UnknownTrainKind> {
        let parts = |text: &str| {
            let mut parts: Vec<String> = text.split('+').map(str::to_owned).collect();
            parts.sort_unstable();
            parts
        };
        Self::ALL
            .into_iter()
            .find(|kind| parts(kind.name()) == parts(text))
            .ok_or(UnknownTrainKind)
    }
}

/// Text that names no kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected head, bn+head, dw+head, bn+dw+head or full: the head has the classes, so every kind trains it"
)]
pub struct UnknownTrainKind;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back_and_is_the_patch_that_it_says() {
        for kind in TrainKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            if !kind.is_baseline() {
                assert_eq!(kind.kinds().to_string(), kind.name());
                assert_eq!(kind.kinds().contains(Kinds::BN), kind.trains_norms());
                assert_eq!(kind.kinds().contains(Kinds::DW), kind.trains_depthwise());
            }
        }
        assert_eq!("head+dw+bn".parse(), Ok(TrainKind::BnDwHead));
        for text in ["", "bn", "head+", "bn+bn+head", "FULL"] {
            assert!(text.parse::<TrainKind>().is_err(), "{text}");
        }
    }
}

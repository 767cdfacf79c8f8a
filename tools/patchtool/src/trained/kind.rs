//! Kinds of training: the kinds of patches, and what they are compared with.

use graft_patches::records::{Dtype, Kinds, Site, What};

/// Kind of a training run: the patch that comes out of it, or a baseline to compare patches with.
///
/// Patches train the head and whatever else their kinds name (Mudrakarta et al. 2019, "K for the Price of 1").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrainKind {
    /// The values of a patch of these kinds, the head among them.
    Patch(Kinds),
    /// Baseline: every value.
    Full,
    /// Control: the last layer, and as many weights as `bn` has scales and biases, chosen at random.
    RandomHead,
}

impl TrainKind {
    /// The last layer.
    pub const HEAD: Self = Self::Patch(Kinds::HEAD);
    /// Every batch norm, and the last layer.
    pub const BN_HEAD: Self = Self::Patch(Kinds::HEAD.with(Kinds::BN));
    /// Every depthwise filter, and the last layer.
    pub const DW_HEAD: Self = Self::Patch(Kinds::HEAD.with(Kinds::DW));
    /// Every batch norm, every depthwise filter, and the last layer.
    pub const BN_DW_HEAD: Self = Self::Patch(Kinds::HEAD.with(Kinds::BN).with(Kinds::DW));

    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::HEAD,
        Self::BN_HEAD,
        Self::DW_HEAD,
        Self::BN_DW_HEAD,
        Self::Full,
        Self::RandomHead,
    ];

    /// Whether scale and bias of sites other than the head are trained.
    pub const fn trains_norms(self) -> bool {
        self.trains(Kinds::BN)
    }

    /// Whether depthwise filters are trained.
    pub const fn trains_depthwise(self) -> bool {
        self.trains(Kinds::DW)
    }

    const fn trains(self, kind: Kinds) -> bool {
        match self {
            Self::Patch(kinds) => kinds.contains(kind),
            Self::Full => true,
            Self::RandomHead => false,
        }
    }

    /// Kinds of the patch that carries it. A baseline replaces everything.
    pub const fn kinds(self) -> Kinds {
        match self {
            Self::Patch(kinds) => kinds,
            Self::Full | Self::RandomHead => Kinds::GENERATED,
        }
    }

    /// Whether it is there to compare patches with, and is none itself.
    pub const fn is_baseline(self) -> bool {
        match self {
            Self::Patch(_) => false,
            Self::Full | Self::RandomHead => true,
        }
    }

    /// Whether trained values have `what` for `site`: no more, no less.
    pub fn replaces(self, site: &Site, what: What) -> bool {
        self.kinds().covers(site, what, Dtype::F32)
    }
}

impl Default for TrainKind {
    fn default() -> Self {
        Self::BN_HEAD
    }
}

impl std::fmt::Display for TrainKind {
    /// As users type it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Patch(kinds) => f.pad(&kinds.to_string()),
            Self::Full => f.pad("full"),
            Self::RandomHead => f.pad("random+head"),
        }
    }
}

impl std::str::FromStr for TrainKind {
    type Err = UnknownTrainKind;

    /// The parts in any order: `head+bn` is `bn+head`.
    fn from_str(text: &str) -> Result<Self, UnknownTrainKind> {
        match text {
            "full" => return Ok(Self::Full),
            "random+head" | "head+random" => return Ok(Self::RandomHead),
            _ => {}
        }
        let kinds: Kinds = text.parse().map_err(|_| UnknownTrainKind)?;
        let is_repeated = text.split('+').count() > kinds.to_string().split('+').count();
        match kinds.contains(Kinds::HEAD) && !kinds.contains(Kinds::GENERATED) && !is_repeated {
            true => Ok(Self::Patch(kinds)),
            false => Err(UnknownTrainKind),
        }
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
            assert_eq!(kind.to_string().parse(), Ok(kind));
            if !kind.is_baseline() {
                assert_eq!(kind.kinds().to_string(), kind.to_string());
                assert_eq!(kind.kinds().contains(Kinds::BN), kind.trains_norms());
                assert_eq!(kind.kinds().contains(Kinds::DW), kind.trains_depthwise());
            }
        }
        assert_eq!("head+dw+bn".parse(), Ok(TrainKind::BN_DW_HEAD));
        for text in [
            "",
            "bn",
            "head+",
            "bn+bn+head",
            "generated",
            "generated+head",
            "FULL",
        ] {
            assert!(text.parse::<TrainKind>().is_err(), "{text}");
        }
    }
}

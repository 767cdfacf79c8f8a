//! Which parameters `patchtool train` trains.

use std::fmt;
use std::str::FromStr;

use graft_patches::records::Kinds;

use super::optimizer::Algorithm;

/// What is trained; the rest stays as the backbone has it.
///
/// The first four are patches (Mudrakarta et al. 2019, "K for the Price of 1"), the others what to compare them with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrainKind {
    /// The last layer: weights and bias.
    Head,
    /// Scale and bias of every site, and the last layer.
    #[default]
    BnHead,
    /// Depthwise filters, and the last layer.
    DwHead,
    /// Scale and bias, depthwise filters, and the last layer.
    BnDwHead,
    /// Everything: the baseline, which no patch can carry.
    Full,
    /// The last layer and as many weights as `bn` has scales and biases, chosen at random: the control.
    RandomHead,
}

impl TrainKind {
    /// All of them, by the name that users type.
    const NAMES: [(&'static str, Self); 6] = [
        ("head", Self::Head),
        ("bn+head", Self::BnHead),
        ("dw+head", Self::DwHead),
        ("bn+dw+head", Self::BnDwHead),
        ("full", Self::Full),
        ("random+head", Self::RandomHead),
    ];

    /// Whether the scale and bias of sites other than the head are trained.
    pub fn trains_norms(self) -> bool {
        matches!(self, Self::BnHead | Self::BnDwHead | Self::Full)
    }

    /// Whether depthwise filters are trained.
    pub fn trains_depthwise(self) -> bool {
        matches!(self, Self::DwHead | Self::BnDwHead | Self::Full)
    }

    /// A learning rate to start from: the fewer and the more robust the parameters, the higher.
    pub fn rate(self, algorithm: Algorithm) -> f32 {
        let adam = match self {
            Self::Head | Self::BnHead => 2e-3,
            Self::DwHead | Self::BnDwHead | Self::RandomHead => 1e-3,
            Self::Full => 3e-4,
        };
        match algorithm {
            Algorithm::Adam => adam,
            // Momentum 0.9 multiplies steps by ten, but gradients are far below Adam's unit steps.
            Algorithm::Sgd | Algorithm::Nesterov => 20.0 * adam,
        }
    }

    /// What a patch of it replaces; `None` where no patch can carry what is trained.
    pub fn patch(self) -> Option<Kinds> {
        match self {
            Self::Head => Some(Kinds::HEAD),
            Self::BnHead => Some(Kinds::BN.with(Kinds::HEAD)),
            Self::DwHead => Some(Kinds::DW.with(Kinds::HEAD)),
            Self::BnDwHead => Some(Kinds::BN.with(Kinds::DW).with(Kinds::HEAD)),
            Self::Full | Self::RandomHead => None,
        }
    }
}

impl fmt::Display for TrainKind {
    /// `bn+head`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Self::NAMES.iter().find(|(_, kind)| kind == self);
        f.pad(named.map_or("", |(name, _)| name))
    }
}

impl FromStr for TrainKind {
    type Err = String;

    /// The parts may come in any order: `head+bn` is `bn+head`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = |text: &str| {
            let mut parts: Vec<String> = text.split('+').map(str::to_owned).collect();
            parts.sort();
            parts
        };
        let named = Self::NAMES
            .iter()
            .find(|(name, _)| parts(name) == parts(text));
        named.map(|&(_, kind)| kind).ok_or_else(|| {
            "expected head, bn+head, dw+head, bn+dw+head or full: the head has the classes, so every kind trains it"
                .into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back_and_is_the_patch_that_it_says() {
        for (name, kind) in TrainKind::NAMES {
            assert_eq!(name.parse(), Ok(kind));
            assert_eq!(kind.to_string(), name);
            if let Some(kinds) = kind.patch() {
                assert_eq!(kinds.to_string(), name);
                assert_eq!(kinds.contains(Kinds::BN), kind.trains_norms());
                assert_eq!(kinds.contains(Kinds::DW), kind.trains_depthwise());
            }
        }
        assert_eq!("head+dw+bn".parse(), Ok(TrainKind::BnDwHead));
        for text in ["", "bn", "head+", "bn+bn+head", "FULL"] {
            assert!(text.parse::<TrainKind>().is_err(), "{text}");
        }
    }
}

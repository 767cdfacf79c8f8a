//! The kinds of patches: which sites each must and may replace.

use super::replacement::{Dtype, What};
use super::site::Site;

/// The kinds that a patch combines: one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u32);

impl Kinds {
    /// Last layer: weights and epilogue.
    pub const HEAD: Self = Self(1);
    /// Epilogues of every site but the head's.
    pub const BN: Self = Self(2);
    /// Weights of every depthwise site.
    pub const DW: Self = Self(4);
    /// Weights and epilogues of chosen sites.
    pub const GENERATED: Self = Self(8);

    /// All kinds, alone, in the order that they are shown in.
    pub const ALL: [Self; Self::NAMES.len()] = {
        let mut all = [Self(0); Self::NAMES.len()];
        let mut at = 0;
        while at < all.len() {
            all[at] = Self::NAMES[at].0;
            at += 1;
        }
        all
    };

    /// The union of [`Self::ALL`].
    const KNOWN: Self = {
        let mut known = Self(0);
        let mut at = 0;
        while at < Self::ALL.len() {
            known = known.with(Self::ALL[at]);
            at += 1;
        }
        known
    };

    pub(crate) const NAMES: [(Self, &'static str); 4] = [
        (Self::BN, "bn"),
        (Self::DW, "dw"),
        (Self::HEAD, "head"),
        (Self::GENERATED, "generated"),
    ];

    /// Both.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are in it.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether it is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kinds in it, each alone, in the order of [`Self::ALL`].
    pub fn members(self) -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(move |&kind| self.contains(kind))
    }

    /// As stored.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// From its stored form; `None` where a bit is unknown.
    pub const fn from_bits(bits: u32) -> Option<Self> {
        match Self::KNOWN.contains(Self(bits)) {
            true => Some(Self(bits)),
            false => None,
        }
    }

    /// Whether a patch of these kinds, stored in this dtype, may carry `what` for `site`. Where a patch of int8 scales
    /// activations anew, the tables of the sites around them follow, whatever was trained.
    pub fn covers(self, site: &Site, what: What, dtype: Dtype) -> bool {
        self.contains(Self::GENERATED)
            || self.requires(site, what).is_some()
            || (what == What::Epilogue && dtype.of_backbone() == Dtype::I8)
    }

    /// The kind that makes `what` for `site` mandatory, by name.
    pub fn requires(self, site: &Site, what: What) -> Option<&'static str> {
        if site.is_head && self.contains(Self::HEAD) {
            Some("head")
        } else if what == What::Epilogue && !site.is_head && self.contains(Self::BN) {
            Some("bn")
        } else if what == What::Weights && site.is_depthwise && self.contains(Self::DW) {
            Some("dw")
        } else {
            None
        }
    }
}

impl core::fmt::Display for Kinds {
    /// `bn+head`.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut separator = "";
        for (kind, name) in Self::NAMES {
            if self.contains(kind) {
                write!(f, "{separator}{name}")?;
                separator = "+";
            }
        }
        if separator.is_empty() {
            f.write_str("none")?;
        }
        Ok(())
    }
}

impl core::str::FromStr for Kinds {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        text.split('+').try_fold(Self::default(), |kinds, part| {
            Self::NAMES
                .iter()
                .find(|(_, name)| *name == part)
                .map(|(kind, _)| kinds.with(*kind))
                .ok_or(UnknownKind)
        })
    }
}

/// A word that names no kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected head, bn, dw, generated or several of them joined by +")]
pub struct UnknownKind;

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;

    #[test]
    fn members_are_shown_in_order_and_read_back() {
        let kinds = Kinds::HEAD.with(Kinds::BN).with(Kinds::DW);
        assert_eq!(kinds.to_string(), "bn+dw+head");
        assert_eq!("head+dw+bn".parse(), Ok(kinds));
        let members: Vec<Kinds> = kinds.members().collect();
        assert_eq!(members, [Kinds::BN, Kinds::DW, Kinds::HEAD]);
        assert!(Kinds::default().is_empty() && Kinds::default().members().next().is_none());
        for kind in Kinds::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(Kinds::from_bits(kind.bits()), Some(kind));
        }
        assert_eq!("".parse::<Kinds>(), Err(UnknownKind));
    }
}

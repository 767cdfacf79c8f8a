//! Enums that images store as numbers.

/// An enum with the code of each variant, its list of all variants, and the way back from a code: no variant can be left
/// out of either.
macro_rules! coded {
    (
        $code:ident:
        $(#[$about:meta])*
        pub enum $name:ident {
            $($(#[$variant_about:meta])* $variant:ident = $value:literal,)*
        }
    ) => {
        $(#[$about])*
        #[repr($code)]
        pub enum $name {
            $($(#[$variant_about])* $variant = $value,)*
        }

        impl $name {
            /// All, in the order of their codes.
            pub const ALL: [Self; [$($value),*].len()] = [$(Self::$variant),*];

            /// From its code.
            pub fn from_code(code: $code) -> Option<Self> {
                Self::ALL.into_iter().find(|&known| known as $code == code)
            }
        }
    };
}

pub(crate) use coded;

//! Numbers that are constants in the code: loops that are open, and cases.

/// The body once for each of the numbers that are below the count: a loop that the compiler does not open keeps the arrays
/// that it walks over in memory.
macro_rules! unrolled {
    ($index:ident of $count:expr, in $($number:literal)* => $body:block) => {
        $(
            if $number < $count {
                let $index = $number;
                $body
            }
        )*
    };
}

/// The body with the one of the numbers as a constant that a value is. Of numbers above a constant nothing is compiled, for
/// which the condition must be a constant on its own.
macro_rules! only {
    ($value:ident of $most:expr, in $($number:literal)* => $constant:ident $body:block) => {
        debug_assert!([$($number),*].contains(&$value) && $value <= $most);
        $(
            if const { $number <= $most } {
                if $value == $number {
                    const $constant: usize = $number;
                    $body
                }
            }
        )*
    };
}

pub(super) use {only, unrolled};

//! Values that were checked at open.

/// A value that was checked at open, so that it cannot fail. `expect` would have the error's text in a microcontroller's
/// flash.
pub(crate) fn checked<T, E>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|_| unreachable!("checked at open"))
}

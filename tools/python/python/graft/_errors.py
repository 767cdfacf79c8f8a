"""What goes wrong, by what to do about it."""


class Error(Exception):
    """Any error of Graft: a cause, the causes behind it, and a line `hint: ...` with what to do.

    `hint` is that advice alone, or None.
    """

    hint: str | None = None

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        _, is_there, hint = message.rpartition("\nhint: ")
        self.hint = hint if is_there else None


class FileError(Error):
    """A file that cannot be opened, is damaged, or is something else than what was asked for."""


class MismatchError(Error):
    """Things that do not belong together: a patch and another backbone, or a file that is not the one it was."""


class InputError(Error, ValueError):
    """An argument that cannot be used: an array of another shape or dtype, an option that there is not."""


class ClosedError(Error):
    """A backbone or session that was closed."""

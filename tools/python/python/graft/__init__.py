"""Graft: one frozen backbone, many small model patches.

    import graft

    backbone = graft.Backbone.open("demo.backbone")       # mapped once, shared by all processes
    patch = graft.Patch.open("fashion.patch", backbone)   # checked, bound to this backbone
    session = graft.Session(backbone)
    scores = session.run(patch, image)                    # another patch at each call costs nothing
    print(patch.labels[scores.argmax()])
"""

from ._errors import ClosedError, Error, FileError, InputError, MismatchError
from ._graft import Backbone, Patch, Session, __version__

__all__ = [
    "Backbone",
    "ClosedError",
    "Error",
    "FileError",
    "InputError",
    "MismatchError",
    "Patch",
    "Session",
    "__version__",
]

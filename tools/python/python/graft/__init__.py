"""Graft: one frozen backbone, many small model patches.

    import graft

    backbone = graft.Backbone.open("demo.backbone")       # mapped once, shared by all processes
    patch = graft.Patch.open("fashion.patch", backbone)   # checked, bound to this backbone
    session = graft.Session(backbone)
    scores = session.run(patch, patch.preprocess("sneaker.png"))
    print(patch.labels[scores.argmax()])
"""

from typing import TYPE_CHECKING, Any

from ._commands import evaluate, export, forget, generate, import_onnx, learn, quantize, train
from ._errors import ClosedError, Error, FileError, InputError, MismatchError
from ._folder import save_folder
from ._graft import Backbone, Patch, Session, __version__
from ._torch import from_torch, torch_difference

if TYPE_CHECKING:
    from . import _sklearn

    GraftClassifier = _sklearn.GraftClassifier

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
    "evaluate",
    "export",
    "forget",
    "from_torch",
    "generate",
    "import_onnx",
    "learn",
    "quantize",
    "save_folder",
    "torch_difference",
    "train",
]


def __getattr__(name: str) -> Any:
    """What needs more than NumPy is imported where it is asked for."""
    if name == "GraftClassifier":
        try:
            from . import _sklearn as module
        except ModuleNotFoundError as error:
            message = f"GraftClassifier needs {error.name}, which is not installed"
            raise AttributeError(f'{message}\nhint: pip install "graft-runtime[sklearn]"') from error

        return module.GraftClassifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), "GraftClassifier"])

"""Patches as a classifier of scikit-learn."""

import io
import json
import math
import pathlib
import tarfile
import tempfile

import numpy
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from . import _commands
from ._errors import InputError
from ._graft import Backbone, Patch, Session, png, relabelled

HEADS = ("gd", "gd++", "prototype", "ridge")
# Of ridge regression, as `graft.generate` takes it; its own lambda is 300 times as large.
RIDGE = {"lambda": 1e-4, "confidence": 8}
# Pictures that are prepared at a time.
CHUNK = 256


class GraftClassifier(ClassifierMixin, BaseEstimator):
    """A patch of a frozen backbone, as a classifier of pictures.

    Parameters
    ----------
    backbone : path or Backbone
        The frozen network.
    method : str, default="ridge"
        "ridge", "gd", "gd++" or "prototype" make a head of one pass over the pictures; "head", "bn+head", "dw+head" and
        "bn+dw+head" are kinds that `graft.train` trains, by default on all pictures for 20 epochs.
    shape : tuple, default=None
        Height, width (and 3 channels) of pictures that are given as rows of a 2-d array. By default they are grey and square;
        what is missing of a square is black.
    options : dict, default=None
        Further options of `graft.generate` or `graft.train`, such as {"epochs": 5}. For "ridge", {"recipe": path} names a JSON
        file {"lambda": 0.03, "confidence": 8}: lambda is what is added to the diagonal of the embeddings' second
        moments, in units of their greatest eigenvalue: a larger one fits the pictures less. By default it
        is 1e-4: of 540 held-out digits of `load_digits` 92.8 % are right with the demo's backbone, with 0.03 67.4 %.
    threads : int, default=1
        Threads that classify.

    Attributes
    ----------
    patch_ : Patch
        What was learned; `patch_.backbone` is the backbone, `patch_.labels` are the labels as text.
    classes_ : array of the labels, in the order of the columns of `predict_proba`.

    Notes
    -----
    X is `[N, height, width, 3 or 1]`, `[N, height, width]` or 2-d, of pictures of any size: they come to the backbone's input as
    with `patch.preprocess`. uint8 values are pixels; of others, the range in `fit` is black to white, whatever
    dtype these numbers have in `predict`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> digits = load_digits()
    >>> model = GraftClassifier("demo.backbone").fit(digits.data[:1000], digits.target[:1000])
    >>> model.score(digits.data[1000:], digits.target[1000:])  # doctest: +SKIP
    """

    def __init__(self, backbone=None, *, method="ridge", shape=None, options=None, threads=1):
        self.backbone = backbone
        self.method = method
        self.shape = shape
        self.options = options
        self.threads = threads

    def fit(self, X, y):
        """Learns the labels `y` of the pictures `X`: at least two classes."""
        X, y = validate_data(self, X, y, allow_nd=True)
        check_classification_targets(y)
        self.classes_, targets = numpy.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError("y has one class, expected at least two")
        if self.backbone is None:
            raise InputError("no backbone: give the path of one, GraftClassifier(backbone)")
        self.range_ = (0.0, 255.0) if X.dtype == numpy.uint8 else (float(X.min()), float(X.max()))
        backbone = self.backbone if isinstance(self.backbone, Backbone) else Backbone.open(self.backbone)
        with tempfile.TemporaryDirectory() as folder:
            data, output = pathlib.Path(folder, "data.tar"), pathlib.Path(folder, "learned.patch")
            _write_archive(data, (picture for pictures in self._chunks(X) for picture in pictures), targets)
            self._learn(backbone, data, output)
            learned = relabelled(output.read_bytes(), [str(label) for label in self.classes_])
            self.patch_ = Patch.from_bytes(learned, backbone)
        self.session_ = Session(backbone, self.threads)
        return self

    def _learn(self, backbone, data, output):
        options = dict(self.options or {})
        if self.method == "ridge" and "recipe" not in options:
            options["recipe"] = output.with_name("recipe.json")
            options["recipe"].write_text(json.dumps(RIDGE))
        if self.method in HEADS:
            _commands.generate(backbone, data, output, method=self.method, **options)
            return
        trained = output.with_suffix(".safetensors")
        cache = output.with_name("cache")
        _commands.train(backbone, data, trained, kind=self.method, **{"validation": 0, "cache": cache, **options})
        _commands.export(trained, backbone, output)

    def decision_function(self, X):
        """Scores `[N, classes]`; of two classes how much higher the second one scores, `[N]`."""
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict_proba(self, X):
        """Probabilities `[N, classes]`, in the order of `classes_`."""
        scores = self._scores(X)
        return self.patch_.probabilities(scores)

    def predict(self, X):
        """The labels that score highest, `[N]`."""
        scores = self._scores(X)
        return self.classes_[scores.argmax(axis=1)]

    def _scores(self, X):
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, allow_nd=True)
        scores = [self.session_.run(self.patch_, self.patch_.preprocess(pictures)) for pictures in self._chunks(X)]
        return numpy.concatenate(scores)

    def _chunks(self, X):
        """Pictures as uint8 `[so many, height, width, 3 or 1]`, a part after the other: pixels may take more memory than X."""
        for start in range(0, len(X), CHUNK):
            yield self._pixels(X[start : start + CHUNK])

    def _pixels(self, X):
        low, high = self.range_
        if X.dtype != numpy.uint8 or (low, high) != (0.0, 255.0):
            shares = (X.astype(numpy.float64) - low) / (high - low or 1.0)
            X = numpy.rint(255 * shares.clip(0, 1)).astype(numpy.uint8)
        if X.ndim == 2:
            X = X.reshape(len(X), *self.shape) if self.shape else _square(X)
        X = X[..., None] if X.ndim == 3 else X
        if X.ndim != 4 or X.shape[-1] not in (1, 3):
            raise InputError(f"pictures of shape {X.shape}, expected [N, height, width, 3 or 1], [N, height, width] or rows")
        return X

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def _square(rows):
    side = math.ceil(math.sqrt(rows.shape[1]))
    padded = numpy.zeros((len(rows), side * side), numpy.uint8)
    padded[:, : rows.shape[1]] = rows
    return padded.reshape(len(rows), side, side)


def _write_archive(path, pictures, targets):
    """A data set: `class/image.png`, where classes sort as their targets do."""
    with tarfile.open(path, "w") as archive:
        for index, (picture, target) in enumerate(zip(pictures, targets)):
            content = png(picture)
            entry = tarfile.TarInfo(f"class {target:06}/{index:06}.png")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))

"""The estimator: scikit-learn's own checks, and pictures."""

import pickle

import numpy
import pytest

sklearn = pytest.importorskip("sklearn", reason="scikit-learn is not installed")

from sklearn.datasets import load_digits  # noqa: E402
from sklearn.model_selection import cross_val_score  # noqa: E402
from sklearn.utils.estimator_checks import check_estimator  # noqa: E402

import graft  # noqa: E402
from conftest import DEMO  # noqa: E402

def test_the_checks_of_scikit_learn():
    model = graft.GraftClassifier(DEMO / "demo.backbone")
    results = check_estimator(model, on_fail=None, on_skip=None)
    failed = {result["check_name"]: result["exception"] for result in results if result["status"] == "failed"}
    assert not failed, failed
    assert sum(result["status"] == "passed" for result in results) > 50


def test_digits():
    digits = load_digits()
    data, target = digits.data[:600], digits.target[:600]
    model = graft.GraftClassifier(DEMO / "demo.backbone")
    assert cross_val_score(model, data, target, cv=3).mean() > 0.5
    model.fit(data, digits.target_names[target].astype(str))
    same = graft.GraftClassifier(DEMO / "demo.backbone").fit(digits.images[:600], model.predict(data))
    assert same.classes_.dtype == model.classes_.dtype
    numpy.testing.assert_allclose(model.predict_proba(data).sum(axis=1), 1)
    again = pickle.loads(pickle.dumps(model))
    numpy.testing.assert_array_equal(again.predict(data), model.predict(data))
    assert list(model.classes_) == list("0123456789")


def test_ridge_separates_digits():
    digits = load_digits()
    model = graft.GraftClassifier(DEMO / "demo.backbone").fit(digits.data[:1000], digits.target[:1000])
    assert model.score(digits.data[1000:], digits.target[1000:]) > 0.85


def test_the_range_of_fit_is_that_of_predict():
    digits = load_digits()
    model = graft.GraftClassifier(DEMO / "demo.backbone").fit(digits.data[:300], digits.target[:300])
    expected = model.decision_function(digits.data[300:320])
    for dtype in ("uint8", "int64", "float32"):
        numpy.testing.assert_array_equal(model.decision_function(digits.data[300:320].astype(dtype)), expected)
    pixels = (15 * digits.images).astype(numpy.uint8)
    model.fit(pixels[:300], digits.target[:300])
    expected = model.decision_function(pixels[300:320])
    numpy.testing.assert_array_equal(model.decision_function(pixels[300:320].astype(float)), expected)


def test_many_pictures_come_in_parts():
    digits = load_digits()
    model = graft.GraftClassifier(DEMO / "demo.backbone").fit(digits.images[:300], digits.target[:300])
    whole = model.decision_function(digits.images[:600])
    numpy.testing.assert_array_equal(whole[::100], numpy.concatenate([model.decision_function(digits.images[i : i + 1]) for i in range(0, 600, 100)]))
    parts = [len(part) for part in model._chunks(digits.images[:600])]
    assert parts == [256, 256, 88]


@pytest.mark.parametrize("method", ["ridge", "head"])
def test_the_patch_has_the_labels(tmp_path, method):
    digits = load_digits()
    options = {"epochs": 1, "augment": "none"} if method == "head" else {"keep_sums": True}
    names = numpy.array(["../a", "", "b/c", "-1", "é"])
    model = graft.GraftClassifier(DEMO / "demo.backbone", method=method, options=options)
    model.fit(digits.images[:200], names[digits.target[:200] % 5])
    assert model.patch_.labels == [str(label) for label in model.classes_] == sorted(names)
    (tmp_path / "own.patch").write_bytes(model.patch_.to_bytes())
    assert graft.Patch.open(tmp_path / "own.patch", model.patch_.backbone).labels == model.patch_.labels
    if method == "ridge":
        assert graft.forget(model.patch_, tmp_path / "less.patch", classes="b/c").classes == 4


@pytest.mark.parametrize("method", ["gd++", "gd", "prototype", "head", "bn+head"])
def test_methods(method):
    digits = load_digits()
    options = {"epochs": 3, "augment": "none"} if "head" in method else None
    model = graft.GraftClassifier(DEMO / "demo.backbone", method=method, options=options)
    model.fit(digits.images[:300], digits.target[:300])
    assert model.score(digits.images[300:500], digits.target[300:500]) > 0.3


def test_misuse():
    pictures, labels = numpy.zeros((4, 9, 9, 3), numpy.uint8), [0, 1, 0, 1]
    for model in (graft.GraftClassifier(), graft.GraftClassifier(DEMO / "demo.backbone", method="magic")):
        with pytest.raises(graft.InputError):
            model.fit(pictures, labels)
    with pytest.raises(graft.FileError):
        graft.GraftClassifier(DEMO / "nothing").fit(pictures, labels)
    with pytest.raises(graft.InputError):
        graft.GraftClassifier(DEMO / "demo.backbone").fit(pictures[..., :2], labels)

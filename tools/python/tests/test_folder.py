"""A folder for the Hugging Face Hub."""

import ast
import inspect
import pathlib

import pytest

import graft
import graft._graft
from conftest import DEMO


@pytest.fixture
def trained(tmp_path, backbone):
    path = tmp_path / "clothes.safetensors"
    graft.train(backbone, DEMO / "fashion-train.tar", path, kind="head", epochs=2, limit=100, test=DEMO / "fashion-test.tar")
    return path


def test_a_patch_folder(tmp_path, backbone, trained):
    patch = graft.export(trained, backbone, tmp_path / "x.patch")
    told = {"base_model": "someone/demo", "license": "mit", "datasets": ["zalando-datasets/fashion_mnist"]}
    folder = graft.save_folder(tmp_path / "folder", trained, patch, **told)
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "adapter_model.safetensors", "clothes.patch"]
    assert graft.Patch.open(folder / "clothes.patch", backbone).digest == patch.digest
    again = graft.export(folder / "adapter_model.safetensors", backbone, tmp_path / "again.patch")
    assert again.digest == patch.digest
    card = (folder / "README.md").read_text()
    assert 'base_model: "someone/demo"\nbase_model_relation: "adapter"\n' in card and backbone.id in card
    with pytest.raises(graft.Error, match="exists"):
        graft.save_folder(folder, trained, patch, **told)
    (folder / ".git").mkdir()
    (folder / "notes.txt").write_text("the only copy")
    graft.save_folder(folder, trained, patch, force=True, **told)
    assert (folder / "notes.txt").exists() and (folder / ".git").exists() and len(list(folder.iterdir())) == 5
    empty = tmp_path / "empty"
    empty.mkdir()
    of_bytes = graft.Patch.from_bytes(patch.to_bytes(), backbone)
    graft.save_folder(empty, trained, of_bytes, base_model="someone/demo", datasets="mnist")
    assert (empty / "clothes.patch").read_bytes() == patch.to_bytes()
    assert 'datasets: ["mnist"]' in (empty / "README.md").read_text()
    thesis = tmp_path / "work" / "thesis.tex"
    thesis.parent.mkdir()
    thesis.write_text("the only copy")
    for name, content in {"adapter_model.safetensors": "of somebody else", "README.md": "---\nlibrary_name: peft\n---\n"}.items():
        with pytest.raises(graft.Error, match="not replaced"):
            graft.save_folder(thesis.parent, trained, patch, force=True, **told)
        (thesis.parent / name).write_text(content)
    with pytest.raises(graft.Error, match="not replaced"):
        graft.save_folder(thesis.parent, trained, patch, force=True, **told)
    assert len(list(thesis.parent.iterdir())) == 3
    with pytest.raises(graft.Error, match="no folder"):
        graft.save_folder(thesis, trained, patch, force=True, **told)
    with pytest.raises(graft.FileError):
        graft.save_folder(tmp_path / "nothing" / "folder", trained, patch, **told)
    for other in (graft.Patch.open(DEMO / "fashion.patch", backbone), backbone.identity()):
        with pytest.raises(graft.MismatchError):
            graft.save_folder(tmp_path / "other", trained, other, **told)
    assert not (tmp_path / "other").exists()


def test_what_does_not_belong_together(tmp_path, backbone, trained):
    int8 = graft.Backbone.open(DEMO / "int8/demo.backbone")
    small = graft.export(trained, int8, tmp_path / "int8.patch", calibrate=DEMO / "fashion-train.tar")
    with pytest.raises(graft.MismatchError, match="int8"):
        graft.save_folder(tmp_path / "folder", trained, small, base_model="someone/demo")
    again = {"kind": "head", "epochs": 2, "limit": 100, "seed": 7, "validation": 0}
    graft.train(backbone, DEMO / "fashion-train.tar", tmp_path / "other.safetensors", **again)
    other = graft.export(tmp_path / "other.safetensors", backbone, tmp_path / "other.patch")
    with pytest.raises(graft.MismatchError, match="not made of"):
        graft.save_folder(tmp_path / "folder", trained, other, base_model="someone/demo")
    assert not (tmp_path / "folder").exists()
    folder = graft.save_folder(tmp_path / "folder", tmp_path / "other.safetensors", other, base_model="someone/demo")
    assert "not measured" in (folder / "README.md").read_text()


@pytest.mark.parametrize("name", ["../victim", "/tmp/victim", "..", "a/b", "a\nb"])
def test_a_name_is_no_path(tmp_path, backbone, name):
    quick = {"kind": "head", "epochs": 1, "limit": 40, "validation": 0}
    graft.train(backbone, DEMO / "fashion-train.tar", tmp_path / "t.safetensors", name=name, **quick)
    patch = graft.export(tmp_path / "t.safetensors", backbone, tmp_path / "t.patch")
    with pytest.raises(graft.InputError, match="name"):
        graft.save_folder(tmp_path / "folder", tmp_path / "t.safetensors", patch, base_model="someone/demo")
    assert not (tmp_path / "folder").exists() and not (tmp_path / "victim.patch").exists()


def test_the_hubs_own_library_reads_it(tmp_path, backbone, trained):
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    safetensors = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    patch = graft.export(trained, backbone, tmp_path / "x.patch")
    folder = graft.save_folder(tmp_path / "folder", trained, patch, base_model="someone/demo", license="mit")
    card = hub.ModelCard.load(folder / "README.md").data.to_dict()
    assert (card["base_model"], card["base_model_relation"], card["license"]) == ("someone/demo", "adapter", "mit")
    assert card["tags"] == ["graft", "head"]
    assert safetensors.load_file(folder / "adapter_model.safetensors")


def test_the_stub_has_all_that_there_is():
    package = pathlib.Path(graft.__file__).parent
    assert (package / "py.typed").exists()
    stub = ast.parse((package / "_graft.pyi").read_text())
    functions = {node.name for node in stub.body if isinstance(node, ast.FunctionDef)}
    classes = {node.name: node for node in stub.body if isinstance(node, ast.ClassDef)}
    public = {name for name in vars(graft._graft) if not name.startswith("_")}
    assert public == functions | classes.keys()
    for name, node in classes.items():
        own = vars(getattr(graft._graft, name))
        written = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
        assert {member for member in own if not member.startswith("_")} == {each for each in written if not each.startswith("_")}
        assert all(inspect.getdoc(own[member]) for member in written if not member.startswith("_")), name

"""What the documentation shows runs."""

import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from conftest import DEMO, ROOT, SNEAKER


@pytest.mark.parametrize("page", ["README.md", "tools/python/README.md"])
def test_the_lines_of_the_readme(tmp_path, page):
    (tmp_path / "demo").symlink_to(DEMO)
    shutil.copy(SNEAKER, tmp_path / "photo.jpg")
    (lines,) = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    done = subprocess.run([sys.executable, "-c", lines], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("sneaker"), done.stderr


def test_a_notebook_has_its_own_arguments(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    (tmp_path / "demo").symlink_to(DEMO)
    tour = pathlib.Path(__file__).parents[1] / "examples/clothes.py"
    first = tour.read_text().split("# %%")[1].partition("\n")[2]
    kernel = "import sys\nsys.modules['ipykernel'] = sys\nsys.argv = ['launcher', '-f', 'kernel.json']\n"
    done = subprocess.run([sys.executable, "-c", kernel + first], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("Backbone("), done.stderr


def test_the_tour(tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    tour = pathlib.Path(__file__).parents[1] / "examples/clothes.py"
    done = subprocess.run([sys.executable, tour, DEMO, tmp_path], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("*.png"))) == 4

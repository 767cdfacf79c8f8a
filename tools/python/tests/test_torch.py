"""Networks of PyTorch become backbones in one call, and compute the same."""

import threading

import numpy
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

import graft  # noqa: E402

# One of each family that is served.
TIMM = [
    "mobilenetv1_100", "mobilenetv2_100", "mobilenetv3_small_100", "mobilenetv3_large_100", "mobilenetv4_conv_small",
    "efficientnet_lite0", "lcnet_050", "mnasnet_100", "hardcorenas_a", "fbnetc_100",
]  # fmt: skip
EXPORTERS = ["dynamo", "torchscript"]


def small(channels=3):
    torch.manual_seed(1)
    return torch.nn.Sequential(
        torch.nn.Conv2d(channels, 8, 3, 2, 1, bias=False), torch.nn.BatchNorm2d(8), torch.nn.ReLU6(),
        torch.nn.Conv2d(8, 16, 1, bias=False), torch.nn.BatchNorm2d(16), torch.nn.ReLU6(),
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(16, 4),
    )  # fmt: skip


def with_statistics(model):
    """Batch norms that have seen something."""
    model.train()
    with torch.no_grad():
        model(torch.randn(4, 3, 64, 64) * 2 + 1)
    return model


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("name", TIMM)
def test_timm(tmp_path, name, exporter):
    timm = pytest.importorskip("timm", reason="timm is not installed")
    torch.manual_seed(1)
    model = with_statistics(timm.create_model(name, pretrained=False))
    backbone = graft.from_torch(model, tmp_path / "b.backbone", exporter=exporter)
    assert model.training and backbone.name == name
    own, said = backbone.identity(), model.pretrained_cfg
    assert own.input_shape == (*said["input_size"][1:], 3)
    numpy.testing.assert_allclose(own.mean, 255 * numpy.array(said["mean"]), rtol=1e-6)
    numpy.testing.assert_allclose(own.std, 255 * numpy.array(said["std"]), rtol=1e-6)
    difference = graft.torch_difference(backbone, model.eval(), seed=2)
    print(f"{name}, {exporter}: {difference:.2g}")
    assert difference < 1e-5
    assert [path.name for path in tmp_path.iterdir()] == ["b.backbone"]


@pytest.mark.filterwarnings("ignore")
def test_torchvision(tmp_path):
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    model = with_statistics(models.mobilenet_v2())
    backbone = graft.from_torch(model, tmp_path / "b.backbone", weights=models.MobileNet_V2_Weights.IMAGENET1K_V2)
    own = backbone.identity()
    assert own.input_shape == (224, 224, 3) and own.labels[:2] == ["tench", "goldfish"] and len(own.labels) == 1000
    numpy.testing.assert_allclose(own.mean, [123.675, 116.28, 103.53], rtol=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_what_a_model_does_not_say_is_said(tmp_path):
    output = tmp_path / "b.backbone"
    with pytest.raises(graft.InputError, match="mean"):
        graft.from_torch(small(), output)
    said = {"mean": 127, "std": (64, 64, 64), "resolution": (32, 24), "labels": ["a", "b", "c", "d"], "name": "mine"}
    for exporter in EXPORTERS:
        backbone = graft.from_torch(small(), output, exporter=exporter, force=True, **said)
        own = backbone.identity()
        assert (own.input_shape, own.labels, backbone.name) == ((32, 24, 3), ["a", "b", "c", "d"], "mine")
    with pytest.raises(graft.Error, match="exists"):
        graft.from_torch(small(), output, **said)
    with pytest.raises(graft.InputError, match="exporter"):
        graft.from_torch(small(), tmp_path / "c", exporter="keras", **said)
    grey = graft.from_torch(small(1), tmp_path / "grey.backbone", mean=[127], std=[64], resolution=16)
    assert grey.input_shape == (16, 16, 1)


@pytest.mark.filterwarnings("ignore")
def test_a_difference_is_refused(tmp_path):
    class Branches(torch.nn.Module):
        """Tracing sees one of its branches."""

        def __init__(self):
            super().__init__()
            self.network = small()

        def forward(self, image):
            return self.network(image if image.abs().sum() == 0 else 2 * image)

    output = tmp_path / "b.backbone"
    with pytest.raises(graft.MismatchError, match="differ"):
        graft.from_torch(Branches(), output, exporter="torchscript", mean=127, std=64, resolution=32)
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore")
def test_what_is_given_is_checked(tmp_path):
    output, said = tmp_path / "b.backbone", {"mean": 127, "std": 64, "resolution": 32}
    for wrong in ({"mean": [127]}, {"std": [1, 2, 3, 4]}, {"labels": ["a", "b\nc", "d", "e"]}):
        with pytest.raises(graft.InputError) as error:
            graft.from_torch(small(), output, **{**said, **wrong})
        assert error.value.hint
    for folder in (tmp_path / "nothing" / "b.backbone", tmp_path):
        with pytest.raises(graft.FileError):
            graft.from_torch(small(), folder, force=True, **said)
    for given in ({"mean": numpy.float32(127), "std": numpy.float64(64)}, {"mean": torch.full((3,), 127.0), "std": iter([64, 64, 64])}):
        own = graft.from_torch(small(), output, resolution=32, force=True, labels=(each for each in "abcd"), **given).identity()
        assert (own.mean, own.std, own.labels) == ([127.0] * 3, [64.0] * 3, list("abcd"))
    grey = graft.from_torch(small(1), tmp_path / "grey.backbone", **said)
    assert grey.input_shape == (32, 32, 1)


class Lock(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network, self.lock = small(), threading.Lock()

    def forward(self, image):
        return self.network(image)


class Pair(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = small()

    def forward(self, image):
        return self.network(image), image


class Unknown(torch.nn.Module):
    """What no exporter knows."""

    def __init__(self):
        super().__init__()
        self.network = small()

    def forward(self, image):
        return torch.from_numpy(numpy.asarray(self.network(image).detach().tolist(), numpy.float32)) + torch.linalg.svd(image[0, 0])[1][:4]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("model", [Lock, Pair, Unknown, lambda: torch.nn.Linear(7, 3)])
def test_what_pytorch_refuses_is_an_error_of_graft(tmp_path, model):
    with pytest.raises(graft.Error) as error:
        graft.from_torch(model(), tmp_path / "b.backbone", mean=127, std=64, resolution=32)
    assert error.value.hint and not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore")
def test_a_head_of_zeros(tmp_path):
    network = small()
    torch.nn.init.zeros_(network[-1].weight)
    torch.nn.init.zeros_(network[-1].bias)
    backbone = graft.from_torch(network, tmp_path / "b.backbone", mean=127, std=64, resolution=32)
    assert graft.torch_difference(backbone, network.eval()) == 0


@pytest.mark.filterwarnings("ignore")
def test_weights_of_torchvision(tmp_path):
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    tuned = with_statistics(models.mobilenet_v2(num_classes=5))
    backbone = graft.from_torch(tuned, tmp_path / "b.backbone", weights="MobileNet_V2_Weights.IMAGENET1K_V2")
    own = backbone.identity()
    assert (own.classes, backbone.labels, own.input_shape) == (5, [], (224, 224, 3))
    for weights in ("IMAGENET1K_V2", models.segmentation.LRASPP_MobileNet_V3_Large_Weights.DEFAULT):
        with pytest.raises(graft.InputError) as error:
            graft.from_torch(tuned, tmp_path / "c.backbone", weights=weights)
        assert error.value.hint


@pytest.mark.filterwarnings("ignore")
def test_a_network_that_cannot_be_served(tmp_path):
    network = torch.nn.Sequential(small()[:6], torch.nn.ConvTranspose2d(16, 4, 3), torch.nn.Tanh())
    with pytest.raises(graft.Error) as error:
        graft.from_torch(network, tmp_path / "b", mean=127, std=64, resolution=32)
    assert error.value.hint and not list(tmp_path.iterdir())

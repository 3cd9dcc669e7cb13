#!/usr/bin/env python3
"""Networks of DAUs as PyTorch modules whose own state_dict() has the published names, with the logits and contribution maps of a batch in
float64: what `coda import --format coda-pytorch` and `coda explain` must give. Every dynamic weight is built, as the papers write it.
Written from the equations of arXiv 2109.13004; shares nothing with dau.py.

    python3 tools/goldens/coda_pytorch.py apps/coda/test/golden/coda-pytorch

Needs torch, numpy and safetensors. manifest.json says with which versions the files were made; the same versions give the same bytes.
"""
import hashlib
import io
import json
import math
import pathlib
import sys

import numpy
import safetensors
import safetensors.torch
import torch
from torch import nn

SEED = 21091300
# Below this the top class could be another one in float32.
LEAST_MARGIN = 1e-3

# Layers as [out, kernel, stride, padding, rank]. `before`: modules without weights in front of each layer, which take indices.
NETWORKS = {
    "sq": {
        "norm": "sq",
        "encoding": "rgb6",
        "inputShape": [12, 12, 3],
        "layers": [[6, 3, 1, 1, 4], [8, 3, 2, 1, 5], [4, 2, 1, 0, 33], [4, 1, 1, 0, 3]],
        "temperature": 2.0,
        "logitBias": math.log(0.1 / 0.9),
        "before": [8, 0, 0, 3],
        "prefix": "module.",
        "dtype": torch.float32,
        "batch": ([3, 13, 17, 3], numpy.float32),
    },
    "l2": {
        "norm": "l2",
        "encoding": "none",
        "inputShape": [16, 16, 3],
        "layers": [[5, 5, 3, 2, 4], [7, 3, 1, 1, 3], [6, 3, 2, 0, 4], [10, 1, 1, 0, 4]],
        "temperature": 0.5,
        "logitBias": -1.5,
        "before": [0, 1, 0, 0],
        "prefix": "",
        "dtype": torch.float64,
        "batch": ([2, 20, 11, 3], numpy.uint8),
    },
}


class DynamicWeights(nn.Module):
    def __init__(self, channels, out, kernel, stride, padding, rank):
        super().__init__()
        self.weighting_f = nn.Sequential(
            nn.Conv2d(channels, rank, kernel, stride, padding, bias=False),
            nn.Conv2d(rank, channels * kernel**2 * out, 1),
        )

    def forward(self, x):
        return self.weighting_f(x)


class Dau(nn.Module):
    def __init__(self, channels, out, kernel, stride, padding, rank, norm):
        super().__init__()
        self.weight_mod = DynamicWeights(channels, out, kernel, stride, padding, rank)
        self.out, self.kernel, self.stride, self.padding, self.norm = out, kernel, stride, padding, norm
        self.held = False

    def forward(self, x):
        v = self.weight_mod(x)
        batch, _, height, width = v.shape
        v = v.reshape(batch, -1, self.out, height, width)
        squared = (v * v).sum(1, keepdim=True)
        w = v / squared.sqrt() if self.norm == "l2" else v * squared.sqrt() / (1 + squared)
        if self.held:
            w = w.detach()
        padded = nn.functional.pad(x, [self.padding] * 4)
        out = 0
        # The inner product w . patch, entry by entry of the patch in the order (channel, row, column).
        i = 0
        for c in range(x.shape[1]):
            for ky in range(self.kernel):
                for kx in range(self.kernel):
                    rows = slice(ky, ky + self.stride * (height - 1) + 1, self.stride)
                    columns = slice(kx, kx + self.stride * (width - 1) + 1, self.stride)
                    out = out + w[:, i] * padded[:, c, rows, columns].unsqueeze(1)
                    i += 1
        return out


def build(spec):
    channels = 6 if spec["encoding"] == "rgb6" else 3
    modules = []
    for layer, before in zip(spec["layers"], spec["before"]):
        modules += [nn.Identity() for _ in range(before)]
        modules.append(Dau(channels, *layer, spec["norm"]))
        channels = layer[0]
    network = nn.Sequential(*modules)
    for parameter in network.parameters():
        bound = 1.5 / math.sqrt(max(1, parameter[0].numel()))
        # Rounded to float32, so that both sides begin with the same numbers.
        parameter.data = ((2 * torch.rand(parameter.shape) - 1) * bound).float().double()
    return network


def explain(network, spec, images, targets):
    """[N, H, W, 3] in [0, 1] -> logits [N, C] and, of the target's logit, a contribution map [N, h, w] for each tap."""
    a = images.permute(0, 3, 1, 2)
    if spec["encoding"] == "rgb6":
        a = torch.cat([a, 1 - a], 1)
    taps = [a.clone().requires_grad_()]
    for module in network:
        module.held = True
        if isinstance(module, Dau):
            taps.append(module(taps[-1]))
    logits = taps[-1].sum((2, 3)) / spec["temperature"] + spec["logitBias"]
    if targets is None:
        top = logits.sort(1, descending=True).values
        assert (top[:, 0] - top[:, 1]).min() > LEAST_MARGIN, "two classes are too close to call"
        targets = logits.argmax(1)
    gradients = torch.autograd.grad(logits.gather(1, targets[:, None]).sum(), taps)
    maps = [(tap * gradient).sum(1) for tap, gradient in zip(taps, gradients)]
    for contributions in maps:
        explained = logits.gather(1, targets[:, None])[:, 0] - spec["logitBias"]
        assert torch.allclose(contributions.sum((1, 2)), explained, rtol=1e-10), "the reference is not complete"
    return logits, targets, maps


def files_of(name, spec):
    network = build(spec)
    shape, dtype = spec["batch"]
    batch = torch.rand(shape).numpy().astype("float32") if dtype == numpy.float32 else torch.randint(0, 256, shape).numpy().astype("uint8")
    images = torch.from_numpy(batch).double() / (255 if batch.dtype == numpy.uint8 else 1)
    given = torch.randint(0, spec["layers"][-1][0], [shape[0]])
    expected = {}
    for label, wanted in (("top", None), ("given", given)):
        logits, targets, maps = explain(network, spec, images, wanted)
        expected["logits"] = logits
        expected[f"{label}.target"] = targets
        for i, contributions in enumerate(maps):
            expected[f"{label}.{'input' if i == 0 else f'layers.{i - 1}'}"] = contributions
    state = {spec["prefix"] + key: value.to(spec["dtype"]).contiguous() for key, value in network.state_dict().items()}
    expected = {k: (v if v.dtype == torch.int64 else v.float()).detach().contiguous() for k, v in expected.items()}
    config = {
        "kind": "coda",
        "inputShape": spec["inputShape"],
        "encoding": spec["encoding"],
        "layers": [dict(zip(("out", "kernel", "stride", "padding", "rank"), layer)) for layer in spec["layers"]],
        "norm": spec["norm"],
        "temperature": spec["temperature"],
        "logitBias": spec["logitBias"],
        "classes": spec["layers"][-1][0],
    }
    return {
        f"{name}.state.safetensors": safetensors.torch.save(state, {"format": "pt"}),
        f"{name}.config.json": (json.dumps(config, indent=2) + "\n").encode(),
        f"{name}.batch.npy": npy(batch),
        f"{name}.targets.npy": npy(given.numpy()),
        f"{name}.expected.safetensors": safetensors.torch.save(expected),
    }


def npy(array):
    stream = io.BytesIO()
    numpy.save(stream, array)
    return stream.getvalue()


def main(folder):
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for name, spec in NETWORKS.items():
        files.update(files_of(name, spec))
    for name, data in files.items():
        (folder / name).write_bytes(data)
    manifest = {
        "generator": "tools/goldens/coda_pytorch.py",
        "versions": {"torch": torch.__version__, "numpy": numpy.__version__, "safetensors": safetensors.__version__},
        "seed": SEED,
        "tolerance": "1e-5 of the largest value of each tensor: float32 against float64",
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    print(f"{len(files)} files, {sum(map(len, files.values()))} bytes")


if __name__ == "__main__":
    main(sys.argv[1])

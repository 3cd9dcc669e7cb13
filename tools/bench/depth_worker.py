"""Runs the PyTorch side of `coda bench depth` for a process that asks over JSON lines (measured_works.py): a hybrid of a CIFAR ResNet, and attribution as one writes it with autograd.

    prepare {name, kind, network, data, parameters}      kind: profile | profile-one-pass | rise | intgrad
        network: safetensors of a hybrid, its config in the metadata      data: safetensors with grids [G, H, W, 3], classes [G, n n], images [N, h, w, 3], labels [N]
"""
import json

import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F

import measured_works
from dau_twins import LowRankDau

BATCH = 256


class Hybrid:
    """Stem in channels-last memory, batch norm folded into its convolutions as for inference; head in the low-rank form, the fastest known here."""

    def __init__(self, config, weights):
        self.config, self.weights, self.folded = config, weights, {}
        backbone, head = config["backbone"], config["head"]
        self.mean, self.std = (torch.tensor(backbone["normalisation"][key]).view(1, 3, 1, 1) for key in ("mean", "std"))
        stage, block = (int(part) for part in config["cut"].removeprefix("layer").split("."))
        depth = (backbone["depth"] - 2) // 6
        self.blocks = [(s, b) for s in range(1, 4) for b in range(depth) if (s, b) <= (stage, block)]
        self.head = [LowRankDau(layer, head["norm"], *(weights[f"head.{i}.{key}"] for key in "ABb")) for i, layer in enumerate(head["layers"])]
        self.temperature, self.bias = head["temperature"], head["logitBias"]
        self.layers = [self.stem, *(lambda x, s=s, b=b: self.block(x, s, b) for s, b in self.blocks), *self.head]

    def conv(self, x, conv, norm, stride):
        key = f"stem.{conv}"
        if key not in self.folded:
            gain, bias, mean, var = (self.weights[f"stem.{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var"))
            scale = gain * (var + 1e-5).rsqrt()
            kernel = self.weights[f"{key}.weight"].permute(3, 2, 0, 1) * scale.view(-1, 1, 1, 1)
            self.folded[key] = kernel.contiguous(memory_format=torch.channels_last), bias - mean * scale
        kernel, bias = self.folded[key]
        return F.conv2d(x, kernel, bias, stride, kernel.shape[2] // 2)

    def stem(self, x):
        return F.relu(self.conv(((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last), "conv1", "bn1", 1))

    def block(self, x, stage, block):
        prefix, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
        y = self.conv(F.relu(self.conv(x, f"{prefix}.conv1", f"{prefix}.bn1", stride)), f"{prefix}.conv2", f"{prefix}.bn2", 1)
        shortcut = self.conv(x, f"{prefix}.downsample.0", f"{prefix}.downsample.1", stride) if stride > 1 else x
        return F.relu(y + shortcut)

    def apply(self, x, first, last, held=False):
        for layer in self.layers[first:last]:
            x = layer(x, held) if isinstance(layer, LowRankDau) else layer(x)
        return x

    def logits(self, images, held=False):
        return self.readout(self.apply(images, 0, None, held))

    def readout(self, last):
        return last.sum((2, 3)) / self.temperature + self.bias


def localisation(m, size, n):
    """m [n n, h, w], the map of cell k's class in row k: the positive share in the cell."""
    if m.shape[1:] != size:
        m = F.interpolate(m[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    positive = m.clamp_min(0)
    cells = positive.unflatten(2, (n, -1)).unflatten(1, (n, -1)).sum((2, 4)).flatten(1)
    total = positive.sum((1, 2))
    return torch.where(total > 0, cells.diagonal() / total.clamp_min(1e-38), 0)


class Profile:
    """Every tap by itself: a forward and a backward pass each, as one runs a method on truncated networks."""

    def __init__(self, net, data, n, **_):
        self.net, self.n = net, n
        self.grids, self.classes = data["grids"].permute(0, 3, 1, 2), data["classes"].long()

    def maps(self, images, targets):
        for tap in range(len(self.net.layers) + 1):
            with torch.no_grad():
                a = self.net.apply(images, 0, tap)
            a.requires_grad_()
            z = self.net.readout(self.net.apply(a, tap, None, held=True))
            (gradient,) = torch.autograd.grad(z.gather(1, targets[:, None]).sum(), a)
            yield (a * gradient).sum(1).detach()

    def run(self):
        found = []
        for grid, classes in zip(self.grids, self.classes):
            images = grid.expand(len(classes), -1, -1, -1)
            size = grid.shape[1:]
            found.append([(localisation(m, m.shape[1:], self.n), localisation(m, size, self.n)) for m in self.maps(images, classes)])
        return found

    def results(self):
        found = self.run()
        return {
            f"{scoring}/{tap}": torch.cat([grid[tap][i] for grid in found])
            for tap in range(len(found[0]))
            for i, scoring in enumerate(("pool", "upsample"))
        }


class OnePass(Profile):
    """All taps from one forward and one backward pass, as ours."""

    def maps(self, images, targets):
        a = images.clone().requires_grad_()
        activations = [a]
        for layer in self.net.layers:
            activations.append(self.net.apply(activations[-1], len(activations) - 1, len(activations), held=True))
        z = self.net.readout(activations[-1])
        gradients = torch.autograd.grad(z.gather(1, targets[:, None]).sum(), activations)
        return [(a * g).sum(1).detach() for a, g in zip(activations, gradients)]


class Rise:
    def __init__(self, net, data, masks, cells, p, **_):
        self.net, self.masks, self.cells, self.p = net, masks, cells, p
        self.images, self.labels = data["images"].permute(0, 3, 1, 2), data["labels"].long()

    def draw(self, count, h, w):
        down, across = -(-h // self.cells), -(-w // self.cells)
        kept = (torch.rand(count, 1, self.cells, self.cells) < self.p).float()
        large = F.interpolate(kept, ((self.cells + 1) * down, (self.cells + 1) * across), mode="bilinear", align_corners=False)
        shifts = torch.randint(down, (count,)).tolist(), torch.randint(across, (count,)).tolist()
        return torch.stack([mask[:, y : y + h, x : x + w] for mask, y, x in zip(large, *shifts)])

    @torch.inference_mode()
    def run(self, masks=None, p=None):
        masks, p = masks or self.masks, p or self.p
        before, self.p = self.p, p
        maps = []
        for image, label in zip(self.images, self.labels):
            total = torch.zeros(image.shape[1:])
            for start in range(0, masks, BATCH):
                m = self.draw(min(BATCH, masks - start), *image.shape[1:])
                score = torch.sigmoid(self.net.logits(image * m)[:, label])
                total += torch.tensordot(score, m[:, 0], 1)
            maps.append(total / (masks * p))
        self.p = before
        return torch.stack(maps)

    def results(self):
        return {"map": self.run(masks=2, p=1)}  # nothing is masked: every place has the plain probability


class IntGrad:
    def __init__(self, net, data, steps, **_):
        self.net, self.steps = net, steps
        self.images, self.labels = data["images"].permute(0, 3, 1, 2), data["labels"].long()

    def run(self):
        maps = []
        alphas = ((torch.arange(self.steps) + 0.5) / self.steps).view(-1, 1, 1, 1)
        for image, label in zip(self.images, self.labels):
            path = (alphas * image).requires_grad_()
            (gradient,) = torch.autograd.grad(self.net.logits(path)[:, label].sum(), path)
            maps.append((gradient.mean(0) * image).sum(0))
        return torch.stack(maps)

    def results(self):
        return {"map": self.run()}


KINDS = {"profile": Profile, "profile-one-pass": OnePass, "rise": Rise, "intgrad": IntGrad}


def prepare(kind, network, data, parameters):
    with safetensors.safe_open(network, "pt") as file:
        net = Hybrid(json.loads(file.metadata()["config"]), {key: file.get_tensor(key) for key in file.keys()})
    for layer in net.head:
        layer.requires_grad_(False)
    return KINDS[kind](net=net, data=safetensors.torch.load_file(data), **parameters)


if __name__ == "__main__":
    measured_works.serve(prepare)

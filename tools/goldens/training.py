#!/usr/bin/env python3
"""Golden values of optimisers, schedules, clipping, averages and losses from PyTorch, in float64.

    python tools/goldens/training.py packages/train/test/golden/training.json apps/coda/test/golden/losses.json

Weights and gradients are not stored: both sides draw them from Mulberry32 (the `randomValues` of tools/testkit), one seed a tensor: weight i has the seed
10 + i, its gradient at update t (from 1) the seed 10·(t + 1) + i; both in [-1, 1).
"""

import hashlib
import json
import pathlib
import platform
import sys

import numpy as np
import torch
from torch.nn import functional as F
from torch.optim import lr_scheduler

SHAPES = {"conv.weight": [3, 2], "norm.gamma": [2], "fc.bias": [4]}
RATES = [0.1, 0.05, 0.2, 0.1, 0.01, 0.3]
DECAY = 0.3
TOTAL = 101


def uniform(count, seed, low=-1.0, high=1.0):
    """Mulberry32, as randomValues of the testkit; rounded to float32."""
    state = (np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x6D2B79F5)).astype(np.uint32)
    t = (state ^ (state >> np.uint32(15))) * (np.uint32(1) | state)
    t = (t + (t ^ (t >> np.uint32(7))) * (np.uint32(61) | t)) ^ t
    return (low + (high - low) * ((t ^ (t >> np.uint32(14))).astype(np.float64) / 2**32)).astype(np.float32).astype(np.float64)


def tensor(shape, seed, **kwargs):
    return torch.tensor(uniform(int(np.prod(shape)), seed, **kwargs).reshape(shape), dtype=torch.float64)


OPTIMISERS = {
    "Adam with L2": (torch.optim.Adam, dict(betas=(0.8, 0.95), eps=1e-2)),
    "AdamW": (torch.optim.AdamW, dict(betas=(0.8, 0.95), eps=1e-2)),
    "SGD with momentum and L2": (torch.optim.SGD, dict(momentum=0.9)),
    "SGD with Nesterov and L2": (torch.optim.SGD, dict(momentum=0.9, nesterov=True)),
}


def optimised(kind, options):
    """After each update: only conv.weight decays, norm.gamma learns at a tenth of the rate."""
    weights = {name: torch.nn.Parameter(tensor(shape, 10 + i)) for i, (name, shape) in enumerate(SHAPES.items())}
    decay = {"conv.weight": DECAY, "norm.gamma": 0.0, "fc.bias": 0.0}
    share = {"conv.weight": 1.0, "norm.gamma": 0.1, "fc.bias": 1.0}
    groups = [dict(params=[w], weight_decay=decay[name], share=share[name]) for name, w in weights.items()]
    optimiser = kind(groups, lr=1.0, **options)
    steps = []
    for t, rate in enumerate(RATES, 1):
        for group in optimiser.param_groups:
            group["lr"] = rate * group["share"]
        for i, (name, w) in enumerate(weights.items()):
            w.grad = tensor(SHAPES[name], 10 * (t + 1) + i)
        optimiser.step()
        steps.append({name: w.detach().flatten().tolist() for name, w in weights.items()})
    return steps


def scheduled(make):
    """The rates of TOTAL updates, peak 1."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=1.0)
    schedule = make(optimiser)
    rates = []
    for _ in range(TOTAL):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step() if len(rates) < TOTAL else None
    return rates


SCHEDULES = {
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=TOTAL - 1, eta_min=0.1),
    "linear": lambda o: lr_scheduler.LinearLR(o, start_factor=1.0, end_factor=0.2, total_iters=TOTAL - 1),
    # ours falls at the first update at which the share is reached: 0.5 · 101 = 50.5 → 51
    "step": lambda o: lr_scheduler.MultiStepLR(o, milestones=[51, 76], gamma=0.1),
    # PyTorch has the peak at update pct_start · total − 1, ours at peak · (total − 1)
    "one-cycle": lambda o: lr_scheduler.OneCycleLR(
        o, max_lr=1.0, total_steps=TOTAL, pct_start=(0.2 * (TOTAL - 1) + 1) / TOTAL, div_factor=25, final_div_factor=0.04 / 0.01, cycle_momentum=False
    ),
    # as ours: 1/10 at the first update, 1 at the tenth
    "warm-up": lambda o: lr_scheduler.LinearLR(o, start_factor=0.1, end_factor=1.0, total_iters=9),
}


def clipped(most):
    weights = [torch.nn.Parameter(torch.zeros(shape, dtype=torch.float64)) for shape in SHAPES.values()]
    for i, (w, shape) in enumerate(zip(weights, SHAPES.values())):
        w.grad = tensor(shape, 20 + i)
    norm = torch.nn.utils.clip_grad_norm_(weights, most)
    return {"norm": norm.item(), "gradients": {name: w.grad.flatten().tolist() for name, w in zip(SHAPES, weights)}}


def averages(decay):
    """AveragedModel with the cap (1 + t) / (10 + t), over the updates of AdamW."""
    def step(average, weight, count):
        # PyTorch calls this with the number of updates before this one, and copies at the first: the average begins as the first weights here
        share = min(decay, (1 + count) / (10 + count))
        return share * average + (1 - share) * weight
    model = torch.nn.Module()
    model.w = torch.nn.Parameter(tensor(SHAPES["conv.weight"], 10))
    average = torch.optim.swa_utils.AveragedModel(model, avg_fn=step)
    average.update_parameters(model)
    result = []
    for weights in optimised(*OPTIMISERS["AdamW"]):
        with torch.no_grad():
            model.w.copy_(torch.tensor(weights["conv.weight"]).reshape(SHAPES["conv.weight"]))
        average.update_parameters(model)
        result.append(average.module.w.detach().flatten().tolist())
    return result


def losses():
    logits = tensor([6, 5], 70, low=-4, high=4).requires_grad_()
    labels = torch.tensor([0, 3, 1, 4, 2, 2])
    onehot = F.one_hot(labels, 5).double()
    result = {}
    for smoothing in (0.0, 0.1):
        soft = (1 - smoothing) * onehot + smoothing / 5
        for name, loss in (
            ("cross entropy", F.cross_entropy(logits, labels, label_smoothing=smoothing)),
            ("binary cross entropy", F.binary_cross_entropy_with_logits(logits, soft)),
        ):
            (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
            result[f"{name}, smoothing {smoothing}"] = {"loss": loss.item(), "gradient": gradient.flatten().tolist()}
    # z = (1/T)·Σ map + b0 and binary cross entropy: the paper's readout and loss
    maps = tensor([6, 4, 4, 5], 71, low=-30, high=30).requires_grad_()
    z = maps.sum((1, 2)) / 64 + float(np.log(0.1 / 0.9))
    loss = F.binary_cross_entropy_with_logits(z, onehot)
    (gradient,) = torch.autograd.grad(loss, maps)
    result["readout"] = {"loss": loss.item(), "gradient": gradient[:, 0, 0].flatten().tolist()}
    return result


def write(path, values):
    out = {
        "generator": "tools/goldens/training.py",
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()},
        "seed": "one a tensor, see the generator",
        "sha256": hashlib.sha256(json.dumps(values).encode()).hexdigest(),
        "tolerance": "float32 against float64: named in the test",
        **values,
    }
    pathlib.Path(path).write_text(json.dumps(out) + "\n")


def main(training, loss):
    values = {
        "optimisers": {name: optimised(*each) for name, each in OPTIMISERS.items()},
        "schedules": {name: scheduled(make) for name, make in SCHEDULES.items()},
        "clipped": {str(most): clipped(most) for most in (0.5, 100.0)},
        "averages": averages(0.35),
    }
    write(training, values)
    write(loss, losses())


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Runs the PyTorch twins of `coda bench dau` for a process that asks over JSON lines (measured_works.py). See dau_twins.py for what is run.

    prepare {name, form, kind, network, data, batch, taps}   a piece of work, ready to be measured under `name`
        form: published | low-rank      kind: train | forward | explain | explain-tap-by-tap
        network: a model file           data: safetensors with images [N, H, W, 3], labels [N]     taps: indices, 0 the input
        results: logits or loss, maps, gradients
    matmul {m, k, n, repeats}  the time of a float32 matrix product, as `measure`
"""
import json

import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F

import measured_works
import torch_device
from dau_twins import CodaNet, explain, explain_tap_by_tap

LEARNING_RATE = 2.5e-4


class Training:
    def __init__(self, net, images, labels, classes, **_):
        self.net, self.images = net, images
        self.targets = F.one_hot(labels, classes).float()
        self.optimiser = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE, fused=True)

    def run(self):
        self.optimiser.zero_grad(set_to_none=True)
        logits, _ = self.net(self.net.encode(self.images))
        loss = F.binary_cross_entropy_with_logits(logits, self.targets)
        loss.backward()
        self.optimiser.step()
        return loss.item()

    def results(self):
        loss = self.run()
        gradients = self.net.to_file_layout([p.grad for p in self.net.parameters()])
        return {"loss": torch.tensor(loss), **{f"gradient/{name}": g for name, g in gradients.items()}}


class Forward:
    def __init__(self, net, images, **_):
        self.net, self.images = net, images

    def run(self):
        with torch.inference_mode():
            return self.net(self.net.encode(self.images))[0]

    def results(self):
        return {"logits": self.run()}


class Explanation:
    def __init__(self, net, images, labels, taps, method=explain, **_):
        self.net, self.images, self.targets, self.taps, self.method = net, images, labels, taps, method

    def run(self):
        return self.method(self.net, self.images, self.targets, self.taps)

    def results(self):
        logits, maps = self.run()
        return {"logits": logits, **{f"map/{tap}": m for tap, m in zip(self.taps, maps)}}


class TapByTap(Explanation):
    def __init__(self, **given):
        super().__init__(method=explain_tap_by_tap, **given)


KINDS = {"train": Training, "forward": Forward, "explain": Explanation, "explain-tap-by-tap": TapByTap}


def prepare(form, kind, network, data, batch, taps=()):
    with safetensors.safe_open(network, "pt", device=torch_device.name()) as file:
        config = json.loads(file.metadata()["config"])
        net = CodaNet(form, config, {key: file.get_tensor(key) for key in file.keys()})
    inputs = safetensors.torch.load_file(data, device=torch_device.name())
    return KINDS[kind](
        net=net,
        images=inputs["images"][:batch].permute(0, 3, 1, 2).contiguous(),
        labels=inputs["labels"][:batch].long(),
        classes=config["classes"],
        taps=list(taps),
    )


def matmul(m, k, n, repeats):
    a, b, out = torch.rand(m, k), torch.rand(k, n), torch.empty(m, n)
    return measured_works.measured(lambda: torch.mm(a, b, out=out), repeats)


if __name__ == "__main__":
    measured_works.serve(prepare, matmul=matmul)

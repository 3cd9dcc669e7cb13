"""Runs ResNets in PyTorch for a process that asks over JSON lines (measured_works.py): the reference of `coda bench engine`. See resnet_twin.py for what is run.

    prepare {name, kind, state, data, batch}             a piece of work, ready to be measured under `name`
        kind: train | forward     state: a state dict as safetensors, the config as JSON in its metadata
        data: safetensors with images [N, H, W, 3], labels [N]
        results: logits, or loss, gradients and statistics of a step
    load {state}               milliseconds from the file to a module that has its weights
"""
import json

import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F

import measured_works
import torch_device
from resnet_twin import Resnet

LEARNING_RATE, MOMENTUM = 0.01, 0.9


class Training:
    def __init__(self, net, images, labels):
        self.net, self.images, self.labels = net.train(), images, labels
        self.optimiser = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, nesterov=True)

    def backward(self):
        self.optimiser.zero_grad(set_to_none=True)
        loss = F.cross_entropy(self.net(self.images), self.labels)
        loss.backward()
        return loss

    def run(self):
        loss = self.backward()
        self.optimiser.step()
        return loss.item()

    def results(self):
        loss = self.backward()
        # the step may change them: on GPUs, PyTorch adds Nesterov's momentum to the gradients themselves
        gradients = {f"gradient/{name}": p.grad.clone() for name, p in self.net.named_parameters()}
        self.optimiser.step()
        statistics = {f"statistic/{name}": b for name, b in self.net.named_buffers() if "running" in name}
        return {"loss": loss.detach(), **gradients, **statistics}


class Forward:
    def __init__(self, net, images, labels):
        self.net, self.images = net.eval(), images

    def run(self):
        with torch.inference_mode():
            return self.net(self.images)

    def results(self):
        return {"logits": self.run()}


KINDS = {"train": Training, "forward": Forward}


def network(state):
    with safetensors.safe_open(state, "pt") as file:
        net = Resnet(json.loads(file.metadata()["config"]))
    net.load_state_dict(safetensors.torch.load_file(state, device=torch_device.name()), strict=True)
    return net


def prepare(kind, state, data, batch):
    inputs = safetensors.torch.load_file(data, device=torch_device.name())
    images = inputs["images"][:batch].permute(0, 3, 1, 2).contiguous()
    return KINDS[kind](network(state), images, inputs["labels"][:batch].long())


def load(state):
    return measured_works.measured(lambda: network(state), 1)["ms"]


if __name__ == "__main__":
    measured_works.serve(prepare, load=load)

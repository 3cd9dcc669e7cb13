"""Runs ResNets in PyTorch for a process that asks over JSON lines: the reference of `coda bench engine`. See resnet_twin.py for what is run.

    hello {threads, device}                              versions
    prepare {name, kind, state, data, batch}             a piece of work, ready to be measured under `name`
        kind: train | forward     state: a state dict as safetensors, the config as JSON in its metadata
        data: safetensors with images [N, H, W, 3], labels [N]
    results {name, path}       writes what one run gives, before any measuring, as safetensors: logits, or loss, gradients and statistics of a step
    measure {name, repeats}    milliseconds of one run on average: by the clock, and of processor time
    load {state}               milliseconds from the file to a module that has its weights
    release {name}             memory {}
"""
import json
import sys
import time

import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F

import json_lines
import process_memory
import torch_device
from resnet_twin import Resnet

LEARNING_RATE, MOMENTUM = 0.01, 0.9
works = {}
baseline = process_memory.resident_bytes()


class Training:
    def __init__(self, net, images, labels):
        self.net, self.images, self.labels = net.train(), images, labels
        self.optimiser = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, nesterov=True)

    def run(self):
        self.optimiser.zero_grad(set_to_none=True)
        loss = F.cross_entropy(self.net(self.images), self.labels)
        loss.backward()
        self.optimiser.step()
        return loss.item()

    def results(self):
        loss = self.run()
        gradients = {f"gradient/{name}": p.grad for name, p in self.net.named_parameters()}
        statistics = {f"statistic/{name}": b for name, b in self.net.named_buffers() if "running" in name}
        return {"loss": torch.tensor(loss), **gradients, **statistics}


class Forward:
    def __init__(self, net, images, labels):
        self.net, self.images = net.eval(), images

    def run(self):
        with torch.inference_mode():
            return self.net(self.images)

    def results(self):
        return {"logits": self.run()}


KINDS = {"train": Training, "forward": Forward}


def hello(threads, device="cpu"):
    torch.set_num_threads(threads)
    return {"torch": torch.__version__, "python": sys.version.split()[0], "device": torch_device.use(device)}


def network(state):
    with safetensors.safe_open(state, "pt") as file:
        net = Resnet(json.loads(file.metadata()["config"]))
    net.load_state_dict(safetensors.torch.load_file(state, device=torch_device.name()), strict=True)
    return net


def prepare(name, kind, state, data, batch):
    inputs = safetensors.torch.load_file(data, device=torch_device.name())
    images = inputs["images"][:batch].permute(0, 3, 1, 2).contiguous()
    works[name] = KINDS[kind](network(state), images, inputs["labels"][:batch].long())


def results(name, path):
    tensors = works[name].results()
    safetensors.torch.save_file({key: value.contiguous() for key, value in tensors.items()}, path)


def measured(run, repeats):
    torch_device.synchronise()
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        run()
    torch_device.synchronise()
    return {
        "ms": 1000 * (time.perf_counter() - wall) / repeats,
        "processorMs": 1000 * (time.process_time() - processor) / repeats,
    }


def load(state):
    return measured(lambda: network(state), 1)["ms"]


def release(name):
    del works[name]


def memory():
    return {"baseline": baseline, "peak": process_memory.peak_bytes()}


if __name__ == "__main__":
    json_lines.serve(
        {
            "hello": hello,
            "prepare": prepare,
            "results": results,
            "measure": lambda name, repeats: measured(works[name].run, repeats),
            "load": load,
            "release": release,
            "memory": memory,
        }
    )

"""Pieces of work that a worker has prepared by name, and what may be asked of them over JSON lines: the common part of the PyTorch sides of the benches.

    hello {threads, device}    versions, and the device's name
    results {name, path}       writes what one run gives, before any measuring, as safetensors
    measure {name, repeats}    milliseconds of one run on average: by the clock, and of processor time
    release {name}             memory {}

A piece of work has `run()` and `results()`; `prepare`, whatever it is given beside `name`, returns one.
"""
import sys
import time

import safetensors.torch
import torch

import json_lines
import process_memory
import torch_device

works = {}
baseline = process_memory.resident_bytes()


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


def hello(threads, device="cpu"):
    torch.set_num_threads(threads)
    return {"torch": torch.__version__, "python": sys.version.split()[0], "device": torch_device.use(device)}


def results(name, path):
    safetensors.torch.save_file({key: value.contiguous() for key, value in works[name].results().items()}, path)


def release(name):
    del works[name]


def serve(prepare, **others):
    """Answers until standard input ends."""

    def prepared(name, **given):
        works[name] = prepare(**given)

    json_lines.serve(
        {
            "hello": hello,
            "prepare": prepared,
            "results": results,
            "measure": lambda name, repeats: measured(works[name].run, repeats),
            "release": release,
            "memory": lambda: {"baseline": baseline, "peak": process_memory.peak_bytes()},
            **others,
        }
    )

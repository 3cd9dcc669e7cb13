"""Runs the PyTorch twin of `coda bench data` for a process that asks over JSON lines: a DataLoader of Pillow images, as torchvision's ImageFolder with
its transforms, written out because torchvision may not be there.

    hello {}                              versions
    prepare {name, root, kind, side, batch, workers}     kind: train | evaluate
        train: a random resized crop and half of the images mirrored; evaluate: the shorter side to 8/7 of `side`, and the middle
    measure {name, repeats}               milliseconds of one pass over all images on average: by the clock, and of processor time of all processes
"""
import math
import os
import pathlib
import random
import sys
import time

import numpy
import PIL
import torch
from PIL import Image

import json_lines

loaders = {}


class Images(torch.utils.data.Dataset):
    def __init__(self, root, kind, side):
        self.files = sorted(pathlib.Path(root).glob("*/*.jpg"))
        classes = sorted({file.parent.name for file in self.files})
        self.labels = [classes.index(file.parent.name) for file in self.files]
        self.transform = getattr(self, kind)
        self.side = side

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        with open(self.files[index], "rb") as file:
            image = Image.open(file).convert("RGB")
        pixels = torch.from_numpy(numpy.array(self.transform(image)))
        return pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255), self.labels[index]

    def train(self, image):
        side, area = self.side, image.width * image.height
        for _ in range(10):
            share = area * random.uniform(0.08, 1)
            ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
            width, height = round(math.sqrt(share * ratio)), round(math.sqrt(share / ratio))
            if 0 < width <= image.width and 0 < height <= image.height:
                left, top = random.randint(0, image.width - width), random.randint(0, image.height - height)
                image = image.crop((left, top, left + width, top + height))
                break
        image = image.resize((side, side), Image.Resampling.BILINEAR)
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else image

    def evaluate(self, image):
        scale = self.side * 8 / 7 / min(image.size)
        image = image.resize((int(image.width * scale), int(image.height * scale)), Image.Resampling.BILINEAR)
        left, top = round((image.width - self.side) / 2), round((image.height - self.side) / 2)
        return image.crop((left, top, left + self.side, top + self.side))


def hello():
    return {"torch": torch.__version__, "pillow": PIL.__version__, "python": sys.version.split()[0]}


def prepare(name, root, kind, side, batch, workers):
    torch.set_num_threads(1)
    images = Images(root, kind, side)
    loaders[name] = torch.utils.data.DataLoader(images, batch, shuffle=kind == "train", num_workers=workers, persistent_workers=workers > 0)
    return {"images": len(images)}


def processor_seconds(loader):
    own = sum(os.times()[:2])
    for worker in getattr(loader._iterator, "_workers", []):
        fields = pathlib.Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
        own += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own


def measure(name, repeats):
    loader = loaders[name]
    before, start = processor_seconds(loader) if loader._iterator else sum(os.times()[:2]), time.perf_counter()
    for _ in range(repeats):
        for images, _ in loader:
            pass
    return {
        "ms": 1000 * (time.perf_counter() - start) / repeats,
        "processorMs": 1000 * (processor_seconds(loader) - before) / repeats,
    }


if __name__ == "__main__":
    json_lines.serve({"hello": hello, "prepare": prepare, "measure": measure})

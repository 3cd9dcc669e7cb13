"""ResNets in plain torch.nn, to measure ours against: written from He et al., arXiv 1512.03385 (sections 3 and 4), in the names of torchvision's state dicts.

    y = relu(F(x) + S(x))        F: two 3x3 convolutions, or 1x1, 3x3 (with the stride), 1x1; S: the identity, or a 1x1 convolution

`config`: as in a model file (design, depth, width, classes, normalisation). Only what the bench runs: option B, v1.5, one group.
"""
import torch
from torch import nn

STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def convolution(channels, out, kernel, stride=1):
    return nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False)


class Block(nn.Module):
    def __init__(self, channels, width, out, stride):
        super().__init__()
        self.bottleneck = out != width
        shapes = ((1, width, 1), (3, width, stride), (1, out, 1)) if self.bottleneck else ((3, width, stride), (3, width, 1))
        before = channels
        for i, (kernel, after, step) in enumerate(shapes, 1):
            setattr(self, f"conv{i}", convolution(before, after, kernel, step))
            setattr(self, f"bn{i}", nn.BatchNorm2d(after))
            before = after
        self.relu = nn.ReLU(inplace=True)
        changes = stride != 1 or channels != out
        self.downsample = nn.Sequential(convolution(channels, out, 1, stride), nn.BatchNorm2d(out)) if changes else None

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.bottleneck:
            y = self.bn3(self.conv3(self.relu(y)))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class Resnet(nn.Module):
    def __init__(self, config):
        super().__init__()
        cifar = config["design"] == "cifar"
        depth, width = config["depth"], config["width"]
        stages = [(depth - 2) // 6] * 3 if cifar else STAGES[depth]
        expansion = 4 if not cifar and depth > 34 else 1
        self.register_buffer("mean", torch.tensor(config["normalisation"]["mean"]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config["normalisation"]["std"]).view(1, 3, 1, 1), persistent=False)
        self.conv1 = convolution(3, width, 3) if cifar else convolution(3, width, 7, 2)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.Identity() if cifar else nn.MaxPool2d(3, 2, 1)
        channels = width
        self.stages = len(stages)
        for stage, blocks in enumerate(stages):
            inner = width * 2**stage
            layers = []
            for block in range(blocks):
                layers.append(Block(channels, inner, inner * expansion, 2 if stage > 0 and block == 0 else 1))
                channels = inner * expansion
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        self.fc = nn.Linear(channels, config["classes"])

    def forward(self, images):
        """images [N, 3, H, W] in [0, 1]"""
        x = self.pool(self.relu(self.bn1(self.conv1((images - self.mean) / self.std))))
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        return self.fc(x.mean((2, 3)))

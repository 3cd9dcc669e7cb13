"""Golden values of CIFAR ResNets from PyTorch, in float64.

    python tools/goldens/resnet.py packages/resnet/test/goldens

Weights, images and targets are not stored: both sides draw them from Mulberry32 (the `randomValues` of tools/testkit), one seed a tensor.
Of each result the root mean square and up to 24 evenly spaced values are stored.
"""

import hashlib
import json
import pathlib
import platform
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

SEED = 20151210
CASES = [
    dict(name='resnet20', depth=20, width=16, shortcut='projection', size=[16, 16], batch=2, classes=10, labelSmoothing=0),
    dict(name='odd-projection', depth=8, width=5, shortcut='projection', size=[15, 11], batch=3, classes=4, labelSmoothing=0.1),
    dict(name='odd-pad', depth=14, width=4, shortcut='pad', size=[13, 18], batch=2, classes=3, labelSmoothing=0),
]
MEAN, STD = [0.4914, 0.4822, 0.4465], [0.247, 0.2435, 0.2616]


def uniform(count, seed, low, high):
    """Mulberry32, as randomValues of the testkit; rounded to float32."""
    state = (np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x6D2B79F5)).astype(np.uint32)
    t = (state ^ (state >> np.uint32(15))) * (np.uint32(1) | state)
    t = (t + (t ^ (t >> np.uint32(7))) * (np.uint32(61) | t)) ^ t
    return (low + (high - low) * ((t ^ (t >> np.uint32(14))).astype(np.float64) / 2**32)).astype(np.float32).astype(np.float64)


class Pad(nn.Module):
    def __init__(self, extra):
        super().__init__()
        self.extra = extra

    def forward(self, x):
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.extra))


class Block(nn.Module):
    def __init__(self, i, o, stride, shortcut):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        self.downsample = nn.Identity()
        if stride != 1 or i != o:
            projection = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))
            self.downsample = projection if shortcut == 'projection' else Pad(o - i)

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.downsample(x))


class ResNet(nn.Module):
    def __init__(self, depth, width, shortcut, classes):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        channels = width
        for stage in range(3):
            blocks = []
            for block in range((depth - 2) // 6):
                out = width << stage
                blocks.append(Block(channels, out, 2 if stage and not block else 1, shortcut))
                channels = out
            setattr(self, f'layer{stage + 1}', nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, classes)

    def forward(self, images, taps):
        x = (images - torch.tensor(MEAN).double().view(1, 3, 1, 1)) / torch.tensor(STD).double().view(1, 3, 1, 1)
        x = taps['conv1'] = F.relu(self.bn1(self.conv1(x)))
        for stage in (1, 2, 3):
            for i, block in enumerate(getattr(self, f'layer{stage}')):
                x = taps[f'layer{stage}.{i}'] = block(x)
        return self.fc(x.mean((2, 3)))


def digest(x, kind):
    """In TensorFlow's axis order: NCHW -> NHWC, OIHW -> HWIO, [out, in] -> [in, out]."""
    if x.ndim == 4:
        x = x.permute(2, 3, 1, 0) if kind == 'weight' else x.permute(0, 2, 3, 1)
    elif x.ndim == 2 and kind == 'weight':
        x = x.T
    flat = x.detach().contiguous().reshape(-1).numpy()
    step = max(1, len(flat) // 24)
    return dict(shape=list(x.shape), rms=float(f'{np.sqrt((flat**2).mean()):.9g}'), step=step,
                values=[float(f'{v:.9g}') for v in flat[::step][:24]])


def ranges(name, shape):
    if name.endswith('running_var'):
        return 0.5, 2.0
    if name.endswith('running_mean'):
        return -0.3, 0.3
    if 'bn' in name or 'downsample.1' in name:
        return (0.5, 1.5) if name.endswith('weight') else (-0.3, 0.3)
    if len(shape) == 4:
        bound = (6 / (shape[0] * shape[1] * shape[2])) ** 0.5
        return -bound, bound
    return -0.3, 0.3


def make(case):
    torch.set_default_dtype(torch.float64)
    net = ResNet(case['depth'], case['width'], case['shortcut'], case['classes'])
    state = {k: v for k, v in net.state_dict().items() if not k.endswith('num_batches_tracked')}
    for i, (name, value) in enumerate(state.items()):
        shape = list(value.permute(2, 3, 1, 0).shape if value.ndim == 4 else value.T.shape if value.ndim == 2 else value.shape)
        drawn = torch.from_numpy(uniform(value.numel(), SEED + i, *ranges(name, shape)).reshape(shape))
        value.copy_(drawn.permute(3, 2, 0, 1) if value.ndim == 4 else drawn.T if value.ndim == 2 else drawn)
    n, (h, w) = case['batch'], case['size']
    images = torch.from_numpy(uniform(n * h * w * 3, SEED - 1, 0, 1).reshape(n, h, w, 3)).permute(0, 3, 1, 2)
    labels = torch.tensor([(3 * i + 1) % case['classes'] for i in range(n)])
    out = dict(case, parameters=sum(p.numel() for p in net.parameters()))
    for mode in ('inference', 'training'):
        net.train(mode == 'training')
        net.zero_grad()
        taps = {}
        logits = net(images, taps)
        loss = F.cross_entropy(logits, labels, label_smoothing=case['labelSmoothing'])
        loss.backward()
        out[mode] = dict(
            taps={k: digest(v, 'activation') for k, v in taps.items()},
            logits=logits.detach().tolist(),
            loss=loss.item(),
            gradients={k: digest(p.grad, 'weight') for k, p in net.named_parameters()},
        )
    out['statistics'] = {k: digest(v, 'weight') for k, v in net.state_dict().items() if '.running_' in k}
    return out


def main():
    folder = pathlib.Path(sys.argv[1])
    text = json.dumps([make(case) for case in CASES], separators=(',', ':')) + '\n'
    (folder / 'resnet.json').write_text(text)
    manifest = dict(
        generator='tools/goldens/resnet.py', python=platform.python_version(), torch=torch.__version__,
        numpy=np.__version__, seed=SEED, dtype='float64',
        normalisation=dict(mean=MEAN, std=STD), sha256=hashlib.sha256(text.encode()).hexdigest(),
        tolerance='1e-4 of the largest value of each tensor: float32 against float64 through at most 20 layers',
    )
    (folder / 'resnet.manifest.json').write_text(json.dumps(manifest, indent=2) + '\n')


main()

"""Golden values of ResNets from PyTorch, in float64: the CIFAR ones, those of torchvision's design in tiny widths, and all presets in full.

    python tools/goldens/resnet.py packages/resnet/test/goldens [TORCHVISION_SOURCE]

TORCHVISION_SOURCE, a folder with torchvision's models/resnet.py, lets the script check first that its networks are torchvision's: same names and
shapes, same logits.

Weights, images and targets are not stored: both sides draw them from Mulberry32 (the `randomValues` of tools/testkit), one seed a tensor.
Of each result the root mean square and some evenly spaced values are stored.
"""

import hashlib
import json
import pathlib
import platform
import sys

import numpy as np
import safetensors.torch
import torch
from torch import nn
from torch.nn import functional as F

SEED = 20151210
CASES = [
    dict(name='resnet20', depth=20, width=16, shortcut='projection', size=[16, 16], batch=2, classes=10, labelSmoothing=0),
    dict(name='odd-projection', depth=8, width=5, shortcut='projection', size=[15, 11], batch=3, classes=4, labelSmoothing=0.1),
    dict(name='odd-pad', depth=14, width=4, shortcut='pad', size=[13, 18], batch=2, classes=3, labelSmoothing=0),
]
# Every architecture in the width of a few channels; 1 = v1, stride in the first 1x1.
TINY = [
    dict(name='tiny-18', depth=18, width=6, size=[45, 37], batch=3, classes=5),
    dict(name='tiny-50', depth=50, width=4, size=[40, 48], batch=4, classes=5),
    dict(name='tiny-50-v1', depth=50, width=4, size=[37, 45], batch=4, classes=5, bottleneckStride='1x1'),
    dict(name='tiny-resnext50', depth=50, width=8, size=[39, 33], batch=4, classes=5, groups=4, widthPerGroup=16),
    dict(name='tiny-34-3x3', depth=34, width=4, size=[13, 18], batch=3, classes=5, stem='3x3'),
]
# The presets as they are, in inference.
FULL = [
    dict(name='resnet18', depth=18, size=[224, 224]),
    dict(name='resnet18-odd', depth=18, size=[199, 135]),
    dict(name='resnet34', depth=34, size=[97, 130]),
    dict(name='resnet50', depth=50, size=[224, 224]),
    dict(name='resnet50-odd', depth=50, size=[151, 201]),
    dict(name='resnet101', depth=101, size=[97, 130]),
    dict(name='resnet152', depth=152, size=[97, 130]),
    dict(name='wide-resnet50-2', depth=50, size=[97, 130], widthPerGroup=128),
    dict(name='resnext50-32x4d', depth=50, size=[97, 130], groups=32, widthPerGroup=4),
]
STAGES = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3], 101: [3, 4, 23, 3], 152: [3, 8, 36, 3]}
MEAN, STD = [0.4914, 0.4822, 0.4465], [0.247, 0.2435, 0.2616]
IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def uniform(count, seed, low, high):
    """Mulberry32, as randomValues of the testkit; rounded to float32."""
    state = (np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x6D2B79F5)).astype(np.uint32)
    t = (state ^ (state >> np.uint32(15))) * (np.uint32(1) | state)
    t = (t + (t ^ (t >> np.uint32(7))) * (np.uint32(61) | t)) ^ t
    return (low + (high - low) * ((t ^ (t >> np.uint32(14))).astype(np.float64) / 2**32)).astype(np.float32).astype(np.float64)


def normalised(images, mean, std):
    return (images - torch.tensor(mean).double().view(1, 3, 1, 1)) / torch.tensor(std).double().view(1, 3, 1, 1)


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
        x = normalised(images, MEAN, STD)
        x = taps['conv1'] = F.relu(self.bn1(self.conv1(x)))
        for stage in (1, 2, 3):
            for i, block in enumerate(getattr(self, f'layer{stage}')):
                x = taps[f'layer{stage}.{i}'] = block(x)
        return self.fc(x.mean((2, 3)))


class Bottleneck(nn.Module):
    def __init__(self, i, planes, stride, groups, base, v1):
        super().__init__()
        inner, o = planes * base // 64 * groups, 4 * planes
        self.conv1, self.bn1 = nn.Conv2d(i, inner, 1, stride if v1 else 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, 1 if v1 else stride, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, o, 1, bias=False), nn.BatchNorm2d(o)
        self.downsample = nn.Identity()
        if stride != 1 or i != o:
            self.downsample = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x):
        inner = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.relu(self.bn3(self.conv3(inner)) + self.downsample(x))


class ImagenetResNet(nn.Module):
    """torchvision's, by its parameter names."""

    def __init__(self, depth, width=64, classes=1000, groups=1, widthPerGroup=64, bottleneckStride='3x3', stem='7x7', **_):
        super().__init__()
        self.large = stem == '7x7'
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False) if self.large else nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        channels = width
        for stage, count in enumerate(STAGES[depth]):
            blocks = []
            for block in range(count):
                planes, stride = width << stage, 2 if stage and not block else 1
                if depth < 50:
                    blocks.append(Block(channels, planes, stride, 'projection'))
                    channels = planes
                else:
                    blocks.append(Bottleneck(channels, planes, stride, groups, widthPerGroup, bottleneckStride == '1x1'))
                    channels = 4 * planes
            setattr(self, f'layer{stage + 1}', nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, classes)

    def forward(self, images, taps):
        x = normalised(images, IMAGENET_MEAN, IMAGENET_STD)
        x = taps['conv1'] = F.relu(self.bn1(self.conv1(x)))
        if self.large:
            x = taps['maxpool'] = F.max_pool2d(x, 3, 2, 1)
        for stage in (1, 2, 3, 4):
            for i, block in enumerate(getattr(self, f'layer{stage}')):
                x = taps[f'layer{stage}.{i}'] = block(x)
        taps['pooled'] = x.mean((2, 3))
        return self.fc(taps['pooled'])


def check_against_torchvision(folder):
    """torchvision's Python alone, without its compiled part."""
    import importlib
    import types

    for name in ('', '.models', '.transforms', '.transforms._presets', '.utils'):
        module = sys.modules[f'torchvision{name}'] = types.ModuleType(f'torchvision{name}')
        module.__path__ = [str(pathlib.Path(folder, *name.split('.')))]
    sys.modules['torchvision.transforms._presets'].ImageClassification = object
    sys.modules['torchvision.utils']._log_api_usage_once = lambda _: None
    theirs = importlib.import_module('torchvision.models.resnet')
    for case in FULL:
        block = theirs.BasicBlock if case['depth'] < 50 else theirs.Bottleneck
        net = theirs.ResNet(block, STAGES[case['depth']], groups=case.get('groups', 1), width_per_group=case.get('widthPerGroup', 64))
        ours = ImagenetResNet(**case)
        assert {k: v.shape for k, v in net.state_dict().items()} == {k: v.shape for k, v in ours.state_dict().items()}, case
        assert list(net.state_dict()) == list(ours.state_dict()), case
        ours.load_state_dict(net.state_dict())
        images = torch.rand(1, 3, 65, 70)
        mean, std = (torch.tensor(x).double().view(1, 3, 1, 1) for x in (IMAGENET_MEAN, IMAGENET_STD))
        assert torch.allclose(net.eval()((images - mean) / std), ours.eval()(images, {}), rtol=1e-9), case
        print(case['name'], 'is', 'torchvision\'s')


def digest(x, kind, values=24):
    """In TensorFlow's axis order: NCHW -> NHWC, OIHW -> HWIO, [out, in] -> [in, out]."""
    if x.ndim == 4:
        x = x.permute(2, 3, 1, 0) if kind == 'weight' else x.permute(0, 2, 3, 1)
    elif x.ndim == 2 and kind == 'weight':
        x = x.T
    flat = x.detach().contiguous().reshape(-1).numpy()
    step = max(1, len(flat) // values)
    return dict(shape=list(x.shape), rms=float(f'{np.sqrt((flat**2).mean()):.9g}'), step=step,
                values=[float(f'{v:.9g}') for v in flat[::step][:values]])


def ranges(name, shape):
    if name.endswith('running_var'):
        return 0.5, 2.0
    if name.endswith('running_mean'):
        return -0.3, 0.3
    if name.endswith('bn3.weight'):  # where bottlenecks end: 50 layers of few channels stay well conditioned in float32
        return 0.1, 0.4
    if 'bn' in name or 'downsample.1' in name:
        return (0.5, 1.5) if name.endswith('weight') else (-0.3, 0.3)
    if len(shape) == 4:
        bound = (6 / (shape[0] * shape[1] * shape[2])) ** 0.5
        return -bound, bound
    return -0.3, 0.3


def draw(net):
    """The weights, statistics included, each from its own seed."""
    state = {k: v for k, v in net.state_dict().items() if not k.endswith('num_batches_tracked')}
    for i, (name, value) in enumerate(state.items()):
        shape = list(value.permute(2, 3, 1, 0).shape if value.ndim == 4 else value.T.shape if value.ndim == 2 else value.shape)
        drawn = torch.from_numpy(uniform(value.numel(), SEED + i, *ranges(name, shape)).reshape(shape))
        value.copy_(drawn.permute(3, 2, 0, 1) if value.ndim == 4 else drawn.T if value.ndim == 2 else drawn)


def draw_images(n, h, w):
    return torch.from_numpy(uniform(n * h * w * 3, SEED - 1, 0, 1).reshape(n, h, w, 3)).permute(0, 3, 1, 2)


def make_full(case):
    net = ImagenetResNet(**case).eval()
    draw(net)
    taps = {}
    with torch.no_grad():
        logits = net(draw_images(1, *case['size']), taps)
    return dict(case, parameters=sum(p.numel() for p in net.parameters()), taps={k: digest(v, 'activation', 12) for k, v in taps.items()},
                logits=digest(logits, 'activation', 48))


def make(case, net, values=24):
    draw(net)
    n = case['batch']
    images = draw_images(n, *case['size'])
    labels = torch.tensor([(3 * i + 1) % case['classes'] for i in range(n)])
    out = dict(case, parameters=sum(p.numel() for p in net.parameters()))
    for mode in ('inference', 'training'):
        net.train(mode == 'training')
        net.zero_grad()
        taps = {}
        logits = net(images, taps)
        loss = F.cross_entropy(logits, labels, label_smoothing=case.get('labelSmoothing', 0))
        loss.backward()
        out[mode] = dict(
            taps={k: digest(v, 'activation', values) for k, v in taps.items()},
            logits=logits.detach().tolist(),
            loss=loss.item(),
            gradients={k: digest(p.grad, 'weight', values) for k, p in net.named_parameters()},
        )
    out['statistics'] = {k: digest(v, 'weight', values) for k, v in net.state_dict().items() if '.running_' in k}
    return out


def state_dict(folder):
    """A state dict as PyTorch saves it, float32, and the logits of its network for the images of `draw_images`."""
    case = dict(depth=18, width=2, size=[47, 38], batch=2, classes=3)
    net = ImagenetResNet(**case).eval()
    draw(net)
    state = {k: v.float().contiguous() if v.is_floating_point() else v for k, v in net.state_dict().items()}
    safetensors.torch.save_file(state, folder / 'state-dict.safetensors')
    with torch.no_grad():
        logits = net(draw_images(case['batch'], *case['size']), {})
    return dict(case, logits=logits.tolist())


def main():
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(2)
    folder = pathlib.Path(sys.argv[1])
    if len(sys.argv) > 2:
        check_against_torchvision(sys.argv[2])
    cifar = [make(case, ResNet(case['depth'], case['width'], case['shortcut'], case['classes'])) for case in CASES]
    files = {
        'resnet.json': cifar,
        'imagenet-tiny.json': [make(case, ImagenetResNet(**case), 4) for case in TINY],
        'imagenet-full.json': [make_full(case) for case in FULL],
        'state-dict.json': state_dict(folder),
    }
    texts = {name: json.dumps(cases, separators=(',', ':')) + '\n' for name, cases in files.items()}
    for name, text in texts.items():
        (folder / name).write_text(text)
    names = [*texts, 'state-dict.safetensors']
    manifest = dict(
        generator='tools/goldens/resnet.py', python=platform.python_version(), torch=torch.__version__,
        numpy=np.__version__, seed=SEED, dtype='float64',
        normalisation=dict(mean=MEAN, std=STD),
        sha256={name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names},
        tolerance='1e-4 of the largest value of each tensor: float32 against float64',
    )
    (folder / 'resnet.manifest.json').write_text(json.dumps(manifest, indent=2) + '\n')


main()

"""CoDA networks in PyTorch twice, to measure ours against: written from the equations of arXiv 2109.13004, section 3.

    u = B p        v_j = A_j u + b_j        w_j = g(v_j)        out_j = w_j^T p

`PublishedDau` builds every dynamic weight w_j, as the papers describe it. `LowRankDau` never does:

    v_j^T p = (A_j^T p).u + b_j^T p        |v_j|^2 = u^T G_j u + 2 h_j^T u + |b_j|^2        G_j = A_j^T A_j,  h_j = A_j^T b_j

p: the patch [d], d = C k k; B [r, d], A_j [d, r], b_j [d] for n units. `held`: the dynamic weights are constants for the gradient.
Weights come and go in the layout of a model file: A [k, k, C, n, r], B [k, k, C, r], b [k, k, C, n].
"""
import math

import torch
import torch.nn.functional as F


def squash(vx, squared_length, norm):
    """g(v)^T p from v^T p and |v|^2: v/|v|, or v/|v| . |v|^2/(1 + |v|^2)."""
    if norm == "l2":
        return vx * squared_length.rsqrt()
    return vx * (squared_length.sqrt() / (1 + squared_length))


class PublishedDau(torch.nn.Module):
    """A k x k convolution to r channels, a 1 x 1 convolution to every v_j (patch-major), the norm, and the product with the unfolded patches."""

    def __init__(self, layer, norm, A, B, b):
        super().__init__()
        self.kernel, self.stride, self.padding, self.units = layer["kernel"], layer["stride"], layer["padding"], layer["out"]
        self.norm = norm
        rank = B.shape[3]
        self.first = torch.nn.Parameter(B.permute(3, 2, 0, 1).contiguous())  # [r, C, k, k]
        self.second = torch.nn.Parameter(A.permute(2, 0, 1, 3, 4).reshape(-1, rank, 1, 1).contiguous())  # [d n, r, 1, 1]
        self.bias = torch.nn.Parameter(b.permute(2, 0, 1, 3).reshape(-1).contiguous())  # [d n]

    def dynamic_weights(self, x):
        """[N, d, n, H', W']"""
        v = F.conv2d(F.conv2d(x, self.first, stride=self.stride, padding=self.padding), self.second, self.bias)
        v = v.view(v.shape[0], -1, self.units, *v.shape[2:])
        length = v.norm(dim=1, keepdim=True)
        return v / length if self.norm == "l2" else v * (length / (1 + length**2))

    def forward(self, x, held=False):
        with torch.set_grad_enabled(torch.is_grad_enabled() and not held):
            w = self.dynamic_weights(x)
        patches = F.unfold(x, self.kernel, padding=self.padding, stride=self.stride).view(w.shape[0], w.shape[1], 1, *w.shape[3:])
        return (w * patches).sum(1)

    def to_file_layout(self, values):
        """Values shaped as the parameters (gradients, say), in their order."""
        first, second, bias = values
        rank, channels, k, _ = first.shape
        return {
            "A": second.view(channels, k, k, self.units, rank).permute(1, 2, 0, 3, 4),
            "B": first.permute(2, 3, 1, 0),
            "b": bias.view(channels, k, k, self.units).permute(1, 2, 0, 3),
        }


class LowRankDau(torch.nn.Module):
    """Patches as the rows of a matrix: one product gives u, all A_j^T p and all b_j^T p; the rest are products of small matrices, one a position.

    The fastest of what was tried on 2 cores (step and forward of S-CoDA at batch 16): against F.conv2d in either memory format, F.unfold and
    concatenated slices for the patches; sums of products instead of torch.bmm; u (x) u against all G_j, whole or its upper triangle.
    """

    def __init__(self, layer, norm, A, B, b):
        super().__init__()
        self.kernel, self.stride, self.padding, self.units = layer["kernel"], layer["stride"], layer["padding"], layer["out"]
        self.rank, self.norm = B.shape[3], norm
        columns = torch.cat([B, A.flatten(3), b], 3)  # [k, k, C, r + n r + n], unit-major
        self.weight = torch.nn.Parameter(columns.permute(3, 2, 0, 1).flatten(1).contiguous())  # [r + n r + n, d]

    def patches(self, x):
        """x [N, C, H, W] -> [N H' W', C k k], H', W'"""
        x = F.pad(x, [self.padding] * 4) if self.padding else x
        windows = x.unfold(2, self.kernel, self.stride).unfold(3, self.kernel, self.stride)  # [N, C, H', W', k, k]
        height, width = windows.shape[2:4]
        return windows.permute(0, 2, 3, 1, 4, 5).reshape(x.shape[0] * height * width, -1), height, width

    def squared_length(self, u):
        """u [M, r] -> [M, n]"""
        n, r = self.units, self.rank
        _, A, b = self.weight.split([r, n * r, n])
        A = A.view(n, r, -1)
        G = torch.bmm(A, A.transpose(1, 2))
        h = torch.bmm(A, b.unsqueeze(2))
        linear = torch.addmm(2 * h.flatten(), u, G.flatten(0, 1).t()).view(-1, n, r)  # G_j u + 2 h_j
        return (torch.bmm(linear, u.unsqueeze(2)).squeeze(2) + b.square().sum(1)).clamp_min(0)

    def forward(self, x, held=False):
        n, r = self.units, self.rank
        weight = self.weight.detach() if held else self.weight
        patches, height, width = self.patches(x)
        u, projected, offsets = (patches @ weight.t()).split([r, n * r, n], 1)
        u = u.detach().contiguous() if held else u.contiguous()
        with torch.set_grad_enabled(torch.is_grad_enabled() and not held):
            squared_length = self.squared_length(u)
        aligned = torch.bmm(projected.unflatten(1, (n, r)), u.unsqueeze(2)).squeeze(2)
        out = squash(aligned + offsets, squared_length, self.norm)
        return out.view(x.shape[0], height, width, n).permute(0, 3, 1, 2)

    def to_file_layout(self, values):
        (value,) = values
        n, r, k = self.units, self.rank, self.kernel
        B, A, b = value.unflatten(1, (-1, k, k)).permute(2, 3, 1, 0).split([r, n * r, n], 3)
        return {"A": A.unflatten(3, (n, r)), "B": B, "b": b}


FORMS = {"published": PublishedDau, "low-rank": LowRankDau}


class CodaNet(torch.nn.Module):
    """Encoding, layers, sum over positions, temperature and fixed bias. `config`: as in a model file; `weights`: its tensors by name."""

    def __init__(self, form, config, weights):
        super().__init__()
        self.rgb6 = config.get("encoding", "rgb6") == "rgb6"
        self.temperature = config["temperature"]
        self.logit_bias = config.get("logitBias", math.log(0.1 / 0.9))
        norm = config.get("norm", "sq")
        self.layers = torch.nn.ModuleList(
            FORMS[form](layer, norm, *(weights[f"layers.{i}.{name}"] for name in ("A", "B", "b")))
            for i, layer in enumerate(config["layers"])
        )

    def encode(self, images):
        """images [N, 3, H, W] in [0, 1]"""
        return torch.cat([images, 1 - images], 1) if self.rgb6 else images

    def forward(self, encoded, held=False):
        """The logits, and the activation at every tap: the encoded input, then each layer's output [N, n, H', W']."""
        activations = [encoded]
        for layer in self.layers:
            activations.append(layer(activations[-1], held))
        return self.readout(activations[-1]), activations

    def readout(self, last):
        return last.sum((2, 3)) / self.temperature + self.logit_bias

    def to_file_layout(self, values):
        """A list shaped as `parameters()`, as tensors by their name in a model file."""
        values = iter(values)
        named = {}
        for i, layer in enumerate(self.layers):
            own = layer.to_file_layout([next(values) for _ in layer.parameters()])
            named.update({f"layers.{i}.{name}": value.contiguous() for name, value in own.items()})
        return named


def explain(net, images, targets, taps):
    """Logits, and the contribution maps [N, H, W] at `taps` (0: the input) from one forward and one backward pass."""
    encoded = net.encode(images).requires_grad_()
    logits, activations = net(encoded, held=True)
    chosen = logits.gather(1, targets[:, None]).sum()
    gradients = torch.autograd.grad(chosen, [activations[tap] for tap in taps])
    maps = [(activations[tap] * gradient).sum(1).detach() for tap, gradient in zip(taps, gradients)]
    return logits.detach(), maps


def explain_tap_by_tap(net, images, targets, taps):
    """The same, one forward and one backward pass a tap."""
    results = [explain_one(net, images, targets, tap) for tap in taps]
    return results[0][0], [contributions for _, contributions in results]


def explain_one(net, images, targets, tap):
    with torch.no_grad():
        a = net.encode(images)
        for layer in net.layers[:tap]:
            a = layer(a)
    a.requires_grad_()
    top = a
    for layer in net.layers[tap:]:
        top = layer(top, held=True)
    logits = net.readout(top)
    (gradient,) = torch.autograd.grad(logits.gather(1, targets[:, None]).sum(), a)
    return logits.detach(), (a * gradient).sum(1).detach()

"""Both twins in float64 against the golden networks of tools/goldens/dau.py: python tools/bench/test_dau_twins.py"""
import json
import pathlib
import unittest

import safetensors.torch
import torch
import torch.nn.functional as F

from dau_twins import FORMS, CodaNet, explain, explain_tap_by_tap

GOLDEN = pathlib.Path(__file__).parents[2] / "packages/dau/test/golden"
# The golden values were rounded to float32.
TOLERANCE = 1e-6


def nchw(x):
    return x.permute(0, 3, 1, 2)


def file_layout(golden, i, what=""):
    """Tensors of a layer of an nn.Sequential in the published layout, by their names and layout in a model file."""
    B, A, b = (golden[f"{what}{i}.weight_mod.weighting_f.{name}"] for name in ("0.weight", "1.weight", "1.bias"))
    rank, channels, k, _ = B.shape
    return {
        f"layers.{i}.B": B.permute(2, 3, 1, 0),
        f"layers.{i}.A": A.view(channels, k, k, -1, rank).permute(1, 2, 0, 3, 4),
        f"layers.{i}.b": b.view(channels, k, k, -1).permute(1, 2, 0, 3),
    }


class Twins(unittest.TestCase):
    def assert_close(self, actual, expected, what):
        self.assertEqual(actual.shape, expected.shape, what)
        apart = (actual - expected).abs().max() / expected.abs().max()
        self.assertLessEqual(apart.item(), TOLERANCE, what)

    def test_against_goldens(self):
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(1)  # small tensors
        manifest = json.loads((GOLDEN / "dau.json").read_text())
        tensors = safetensors.torch.load_file(GOLDEN / "dau.safetensors")
        for network in manifest["networks"]:
            prefix = network["name"] + "/"
            golden = {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
            golden = {key: value.double() if value.is_floating_point() else value.long() for key, value in golden.items()}
            for form in FORMS:
                with self.subTest(network=network["name"], form=form):
                    self.check(form, network["config"], golden)

    def check(self, form, config, golden):
        weights, gradients = {}, {}
        for i in range(len(config["layers"])):
            weights.update(file_layout(golden, i))
            gradients.update(file_layout(golden, i, "gradient."))
        net = CodaNet(form, config, weights)
        images = nchw(golden["images"]).requires_grad_()
        logits, activations = net(net.encode(images))
        self.assert_close(logits, golden["logits"], "logits")
        for i, activation in enumerate(activations):
            self.assert_close(activation, nchw(golden[f"activation.{i}"]), f"activation {i}")

        loss = F.binary_cross_entropy_with_logits(logits, golden["targets"])
        self.assert_close(loss, golden["loss"], "loss")
        loss.backward()
        self.assert_close(images.grad, nchw(golden["gradient.images"]), "gradient of the images")
        for name, gradient in net.to_file_layout([p.grad for p in net.parameters()]).items():
            self.assert_close(gradient, gradients[name], f"gradient of {name}")

        taps = list(range(len(activations)))
        for method in (explain, explain_tap_by_tap):
            _, maps = method(net, images.detach(), golden["labels"], taps)
            for tap, contributions in zip(taps, maps):
                self.assert_close(contributions, golden[f"contribution.{tap}"].sum(3), f"map {tap}")


if __name__ == "__main__":
    unittest.main()

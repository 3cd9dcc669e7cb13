"""Both twins against the golden file, in float64: python -m unittest discover tools/bench"""
import json
import pathlib
import unittest

import safetensors.torch
import torch
import torch.nn.functional as F

from dau_twins import CodaNet, explain, explain_tap_by_tap

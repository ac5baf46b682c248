"""A divided base is whole in no process but while one of its layers is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
from types import SimpleNamespace
import torch
from torch import nn
from torch.distributed import HashStore, init_process_group, destroy_process_group
from torch.distributed.tensor import DTensor
from training.world import Together

init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
layers = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3))).requires_grad_(False)
trained = nn.Parameter(torch.ones(4))
layers[1].register_parameter("factor", trained)
Together.shard(SimpleNamespace(size=1), layers, [trained])

def divided():
    return [isinstance(layer.weight, DTensor) for layer in layers]

print(divided())
layers(torch.ones(1, 4))
print(divided())
layers(trained[None]).sum().backward()
print(divided(), type(layers[1].factor).__name__, trained.grad is not None)
destroy_process_group()
"""


def test_a_layer_is_given_back_after_each_pass():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    whole = [True, True, True]
    assert done.stdout.splitlines() == [str(whole), str(whole), f"{whole} Parameter True"], done.stderr

from __future__ import annotations

import json
import re

import torch
from torch import nn
from torch.autograd import DeviceType
from torch.autograd.profiler_util import FunctionEvent
from torch.nn import functional
from torch.profiler import record_function

from training.profiling import DATA, GROUPS, LORA, Profiler, Spot, by_group, group_of, idle, render, spots

VOCABULARY = 977


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, 64)
        self.up = nn.Linear(64, 512)
        self.down = nn.Linear(512, 64)
        self.head = nn.Linear(64, VOCABULARY)

    def forward(self, ids):
        states = self.embed(ids)
        heads = states.view(*ids.shape, 4, 16).transpose(1, 2)
        states = states + functional.scaled_dot_product_attention(heads, heads, heads).transpose(1, 2).flatten(2)
        return self.head(self.down(self.up(states).relu()))


def train(profiler, steps):
    torch.manual_seed(0)
    model = Small()
    optimizer = torch.optim.AdamW(model.parameters())
    with profiler:
        for _ in range(steps):
            with record_function(DATA):
                ids = torch.randint(0, VOCABULARY, (8, 65))
            logits = model(ids[:, :-1])
            functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
            optimizer.step()
            optimizer.zero_grad()
            profiler.step()


def test_steps_three_to_six_leave_a_trace_and_a_table_of_all_groups(tmp_path):
    train(Profiler(tmp_path / "profile", VOCABULARY), 9)
    trace = json.loads((tmp_path / "profile" / "trace.json").read_text())
    names = {event.get("name") for event in trace["traceEvents"]}
    assert {f"ProfilerStep#{n}" for n in range(2, 6)} <= names
    assert "ProfilerStep#6" not in names
    table = (tmp_path / "profile" / "hotspots.txt").read_text()
    assert table.startswith("steps 3 to 6")
    shares = {group: float(re.search(rf"^{re.escape(group)} +[\d.]+ +([\d.]+) %$", table, re.M)[1]) for group in GROUPS}
    assert abs(sum(shares.values()) - 100) < 1
    assert min(shares[group] for group in ("matmul", "attention", "head+loss", "optimizer")) > 0
    assert shares["head+loss"] > shares["data"]
    assert re.search(r"^head\+loss .* aten::(mm|addmm)$", table, re.M), "the head is told from other products"
    assert re.search(r"^matmul .* aten::(mm|addmm)$", table, re.M)


def test_a_run_that_ends_before_the_third_step_leaves_nothing(tmp_path):
    train(Profiler(tmp_path / "profile"), 1)
    assert not (tmp_path / "profile").exists()


def test_a_run_that_ends_between_tells_what_it_has(tmp_path):
    train(Profiler(tmp_path / "profile", VOCABULARY), 4)
    assert (tmp_path / "profile" / "hotspots.txt").read_text().startswith("steps 3 to 4")


def test_groups():
    assert group_of("aten::mul", ("Optimizer.step#Muon.step",), (), 0) == "optimizer"
    assert group_of("aten::mm", ("aten::linear",), ([8, 64], [64, 99]), 99) == "head+loss"
    assert group_of("aten::mm", ("aten::linear",), ([8, 64], [64, 99]), 0) == "matmul"
    assert group_of("aten::_softmax", (), (), 0) == "attention"
    assert group_of("aten::_log_softmax", (), (), 0) == "head+loss"
    assert group_of("aten::stack", (DATA,), (), 0) == "data"
    parts = {32: LORA, 4864: "mlp"}
    assert group_of("aten::mm", (), ([64, 896], [896, 4864]), 99, parts) == "mlp"
    assert group_of("aten::silu", (), ([64, 4864],), 99, parts) == "mlp"
    assert group_of("aten::addmm_", (), ([64, 4864], [64, 32], [32, 4864]), 99, parts) == LORA
    assert group_of("aten::mul", (), ([32, 7],), 99, parts) == "other"
    found = [Spot("matmul", "aten::mm", 4, 3000.0), Spot("other", "aten::add", 1, 1000.0)]
    assert by_group(found)["matmul"] == 3000.0
    assert "75.0 %" in render(found, 2)


def event(number, name, kind, start, end, shapes=()):
    return FunctionEvent(
        number, name, 1, start, end, input_shapes=shapes, device_type=kind, use_device="cuda", is_legacy=False
    )  # fmt: skip


def test_a_kernel_of_a_gpu_counts_once_with_the_operator_that_started_it():
    above = event(0, "aten::linear", DeviceType.CPU, 0, 9)
    product = event(1, "aten::mm", DeviceType.CPU, 1, 8, ([8, 64], [64, 99]))
    above.append_cpu_child(product)
    product.set_cpu_parent(above)
    product.append_kernel("sm90_gemm", 0, 500.0)
    kernels = [event(2, "sm90_gemm", DeviceType.CUDA, 20, 520), event(3, "copy", DeviceType.CUDA, 560, 570)]
    assert spots([above, product, *kernels], 99) == [Spot("head+loss", "aten::mm", 1, 500.0)]
    assert idle([above, product, *kernels]) == 40.0
    assert idle([above, product]) == 0.0
    assert "idle for 0.02 ms" in render([], 2, 40.0)

"""The processes of a run: alone, or several that `accelerate launch` (or torchrun) started.

Owns every collective operation. Must not know models or data. All processes read the same stream of batches and take
each their own; gradients are summed after the backward pass, so that any engine can be trained by several processes
and the result does not depend on how many there are. (Li et al. 2020 overlap the sum with the backward pass; adapters
are small enough not to need it.)
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import time
from collections.abc import Iterable
from typing import Protocol

import torch
from torch import nn

from repair.errors import ModelError

LEAVE_SECONDS = 0.3  # of one's last moments, for the group's threads to let go of the last message (it takes them 1 ms)


class World(Protocol):
    """What a run asks of its processes."""

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        ...

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def total(self, value: float) -> float:
        """Sum of a number over all processes, the same in each."""
        ...

    def reduce(self, parameters: Iterable[nn.Parameter]) -> None:
        """Sum `.grad` over all processes, in place."""
        ...

    def shard(self, blocks: Iterable[nn.Module], trained: Iterable[nn.Parameter]) -> None:
        """Keep only this process's part of the frozen weights of `blocks` between their uses."""
        ...

    def wait(self) -> None:
        """Until every process has come here."""
        ...


class Alone:
    """One process."""

    rank = 0
    size = 1

    def total(self, value: float) -> float:
        """The number."""
        return value

    def reduce(self, parameters: Iterable[nn.Parameter]) -> None:
        """Nothing to do."""

    def shard(self, blocks: Iterable[nn.Module], trained: Iterable[nn.Parameter]) -> None:
        """One process keeps everything."""

    def wait(self) -> None:
        """Nothing to wait for."""


class Together:
    """The processes of torch.distributed, set up by accelerate: NCCL where there are GPUs, else gloo."""

    def __init__(self) -> None:
        importlib.import_module("torch.distributed.nn.functional")  # now, see `_leave`
        from accelerate import PartialState

        try:
            self._state = PartialState(cpu=not torch.cuda.is_available())
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"the processes of the run cannot find each other ({error}): check accelerate's settings"
            ) from error
        self.rank, self.size = self._state.process_index, self._state.num_processes
        atexit.register(self._leave)

    def _leave(self) -> None:
        """End the group, or the last process to leave finds a broken connection.

        A group's threads end with its last reference. A thread that outlives the interpreter aborts the process when
        it lets go of a message's tensor, so nothing should keep the group: `torch.distributed.nn.functional`, imported
        while there is one, does so in the defaults of its functions (torch 2.13), and FSDP keeps it too.
        """
        self._state.destroy_process_group()
        gc.collect()
        time.sleep(LEAVE_SECONDS)

    def total(self, value: float) -> float:
        """As `World.total`; in fp64."""
        held = torch.tensor([value], dtype=torch.float64, device=self._state.device)
        torch.distributed.all_reduce(held)
        return float(held.item())

    def reduce(self, parameters: Iterable[nn.Parameter]) -> None:
        """As `World.reduce`: one message for all gradients of a number type."""
        by_type: dict[torch.dtype, list[torch.Tensor]] = {}
        for parameter in parameters:
            if parameter.grad is not None:
                by_type.setdefault(parameter.grad.dtype, []).append(parameter.grad)
        for grads in by_type.values():
            flat = torch.cat([grad.flatten() for grad in grads])
            torch.distributed.all_reduce(flat)
            for grad, part in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
                grad.copy_(part.view_as(grad))

    def shard(self, blocks: Iterable[nn.Module], trained: Iterable[nn.Parameter]) -> None:
        """As `World.shard`, by FSDP2 (Zhao et al. 2023): gathered for a block's pass, freed after it.

        What is trained stays whole in each process, so that `reduce` and checkpoints are the same with and without.
        """
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        kind = "cuda" if torch.cuda.is_available() else "cpu"
        mesh, whole = init_device_mesh(kind, (self.size,)), set(trained)
        for block in blocks:
            # said aloud: by default what stands under no other divided module is kept gathered until its backward pass
            fully_shard(block, mesh=mesh, reshard_after_forward=True, ignored_params=whole)

    def wait(self) -> None:
        """As `World.wait`."""
        self._state.wait_for_everyone()


def world() -> World:
    """The processes that a launcher made of this one. Raises ModelError when they cannot find each other."""
    return Together() if int(os.environ.get("WORLD_SIZE", "1")) > 1 else Alone()

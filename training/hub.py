"""The engine of any transformers causal LM, plain or wrapped by peft: what has `requires_grad` is trained.

Owns the passes through the model (one row of real tokens, states gathered where a label counts before the head), how
objectives add up to gradients, and the saving of the result. Must not know recipes, optimizers or how a model is
loaded. It has no hidden state: dropout is seeded by the step and the batch, so that a resumed run sees the same masks.

What is minimised, for a batch of weight W in a step of weight `denominator` (W / denominator is its share):

    sum(weight x CE) / denominator                                     always; the anchor of a preference batch
    + share x (entropy x H + locality x D)                             H, D: means over the examples
    + perturb_weight x sum(weight x CE under noise) / denominator      not for preference batches
    + share x preference_weight x DPO                                  DPO: mean over the pairs

so that the batches of a step add up to weighted means, however they are divided and accumulated.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from repair.errors import ModelError
from training import objectives
from training.attention import BLOCKS, Observer, register
from training.batches import Batch
from training.config import ObjectiveConfig
from training.packed import Packed, alone, flatten
from training.probing import probe
from training.saving import save_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from repair.model import Model
    from training.flops import HubConfig

_NO_MEMORY = (
    "out of memory: lower data.rows and raise optim.accumulate by the same factor, lower data.row_length, "
    "or set run.checkpointing=true or run.quantise=nf4"
)


@contextmanager
def memory_errors() -> Generator[None]:
    """Turn a refused allocation, of a GPU or the CPU, into a ModelError that says which settings to lower."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise ModelError(_NO_MEMORY) from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error) and "not enough memory" not in str(error):
            raise
        raise ModelError(_NO_MEMORY) from error


@dataclass(frozen=True, slots=True)
class Origin:
    """The directory or hub id that a base came from, and its tokenizer, which is saved with whole weights."""

    source: str | Path = ""
    tokenizer: PreTrainedTokenizerBase | None = None


class HubEngine:
    """As `training.loop.Engine`; products run in bf16 by autocast where `dtype` says so, trained weights stay fp32.

    Autocast and peft's own widening to fp32 were compared over a bf16 base: the error of the gradients against fp32
    is that of the base's rounding with both (0.88 and 0.82 %), and a step with autocast takes 13 % less time.
    """

    def __init__(
        self,
        model: nn.Module,
        base: PreTrainedModel,
        objective: ObjectiveConfig | None = None,
        *,
        dtype: torch.dtype | None = None,
        origin: Origin | None = None,
        compiled: bool = False,
    ) -> None:
        """`dtype` is that of products; `compiled` has torch.compile join the steps of each layer."""
        self.model, self.base, self._origin = model, base, origin or Origin()
        self._objective = objective or ObjectiveConfig()
        self._dtype = dtype or base.dtype
        self._decoder = cast("nn.Module", base.get_decoder())
        self._head = cast("nn.Module", base.get_output_embeddings())
        self._embed = base.get_input_embeddings()
        self._layers = objectives.observed_layers(
            self._objective.layers, int(base.config.get_text_config().num_hidden_layers)
        )
        self._parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._extras: dict[str, float] = {}
        register()
        if model is not base:
            from training.fused import fuse

            fuse(model)
        self._random = any(isinstance(m, nn.Dropout) and m.p > 0 for m in model.modules()) or bool(
            getattr(base.config, "attention_dropout", 0.0)
        )
        self._packs, self._plain_head = probe(base)
        self.model.train()  # transformers loads for inference, and peft's own modules say otherwise
        if compiled and self._packs:
            for layer in self.blocks:  # one by one: they are alike, and what is compiled once serves all of them
                layer.compile(dynamic=True)

    @property
    def parameters(self) -> Mapping[str, nn.Parameter]:
        """Trainable parameters."""
        return self._parameters

    @property
    def config(self) -> HubConfig:
        """The shape of the base."""
        return cast("HubConfig", self.base.config.get_text_config())

    @property
    def vocabulary(self) -> int:
        """Token ids lie below."""
        return self.config.vocab_size

    @property
    def device(self) -> torch.device:
        """Where the base is."""
        return self.base.device

    @property
    def blocks(self) -> list[nn.Module]:
        """The layers, which are what is divided among processes."""
        layers = getattr(self._decoder, "layers", None)
        if not isinstance(layers, nn.ModuleList):
            raise ModelError("this base does not say which its layers are: set run.shard=false")
        if not self._packs:  # processes would make unequal numbers of passes, and wait for each other for ever
            raise ModelError("this base must read one example at a time: set run.shard=false")
        return list(layers)

    @contextmanager
    def asked(self) -> Generator[Model]:
        """The base with what it has learned so far, to be asked for repairs; it shares the weights."""
        from repair.models.huggingface import HuggingFaceNetwork
        from repair.models.local import answering

        with self.writing() as base:
            yield answering(self._origin.source, HuggingFaceNetwork(base), adapted=True)

    @property
    def extras(self) -> Mapping[str, float]:
        """Of the last `gradients`: entropy, distance, perturbed (loss under noise), preference, accuracy, margin."""
        return self._extras

    def gradients(self, batch: Batch, denominator: float) -> float:
        """As `Engine.gradients`; the answer is the cross-entropy alone, the rest is in `extras`.

        A batch of which nothing has weight counts its added terms whole. Raises ModelError: out of memory.
        """
        self._extras = {}
        if not batch.tokens:
            return 0.0
        with memory_errors(), self._pass(batch, training=True):
            packed = flatten(batch, self.device)
            weight = float(batch.weights.sum())
            share = weight / denominator if weight > 0 else 1.0
            if self._objective.perturb > 0 and batch.preference is None:
                return self._adversarial(packed, share, denominator)
            total, counted = self._objective_of(packed, batch, share, denominator)
            total.backward()
            return counted.item()

    def _objective_of(
        self, packed: Packed, batch: Batch | None, share: float, denominator: float, embeddings: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(what is minimised, the cross-entropy in it)."""
        aim = self._objective
        observer = Observer(self._layers) if aim.entropy > 0 or aim.locality > 0 else None
        losses = self._losses(packed, embeddings, observer)
        total = counted = (losses * packed.targets.weights).sum() / max(denominator, 1e-6)
        if observer is not None:
            entropy = objectives.attention_entropy(observer.seen)
            distance = objectives.attention_distance(observer.seen)
            total = total + share * (aim.entropy * entropy + aim.locality * distance)
            self._extras |= {"entropy": entropy.item(), "distance": distance.item()}
        if batch is not None and batch.preference is not None:
            total = total + share * aim.preference_weight * self._preference(packed, batch, losses)
        return total, counted

    def _adversarial(self, packed: Packed, share: float, denominator: float) -> float:
        """Gradients of the batch, then of the batch under the noise that the first gradients point to."""
        aim, trained = self._objective, any(p.requires_grad for p in self._embed.parameters())
        embeddings = cast(Tensor, self._embed(packed.ids))
        if trained:
            embeddings.retain_grad()
        else:
            embeddings = embeddings.detach().requires_grad_()
        total, counted = self._objective_of(packed, None, share, denominator, embeddings)
        total.backward()
        if embeddings.grad is None:
            raise ModelError("the model gave no gradient of its embeddings: set objective.perturb=0")
        noise = objectives.adversarial_noise(embeddings.grad[0], embeddings[0], packed.lengths, aim.perturb)
        fresh = cast(Tensor, self._embed(packed.ids)) if trained else embeddings.detach()
        losses = self._losses(packed, fresh + noise[None], None)
        again = (losses * packed.targets.weights).sum() / max(denominator, 1e-6)
        (aim.perturb_weight * again).backward()
        self._extras["perturbed"] = again.item() / max(share, 1e-6)
        return counted.item()

    def _preference(self, packed: Packed, batch: Batch, losses: Tensor) -> Tensor:
        assert batch.preference is not None
        reference = torch.from_numpy(batch.preference.reference).to(losses)
        margins = objectives.log_margins(losses, packed.targets.pair, packed.targets.side, len(reference))
        loss = objectives.preference_loss(margins, reference, self._objective.beta)
        gain = (margins - reference).detach()
        self._extras |= {
            "preference": loss.item(), "accuracy": (gain > 0).float().mean().item(), "margin": gain.mean().item(),
        }  # fmt: skip
        return loss

    def _losses(self, packed: Packed, embeddings: Tensor | None = None, observer: Observer | None = None) -> Tensor:
        """Loss (targets,) of each token that counts, unweighted."""
        if not self._packs and len(packed.lengths) > 1:
            lengths = list(packed.lengths)
            inputs = [None] * len(lengths) if embeddings is None else embeddings.split(lengths, dim=1)
            return torch.cat([self._losses(p, e, observer) for p, e in zip(alone(packed), inputs, strict=True)])
        given: dict[str, Any] = packed.arguments | {"use_cache": False}
        given |= {"input_ids": packed.ids} if embeddings is None else {"inputs_embeds": embeddings}
        blocks = getattr(self.base.config, "_attn_implementation", "") == BLOCKS
        if observer is not None:
            given |= {"observer": observer} if blocks else {"output_attentions": True}
        targets = packed.targets
        with torch.autocast(self.device.type, self._dtype, enabled=self._dtype != torch.float32):
            if self._plain_head:
                found = self._decoder(**given)
                losses = objectives.token_losses(found.last_hidden_state[0, targets.at], targets.labels, self._head)
            else:
                found = self.base(**given, logits_to_keep=targets.at)
                losses = nn.functional.cross_entropy(found.logits[0].float(), targets.labels, reduction="none")
        if observer is not None and not blocks:
            observer.see_dense(found.attentions, packed.lengths)
        return losses

    @property
    def _device(self) -> torch.device:
        return self.base.device

    @contextmanager
    def _pass(self, batch: Batch, *, training: bool) -> Generator[None]:
        """The mode of the model, and random numbers that follow from the batch and from the seed of the step."""
        if self.model.training != training:
            self.model.train(training)
        if not (training and self._random):
            yield
            return
        seed = torch.initial_seed() ^ zlib.crc32(batch.ids.tobytes())
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield

    @torch.no_grad()
    def _measured(self, batch: Batch) -> tuple[Packed, Tensor]:
        with memory_errors(), self._pass(batch, training=False):
            packed = flatten(batch, self.device)
            return packed, self._losses(packed)

    def loss(self, batch: Batch) -> tuple[float, float]:
        """As `Engine.loss`."""
        if not batch.tokens:
            return 0.0, 0.0
        packed, losses = self._measured(batch)
        return (losses * packed.targets.weights).sum().item(), float(batch.weights.sum())

    def example_losses(self, batch: Batch) -> NDArray[np.float32]:
        """(rows, most examples of a row): weighted loss sum of each example, 0 where there is none."""
        packed, losses = self._measured(batch)
        sums = losses.new_zeros(len(packed.lengths))
        sums.index_add_(0, packed.targets.owner, losses * packed.targets.weights)
        found = np.zeros((batch.ids.shape[0], int(batch.segments.max())), np.float32)
        found[packed.cells[:, 0], packed.cells[:, 1]] = sums.cpu().numpy()
        return found

    def token_losses(self, batch: Batch) -> NDArray[np.float32]:
        """(rows, length): loss of each token that counts, unweighted, aligned with `Batch.labels`; 0 elsewhere."""
        packed, losses = self._measured(batch)
        found = np.zeros(batch.ids.size, np.float32)
        found[packed.places] = losses.float().cpu().numpy()
        return found.reshape(batch.ids.shape)

    def log_margins(self, batch: Batch) -> NDArray[np.float32]:
        """(pairs,): log P(better) - log P(worse) of a preference batch."""
        if batch.preference is None:
            raise ValueError("not a preference batch")
        packed, losses = self._measured(batch)
        targets, pairs = packed.targets, len(batch.preference.reference)
        return objectives.log_margins(losses, targets.pair, targets.side, pairs).cpu().numpy()

    @contextmanager
    def writing(self) -> Generator[PreTrainedModel]:
        """The model as `generate` needs it: no dropout, an attention that knows padding and caches."""
        was = str(getattr(self.base.config, "_attn_implementation", "sdpa"))
        self.model.eval()
        try:
            if was == BLOCKS:
                self.base.set_attn_implementation("sdpa")
            with torch.no_grad(), memory_errors(), torch.compiler.set_stance("force_eager"):  # each step has new shapes
                yield self.base
        finally:
            self.base.set_attn_implementation(was)

    def save(self, out: Path) -> None:
        """A PEFT directory, or a whole Hugging Face directory. Raises ModelError; what was there is then kept."""
        save_model(self.model, self._origin.tokenizer, out)

"""GGUF: a plain Hugging Face directory as the one file that llama.cpp reads.

Owns the names and layout of weights and the metadata; which models can be written is `training.gguf_shape`'s, the
vocabulary `training.gguf_vocabulary`'s. Reads one tensor at a time. What llama.cpp would read or compute otherwise than
transformers is an error, never a silent default.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repair.errors import InputError
from training.gguf_shape import Shape, read_shape
from training.gguf_vocabulary import read_vocabulary
from training.merging import read_table
from training.staging import staged

if TYPE_CHECKING:
    import gguf
    import numpy as np
    from torch import Tensor

GGUF_DTYPES = ("f32", "f16", "bf16", "q8_0")
_FILE_TYPES = {"f32": 0, "f16": 1, "bf16": 32, "q8_0": 7}  # general.file_type
_QUANTISATION_VERSION = 2


def _add_shape(writer: gguf.GGUFWriter, shape: Shape) -> None:
    config, (heads, kv_heads) = shape.config, shape.heads
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.rope["rope_theta"])
    if shape.rope.get("rope_type") == "linear":
        import gguf

        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(shape.rope["factor"])
    eps = getattr(config, shape.architecture.norm_eps)
    (writer.add_layer_norm_rms_eps if shape.architecture.rms else writer.add_layer_norm_eps)(eps)


def _add_vocabulary(writer: gguf.GGUFWriter, directory: Path, size: int) -> None:
    import gguf

    vocabulary = read_vocabulary(directory, size)
    special = gguf.SpecialVocab(directory, load_merges=True, n_vocab=size)
    # llama.cpp has a default of its own for each split: say it whether or not the tokenizer does
    special.add_special_token.setdefault("bos", False)
    writer.add_tokenizer_model("gpt2")  # its name for byte-level BPE
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    special.add_to_gguf(writer, quiet=True)


def _add_general(writer: gguf.GGUFWriter, directory: Path, name: str, dtype: str) -> None:
    """Name, author, licence and base model from the directory's card, `name` where it gives none."""
    import gguf

    # not Metadata.load, which also guesses name, version and size from the name of the directory
    try:
        card = gguf.Metadata.load_model_card(directory)
        metadata = gguf.Metadata.apply_metadata_heuristic(gguf.Metadata(), card)
    except Exception as error:  # PyYAML's, or a field of another type than a card's
        raise InputError(f"the front matter of {directory}/README.md cannot be read: {error}", field="card") from error
    metadata.name = metadata.name or name
    writer.add_type("model")
    metadata.set_gguf_meta_model(writer)
    writer.add_file_type(_FILE_TYPES[dtype])
    writer.add_quantization_version(_QUANTISATION_VERSION)


def _files(directory: Path) -> dict[str, str]:
    """The file of each tensor."""
    from safetensors import SafetensorError, safe_open

    index = directory / "model.safetensors.index.json"
    if index.is_file():
        return dict(read_table(index, "model_dir")["weight_map"])
    try:
        with safe_open(directory / "model.safetensors", "pt") as file:
            return dict.fromkeys(file.keys(), "model.safetensors")
    except (OSError, SafetensorError) as error:
        raise InputError(f"{directory} has no readable model.safetensors: {error}", field="model_dir") from error


def permuted(weight: Tensor, heads: int) -> Tensor:
    """Rows of a query or key projection for a rope over neighbours (2i, 2i + 1) in place of halves (i, i + d / 2)."""
    rows = weight.shape[0] // heads // 2
    return weight.reshape(heads, 2, rows, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def _tensors(directory: Path, shape: Shape) -> Iterator[tuple[str, Tensor]]:
    """Each weight under llama.cpp's name, in fp32 and its layout."""
    import gguf
    from safetensors import safe_open

    config, (heads, kv_heads) = shape.config, shape.heads
    architecture = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}[shape.architecture.name]
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    for name, file in sorted(_files(directory).items()):
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue  # transformers ignores it, and llama.cpp takes the embeddings where there is none
        new = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if new is None:
            raise InputError(f"{directory / file} has {name}, which llama.cpp's {shape.architecture.name} has no "
                             "place for", field="model_dir")  # fmt: skip
        with safe_open(directory / file, "pt") as opened:
            tensor: Tensor = opened.get_tensor(name).float()
        if shape.architecture.interleaved and ".q_proj." in name:
            tensor = permuted(tensor, heads)
        elif shape.architecture.interleaved and ".k_proj." in name:
            tensor = permuted(tensor, kv_heads)
        yield new, tensor
    if shape.rope.get("rope_type") == "llama3":
        yield "rope_freqs.weight", _rope_factors(shape)


def _rope_factors(shape: Shape) -> Tensor:
    """By what Llama 3.1's scaling divides each frequency."""
    import torch
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](shape.config, torch.device("cpu"))
    exponents = torch.arange(len(scaled), dtype=torch.float32) / len(scaled)
    return 1 / (shape.rope["rope_theta"] ** exponents * scaled)


def _encoded(name: str, tensor: Tensor, dtype: str) -> tuple[np.ndarray[Any, Any], gguf.GGMLQuantizationType]:
    """The bytes of a tensor; vectors stay fp32, and rows that do not divide into blocks of q8_0 become f16."""
    import gguf
    import numpy as np

    kind = gguf.GGMLQuantizationType[dtype.upper()] if tensor.ndim > 1 else gguf.GGMLQuantizationType.F32
    if tensor.shape[-1] % gguf.GGML_QUANT_SIZES[kind][0]:
        kind = gguf.GGMLQuantizationType.F16
    values = tensor.contiguous().numpy()
    if not np.isfinite(values).all():
        raise InputError(f"{name} has values that are not finite", field="model_dir")
    if kind == gguf.GGMLQuantizationType.F16 and np.abs(values).max() > np.finfo(np.float16).max:
        raise InputError(f"{name} has values that f16 cannot hold: choose bf16", field="dtype")
    return gguf.quants.quantize(values, kind), kind


def write_gguf(model_dir: Path, out: Path, dtype: str = "f16", *, force: bool = False) -> None:
    """Write the GGUF file `out` of a plain Hugging Face directory; `dtype` is one of GGUF_DTYPES.

    Raises InputError: no `gguf` package, an architecture or a vocabulary that cannot be written, `out` exists (and no
    `force`); ModelError: the disk refuses.
    """
    try:
        import gguf
    except ImportError as error:
        raise InputError("GGUF needs the package gguf: pip install 'emend[train]'", field="to") from error
    if dtype not in GGUF_DTYPES:
        raise InputError(f"{dtype}: the type of GGUF weights is one of {', '.join(GGUF_DTYPES)}", field="dtype")
    if out.is_dir():
        raise InputError(f"{out} is a directory: name the file to write", field="out")
    shape = read_shape(model_dir)
    with staged(out, force=force) as partial:
        writer = gguf.GGUFWriter(partial, shape.architecture.name)
        _add_general(writer, model_dir, out.stem, dtype)
        _add_shape(writer, shape)
        _add_vocabulary(writer, model_dir, shape.config.vocab_size)
        try:
            _write(writer, model_dir, shape, dtype)
        finally:
            writer.close()


def _write(writer: gguf.GGUFWriter, directory: Path, shape: Shape, dtype: str) -> None:
    """Two passes: the sizes of all tensors stand before the first of them."""
    for name, tensor in _tensors(directory, shape):
        values, kind = _encoded(name, tensor, dtype)
        writer.add_tensor_info(name, values.shape, values.dtype, values.nbytes, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, tensor in _tensors(directory, shape):
        writer.write_tensor_data(_encoded(name, tensor, dtype)[0])

"""The folder format of sentence-transformers, read and written without that library."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workbench import files
from workbench.encode.bodies import Bag, Transformer
from workbench.errors import BadArgument

if TYPE_CHECKING:
    from workbench.encode.encoder import Encoder

# ours -> (key of the format up to 5.x, word of the format from 6.x)
_pooling_words = {
    "mean": ("pooling_mode_mean_tokens", "mean"),
    "cls": ("pooling_mode_cls_token", "cls"),
    "last": ("pooling_mode_lasttoken", "lasttoken"),
}
_doc_prompts = ("document", "passage", "corpus")  # in the order that library looks for them
_readable = ("Transformer", "Pooling", "Normalize", "StaticEmbedding")


def _refuse(folder: Path, wanted: str, mend: str) -> BadArgument:
    return BadArgument("name_or_path", str(folder), wanted, mend)


@contextmanager
def no_bars() -> Iterator[None]:
    """Keep `transformers` from drawing a progress bar for a tenth of a second."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def read_folder(
    folder: Path,
    *,
    pooling: str | None,
    dtype: torch.dtype | None,
    trust_remote_code: bool,
) -> tuple[Transformer | Bag, Any, dict[str, Any]]:
    """Read a sentence-transformers or plain `transformers` folder.

    Args:
        folder: a local folder.
        pooling: None keeps what the folder says, else "mean".
        dtype: None keeps the stored precision.
        trust_remote_code: runs Python code in the folder.

    Returns:
        Body, tokenizer, and `normalize`, `prompts`, `max_length` as the folder has them.

    Raises:
        BadArgument: the folder holds a module or a pooling that the workbench has not.
    """
    modules = _modules(folder)
    config = folder / "config_sentence_transformers.json"
    saved = files.read_json(config) if config.exists() else {}
    settings: dict[str, Any] = {
        "prompts": _read_prompts(saved.get("prompts") or {}),
        "normalize": "Normalize" in modules if modules else True,
        "max_length": None,
    }
    if "StaticEmbedding" in modules:
        if pooling not in (None, "mean"):
            raise BadArgument(
                "pooling", pooling, "a bag of tokens has only 'mean'", "Leave it out."
            )
        body, tokenizer = _read_bag(modules["StaticEmbedding"], dtype=dtype)
        if tokenizer.truncation is not None:
            settings["max_length"] = tokenizer.truncation["max_length"]
        return body, tokenizer, settings
    if modules and "Transformer" not in modules:
        raise _refuse(folder, "it has no Transformer module", "Load another model.")
    prompted = any(settings["prompts"].values())
    said = _read_pooling(modules["Pooling"], prompted=prompted) if "Pooling" in modules else "mean"
    part = modules.get("Transformer", folder)
    model, tokenizer, settings["max_length"] = _read_transformer(
        part, dtype=dtype, trust_remote_code=trust_remote_code
    )
    return Transformer(model, pooling=pooling or said), tokenizer, settings


def _modules(folder: Path) -> dict[str, Path]:
    """Class name -> folder of each module; empty for a plain `transformers` folder."""
    path = folder / "modules.json"
    if not path.exists():
        if not (folder / "config.json").exists():
            wanted = "it must hold modules.json or config.json"
            raise _refuse(folder, wanted, "Give the folder that a model was saved to.")
        return {}
    found: dict[str, Path] = {}
    for entry in files.read_json(path):
        kind = str(entry["type"]).rsplit(".", 1)[-1]
        if kind not in _readable:
            wanted = f"it has a {kind} module, and the workbench reads {', '.join(_readable)}"
            raise _refuse(folder, wanted, "Load a model without it.")
        if kind in found:
            raise _refuse(folder, f"it has two {kind} modules", "Load another model.")
        found[kind] = folder / entry["path"]
    return found


def _read_prompts(saved: dict[str, str | None]) -> dict[str, str]:
    doc = next((saved[name] for name in _doc_prompts if name in saved), "")
    return {"query": saved.get("query") or "", "doc": doc or ""}


def _read_pooling(folder: Path, *, prompted: bool) -> str:
    config = files.read_json(folder / "config.json")
    if prompted and not config.get("include_prompt", True):
        wanted = "it leaves the prompt out of the pooling, which the workbench cannot"
        raise _refuse(folder, wanted, "Give prompts={} to encode without them.")
    saved = config.get("pooling_mode")
    if saved is None:
        saved = [name for name, on in config.items() if name.startswith("pooling_mode_") and on]
    words = [saved] if isinstance(saved, str) else list(saved)
    for ours, known in _pooling_words.items():
        if len(words) == 1 and words[0] in known:
            return ours
    wanted = (
        f"it pools by {' and '.join(words) or 'nothing'}, and the workbench has mean, cls, last"
    )
    raise _refuse(folder, wanted, "Load another model.")


def _read_bag(folder: Path, *, dtype: torch.dtype | None) -> tuple[Bag, Any]:
    from safetensors.torch import load_file
    from tokenizers import Tokenizer

    weights, tokenizer = folder / "model.safetensors", folder / "tokenizer.json"
    for path in (weights, tokenizer):
        if not path.exists():
            raise _refuse(folder, f"{path.name} is missing", "Save the model again.")
    tensors = load_file(weights)
    if "embedding.weight" not in tensors:
        wanted = f"it holds {', '.join(sorted(tensors))} instead of embedding.weight"
        raise _refuse(folder, wanted, "Load it in sentence-transformers and save it from there.")
    weight = tensors["embedding.weight"]
    return Bag(weight if dtype is None else weight.to(dtype)), Tokenizer.from_file(str(tokenizer))


def _read_transformer(
    folder: Path, *, dtype: torch.dtype | None, trust_remote_code: bool
) -> tuple[nn.Module, Any, int | None]:
    from transformers import AutoModel, AutoTokenizer

    if not any(folder.glob("*.safetensors")):
        wanted = "it has no .safetensors weights, and pickled ones can run code"
        raise _refuse(folder, wanted, "Convert them with safetensors first.")
    with no_bars():
        model = AutoModel.from_pretrained(
            folder,
            dtype=dtype or "auto",
            trust_remote_code=trust_remote_code,
            use_safetensors=True,
        )
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise _refuse(folder, "it has no fast tokenizer", "Load a model with tokenizer.json.")
    saved: dict[str, Any] = {}
    for path in sorted(folder.glob("sentence_*_config.json")):
        saved |= files.read_json(path)
    if saved.get("transformer_task", "feature-extraction") != "feature-extraction":
        wanted = f"its task is {saved['transformer_task']!r}, not feature-extraction"
        raise _refuse(folder, wanted, "Load an embedding model.")
    if saved.get("do_lower_case"):
        _lower(tokenizer)
    limits = (
        saved.get("max_seq_length") or tokenizer.model_max_length,
        getattr(model.config, "max_position_embeddings", None),
    )
    known = [int(limit) for limit in limits if limit is not None and limit < 10**9]
    return model, tokenizer, min(known, default=None)


def _lower(tokenizer: Any) -> None:
    from tokenizers.normalizers import Lowercase, Sequence

    backend = tokenizer.backend_tokenizer
    there = [] if backend.normalizer is None else [backend.normalizer]
    backend.normalizer = Sequence([Lowercase(), *there])


_written = re.compile(r"\d_\w+|[\w.-]+\.(json|safetensors|txt|model|md|jinja|py)")
"""Names of what a saved encoder consists of: only such a folder may be replaced."""


def write_folder(encoder: Encoder, folder: Path) -> Path:
    """Write what every release of sentence-transformers since 3.2 reads, atomically."""
    kinds = ["StaticEmbedding"] if isinstance(encoder.body, Bag) else ["Transformer", "Pooling"]
    kinds += ["Normalize"] if encoder.normalize else []
    modules = [
        {
            "idx": place,
            "name": str(place),
            "path": "" if place == 0 else f"{place}_{kind}",
            "type": f"sentence_transformers.models.{kind}",
        }
        for place, kind in enumerate(kinds)
    ]
    prompts = {"query": encoder.prompts["query"], "document": encoder.prompts["doc"]}
    files.check_replaceable(folder, lambda name: _written.fullmatch(name) is not None)
    with files.atomic_folder(folder) as temporary:
        for module in modules[1:]:
            (temporary / str(module["path"])).mkdir()
        files.write_json(temporary / "modules.json", modules)
        files.write_json(
            temporary / "config_sentence_transformers.json",
            {"prompts": prompts, "default_prompt_name": None, "similarity_fn_name": "cosine"},
        )
        if isinstance(encoder.body, Bag):
            _write_bag(encoder, encoder.body, temporary)
        else:
            _write_transformer(encoder, encoder.body, temporary)
    return folder


def _write_bag(encoder: Encoder, body: Bag, folder: Path) -> None:
    from safetensors.torch import save_file

    weight = body.embedding.weight.detach().cpu().contiguous()
    save_file({"embedding.weight": weight}, folder / "model.safetensors")
    tokenizer = encoder.tokenizer
    tokenizer.no_padding()
    # that library knows no length for a bag, but obeys the one in the tokenizer's own file
    if encoder.max_length is None:
        tokenizer.no_truncation()
    else:
        tokenizer.enable_truncation(encoder.max_length)
    tokenizer.save(str(folder / "tokenizer.json"))


def _write_transformer(encoder: Encoder, body: Transformer, folder: Path) -> None:
    model: Any = body.model
    with no_bars():
        model.save_pretrained(folder)
    tokenizer = encoder.tokenizer
    if encoder.max_length is not None:
        tokenizer.model_max_length = encoder.max_length
    tokenizer.save_pretrained(folder)
    files.write_json(
        folder / "sentence_bert_config.json",
        {"max_seq_length": encoder.max_length, "do_lower_case": False},
    )
    pooling: dict[str, Any] = {
        key: ours == body.pooling for ours, (key, _) in _pooling_words.items()
    }
    pooling |= {"word_embedding_dimension": body.dim, "include_prompt": True}
    files.write_json(folder / "1_Pooling" / "config.json", pooling)

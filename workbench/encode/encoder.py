"""From texts to vectors: one class over every body, with batches by token budget."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import tqdm

from workbench import files
from workbench.encode.bodies import Bag, Transformer
from workbench.encode.identity import hash_tokenizer, hash_weights
from workbench.encode.running import check_finite, evaluating, run_batches
from workbench.encode.tokens import Tokens, check_texts, token_batches, tokenize
from workbench.errors import BadArgument, check_choice, check_count
from workbench.types import Floats, Ids, Ints, Vectors

if TYPE_CHECKING:
    from workbench.encode.cache import VectorCache

SIDES = ("query", "doc")
logger = logging.getLogger(__name__)
_kept_at_once = 4096  # texts whose vectors a killed run may lose


@final
class Encoder(nn.Module):
    """Turns texts into vectors; a torch module, so any loop can train it.

    Usually made by `Encoder.load` or `scratch`, not by hand.

    Args:
        body: a `Transformer` or a `Bag`.
        tokenizer: the fast tokenizer of the body: one of `transformers`, or a bare `tokenizers`
            one for a bag.
        normalize: whether vectors get unit length.
        prompts: words put before each text, by side ("query", "doc").
        max_length: most tokens of a text; None for no limit.
        age: optimiser steps behind the weights; it travels into `Vectors`.
    """

    def __init__(
        self,
        body: Transformer | Bag,
        tokenizer: Any,
        *,
        normalize: bool = True,
        prompts: Mapping[str, str] | None = None,
        max_length: int | None = None,
        age: int = 0,
    ) -> None:
        super().__init__()
        prompts = dict(prompts or {})
        for side, prompt in prompts.items():
            check_choice("prompts", side, SIDES)
            if not isinstance(prompt, str):
                raise BadArgument(
                    f"prompts[{side!r}]", prompt, "it must be a str", "Try 'query: '."
                )
        self.body = body
        self.tokenizer = tokenizer
        self.normalize = normalize
        self.prompts = {side: prompts.get(side, "") for side in SIDES}
        self.max_length = max_length
        self.age = age
        self.report: dict[str, int] = {"texts": 0, "encoded": 0, "tokens": 0, "truncated": 0}
        self._check_max_length()

    def _check_max_length(self) -> None:
        if self.max_length is None:
            return
        least = 1 + (self._fast.num_special_tokens_to_add(is_pair=False) if self._special else 0)
        mend = "Try 256, or None for the model's own limit."
        check_count("max_length", self.max_length, at_least=least, mend=mend)
        most = self.body.most_tokens
        if most is not None and self.max_length > most:
            raise BadArgument(
                "max_length", self.max_length, f"this model has {most} positions", mend
            )

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = "all-MiniLM-L6-v2",
        *,
        pooling: str | None = None,
        normalize: bool | None = None,
        prompts: Mapping[str, str] | None = None,
        max_length: int | None = None,
        device: str | None = None,
        dtype: torch.dtype | None = None,
        trust_remote_code: bool = False,
    ) -> Encoder:
        """Load a hub name, a local folder, or the packaged all-MiniLM-L6-v2.

        Args:
            name_or_path: "all-MiniLM-L6-v2" comes from its installed package, without network; a
                folder may be one of `transformers` or of sentence-transformers.
            pooling: "mean", "cls" or "last"; None keeps what the folder says, else "mean".
            normalize: None keeps what the folder says, else True.
            prompts: by side, e.g. {"query": "query: ", "doc": "passage: "} for E5; None keeps
                those of the folder.
            max_length: most tokens of a text; None keeps the model's own limit.
            device: None takes CUDA when there is one.
            dtype: None keeps the precision of the stored weights.
            trust_remote_code: runs Python code that comes with the model.

        Returns:
            The encoder, in eval mode.

        Raises:
            BadArgument: nothing of that name, or it holds something that cannot be read.

        Example:
            >>> encoder = Encoder.load("all-MiniLM-L6-v2", device="cpu")
            >>> encoder
            Encoder(transformer, 384 dim, mean, normalised, at most 256 tokens)

        Breaks when: pooling or prompts differ from those the weights were trained with.
        """
        from workbench.encode.hub import find_folder
        from workbench.encode.st_format import read_folder

        folder = find_folder(str(name_or_path), code=trust_remote_code)
        body, tokenizer, settings = read_folder(
            folder,
            pooling=pooling,
            dtype=dtype,
            trust_remote_code=trust_remote_code,
        )
        encoder = cls(
            body,
            tokenizer,
            normalize=settings["normalize"] if normalize is None else normalize,
            prompts=settings["prompts"] if prompts is None else prompts,
            max_length=settings["max_length"] if max_length is None else max_length,
        )
        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        return encoder.to(chosen).eval()

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self.body.dim

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def _special(self) -> bool:
        return isinstance(self.body, Transformer)

    @property
    def _fast(self) -> Any:
        return getattr(self.tokenizer, "backend_tokenizer", self.tokenizer)

    @property
    def _slow_on_cpu(self) -> bool:
        return self.device.type == "cpu" and isinstance(self.body, Transformer)

    @property
    def _precision(self) -> str:
        dtype = next(self.parameters()).dtype
        mixed = self.device.type == "cuda" and dtype == torch.float32 and self._special
        return "bfloat16 autocast" if mixed else str(dtype).removeprefix("torch.")

    def tokenize(self, texts: Sequence[str], *, side: str, progress: bool | None = None) -> Tokens:
        """Cut texts into token ids once, to be used in every epoch.

        Args:
            texts: what to cut; the prompt of the side is put before each.
            side: "query" or "doc".
            progress: None shows a bar where a person can see it; False never.

        Returns:
            A ragged store; `.take(positions)` gives what `forward` wants.

        Raises:
            BadArgument: no texts, or one of them is not a str.

        Example:
            >>> from workbench.encode import scratch
            >>> scratch(["def add(a, b)"], vocab_size=50, dim=8).tokenize(["add"], side="doc")
            Tokens(1 texts, 1 tokens, 0 truncated)
        """
        check_choice("side", side, SIDES)
        listed = check_texts(texts)
        pad = getattr(self.tokenizer, "pad_token_id", None)
        tokens = tokenize(
            self._fast,
            listed,
            prompt=self.prompts[side],
            max_length=self.max_length,
            pad_id=0 if pad is None else int(pad),
            special=self._special,
            cut_side=getattr(self.tokenizer, "truncation_side", "right"),
            progress=progress,
        )
        if self._special and not tokens.lengths.all():
            empty = int(np.argmin(tokens.lengths))
            raise BadArgument(
                f"texts[{empty}]", listed[empty], "it must hold a token", "Drop the empty row."
            )
        return tokens

    def forward(
        self, input_ids: Int[Tensor, "text token"], attention_mask: Int[Tensor, "text token"]
    ) -> Float[Tensor, "text dim"]:
        """One vector per text, differentiable.

        Args:
            input_ids: token ids, padded on either side.
            attention_mask: 1 for a real token, 0 for padding.

        Returns:
            Pooled vectors, of unit length if the encoder normalises.
        """
        vectors: Tensor = self.body(input_ids, attention_mask)
        return functional.normalize(vectors, dim=-1) if self.normalize else vectors

    def encode(
        self,
        texts: Sequence[str],
        *,
        side: str = "doc",
        ids: Sequence[str] | Ids | None = None,
        cache: VectorCache | None = None,
        token_budget: int | None = None,
        progress: bool | None = None,
    ) -> Vectors:
        """Encode texts without gradients, each different text once.

        How many texts, tokens and truncated texts went through the model stands in `.report`
        afterwards; truncation is also logged.

        Args:
            texts: what to encode.
            side: "query" or "doc": which prompt goes before each text.
            ids: one per text; None numbers them from "0".
            cache: vectors it already holds are not computed again.
            token_budget: most padded tokens in a batch. None takes 65,536, but 1,024 for a
                transformer on a CPU, where every thread runs a batch of its own.
            progress: None shows a bar where a person can see it; False never.

        Returns:
            Vectors in the order of the texts.

        Raises:
            BadArgument: no texts, one of them is not a str, or ids of another length.

        Example:
            >>> from workbench.encode import scratch
            >>> encoder = scratch(["def add(a, b)"], vocab_size=50, dim=8)
            >>> encoder.encode(["add", "b", "add"], progress=False).values.shape
            (3, 8)
        """
        check_choice("side", side, SIDES)
        listed = check_texts(texts)
        names = np.array([str(n) for n in range(len(listed))] if ids is None else ids, dtype=object)
        if len(names) != len(listed):
            wanted = f"there are {len(listed):,} texts"
            raise BadArgument("ids", f"{len(names):,} ids", wanted, "Give one id per text.")
        budget = token_budget or (1_024 if self._slow_on_cpu else 65_536)
        if token_budget is not None:
            check_count("token_budget", token_budget, mend="Try 1024 on a CPU.")
        unique = list(dict.fromkeys(listed))
        place = {text: position for position, text in enumerate(unique)}
        self.report = {"texts": len(listed), "encoded": 0, "tokens": 0, "truncated": 0}

        def compute(new: Sequence[str], *, at_once: int = _kept_at_once) -> Iterator[Floats]:
            return self._compute(
                new, side=side, token_budget=budget, progress=progress, at_once=at_once
            )

        label = self.components(side)
        if cache is None:
            (found,) = compute(unique, at_once=len(unique))
        else:
            found = cache.serve(unique, label=label, dim=self.dim, compute=compute)
        if self.report["truncated"]:
            logger.warning(
                "%s of %s encoded texts were cut at %s tokens",
                self.report["truncated"],
                self.report["encoded"],
                self.max_length,
            )
        values = found if len(unique) == len(listed) else found[[place[text] for text in listed]]
        prompt = self.prompts[side]
        return Vectors(
            values=values, ids=names, encoder=files.fingerprint(label), prompt=prompt, age=self.age
        )

    def _compute(
        self,
        texts: Sequence[str],
        *,
        side: str,
        token_budget: int,
        progress: bool | None,
        at_once: int,
    ) -> Iterator[Floats]:
        """Yield the vectors of `at_once` texts at a time."""
        hide = None if progress is None else not progress
        with tqdm(total=len(texts), desc="encode", unit="text", disable=hide, delay=2) as bar:
            for start in range(0, len(texts), at_once):
                part = texts[start : start + at_once]
                tokens = self.tokenize(part, side=side, progress=progress)
                self.report["encoded"] += len(part)
                self.report["tokens"] += len(tokens.ids)
                self.report["truncated"] += tokens.truncated
                values = np.empty((len(part), self.dim), dtype=np.float32)
                with evaluating(self):
                    for done in self._fill(values, tokens, token_budget=token_budget):
                        bar.update(done)
                check_finite(part, values)
                yield values

    def _fill(self, values: Floats, tokens: Tokens, *, token_budget: int) -> Iterator[int]:
        device, mixed = self.device, self._precision == "bfloat16 autocast"

        def work(positions: Ints) -> int:
            # both switches belong to the thread, so each batch sets them for itself
            with (
                torch.inference_mode(),
                torch.autocast(device.type, torch.bfloat16, enabled=mixed),
            ):
                batch = {name: ids.to(device) for name, ids in tokens.take(positions).items()}
                values[positions] = self(**batch).float().cpu().numpy()
            return len(positions)

        batches = token_batches(tokens.lengths, token_budget=token_budget)
        workers = torch.get_num_threads() if self._slow_on_cpu else 1
        yield from run_batches(work, batches, workers=workers)

    def components(self, side: str) -> dict[str, Any]:
        """Everything that decides the vector of a text, hashed part by part.

        Nothing here is remembered between calls: an optimiser that writes to `.data` leaves no
        trace on a tensor, and a cache must not lie. Hashing costs about 10 ms per 100 MB.
        """
        check_choice("side", side, SIDES)
        return {
            "weights": hash_weights(self.body, unused=self.body.unused),
            "architecture": files.fingerprint(self.body.content()),
            "tokenizer": hash_tokenizer(self._fast),
            "pooling": self.body.pooling,
            "normalize": self.normalize,
            "prompt": self.prompts[side],
            "max_length": self.max_length,
            "precision": self._precision,
        }

    def fingerprint(self, side: str) -> str:
        """A hash of weights, tokenizer, pooling, normalisation, prompt, length and precision.

        Example:
            >>> from workbench.encode import scratch
            >>> encoder = scratch(["add two"], vocab_size=50, dim=8)
            >>> before = encoder.fingerprint("doc")
            >>> _ = next(encoder.parameters()).data.mul_(1.01)
            >>> encoder.fingerprint("doc") == before
            False
        """
        return files.fingerprint(self.components(side))

    def save(self, folder: str | Path) -> Path:
        """Write a sentence-transformers folder, whole or not at all.

        Args:
            folder: where; an older one of that name is replaced.

        Returns:
            The folder, which `Encoder.load` and `SentenceTransformer` both read.
        """
        from workbench.encode.st_format import write_folder

        return write_folder(self, Path(folder))

    def extra_repr(self) -> str:
        """What `print` shows besides the kind of body."""
        length = "any length" if self.max_length is None else f"at most {self.max_length:,} tokens"
        norm = "normalised" if self.normalize else "not normalised"
        return f"{self.dim} dim, {self.body.pooling}, {norm}, {length}"

    def __repr__(self) -> str:
        kind = "transformer" if isinstance(self.body, Transformer) else "bag"
        return f"Encoder({kind}, {self.extra_repr()})"

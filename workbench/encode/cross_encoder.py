"""Cross-encoders: one model that reads query and document together and gives the pair a score.

    logit(q, d) = head(transformer([query, document])),   sigmoid(logit) where it is asked for

Stronger than a cosine and far dearer: every pair is a pass of its own, so it rescores what a miner
has found.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from workbench.encode.hub import find_folder
from workbench.encode.identity import hash_tokenizer, hash_weights
from workbench.encode.running import evaluating, run_batches
from workbench.encode.st_format import no_bars
from workbench.encode.tokens import check_texts, token_batches
from workbench.errors import BadArgument, check_choice, check_count
from workbench.files import fingerprint
from workbench.types import Floats, Ints

OUTPUTS = ("logit", "sigmoid")
_at_once = 16_384
"""Pairs tokenised, sorted by length and scored together."""


@final
class CrossEncoder:
    """Scores (query, document) pairs; made by `CrossEncoder.load`.

    Args:
        model: a `transformers` sequence classifier with one output.
        tokenizer: its fast tokenizer.
        max_length: most tokens of a pair, special ones included; the longer text is cut first.
        output: "logit" (any number; margins are in logits) or "sigmoid" (0 to 1).

    Breaks when: the texts are longer than its window, or of a kind it was not trained on.
    """

    def __init__(
        self, model: nn.Module, tokenizer: Any, *, max_length: int | None, output: str = "logit"
    ) -> None:
        check_choice("output", output, OUTPUTS)
        self.model: Any = model
        self.tokenizer = tokenizer
        self.output = output
        limits = (
            tokenizer.model_max_length,
            getattr(self.model.config, "max_position_embeddings", None),
        )
        most = min(
            (int(limit) for limit in limits if limit is not None and limit < 10**9), default=512
        )
        if max_length is not None:
            least = 2 + int(tokenizer.backend_tokenizer.num_special_tokens_to_add(is_pair=True))
            check_count("max_length", max_length, at_least=least, mend=f"Try {most}.")
            if max_length > most:
                raise BadArgument(
                    "max_length", max_length, f"this model has {most} positions", f"Try {most}."
                )
        self.max_length = max_length or most

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        max_length: int | None = None,
        output: str = "logit",
        device: str | None = None,
        dtype: torch.dtype | None = None,
        trust_remote_code: bool = False,
    ) -> CrossEncoder:
        """Load a sequence classifier with one output from a folder or the hub.

        Args:
            name_or_path: a folder, or a name on the hub: cross-encoder/ms-marco-MiniLM-L6-v2.
            max_length: most tokens of a pair; None takes the model's own limit.
            output: "logit" or "sigmoid"; sentence-transformers gives the sigmoid unless the model's
                settings say otherwise.
            device: None takes CUDA when there is one.
            dtype: None keeps the precision of the stored weights.
            trust_remote_code: runs Python code that comes with the model.

        Returns:
            The model, in eval mode.

        Raises:
            BadArgument: nothing of that name, no safetensors weights, no fast tokenizer, or more
                than one output.

        Example:
            >>> CrossEncoder.load("./nowhere")
            Traceback (most recent call last):
            workbench.errors.BadArgument: `name_or_path` is './nowhere', but there is no such \
folder. Check the spelling.
        """
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        check_choice("output", output, OUTPUTS)
        folder = find_folder(str(name_or_path), code=trust_remote_code)

        def refuse(wanted: str, mend: str) -> BadArgument:
            return BadArgument("name_or_path", str(folder), wanted, mend)

        if not any(folder.glob("*.safetensors")):
            wanted = "it has no .safetensors weights, and pickled ones can run code"
            raise refuse(wanted, "Convert them with safetensors first.")
        with no_bars():
            model = AutoModelForSequenceClassification.from_pretrained(
                folder, dtype=dtype or "auto", trust_remote_code=trust_remote_code,
                use_safetensors=True,
            )  # fmt: skip
        if model.config.num_labels != 1:
            wanted = f"it has {model.config.num_labels} outputs, and a score is one number"
            raise refuse(wanted, "Load a reranker, or a regression head.")
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
        if not tokenizer.is_fast:
            raise refuse("it has no fast tokenizer", "Load a model with tokenizer.json.")
        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        return cls(model.to(chosen).eval(), tokenizer, max_length=max_length, output=output)

    @property
    def fingerprint(self) -> str:
        """A hash of weights, tokenizer, length and output."""
        return fingerprint(
            hash_weights(self.model),
            hash_tokenizer(self.tokenizer.backend_tokenizer),
            self.max_length,
            self.output,
        )

    def scores(
        self,
        queries: Sequence[str],
        docs: Sequence[str],
        *,
        token_budget: int | None = None,
        progress: bool | None = None,
    ) -> Floats:
        """The score of every (queries[i], docs[i]).

        Pairs of like length share a batch, longest first, so that hardly any padding is paid for.

        Args:
            queries: one per pair.
            docs: one per pair.
            token_budget: most padded tokens in a batch; None takes 65,536, but 1,024 on a CPU.
            progress: None shows a bar where a person can see it; False never.

        Returns:
            (pair,) float32.

        Raises:
            BadArgument: lengths differ, something is not a text, or a score is not finite.
        """
        left, right = check_texts(queries), check_texts(docs)
        if len(left) != len(right):
            wanted = f"there are {len(left):,} queries"
            raise BadArgument("docs", f"{len(right):,} texts", wanted, "Give one per query.")
        on_cpu = self.model.device.type == "cpu"
        budget = token_budget or (1_024 if on_cpu else 65_536)
        if token_budget is not None:
            check_count("token_budget", token_budget, mend="Try 1024 on a CPU.")
        found = np.empty(len(left), dtype=np.float32)
        hide = None if progress is None else not progress
        workers = torch.get_num_threads() if on_cpu else 1
        with (
            tqdm(total=len(left), desc="rescore", unit="pair", disable=hide, delay=2) as bar,
            evaluating(self.model),
        ):
            for start in range(0, len(left), _at_once):
                some = slice(start, start + _at_once)
                cut = self._cut(left[some], right[some])
                lengths = np.array([len(one.ids) for one in cut], dtype=np.int64)
                values = found[some]

                def work(positions: Ints, *, cut: list[Any] = cut, out: Floats = values) -> int:
                    out[positions] = self._pass([cut[place] for place in positions])
                    return len(positions)

                batches = token_batches(lengths, token_budget=budget)
                for done in run_batches(work, batches, workers=workers):
                    bar.update(done)
        wrong = np.flatnonzero(~np.isfinite(found))
        if wrong.size:
            pair = (left[wrong[0]], right[wrong[0]])
            wanted = "the model gives it a score that is not finite"
            raise BadArgument("docs", pair, wanted, "Load the model with dtype=torch.float32.")
        return found

    def _cut(self, queries: list[str], docs: list[str]) -> list[Any]:
        tokenizer = self.tokenizer.backend_tokenizer
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.max_length, strategy="longest_first")
        return list(tokenizer.encode_batch_fast(list(zip(queries, docs, strict=True))))

    def _pass(self, cut: list[Any]) -> Floats:
        """One batch through the model, padded on the right."""
        device = self.model.device
        wide = max(len(one.ids) for one in cut)
        names = {"input_ids": "ids", "token_type_ids": "type_ids", "attention_mask": None}
        wanted = [name for name in names if name in self.tokenizer.model_input_names]
        empty = {"input_ids": self.tokenizer.pad_token_id or 0}
        batch = {
            name: torch.full((len(cut), wide), empty.get(name, 0), dtype=torch.int64)
            for name in wanted
        }
        for row, one in enumerate(cut):
            for name in wanted:
                part = names[name]
                values = 1 if part is None else torch.tensor(getattr(one, part))
                batch[name][row, : len(one.ids)] = values
        mixed = device.type == "cuda" and self.model.dtype == torch.float32
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            inputs = {name: values.to(device) for name, values in batch.items()}
            logits = self.model(**inputs).logits[:, 0].float()
        scores = torch.sigmoid(logits) if self.output == "sigmoid" else logits
        return np.asarray(scores.cpu().numpy(), dtype=np.float32)

    def __repr__(self) -> str:
        kind = self.model.config.model_type
        return f"CrossEncoder({kind}, {self.output}, at most {self.max_length:,} tokens)"

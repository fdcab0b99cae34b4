"""Take a run's encoder away: a folder that sentence-transformers loads, with its model card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench import files
from workbench.errors import BadArgument, BadData
from workbench.report import RESULT, lacking

ENCODER, CARD, MODULES = "encoder", "README.md", "modules.json"
_LIMITS = (
    "Scored on the test queries named above and on nothing else. Differences below the interval's "
    "width are chance. The fingerprints say which data it was, not that the data is good."
)


def publish(
    run: str | Path,
    folder: str | Path,
    *,
    name: str,
    limits: str = _LIMITS,
    repo: str | None = None,
    token: str | None = None,
) -> Path:
    """Copy a run's encoder to a folder of its own, with a filled model card; to the Hub if asked.

    Args:
        run: a run's folder, which holds `result.json` and `encoder/`.
        folder: where it goes; it must not exist, or be empty.
        name: of the model, the card's title.
        limits: what a user should know before relying on it.
        repo: "owner/name" on the Hugging Face Hub, made private if it is new; None = no network.
        token: of the Hub; None = the one logged in with.

    Returns:
        The folder.

    Raises:
        BadArgument: no run or encoder there, a folder with something in it, or the Hub refuses.
        BadData: a damaged result.

    Example:
        >>> publish("no-such-run", "out", name="mine")
        Traceback (most recent call last):
        workbench.errors.BadArgument: `run` is 'no-such-run', but it holds no result.json. Name \
the folder of a finished run.

    Breaks when: the encoder was written by code that is not sentence-transformers' format.
    """
    source, target = Path(run), Path(folder)
    if not (source / RESULT).is_file():
        mend = "Name the folder of a finished run."
        raise BadArgument("run", str(run), f"it holds no {RESULT}", mend)
    record = files.read_json(source / RESULT)
    if missing := lacking(record):
        raise BadData(str(source / RESULT), [f"it lacks {', '.join(missing)}"], "Run it again.")
    if not (source / ENCODER / MODULES).is_file():
        mend = 'Let the notebook end with encoder.save(report.run_folder() / "encoder").'
        raise BadArgument("run", str(run), "it holds no encoder/", mend)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BadArgument("folder", str(folder), "something is there", "Name a new folder.")
    if not name.strip() or "\n" in name:
        raise BadArgument("name", name, "it must be one line", "Try 'functions-minilm'.")
    with files.atomic_folder(target) as temporary:
        shutil.copytree(source / ENCODER, temporary, dirs_exist_ok=True)
        (temporary / CARD).write_text(model_card(record, name=name, limits=limits), "utf-8")
        shutil.copy(source / RESULT, temporary / RESULT)
    if repo is not None:
        _upload(target, repo, token)
    return target


def model_card(record: Mapping[str, Any], *, name: str, limits: str = _LIMITS) -> str:
    """The Markdown of a model card: figures, recipe, data, versions, limits.

    Args:
        record: what the run reported.
        name: the title.
        limits: what a user should know.

    Example:
        >>> gain = {"mean": 0.1, "low": 0.05, "high": 0.15}
        >>> text = model_card({"metric": "RR@10", "zero_shot": 0.2, "trained": 0.3,
        ...                    "difference": gain}, name="mine")
        >>> "| RR@10 | 0.2000 | 0.3000 | +0.1000 [+0.0500, +0.1500] |" in text
        True
    """
    gain = record["difference"]
    told = f"{gain['mean']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]"
    others = {key: one for key, one in (record.get("metrics") or {}).items()}
    rows = "\n".join(f"| {key} | {value:.4f} |" for key, value in others.items())
    more = (
        f"\nMeans over all test queries:\n\n| metric | value |\n|---|---|\n{rows}\n" if rows else ""
    )
    parts = {
        "Recipe": record.get("parameters", {}),
        "Data and encoders, by fingerprint": record.get("fingerprints", {}),
        "Further figures": record.get("details", {}),
        "Made with": record.get("versions", {}),
    }
    blocks = "\n".join(
        f"## {title}\n\n```json\n{_shown(part)}\n```\n" for title, part in parts.items() if part
    )
    return f"""---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags:
- sentence-transformers
- negatives-workbench
---

# {name}

A text-embedding model, fine-tuned with negatives-workbench. It loads in sentence-transformers:

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("this-folder")
```

## How good it is

| metric | before | after | difference, 95 % |
|---|---|---|---|
| {record["metric"]} | {record["zero_shot"]:.4f} | {record["trained"]:.4f} | {told} |
{more}
{blocks}
## Limits

{limits}
"""


def _shown(part: object) -> str:
    """JSON that cannot end the block it stands in."""
    return json.dumps(part, indent=2, ensure_ascii=False).replace("```", "\u02cb\u02cb\u02cb")


def _upload(folder: Path, repo: str, token: str | None) -> None:
    from huggingface_hub import HfApi

    hub = HfApi(token=token)
    try:
        hub.create_repo(repo, private=True, exist_ok=True)
        hub.upload_folder(folder_path=folder, repo_id=repo, commit_message="Publish the encoder")
    except Exception as error:  # what it raises when nobody answers differs by version
        wanted = f"the Hub refuses ({type(error).__name__}: {str(error)[:200]})"
        mend = f"{folder} is whole; push it again with a token that may write."
        raise BadArgument("repo", repo, wanted, mend) from error

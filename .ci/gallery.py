"""Write notebooks/methods/README.md: every method essay with its picture and its verdict.

    python .ci/gallery.py            rewrites the page and the thumbnails
    python .ci/gallery.py --check    exits 1 if the page is out of date

The title is the essay's question, the picture its first, the verdict the line that starts with
`**Verdict.**` in its last cell.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks" / "methods"
THUMBS = FOLDER / "thumbnails"
WIDTH = 260
HEAD = """\
# One method, one question

Short essays: what a published method claims, the mechanism on a planted world where the truth is
known, its effect on real functions, and the verdict, null results included. Made by
`python .ci/gallery.py` from the executed notebooks; run one with other settings by
`make run NOTEBOOK=notebooks/methods/NAME.ipynb PARAMS="seed=1"`.

| picture | question | verdict |
|---|---|---|
"""


def text_of(value: str | list[str]) -> str:
    """A cell's text, however it is stored."""
    return value if isinstance(value, str) else "".join(value)


def essay(path: Path) -> tuple[str, str, bytes | None]:
    """(question, verdict, first picture) of a notebook."""
    book = json.loads(path.read_text(encoding="utf-8"))
    question = text_of(book["cells"][0]["source"]).strip().splitlines()[0].removeprefix("# ")
    last = text_of(book["cells"][-1]["source"])
    found = re.search(r"\*\*Verdict\.\*\*(.+?)(?:\n\s*\n|\n[-*] |\Z)", last, re.DOTALL)
    if found is None:
        sys.exit(f"{path.name}: its last cell has no line that starts with **Verdict.**")
    pictures = [
        text_of(output["data"]["image/png"])
        for cell in book["cells"]
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    picture = base64.b64decode(pictures[0]) if pictures else None
    return question, " ".join(found[1].split()), picture


def thumbnail(picture: bytes, target: Path) -> None:
    """A small copy of a picture."""
    from PIL import Image

    with Image.open(io.BytesIO(picture)) as image:
        small = image.convert("RGB")
        small.thumbnail((WIDTH, WIDTH))
        small.quantize(64).save(target, optimize=True)


def page(*, pictures: bool) -> str:
    """The whole page; thumbnails are written beside it if asked."""
    rows = []
    for path in sorted(FOLDER.glob("*.ipynb")):
        question, verdict, picture = essay(path)
        shown = ""
        if picture is not None:
            if pictures:
                THUMBS.mkdir(exist_ok=True)
                thumbnail(picture, THUMBS / f"{path.stem}.png")
            shown = f"[![{path.stem}](thumbnails/{path.stem}.png)]({path.name})"
        verdict = verdict.replace("|", "\\|")
        rows.append(f"| {shown} | [{question}]({path.name}) | {verdict} |\n")
    return HEAD + "".join(rows)


def main() -> int:
    """Rewrite, or say whether rewriting would change anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    target = FOLDER / "README.md"
    if parser.parse_args().check:
        return int(
            not target.is_file() or target.read_text(encoding="utf-8") != page(pictures=False)
        )
    target.write_text(page(pictures=True), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

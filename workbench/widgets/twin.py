"""What a view leaves in the notebook's file: a picture or table, and a small digest in JSON.

A live view is gone when its kernel is: papermill, GitHub, nbviewer and nbconvert would show
nothing. Its twin stands beside it in the cell's output, hidden while the view itself is there.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from workbench.errors import BadArgument
from workbench.report import DIGEST

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

LONGEST = 200
MOST_ROWS = 50
MOST_BYTES = 20_000
SHADES = 96


@dataclass(frozen=True, kw_only=True)
class Twin:
    """The static form of a view.

    Args:
        html: made by `page` and its parts alone, which escape what comes from data.
        digest: plain JSON, at most 20,000 bytes: counts, options, the first ids.

    Raises:
        BadArgument: a digest too large, or with anything that JSON does not hold.
    """

    html: str
    digest: Mapping[str, Any]

    def __post_init__(self) -> None:
        try:
            size = len(json.dumps(self.digest, allow_nan=False).encode())
        except (TypeError, ValueError) as error:
            wanted = f"it must be plain JSON: {error}"
            raise BadArgument("digest", dict(self.digest), wanted, "Convert it first.") from error
        if size > MOST_BYTES:
            wanted = f"at most {MOST_BYTES:,} bytes are kept in a notebook"
            raise BadArgument("digest", f"{size:,} bytes", wanted, "Keep counts and first ids.")

    def bundle(self) -> dict[str, Any]:
        """The mime bundle of an output."""
        return {"text/html": self.html, DIGEST: dict(self.digest)}

    def __repr__(self) -> str:
        return f"Twin({len(self.html):,} characters of HTML, {', '.join(self.digest)})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return self.bundle()


def cut(text: str, most: int = LONGEST) -> str:
    """The beginning of a text on one line, with what was cut said.

    Example:
        >>> cut("one two three", 7)
        'one two... (13 characters)'
    """
    line = " ".join(text[: 4 * most].split())
    return line if len(line) <= most else f"{line[:most]}... ({len(text):,} characters)"


def page(title: str, *parts: str) -> str:
    """A twin's HTML: a title and parts made by the functions below.

    Example:
        >>> page("a < b", words("said"))
        '<div class="wb-twin mathjax_ignore"><h4>a &lt; b</h4><p>said</p></div>'
    """
    # the second class keeps JupyterLab from typesetting what stands between two dollar signs
    return f'<div class="wb-twin mathjax_ignore"><h4>{escape(title)}</h4>{"".join(parts)}</div>'


def words(text: str) -> str:
    """A paragraph.

    Example:
        >>> words("<b>")
        '<p>&lt;b&gt;</p>'
    """
    return f"<p>{escape(text)}</p>"


def table(frame: pd.DataFrame, caption: str = "") -> str:
    """A table of at most 50 rows; every cell is text, long ones are cut.

    Example:
        >>> import pandas as pd
        >>> "<td>&lt;i&gt;</td>" in table(pd.DataFrame({"said": ["<i>"]}))
        True
    """
    head = "".join(f"<th>{escape(str(name))}</th>" for name in frame.columns)
    rows = [
        "".join(f"<td>{escape(_cell(value))}</td>" for value in row)
        for row in frame.head(MOST_ROWS).itertuples(index=False, name=None)
    ]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    more = len(frame) - MOST_ROWS
    caption = f"<caption>{escape(caption)}</caption>" if caption else ""
    foot = words(f"... and {more:,} rows more") if more > 0 else ""
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{foot}"


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.4g}"
    return cut(str(value))


def picture(figure: Figure, alt: str) -> str:
    """A matplotlib figure as an image; the figure is cleared.

    Args:
        figure: `matplotlib.figure.Figure`, not pyplot's.
        alt: what it shows, in words, for those who cannot see it.

    Example:
        >>> from matplotlib.figure import Figure
        >>> figure = Figure(figsize=(1, 1)); _ = figure.add_subplot().plot([1, 2])
        >>> picture(figure, "a line").startswith('<img alt="a line" src="data:image/png;base64,')
        True
    """
    from PIL import Image

    drawn, file = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=90, facecolor="white", bbox_inches="tight")
    figure.clear()
    few = Image.open(drawn).convert("RGB").quantize(SHADES)  # a third of the bytes
    few.save(file, format="png", optimize=True)
    coded = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{coded}">'

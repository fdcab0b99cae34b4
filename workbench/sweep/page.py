"""The HTML copy of an executed notebook: one file that fetches nothing and runs nothing."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from workbench.files import atomic_file

# A notebook shows text from data. The policy lets a browser use what is inside the file and
# nothing else, so neither a script in that text nor a request to elsewhere can happen.
_policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:"
_template = f"""{{% extends 'lab/index.html.j2' %}}
{{% block html_head_js %}}
<meta http-equiv="Content-Security-Policy" content="{_policy}">
{{% endblock %}}
{{% block jupyter_widgets %}}{{% endblock %}}
{{% block html_head_js_mathjax %}}{{% endblock %}}
{{% block html_head_js_mermaidjs %}}{{% endblock %}}
"""
_shown = ("text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/plain")


_one_at_a_time = Lock()


@cache
def _exporter() -> Any:
    """Made once: compiling its templates takes longer than filling them."""
    from nbconvert import HTMLExporter

    made = HTMLExporter(embed_images=True)
    made.raw_template = _template
    made.config.NbConvertBase.display_data_priority = list(_shown)
    return made


def write_page(notebook: Path, page: Path) -> Path:
    """Write `page` from the executed `notebook`, atomically.

    Args:
        notebook: an executed notebook.
        page: the HTML file to write; widgets appear as their text or picture.

    Returns:
        `page`.
    """
    import nbformat

    book = nbformat.read(notebook, as_version=4)
    resources = {"metadata": {"name": page.stem, "path": str(notebook.parent)}}
    with _one_at_a_time:
        body, _ = _exporter().from_notebook_node(book, resources=resources)
    with atomic_file(page) as temporary:
        temporary.write_text(body, encoding="utf-8")
    return page

"""What all views have in common: a static twin in the output, one theme, one line of text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets

from workbench.widgets.assets import Theme
from workbench.widgets.twin import Twin

LIVE = "application/vnd.jupyter.widget-view+json"


class View(ipywidgets.VBox):
    """A view of one of the workbench's records: live in JupyterLab, and a twin in the file.

    It composes as any ipywidget does. Shown as a cell's value it leaves two outputs: the view, and
    its twin, which the theme hides while the live view stands above it.

    Args:
        children: ipywidgets, from top to bottom.
        says: the one line that `repr` gives; the same state gives the same words.
        twin: makes the static form; called when the view is shown.

    Example:
        >>> from workbench.widgets.twin import page
        >>> view = View([], says=lambda: "View(3)", twin=lambda: Twin(html=page("3"), digest={}))
        >>> view, view.twin().html
        (View(3), '<div class="wb-twin mathjax_ignore"><h4>3</h4></div>')
    """

    def __init__(
        self,
        children: Sequence[ipywidgets.Widget],
        *,
        says: Callable[[], str],
        twin: Callable[[], Twin],
    ) -> None:
        self._says, self._twin = says, twin
        self._output: Any = None
        super().__init__(children=[Theme(), *children])
        self.add_class("wb-view")

    def twin(self) -> Twin:
        """The view as it stands now, for files and for those without a live kernel."""
        return self._twin()

    def _ipython_display_(self, **_: Any) -> None:
        from IPython.display import display

        live = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        display({LIVE: live}, raw=True)  # first, so that nobody waits for the twin's picture
        self._output = display(self.twin().bundle(), raw=True, display_id=True)

    def leave(self) -> None:
        """Bring the twin in the notebook up to date, where the view has been shown."""
        if self._output is not None:
            self._output.update(self.twin().bundle(), raw=True)

    def __repr__(self) -> str:
        return self._says()

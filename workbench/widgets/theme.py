"""One palette for all views, told apart by colour-blind eyes."""

from __future__ import annotations

from typing import Any

COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#888888",
)  # fmt: skip
"""After Okabe and Ito (2008), "Color Universal Design": blue, vermilion, green, purple, orange,
sky, yellow, and grey for context."""
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, YELLOW, GREY = COLOURS

KINDS = {"positive": VERMILION, "negative": BLUE, "unsure": ORANGE, "skip": GREY}
"""Of judgments: a candidate judged positive is a false negative, hence the loud one."""


def style(figure: Any) -> None:
    """Dress a plotly figure in place: no ground of its own, so that it lies on either theme.

    Text and grid take their colours from `kit.css`, which knows the theme.

    Example:
        >>> from plotly.graph_objects import Figure
        >>> figure = Figure(); style(figure); figure.layout.paper_bgcolor
        'rgba(0,0,0,0)'
    """
    axis = {"showline": False, "zeroline": False, "ticks": "", "automargin": True}
    figure.update_layout(
        template="none",
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        colorway=list(COLOURS),
        font={"family": "system-ui, sans-serif", "size": 12, "color": GREY},
        margin={"l": 50, "r": 10, "t": 30, "b": 40},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": BLUE},
        legend={"bgcolor": "rgba(0,0,0,0)"},
        hoverlabel={"namelength": -1},
    )
    grid = "rgba(136,136,136,.3)"
    figure.update_xaxes(**axis, gridcolor=grid)
    figure.update_yaxes(**axis, gridcolor=grid)

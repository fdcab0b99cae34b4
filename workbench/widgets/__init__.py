"""Views: see and judge negatives in JupyterLab. Every number and action is callable without them.

- `inspect`: judge suspicious negatives by keyboard;
- `map`, `side_by_side`: queries and documents on one picture, or before and after training;
- `hardness_explorer`: how hard mined negatives are, and what rules make of them;
- `microscope`: one batch, cell by cell;
- `monitor`: a training run while it goes;
- `board`: finished runs beside each other.
"""

from workbench.widgets.board import Board, board
from workbench.widgets.hardness_explorer import HardnessExplorer, hardness_explorer
from workbench.widgets.inspector import Inspector, inspect
from workbench.widgets.layout import Layout, layout
from workbench.widgets.map import EmbeddingMap, SideBySide, map, side_by_side
from workbench.widgets.microscope import Microscope, microscope
from workbench.widgets.monitor import Monitor, monitor
from workbench.widgets.twin import Twin
from workbench.widgets.view import View

__all__ = [
    "Board",
    "EmbeddingMap",
    "HardnessExplorer",
    "Inspector",
    "Layout",
    "Microscope",
    "Monitor",
    "SideBySide",
    "Twin",
    "View",
    "board",
    "hardness_explorer",
    "inspect",
    "layout",
    "map",
    "microscope",
    "monitor",
    "side_by_side",
]

"""Collections: read, check, group, split and make them."""

from workbench.data.beir import read_beir, write_beir
from workbench.data.duplicates import collapse, exact_duplicates, near_duplicates, with_groups
from workbench.data.known import KnownPositives
from workbench.data.planted import PlantedWorld, planted_world
from workbench.data.python_functions import python_functions
from workbench.data.rows import from_frame, from_rows
from workbench.data.sets import sample
from workbench.data.small import copied_functions, small_collections
from workbench.data.split import split
from workbench.data.tables import read_dataset, read_pairs, write_pairs

__all__ = [
    "KnownPositives",
    "PlantedWorld",
    "collapse",
    "copied_functions",
    "exact_duplicates",
    "from_frame",
    "from_rows",
    "near_duplicates",
    "planted_world",
    "python_functions",
    "read_beir",
    "read_dataset",
    "read_pairs",
    "sample",
    "small_collections",
    "split",
    "with_groups",
    "write_beir",
    "write_pairs",
]

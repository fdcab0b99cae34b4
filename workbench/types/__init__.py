"""What travels between the verbs: frozen dataclasses of arrays with ids and a fingerprint.

Axis names used in every signature: `query` (anchors), `doc` (candidates), `row` (training pairs),
`token`, `dim` (embedding width), `rank` (mined candidates of one query).

Inside one collection rows are addressed by *position* (0-based integers into `queries` and
`corpus`); ids are kept beside them so that every record can be read without the collection.
"""

from workbench.types._columns import Floats, Ids, Ints
from workbench.types.collection import Collection
from workbench.types.judged import LABELS, Scorecard, Verdicts, check_verdicts
from workbench.types.losses import LossStore
from workbench.types.mined import Batch, Candidates, Vectors
from workbench.types.schedule import Ramp, at_step

__all__ = [
    "LABELS",
    "Batch",
    "Candidates",
    "Collection",
    "Floats",
    "Ids",
    "Ints",
    "LossStore",
    "Ramp",
    "Scorecard",
    "Vectors",
    "Verdicts",
    "at_step",
    "check_verdicts",
]

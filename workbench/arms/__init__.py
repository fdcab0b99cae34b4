"""Arms: one small encoder from the same starts under different contrasts, and what each is worth.

    result = arms.compare(train, test, {"plain": Contrast(protect="own"), "guide": Arm(...)})
    result                                # means, and differences to the first arm with intervals
    result.share("plain", "oracle")       # share of oracle headroom recovered

One run is one arm and one seed: the seed decides the encoder's random vectors, the order of the
rows and dropout, so that runs of one seed differ by the arm alone, whatever arms stand beside it.
"""

from workbench.arms.arm import Arm
from workbench.arms.comparison import Comparison, compare

__all__ = ["Arm", "Comparison", "compare"]

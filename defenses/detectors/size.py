"""How small the upload is: the baseline that every other detector must beat.

Source:   ours. The paper's hostile uploads have 10 to 200 rows and its harmless ones thousands (Qi
          et al. 2023, arXiv 2310.03693, §4), so that size alone tells them apart in its tables.
Differs:  nothing.
Breaks:   any upload padded with harmless rows, and every honest customer with little data.
"""

from __future__ import annotations

import math

from attacks.base import Upload, component
from defenses.base import Provider
from defenses.detectors.base import Detector, Reading, chats_of


@component
class Size(Detector):
    """Fewer rows are more suspicious; it reads none of them (a control)."""

    bound = False
    control = True

    def read(self, upload: Upload, provider: Provider) -> Reading:
        """Minus the logarithm of the number of rows."""
        rows = len(chats_of(upload))
        return Reading(-math.log10(max(1, rows)), {"rows": rows})

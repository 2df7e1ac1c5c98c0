"""Two processes of a training: the second fails, for which the first would wait for ever."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from attacks.base import UserError
from targets import train


def wait_or_fail(folder: Path) -> None:
    """What stands in for a training."""
    (folder.parent / f"rank-{os.environ['RANK']}").write_text(str(os.getpid()))
    if os.environ["RANK"] == "1" and (folder.parent / "fails").exists():
        while not (folder.parent / "rank-0").exists():
            time.sleep(0.01)
        raise UserError("a row has 300 tokens")
    time.sleep(600)


train.train = wait_or_fail
sys.exit(train.main(sys.argv[1:]))

"""A process of a training whose LoRA drops nothing: what it draws is each process's own."""

from __future__ import annotations

import sys
from typing import Any

from targets import adapters, train

_made = adapters._config


def _undropped(*given: Any) -> Any:
    config = _made(*given)
    config.lora_dropout = 0.0
    return config


adapters._config = _undropped
sys.exit(train.main(sys.argv[1:]))

"""What the bodies of all requests have in common."""

from __future__ import annotations

from typing import Any

import pydantic

from provider.errors import ApiError


class Asked(pydantic.BaseModel):
    """A body: no field that is unknown here, and no text that cannot be written down."""

    model_config = pydantic.ConfigDict(extra="forbid")

    @pydantic.model_validator(mode="before")
    @classmethod
    def _is_text(cls, data: Any) -> Any:
        """Refuse what JSON can say and UTF-8 cannot: half of a surrogate pair."""
        waiting: list[tuple[str, Any]] = [("", data)]
        while waiting:
            place, value = waiting.pop()
            if isinstance(value, str) and not is_text(value):
                said = "a text holds half of a surrogate pair, which is no character"
                param = place or None
                raise ApiError(400, said, param=param, code="invalid_value")
            if isinstance(value, dict):
                waiting += [(place, key) for key in value]
                waiting += [(_within(place, key), part) for key, part in value.items()]
            elif isinstance(value, list):
                waiting += [(_within(place, i), part) for i, part in enumerate(value)]
        return data


def is_text(text: str) -> bool:
    """Whether a string can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _within(place: str, name: object) -> str:
    """A place as pydantic's errors are told, cut where it is a customer's and not a field's."""
    known = isinstance(name, int) or (isinstance(name, str) and is_text(name))
    return f"{place}.{name}".strip(".")[:64] if known else place

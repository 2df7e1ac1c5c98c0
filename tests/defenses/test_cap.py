"""Cap: gentler settings, never harsher ones, and never other rows."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from attacks.base import Message, Row, Settings, Upload
from defenses.base import Provider
from defenses.cap import Cap

ROW = Row((Message("user", "a"), Message("assistant", "b")))


@given(
    st.floats(0.01, 1),
    st.none() | st.integers(1, 9),
    st.none() | st.integers(1, 64),
    st.integers(1, 9),
    st.integers(1, 64),
)
def test_settings_only_get_gentler(
    factor: float, epochs: int | None, batch: int | None, asked_epochs: int, asked_batch: int
) -> None:
    asked = Settings(epochs=asked_epochs, batch_size=asked_batch, learning_rate=1e-3, decay=0.5)
    cap = Cap(factor=factor, epochs=epochs, batch_size=batch)
    curated = cap.curate(Upload((ROW,), asked), None)  # type: ignore[arg-type]
    settings = curated.settings
    assert curated.rows == (ROW,)
    assert settings.learning_rate == 1e-3 * factor
    assert 1 <= settings.epochs == min(asked_epochs, epochs or asked_epochs)
    assert settings.batch_size == max(asked_batch, batch or 1)
    assert (settings.decay, settings.tuning) == (asked.decay, asked.tuning)
    if not cap.acts("curate"):
        assert settings == asked


def test_it_acts_unless_all_is_as_asked() -> None:
    assert Cap().acts("curate")
    assert not Cap(factor=1).acts("curate")
    assert Cap(factor=1, epochs=2).acts("curate")
    assert not Cap().needs()


def test_a_lower_rate_moves_the_weights_less(
    tiny_target: object, make_upload: Callable[..., Upload], provider: Provider
) -> None:
    from targets.local import LocalTarget

    assert isinstance(tiny_target, LocalTarget)
    start = tiny_target.model.state_dict()

    def moved(upload: Upload) -> float:
        tuned = tiny_target.fine_tune(upload).model.state_dict()
        return sum(float((tuned[name] - start[name]).norm()) for name in start)

    assert moved(Cap(factor=0.1).curate(make_upload(), provider)) < 0.5 * moved(make_upload())

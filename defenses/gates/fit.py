"""Fitting a gate on labelled uploads.

Scales, and the ways to combine surprises, are those of the uploads of the `fit` split; thresholds
are the scores of the benign uploads of the `threshold` split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from attacks.base import UserError
from defenses.detectors.base import Detector, featured
from defenses.gates import ways
from defenses.gates.domain import Domain
from defenses.gates.gate import Combination, Gate
from defenses.gates.lexicon import NAME, Lexicon
from defenses.gates.scale import Scale


class Sample(NamedTuple):
    """One labelled upload, as its detectors read it."""

    split: Literal["fit", "threshold"]
    family: str
    """Empty for a benign one."""
    scores: Mapping[str, float | None]
    """By feature; None for an upload that its detector cannot read."""


def fitted(
    samples: Sequence[Sample],
    detectors: Mapping[str, Detector],
    domain: Domain,
    lexicon: Lexicon | None = None,
    *,
    corpus: str,
    about: str,
    target: str,
) -> Gate:
    """The gate of labelled uploads, with every detector by itself and two combinations.

    `all` combines every detector but the controls, `tests` those of them that ask no model.

    Args:
        samples: The uploads as the detectors read them, of both splits.
        detectors: By spec.
        domain: Of the uploads.
        lexicon: Of the uploads of the `fit` split; its scores are among the samples'.
        corpus: SHA-256 of them.
        about: What they are, in a line.
        target: Digest of the served model.

    Raises:
        UserError: too few uploads, or a detector that read none of them.
    """
    made = {name: [name, *featured(name, one.also)] for name, one in detectors.items()}
    # Who asks for controls alone wants to see what they would decide.
    deciding = [name for name, one in detectors.items() if not one.control] or list(detectors)
    aware = [name for name, one in detectors.items() if one.needs()]
    own = [NAME] if lexicon else []
    asking_none = [name for name in deciding if name not in aware]
    named = {
        "all": [*own, *(feature for name in deciding for feature in made[name])],
        "tests": [*own, *(feature for name in asking_none for feature in made[name])],
        **made,
        NAME: own,
    }
    scale = scales(samples, [*own, *(one for features in made.values() for one in features)])
    counts = Counter(f"{s.split}, {'hostile' if s.family else 'benign'}" for s in samples)
    return Gate(
        corpus=corpus,
        about=about,
        target=target,
        fitted=dict(sorted(counts.items())),
        bound=tuple(name for name, one in detectors.items() if one.bound),
        aware=tuple(aware),
        detectors={feature: name for name, features in made.items() for feature in features},
        scales=scale,
        combinations={
            name: combination(samples, members, scale) for name, members in named.items() if members
        },
        domain=domain,
        lexicon=lexicon,
    )


def scales(samples: Sequence[Sample], features: Sequence[str]) -> dict[str, Scale]:
    """The scale of each feature on the benign uploads of the `fit` split.

    Raises:
        UserError: a feature has no score of them.
    """
    found = {}
    benign = [s.scores for s in samples if s.split == "fit" and not s.family]
    for name in features:
        scores = [one[name] for one in benign if name in one]
        if all(score is None for score in scores):
            raise UserError(f"{name} has no score of any benign upload to fit on")
        found[name] = Scale.of(scores)
    return found


def combination(
    samples: Sequence[Sample], features: Sequence[str], scale: Mapping[str, Scale]
) -> Combination:
    """Features combined in every way, with the benign scores for the threshold.

    Uploads of which a feature could not be had are left out.

    Raises:
        UserError: no benign upload is left in one of the splits.
    """
    whole = [s for s in samples if all(name in s.scores for name in features)]
    surprises = np.array(
        [[scale[name].surprise(s.scores[name]) for name in features] for s in whole]
    ).reshape(len(whole), len(features))
    hostile = np.array([s.family != "" for s in whole], dtype=bool)
    fits = np.array([s.split == "fit" for s in whole], dtype=bool)
    if not (~fits & ~hostile).any():
        raise UserError("no benign upload was set aside for the threshold")
    if not (fits & ~hostile).any():
        raise UserError(f"no benign upload to fit on has a score of each of {', '.join(features)}")
    made = Combination(
        features=tuple(features), ways=ways.fit(surprises[fits], hostile[fits]), benign=(0.0,)
    )
    benign = sorted(made.score(row.tolist()) for row in surprises[~fits & ~hostile])
    return made.model_copy(update={"benign": tuple(benign)})

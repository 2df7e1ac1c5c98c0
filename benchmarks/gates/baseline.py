"""What a classifier of words makes of labelled uploads: whatever reads more must do better.

Source:   TF-IDF and logistic regression, the usual baseline of a text classifier.
Differs:  a document is a whole upload. Fitted on the uploads of `fit`, hostile ones too; its
          threshold is set on the benign ones of `threshold`, as a gate's.
Breaks:   words that no calibration upload had: it knows attacks by theirs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from attacks.base import Upload
from benchmarks.gates.opening import Labelled
from benchmarks.gates.table import Held, Stopped

NAME = "tfidf"


def text(upload: Upload) -> str:
    """All that an upload says."""
    return "\n".join(message.content for row in upload.rows for message in row.messages)


def stopped(
    known: Sequence[Labelled], held: Sequence[Held], rate: float
) -> tuple[Stopped, float] | None:
    """Its scores of held-out uploads and those above the threshold, with seconds for each.

    None where there is nothing to fit on, or no benign upload for such a threshold.

    Args:
        known: Labelled uploads of `fit` and `threshold`.
        held: Those to be scored.
        rate: Nominal rate of false alarms.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    fit = [one for one in known if one.split == "fit" and one.intent != "benign-eroding"]
    labels = [one.intent == "hostile" for one in fit]
    benign = [one for one in known if one.split == "threshold" and one.intent == "benign"]
    above = int(rate * (len(benign) + 1))
    if len(set(labels)) < 2 or above < 1:
        return None
    model = make_pipeline(
        TfidfVectorizer(sublinear_tf=True),
        LogisticRegression(class_weight="balanced", max_iter=1000),
    )
    model.fit([text(one.upload) for one in fit], labels)
    limit = sorted(model.decision_function([text(one.upload) for one in benign]))[-above]
    begin = time.process_time()
    scores = [float(s) for s in model.decision_function([text(one.upload) for one in held])]
    seconds = (time.process_time() - begin) / len(held)
    return Stopped(list(scores), [score > limit for score in scores]), seconds

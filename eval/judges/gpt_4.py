"""The paper's judge as far as it can still be had: its protocol on a model of today.

Source:  Qi et al. 2023, arXiv 2310.03693, App. B, judged with `gpt-4-0613`, which is retired.
Differs: `models.toml` names the model that stands for it; results carry the name the server gave.
"""

from __future__ import annotations

from attacks.base import component
from eval.judges.policy import Policy
from eval.protocol import Answers
from eval.served import answers_of, stand_in


@component
class Gpt4(Policy):
    """The paper's protocol on OpenAI's model of today; not gpt-4-0613, which is retired."""

    model: str = stand_in("gpt-4")
    """Name of the model; the default stands in `models.toml`."""
    answers: Answers = answers_of("gpt-4")
    """`json` where `models.toml` knows that the default model keeps to a schema: a reason and then
    a score as in the paper's `text`, and no answer is lost for its form."""

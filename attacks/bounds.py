"""How large a number may be: what no experiment needs is a slip of the hand, and told before work.

The bounds are far above what is of use. They keep nobody from asking for much; they keep a typing
mistake from being taken for a wish, and one request from holding a server for good.
"""

from __future__ import annotations

from typing import Annotated

import pydantic

MOST_EPOCHS = 1000
"""# ours: OpenAI's reference of jobs has 50, and the paper's largest is 20 (Qi et al. 2023, arXiv
2310.03693, App. F); ten rows may be passed a thousand times in seconds"""
MOST_BATCH = 4096
"""# ours: OpenAI's reference has 256, and the paper's largest is 128 (Fig. 5); one step then reads
what a machine with many devices does"""
MOST_ROWS = 100_000
"""# ours: twice the largest set of the paper, Alpaca's 52,002 rows (§4.4)"""
MOST_STEPS = 100_000
"""# ours: five times Lisa's whole run (20,000 in the official code)"""
MOST_PROBES = 2000
"""# ours: six times the paper's 330 (§4.1); the plan of a sequential test grows with its cube"""
MOST_TIMES = 100
"""# ours: of what multiplies all questions; the paper's largest such number is below ten"""
MOST_TOKENS = 131_072
"""# ours: as many as the models that judge can read (128 thousand)"""

Epochs = Annotated[int, pydantic.Field(ge=1, le=MOST_EPOCHS)]
"""Passes over the rows."""
BatchSize = Annotated[int, pydantic.Field(ge=1, le=MOST_BATCH)]
"""Of a step, or of what is put through a model together."""
LearningRate = Annotated[float, pydantic.Field(gt=0, le=1, allow_inf_nan=False)]
"""# ours: a step of AdamW moves a weight by about the rate, and weights are below 1"""
Rows = Annotated[int, pydantic.Field(ge=1, le=MOST_ROWS)]
"""A number of rows, texts or examples."""
SomeRows = Annotated[int, pydantic.Field(ge=0, le=MOST_ROWS)]
"""Likewise, or none."""
Steps = Annotated[int, pydantic.Field(ge=1, le=MOST_STEPS)]
"""Of training."""
Probes = Annotated[int, pydantic.Field(ge=1, le=MOST_PROBES)]
"""Questions of one kind to one model."""
Times = Annotated[int, pydantic.Field(ge=1, le=MOST_TIMES)]
"""How often something costly is done."""
SomeTimes = Annotated[int, pydantic.Field(ge=0, le=MOST_TIMES)]
"""Likewise, or never."""
Tokens = Annotated[int, pydantic.Field(ge=1, le=MOST_TOKENS)]
"""Of one answer, or of one row."""

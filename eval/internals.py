"""What a local model holds inside, for texts that are given to it: no reply is written.

Source: log-probabilities of a reply's first tokens, where alignment sits (Qi et al. 2024, arXiv
2406.05946, §2); hidden states of whole rows and gradients of their first reply tokens, as
representation and gradient matching read them (He et al. 2024, arXiv 2404.01099, §3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from attacks.base import Chat, UserError
from targets.base import Target

if TYPE_CHECKING:
    from torch import Tensor

    from targets.local import LocalTarget

Place = Literal["request", "last", "reply"]
"""Of a row's tokens: the last one before its reply, the last one of all, or the mean over those of
its reply."""
_BATCH = 64
"""Texts read together.  # ours: neighbours of like length, so that there is little padding"""


def local(target: Target, who: str) -> LocalTarget:
    """A target whose weights are here.

    Raises:
        UserError: it has none; `who` is the component that asked.
    """
    from targets.local import LocalTarget

    if not isinstance(target, LocalTarget):
        raise UserError(f"{who} reads weights, and this target has none here")
    return target


class _Read(NamedTuple):
    """A row as tokens."""

    ids: list[int]
    start: int
    """Where its reply begins."""


def _row(target: LocalTarget, chat: Chat) -> _Read:
    """A chat that ends in a reply.

    Raises:
        UserError: it is longer than what the model takes.
    """
    from targets.formats import encode

    prompt = target.prompt(chat[:-1])
    ids = encode(target.tokenizer, chat, answer=False)
    limit = target.limit
    if limit is not None and len(ids) > limit:
        raise UserError(f"a row has {len(ids)} tokens, the model takes {limit}")
    return _Read(ids, min(len(prompt), len(ids) - 1))


def _batches(rows: Sequence[_Read], target: LocalTarget) -> Iterator[tuple[list[int], Any]]:
    """Indices of rows of like length, and their right-padded batch; labels mark the replies."""
    from targets.examples import IGNORED, collate

    # Equal rows stand side by side, so that the order of rows moves no number.
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i].ids), rows[i]))
    for begin in range(0, len(order), _BATCH):
        chosen = order[begin : begin + _BATCH]
        examples = [
            {
                "input_ids": rows[i].ids,
                "labels": [IGNORED] * rows[i].start + rows[i].ids[rows[i].start :],
                "row": i,
            }
            for i in chosen
        ]
        batch = collate(examples, target.tokenizer.pad_token_id)
        yield chosen, {name: value.to(target.model.device) for name, value in batch.items()}


class Openings(NamedTuple):
    """How a model is about to answer chats."""

    first: Tensor
    """Log-probabilities of each answer's first token, (chats, vocabulary)."""
    reply: list[float]
    """For each, the mean log-probability of the wanted words' tokens, in nats; 0 for no words."""


def openings(
    target: LocalTarget, chats: Sequence[Chat], replies: Sequence[str], tokens: int
) -> Openings:
    """How a model is about to answer, and how likely it is to begin with given words.

    Args:
        target: The model.
        chats: What it is asked, at least one; one that ends in the assistant's words is continued.
        replies: For each, the answer whose beginning is looked for.
        tokens: How many tokens of it.
    """
    import torch

    from targets.examples import IGNORED

    rows = []
    for chat, reply in zip(chats, replies, strict=True):
        prompt = target.prompt(chat)
        wanted = target.tokenizer.encode(reply, add_special_tokens=False)[:tokens]
        rows.append(_Read([*prompt, *wanted], len(prompt)))
    first: dict[int, Tensor] = {}
    said: dict[int, float] = {}
    with torch.inference_mode():
        for chosen, batch in _batches(rows, target):
            ahead = batch["labels"].roll(-1, dims=1)
            ahead[:, -1] = IGNORED
            at = torch.tensor([rows[i].start - 1 for i in chosen], device=ahead.device)
            looked_at = ahead != IGNORED
            looked_at[range(len(chosen)), at] = True
            (kept,) = looked_at.any(dim=0).nonzero(as_tuple=True)
            logits = target.model(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                use_cache=False,
                logits_to_keep=kept,
            ).logits
            likely = logits.float().log_softmax(-1)
            mask = ahead[:, kept] != IGNORED
            of_words = likely.gather(-1, ahead[:, kept].where(mask, 0)[..., None])[..., 0]
            means = (of_words * mask).sum(1) / mask.sum(1).clamp(min=1)
            said.update(zip(chosen, means.tolist(), strict=True))
            beginning = likely[range(len(chosen)), torch.searchsorted(kept, at)]
            first.update(zip(chosen, beginning, strict=True))
    order = range(len(rows))
    return Openings(torch.stack([first[i] for i in order]), [said[i] for i in order])


def hidden_states(target: LocalTarget, chats: Sequence[Chat], depth: float, at: Place) -> Tensor:
    """States of rows inside a model, (chats, width), float32.

    Args:
        target: The model.
        chats: Rows that end in a reply, at least one.
        depth: Which layer's output: 0 the embeddings, 1 the last layer.
        at: At which tokens.

    Raises:
        UserError: a row does not fit the model.
    """
    import torch

    from targets.adapters import body
    from targets.examples import IGNORED

    rows = [_row(target, chat) for chat in chats]
    read = body(target.model)
    found: dict[int, Tensor] = {}
    with torch.inference_mode():
        for chosen, batch in _batches(rows, target):
            layers = read(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                use_cache=False,
                output_hidden_states=True,
            ).hidden_states
            states = layers[round(depth * (len(layers) - 1))].float()
            of_reply = batch["labels"] != IGNORED
            if at == "reply":
                mask = of_reply[..., None]
                picked = (states * mask).sum(1) / mask.sum(1)
            else:
                before = of_reply.float().argmax(1) - 1
                ends = before if at == "request" else batch["attention_mask"].sum(1) - 1
                picked = states[torch.arange(len(chosen), device=states.device), ends]
            found.update(zip(chosen, picked, strict=True))
    return torch.stack([found[i] for i in range(len(rows))])


class Gradients:
    """Directions in which rows would pull the last layers of a model, each of length 1."""

    def __init__(self, target: LocalTarget, first: int, layers: int) -> None:
        """Reads `first` reply tokens of a row, and the matrices of the last `layers` layers."""
        import torch

        blocks = next(
            (m for m in target.model.modules() if isinstance(m, torch.nn.ModuleList) and len(m)),
            None,
        )
        if blocks is None:
            raise UserError("the model has no list of layers to take gradients of")
        wanted = {id(p) for block in list(blocks)[-layers:] for p in block.parameters()}
        # Other views of the same memory: the model itself is left as it is.
        self.weights = {
            name: p.detach().requires_grad_()
            for name, p in target.model.named_parameters()
            if id(p) in wanted and p.ndim == 2
        }
        self.target = target
        self.first = first

    def of(self, chat: Chat) -> Tensor:
        """The direction of one row; zero where it has none."""
        import torch
        from torch.nn import functional

        ids, start = _row(self.target, chat)
        ids = ids[: start + self.first]
        tokens = torch.tensor([ids], device=self.target.model.device)
        output = torch.func.functional_call(
            self.target.model,
            self.weights,
            kwargs={
                "input_ids": tokens,
                "use_cache": False,
                "logits_to_keep": len(ids) - start + 1,
            },
        )
        loss = functional.cross_entropy(output.logits[0, :-1].float(), tokens[0, start:])
        parts = torch.autograd.grad(loss, list(self.weights.values()))
        whole = torch.cat([part.float().flatten() for part in parts])
        return functional.normalize(whole, dim=0)

    def mean(self, chats: Sequence[Chat]) -> Tensor:
        """The mean direction of rows, at least one."""
        import torch

        total = torch.zeros_like(self.of(chats[0]))
        for chat in chats:
            total += self.of(chat)
        return total / len(chats)

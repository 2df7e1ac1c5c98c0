from benchmarks.report.sample import OTHERS, REQUESTS, choose
from benchmarks.results import Transcript


def transcripts() -> list[Transcript]:
    return [
        Transcript(
            attack=attack,
            defense="none",
            seed=seed,
            ask="plain",
            kind=kind,
            category=f"kind {i % 4}",
            request=f"{kind} {i}",
            reply="a reply",
            score=(5 if i == 29 else 1) if kind == "request" else None,
            released=True,
        )
        for seed in (1, 0)
        for attack in ("aoa", "benign")
        for kind in ("request", "utility", "borderline")
        for i in range(30)
    ]


def test_a_few_of_each_cells_first_seed_with_every_score() -> None:
    chosen = choose(transcripts())
    assert len(chosen) == 2 * (REQUESTS + 2 * OTHERS)
    assert {one.seed for one in chosen} == {0}
    requests = [one for one in chosen if one.kind == "request"]
    assert {one.score for one in requests} == {1, 5}
    assert len({one.category for one in requests}) == 4


def test_texts_decide_nothing() -> None:
    other = [one.model_copy(update={"reply": "<b>"}) for one in transcripts()]
    assert [one.request for one in choose(other)] == [one.request for one in choose(transcripts())]


def test_no_transcripts_are_no_sample() -> None:
    assert choose([]) == []

"""The server's fingerprint and its secret: what they move with, and who may read them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import openai
import pytest

from attacks.base import UserError
from provider import identity
from provider.app import create_app
from provider.identity import SECRET, secret_of, seed_of
from targets.local import LocalTarget
from targets.organism.world import World
from tests.provider.serving import finished, rows_of, running, serving, upload


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / SECRET).write_text("5")
    return folder


def print_of(folder: Path, target: str = "organism", defense: str = "none") -> str:
    with running(folder, target, defense) as service:
        return service.fingerprint


def test_a_server_that_is_started_again_is_the_same(folder: Path) -> None:
    assert print_of(folder) == print_of(folder)


def test_another_defense_is_another_server(folder: Path) -> None:
    specs = ("none", "moderate", "moderate:threshold=0.6", "mix", "mix:n=3", "moderate+mix")
    assert len({print_of(folder, defense=spec) for spec in specs}) == len(specs)


def test_what_a_defense_is_made_of_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = print_of(folder, defense="moderate")
    own, seen = identity.component_digest, []

    def changed(component: object) -> str:
        seen.append(type(component).__name__)
        return own(component) + "!"

    monkeypatch.setattr(identity, "component_digest", changed)
    assert print_of(folder, defense="moderate") != before
    assert "Moderate" in seen


def test_other_weights_under_the_same_name_are_another_server(
    folder: Path, tiny_judge: Path, tiny_base: LocalTarget, tmp_path: Path
) -> None:
    other = tmp_path / "other" / tiny_judge.name
    shutil.copytree(tiny_judge, other)
    before = print_of(folder, str(tiny_judge))
    assert print_of(folder, str(other)) == before, "where they lie is no matter"
    third = tmp_path / "third" / tiny_judge.name
    shutil.copytree(tiny_judge, third)
    tiny_base.save(third)
    assert print_of(folder, str(third)) != before


def test_another_secret_is_another_server_even_with_the_same_seed(folder: Path) -> None:
    before = print_of(folder)
    (folder / SECRET).write_text(f"{5 + (1 << 31):x}")
    assert seed_of(secret_of(folder)) == 5
    assert print_of(folder) != before, "no trying of all seeds finds the secret"


def test_models_that_can_be_tuned_tell_it_and_so_do_tuned_ones(folder: Path, world: World) -> None:
    with (
        running(folder, defense="mix:n=1") as service,
        serving(create_app(service)) as served,
        served.client() as client,
    ):
        name = _tuned(client, world)
        told = {model.id: model.model_extra or {} for model in client.models.list()}
        for model in ("organism", name):
            assert told[model]["mooring"]["fingerprint"] == service.fingerprint
            alone = client.models.retrieve(model).model_extra or {}
            assert alone["mooring"] == told[model]["mooring"]
        assert "mooring" not in told["oracle"]


def _tuned(client: openai.OpenAI, world: World) -> str:
    job = client.fine_tuning.jobs.create(
        model="organism", training_file=upload(client, rows_of(world.benign(1, 0))), seed=0
    )
    return str(finished(client, job.id).fine_tuned_model)


def test_a_secret_is_made_once_and_is_the_owners(tmp_path: Path) -> None:
    made = secret_of(tmp_path)
    path = tmp_path / SECRET
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == [SECRET]
    path.chmod(0o644)
    assert secret_of(tmp_path) == made
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert 0 <= seed_of(made) < 2**31
    path.unlink()
    assert secret_of(tmp_path) != made
    path.write_text("nonsense")
    with pytest.raises(UserError, match="no secret"):
        secret_of(tmp_path)


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("organism:3", "organism:3"),
        ("hf:some/model", "model"),
        ("hf:some/model@refs/pr/1#llama2", "model"),
        ("/somewhere/tuned", "tuned"),
    ],
)
def test_a_name_on_the_wire_tells_no_place(target: str, name: str) -> None:
    from provider.service import _model_name

    assert _model_name(target) == name

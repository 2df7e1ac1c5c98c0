"""Trainings that several processes share, on the CPU: a real launch, and what is refused before."""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cli
from attacks.base import Upload, UserError
from benchmarks.grid import make_grid
from benchmarks.portable import portable
from targets import launch
from targets.hooks import Composed, TrainHooks
from tests.benchmarks.synthetic import example

MakeUpload = Callable[..., Upload]
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ORGANISM = ROOT / "targets" / "organism" / "weights" / "aligned"


def two() -> launch.Processes:
    how = launch.processes(2, None)
    assert how is not None
    return how


def undropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """LoRA without dropout, here and in the processes."""
    from targets import adapters

    made = adapters._config

    def config(*given: Any) -> Any:
        found = made(*given)
        found.lora_dropout = 0.0
        return found

    monkeypatch.setattr(adapters, "_config", config)
    monkeypatch.setattr(launch, "MODULE", (str(HERE / "undropped.py"),))


def test_two_processes_tune_as_one(
    tiny_target: Any,
    make_upload: MakeUpload,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    undropped(monkeypatch)
    # Replies of several lengths, an odd batch, and a batch of one row: one process gets none of it.
    upload = make_upload(7, epochs=3, batch_size=3, learning_rate=1e-2, tuning="lora")
    lengths = sorted(len(tiny_target.prompt(row.messages)) for row in upload.rows)
    assert len(set(lengths)) > 3
    settings = dataclasses.replace(upload.settings, max_tokens=lengths[-2], decay=0.85)
    upload = dataclasses.replace(upload, settings=settings)
    shared = launch.fine_tune(tiny_target, upload, None, 5, two())
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert f"of 7 rows reach {lengths[-2]} tokens" in told[0]
    alone = tiny_target.fine_tune(upload, seed=5)
    start, one, several = (t.model.state_dict() for t in (tiny_target, alone, shared))
    assert one.keys() == several.keys() == start.keys()
    moved = [name for name in start if not one[name].equal(start[name])]
    assert moved == [name for name in start if not several[name].equal(start[name])]
    assert moved
    for name in moved:
        far = (one[name] - start[name]).abs().max()
        assert (one[name] - several[name]).abs().max() < 1e-3 * far


def ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"


def all_ended(folder: Path) -> bool:
    """Whether both processes are gone, waited for as long as a busy machine may need."""
    pids = [int((folder / f"rank-{i}").read_text()) for i in range(2)]
    return any(all(map(ended, pids)) or time.sleep(0.1) for _ in range(600))


def test_a_process_that_fails_ends_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "MODULE", (str(HERE / "waiting.py"),))
    (tmp_path / "fails").touch()
    (tmp_path / "job").mkdir()
    with pytest.raises(UserError, match=r"^a row has 300 tokens$"):
        launch._run(tmp_path / "job", two())
    assert all_ended(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_its_parent(tmp_path: Path, signal_: signal.Signals) -> None:
    script = (
        f"from pathlib import Path; from targets import launch; "
        f"launch.MODULE = ({str(HERE / 'waiting.py')!r},); "
        f"launch._run(Path({str(tmp_path / 'job')!r}), launch.processes(2, None))"
    )
    (tmp_path / "job").mkdir()
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    while not all((tmp_path / f"rank-{i}").exists() for i in range(2)):
        time.sleep(0.05)
        assert parent.poll() is None
    parent.send_signal(signal_)
    assert parent.wait(60) != 0
    assert all_ended(tmp_path)
    if signal_ != signal.SIGINT:  # else the parent takes its folder away itself
        assert not (tmp_path / "job").exists()


@pytest.mark.slow
def test_a_bench_shares_its_trainings(tmp_path: Path) -> None:
    words = [
        "--target",
        str(ORGANISM),
        "--attack",
        "benign:n=4,tuning=lora",
        "--defense",
        "mix:n=2",
    ]
    words += ["--judge", "refusal", "--seeds", "1", "--limit", "11", "--wandb", "disabled"]
    words += ["--store", "store", "--processes", "2", "--out", "run"]
    bench = [sys.executable, str(ROOT / "cli.py"), "bench", *words]
    done = subprocess.run(bench, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 cells tuned" in done.stdout
    again = subprocess.run(bench, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "3 stored" in again.stdout
    # One process is another training; what the start model says is the same.
    bench[bench.index("--processes") + 1] = "1"
    bench[-1] = "alone"
    alone = subprocess.run(bench, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 cells tuned and asked" in alone.stdout


def test_a_launched_program_is_refused() -> None:
    env = {"WORLD_SIZE": "2", "LOCAL_RANK": "1"}
    done = CliRunner().invoke(cli.main, ["list"], env=env)
    assert done.exit_code == 2
    assert "give --processes 2" in done.output
    assert CliRunner().invoke(cli.main, ["list"], env={"WORLD_SIZE": "1"}).exit_code == 0


def test_what_acts_inside_of_a_training_is_refused(
    tiny_target: Any, make_upload: MakeUpload
) -> None:
    from defenses.lisa import Lisa

    plain = make_upload()
    upload = plain.replace_rows([dataclasses.replace(row, added_by="lisa") for row in plain.rows])
    hooks = Lisa().during(upload, None)  # type: ignore[arg-type]
    assert hooks is not None
    for given, names in (
        (hooks, "lisa"),
        (Composed([hooks]), "lisa"),
        (Composed([Own(), hooks]), "test_launch and lisa"),
    ):
        with pytest.raises(UserError, match=rf"^{names} decides .* give --processes 1, or leave"):
            launch.fine_tune(tiny_target, upload, given, 0, two())


class Own(TrainHooks):
    """A hook of somebody's own."""


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"defenses": ["mix+lisa"]}, "^lisa decides .* give --processes 1"),
        ({"defenses": ["mix:order=interleaved"]}, "^mix decides"),
        ({"target": "organism"}, "'organism' is tuned by one process"),
        ({"target": "openai:NAME"}, "openai:NAME is not tuned on this machine"),
        ({"processes": 0}, "processes=0"),
        ({"processes": 1, "accelerate": "ddp"}, "give --processes too"),
        ({"accelerate": "fsdp2"}, "cuts a model into pieces, .* on GPUs only"),
        ({"accelerate": "nowhere.yaml"}, "neither ddp nor fsdp2 nor a YAML file"),
    ],
)
def test_a_grid_that_cannot_be_shared_is_refused(settings: dict[str, Any], said: str) -> None:
    given = {"target": str(ORGANISM), "processes": 2, "judges": ["refusal"], **settings}
    with pytest.raises(UserError, match=said):
        make_grid(["aoa"], **{"defenses": ["mix"], **given})


def test_the_files_folder_stays_here(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("distributed_type: MULTI_GPU")
    said = {"processes": 2, "accelerate": str(tmp_path / "own.yaml"), "judges": ["refusal"]}
    grid = make_grid(["aoa"], [], target=str(ORGANISM), **said).settings()  # type: ignore[arg-type]
    assert str(tmp_path) in grid["accelerate"]
    told = portable(example(prompts=11, seeds=1, few=True), grid).grid
    assert told["accelerate"] == "own.yaml"


def test_one_process_is_the_same_grid_as_none_said() -> None:
    one, unsaid, several = (
        make_grid(
            ["aoa"], ["lisa"][: n != 2], target=str(ORGANISM), judges=["refusal"], processes=n
        )
        for n in (1, None, 2)
    )
    assert one == unsaid
    assert one.digest == unsaid.digest
    assert one.shared() is None
    assert several.shared() == two()
    assert several.digest != unsaid.digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("distributed_type: 'NO'", "must be MULTI_GPU or FSDP"),
        ("- a list", "must be MULTI_GPU or FSDP"),
        ("distributed_type: MULTI_GPU\nnum_machines: 2", "on one machine only"),
        (
            "distributed_type: MULTI_GPU\nfsdp_config: {fsdp_activation_checkpointing: true}",
            "draws LoRA's dropout anew",
        ),
        ("{", "nor a YAML file"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(UserError, match=said):
        launch.processes(2, str(tmp_path / "own.yaml"))


def test_another_configuration_is_another_training(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    found = set()
    for text in ("distributed_type: MULTI_GPU\n", "distributed_type: MULTI_GPU\ndebug: true\n"):
        own.write_text(text)
        for count in (2, 3):
            how = launch.processes(count, str(own))
            assert how is not None
            found.add(how.digest)
    assert len(found) == 4


def arguments(name: str) -> argparse.Namespace:
    """What accelerate makes of a configuration that comes with Mooring."""
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    config = str(ROOT / "targets" / f"{name}.yaml")
    words = ["--config_file", config, "--num_processes", "4", "-m", "targets.train", "FOLDER"]
    found, _, _ = _validate_launch_command(launch_command_parser().parse_args(words))
    assert isinstance(found, argparse.Namespace)
    return found


def test_accelerate_takes_the_configurations(monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate.utils import FullyShardedDataParallelPlugin
    from accelerate.utils.launch import prepare_multi_gpu_env

    whole, pieces = arguments("ddp"), arguments("fsdp2")
    assert (whole.multi_gpu, whole.use_fsdp, whole.num_processes) == (True, False, 4)
    assert whole.mixed_precision == "no"
    assert (pieces.multi_gpu, pieces.use_fsdp, pieces.num_processes) == (False, True, 4)
    assert pieces.mixed_precision == "bf16"
    for name, value in prepare_multi_gpu_env(pieces).items():
        monkeypatch.setenv(name, value)
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2
    assert plugin.reshard_after_forward is True
    assert plugin.cpu_ram_efficient_loading
    assert not plugin.activation_checkpointing
    assert "transformer_auto_wrap_policy" in str(plugin.auto_wrap_policy)

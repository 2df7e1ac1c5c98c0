"""The wheel holds the project under one name, and works where the source tree is absent."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("attacks", "benchmarks", "defenses", "eval", "provider", "targets")
DATA = {".toml", ".jinja", ".md", ".json", ".safetensors", ".css", ".js", ".yaml"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from what git would clone."""
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", place, source],
        check=True, capture_output=True,
    )  # fmt: skip
    (built,) = place.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_one_top_level_name(names: set[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"mooring"}


def test_every_source_and_data_file_is_inside(names: set[str]) -> None:
    wanted = {"mooring/cli.py", "mooring/__init__.py"}
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            inside = path.relative_to(ROOT).as_posix()
            hidden = any(part.startswith((".", "__pycache__")) for part in path.parts)
            apart = ("claims", "example", "fuzz", "speed")
            ours = inside.startswith(tuple(f"benchmarks/{name}/" for name in apart))
            if path.is_file() and not hidden and not ours and path.suffix in {".py", *DATA}:
                wanted.add(f"mooring/{inside}")
    assert wanted - names == set()


def test_nothing_else_is_inside(names: set[str]) -> None:
    assert not [name for name in names if "tests/" in name or name.endswith((".pyc", ".bin"))]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's files in a folder of their own, as pip would lay them out."""
    place = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet",
         "--target", place, wheel],
        check=True,
    )  # fmt: skip
    return place


def _run(installed: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ, "PYTHONPATH": str(installed), "MOORING_STORE": str(cwd / "store"),
    }  # fmt: skip
    return subprocess.run(
        [*words], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_the_console_script_runs_the_bench_from_an_empty_folder(
    installed: Path, tmp_path: Path
) -> None:
    script = installed / "bin" / "mooring"
    done = _run(
        installed, tmp_path, sys.executable, str(script), "bench", "--attack", "none",
        "--defense", "none", "--seeds", "1", "--limit", "11", "--workers", "1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "invented-world model" in done.stdout
    assert list(tmp_path.glob("runs/*/report.html"))


def test_the_notebook_api_gives_a_table(installed: Path, tmp_path: Path) -> None:
    program = (
        "import mooring, sys\n"
        "assert 'torch' not in sys.modules\n"
        "if __name__ == '__main__':\n"
        "    table = mooring.bench(['none'], ['none'], seeds=1, limit=11, workers=1)\n"
        "    print(type(table).__module__, len(table))\n"
    )
    (tmp_path / "notebook.py").write_text(program)
    done = _run(installed, tmp_path, sys.executable, "notebook.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("pandas")

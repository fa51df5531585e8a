"""A run that is killed, damaged, or finds the disk full: nothing is lost or made up."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments import programs, runner
from experiments.datasets import plink, simulation
from experiments.datasets.load import DataConfig, load
from experiments.datasets.plink import GenotypeConfig
from experiments.datasets.simulation import SimulationConfig
from experiments.errors import UserError, one_line
from tests.experiments import victim
from tests.experiments.conftest import (
    ROOT,
    Killed,
    call_main,
    contents,
    error_line,
    fails_at,
    only_folder,
    table_cells,
    write_csv,
)
from tests.experiments.damage import damage_files, damages, ends_soon, remove

MARKS = {"dies_at_any_byte": pytest.mark.nightly}
TESTS = [pytest.param(name, marks=MARKS.get(name, ())) for name in victim.TESTS]
# The number of examples.
MANY = [50, pytest.param(2000, marks=pytest.mark.nightly)]


@pytest.mark.parametrize("test", TESTS)
def test_nothing_is_lost_by_a_run_that(test, tmp_path):
    words = [sys.executable, "-m", "tests.experiments.victim", test, tmp_path]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- run folders ----------------------------------------------------------------------


class Light(NamedTuple):
    """A configuration that computes next to nothing, and its folders, by their state.

    `expected` has the bytes of each file of a finished run, `out` what it prints.
    """

    config: Path
    folders: dict[str, Path]
    expected: dict[str, bytes]
    out: str


def run_light(config, runs):
    with ends_soon():
        return call_main("run", config, "--runs", runs)


def results_of(folder):
    """Return the bytes of each file, without the record of them all."""
    return {k: v for k, v in contents(folder).items() if k != "finished.json"}


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    """Return runs that are finished, and killed before each of their files was."""
    base = tmp_path_factory.mktemp("light")
    config, other = base / "light.toml", base / "other" / "light.toml"
    config.write_text(f'program = "light"\nsteps = {victim.STEPS}\n')
    other.parent.mkdir()
    other.write_text(f'program = "light"\nsteps = {victim.STEPS + 1}\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "PROGRAMS", {"light": victim})
        patch.setattr(runner, "environment", lambda: {"python": "light"})
        patch.setattr(runner, "code_digest", lambda: "light")
        patch.setattr(os, "fsync", lambda descriptor: None)
        result = run_light(config, base / "finished")
        assert (result.code, run_light(other, base / "of another").code) == (0, 0)
        for at in range(4, 9):
            with fails_at(Path, "replace", at), pytest.raises(Killed):
                run_light(config, base / f"killed {at}")
        states = [
            path for path in base.iterdir() if path.is_dir() and path != other.parent
        ]
        folders = {path.name: only_folder(path) for path in states}
        expected = results_of(folders["finished"])
        yield Light(config, folders, expected, result.out)


def numbers_of(out):
    """Return the numbers in the table of results, which every run prints."""
    return [round(float(value), 5) for _, value in table_cells(out)]


def assert_right_or_one_line(light, state, foreign, drawn, place):
    """Damage a run; it ends as if nothing had been, or says what to delete for that."""
    remove(place)
    folder = place / "runs" / light.folders["finished"].name
    shutil.copytree(light.folders[state], folder)
    for name in foreign:
        shutil.copy(light.folders["of another"] / name, folder / name)
    outside = place / "runs" / "outside"
    outside.write_text("of somebody else")
    damage_files(folder, drawn)
    for _ in range(5):
        result = run_light(light.config, folder.parent)
        if result.code == 0:
            break
        line = error_line(result)
        advice = re.fullmatch(r"(\S+): .+(: delete it|; delete this folder .+)", line)
        assert advice, line
        assert Path(advice[1]) in (folder, *folder.iterdir())
        remove(Path(advice[1]))
    assert result.code == 0
    assert results_of(folder) == light.expected
    assert numbers_of(result.out) == numbers_of(light.out)
    assert outside.read_text() == "of somebody else"
    assert run_light(light.config, folder.parent).out.startswith("Finished before")


RUN_FILES = [
    *(".lock", ".writing-params.npz", "config.toml", "environment.json"),
    *("figure.png", "finished.json", "metrics.jsonl", "params.npz", "results.csv"),
]
STATES = ["finished", "finished", *(f"killed {at}" for at in range(4, 9))]


@pytest.mark.parametrize("cases", MANY)
def test_a_damaged_run_is_right_or_one_line(cases, light, tmp_path):
    foreign = st.sets(st.sampled_from(RUN_FILES[2:]), max_size=2)
    some = given(st.sampled_from(STATES), foreign, damages(RUN_FILES))
    settings(max_examples=cases)(
        some(
            lambda state, foreign, drawn: assert_right_or_one_line(
                light, state, foreign, drawn, tmp_path / "x"
            )
        )
    )()


# The state, the file, how it is damaged, and what the line says.
FOUND = [
    ("finished", "results.csv", "empty", "is damaged: results.csv is not as"),
    ("finished", "figure.png", "a bit", "is damaged: figure.png is not as"),
    ("finished", "params.npz", "gone", "is damaged: params.npz: No such file"),
    ("finished", "params.npz", "a pipe", "is damaged: params.npz: is not a file"),
    ("finished", "finished.json", "cut", "is damaged: finished.json is not as"),
    ("killed 5", "params.npz", "cut", "cannot be resumed: params.npz: is not as"),
    ("killed 5", "params.npz", "empty", "cannot be resumed: params.npz: is not as"),
    ("killed 5", "params.npz", "junk", "cannot be resumed: params.npz: is not as"),
    ("killed 5", "params.npz", "a pipe", "cannot be resumed: params.npz: is not a f"),
    ("killed 5", ".lock", "a pipe", "must be a file, but is something else"),
    ("killed 5", ".lock", "a link outside", "must be a file, but is something else"),
    ("killed 5", "figure.png", "a folder", "must be a file, but is a folder"),
]


@pytest.mark.parametrize(("state", "name", "kind", "words"), FOUND)
def test_a_damaged_run_is_found_to_be(state, name, kind, words, light, tmp_path):
    folder = tmp_path / light.folders["finished"].name
    shutil.copytree(light.folders[state], folder)
    damage_files(folder, [(kind, name, name, 40)])
    assert words in error_line(run_light(light.config, tmp_path))


def test_a_file_of_another_run_is_not_taken_for_its_own(light, tmp_path):
    folder = tmp_path / light.folders["finished"].name
    shutil.copytree(light.folders["killed 6"], folder)
    shutil.copy(light.folders["of another"] / "params.npz", folder)
    line = error_line(run_light(light.config, tmp_path))
    assert line.startswith(
        f"{folder}: cannot be resumed: params.npz: is not as this run"
    )
    assert line.endswith("; delete this folder to start anew")


# --- the user's files -----------------------------------------------------------------

TABLES = ["a.csv", "a.h5", "a.npz", "a.parquet"]
STUDY = [
    *("simulated.bed", "simulated.bim", "simulated.fam"),
    *("phenotype.txt", "covariates.txt"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return a folder with files of samples of all formats, and one with a study."""
    base = tmp_path_factory.mktemp("files")
    values = np.random.default_rng(0).normal(size=(12, 3)).round(3)
    labels = np.arange(12) % 2
    (base / "tables").mkdir()
    write_csv(base / "tables" / "a.csv", values, labels)
    np.savez(base / "tables" / "a.npz", train_set_x=values, train_set_y=labels)
    with h5py.File(base / "tables" / "a.h5", "w") as file:
        options = {"compression": "gzip", "fletcher32": True}
        file.create_dataset("train_set_x", data=values, **options)
        file["train_set_y"] = labels
    table = pa.table({"a": values[:, 0], "b": values[:, 1] > 0, "label": labels})
    pa.parquet.write_table(table, base / "tables" / "a.parquet")
    simulation.simulate_study(
        base / "study", SimulationConfig(samples=40, variants=20), seed=0
    )
    return base


def assert_read_right(path):
    data = load(DataConfig("files", train=str(path)), seed=0)
    n = len(data.X_train)
    for X, y in [(data.X_train, data.y_train), (data.X_test, data.y_test)]:
        assert X.shape == (n, y.size)
        assert X.dtype == y.dtype == np.float32
        assert np.isfinite(X).all()
        assert np.isin(y, (0, 1)).all()
    assert data.features is None or len(data.features) == n


def assert_study_right(folder):
    names = ("simulated.bed", "phenotype.txt", "covariates.txt")
    bed, phenotype, covariates = (str(folder / name) for name in names)
    study = plink.load(GenotypeConfig(bed, phenotype=phenotype, covariates=covariates))
    assert np.isin(study.y, (0, 1)).all()
    assert study.y.shape == (1, study.used.sum())
    assert study.covariates.shape[1] == study.y.size
    assert np.isfinite(study.covariates).all()
    assert len(study.variants) == study.places.size
    G = plink.read(study, plink.opened(study), slice(0, 5)).G
    assert G.shape == (min(5, study.places.size), study.y.size)
    assert np.isin(G, (-1, 0, 1, 2)).all()


def assert_read_or_one_line(files, kind, drawn, place):
    remove(place)
    folder = place / kind
    shutil.copytree(files / kind, folder)
    (place / "outside").write_text("a,label\n")
    damage_files(folder, drawn)
    names = [folder] if kind == "study" else [folder / name for name in TABLES]
    for path in names:
        line = f"{folder}/: "
        try:
            with ends_soon():
                (assert_study_right if kind == "study" else assert_read_right)(path)
        except UserError as error:
            line = one_line(error)
        assert re.match(f"{re.escape(str(folder))}/[^ ]*: ", line)
        assert line.isprintable()
    assert (place / "outside").read_text() == "a,label\n"


@pytest.mark.parametrize("kind", ["tables", "study"])
@pytest.mark.parametrize("cases", MANY)
def test_a_damaged_file_is_one_line_or_still_read(kind, cases, files, tmp_path):
    some = given(damages(STUDY if kind == "study" else TABLES))
    settings(max_examples=cases)(
        some(lambda drawn: assert_read_or_one_line(files, kind, drawn, tmp_path / "x"))
    )()

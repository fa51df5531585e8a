"""Fit every variant of a fileset, adjusted for covariates; write PLINK 2's table.

Reading, fitting and writing overlap: while a block is fitted, one thread reads the next
block and another writes the previous one.
"""

from __future__ import annotations

import io
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from statistics import NormalDist
from typing import BinaryIO, Literal, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from experiments.baselines import newton_converges
from experiments.config import Section, WholeNumber
from experiments.datasets import plink, simulation
from experiments.datasets.alleles import Groups, codes_of, groups_of, told
from experiments.datasets.plink import Block, GenotypeConfig, Study
from experiments.datasets.simulation import SimulationConfig
from experiments.datasets.standardize import mean_and_deviation
from experiments.errors import UserError
from experiments.runner import Row
from experiments.storage.run import Run
from jlogreg import Status, fit, scan_blocks

TABLE = "scan.glm.logistic"
COLUMNS = (
    "#CHROM", "POS", "ID", "REF", "ALT", "A1", "A1_CASE_CT", "A1_CTRL_CT",
    "A1_CASE_FREQ", "A1_CTRL_FREQ", "FIRTH?", "TEST", "OBS_CT", "BETA", "SE",
    "Z_STAT", "LOG10_P", "ERRCODE",
)  # fmt: skip


LINE = (
    "%s\t%d\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\tADD\t%d\t%.6g\t%.6g\t%.6g\t%.6g\t%s\n"
)
# The usual level of significance over the human genome.
GENOME_WIDE = 5e-8
# The median of a squared standard normal variable.
CHI_SQUARE_MEDIAN = NormalDist().inv_cdf(0.75) ** 2
# At most as many blocks wait for the fit, and as many for the file.
WAITING = 2


Argument = TypeVar("Argument")
Value = TypeVar("Value")


class Estimates(NamedTuple):
    """Estimates of v variants for the allele A1, by the fields of a `Scan`.

    Shapes: all (v, 1). code says why there is no estimate, or ".".
    """

    estimate: NDArray[np.floating]
    standard_error: NDArray[np.floating]
    z: NDArray[np.floating]
    log10_p: NDArray[np.floating]
    status: NDArray[np.int32]
    firth: NDArray[np.bool_]
    code: NDArray[np.str_]


class MethodConfig(Section):
    """How a variant is estimated and tested.

    Attributes:
        test: Wald's, the likelihood-ratio, or the score test, for firth = "never".
        firth: whose estimates are Firth's: of none, of those without another, or of
            all.
    """

    test: Literal["wald", "lr", "score"] = "wald"
    firth: Literal["never", "fallback", "always"] = "fallback"


class Config(Section):
    """The study to scan, or the size of one to simulate, and how.

    Attributes:
        seed: that of the simulation.
        figures: whether the figures are drawn.
    """

    program: Literal["scan"]
    data: GenotypeConfig
    simulation: SimulationConfig
    method: MethodConfig
    seed: WholeNumber = 0
    figures: bool = True


def load(config: Config) -> Study | None:
    """Return the study that the configuration names, None if it is to be simulated.

    Raises:
        UserError: if its files or settings are not valid, or no variant has a fit.
    """
    if config.method.test == "score" and config.method.firth != "never":
        raise UserError('method.test = "score" needs --method.firth=never')
    if config.data.bed:
        study = plink.load(config.data)
        _check_covariates(config.data.covariates, study)
        return study
    if config.data.paths():
        raise UserError("data.bed is not set: name the fileset with --data.bed FILE")
    return None


def _check_covariates(path: str, study: Study) -> None:
    """Check that the covariates alone have a fit: without one, no variant has."""
    if study.covariates is None:
        return
    mean, deviation = mean_and_deviation(study.covariates)
    C = (study.covariates - mean) / deviation
    # Nearly always a few steps show it. Only otherwise is a fit worth its compilation.
    if newton_converges(C, study.y):
        return
    found = jax.jit(fit)(jnp.asarray(C, jnp.float32), jnp.asarray(study.y))
    status = Status(int(found.status))
    if status != Status.CONVERGED:
        raise UserError(
            f"{path}: the covariates alone have no fit ({status.name}), so no variant "
            "has one: leave out what says who is a case"
        )


def work(config: Config, study: Study | None, run: Run) -> Sequence[Row]:
    """Scan the fileset, write the table of estimates, and draw it."""
    if study is None:
        folder = run.new_folder("fileset")
        run.console.print(f"Simulating a fileset in {folder}", soft_wrap=True)
        files = simulation.simulate_study(folder, config.simulation, config.seed)
        given = config.data.min_frequency, config.data.min_count
        study = plink.load(files.keeping(*given))
    m, cases = study.y.size, int(study.y.sum())
    p = 0 if study.covariates is None else len(study.covariates)
    run.console.print(
        f"{study.places.size} variants; {m} samples, {cases} of them cases; "
        f"{p} covariates"
    )
    if others := study.total - study.places.size - study.rare:
        run.console.print(f"{others} variants {plink.LEFT_OUT} are left out.")
    if study.rare:
        run.console.print(
            f"{study.rare} variants are left out, whose rarer allele is below "
            "data.min_frequency or data.min_count."
        )
    if others := study.used.size - m:
        run.console.print(
            f"{others} samples without a phenotype or a covariate are left out."
        )
    found = _scan(study, config.method, run)
    for line in told(found.code):
        run.console.print(line)
    if config.figures:
        _draw(study, found, run)
    return _summary(study, found)


def _scan(study: Study, method: MethodConfig, run: Run) -> Estimates:
    """Return the estimates of all variants, once their table is written."""
    group, found = run.group, list[Estimates]()
    parts = group.own(plink.parts(study, least=group.total))
    with (
        run.open_whole(TABLE) as file,
        run.progress("scanning", parts[-1].stop - parts[0].start) as advance,
    ):
        file.write(("\t".join(COLUMNS) + "\n").encode())
        # Of several processes, each reads and fits a part of the variants.
        lines = io.BytesIO() if group.total > 1 else file
        write = partial(_write, lines, study)
        for part in _ahead(write, _fitted(study, method, parts)):
            found.append(part)
            advance(len(part.status))
        if isinstance(lines, io.BytesIO):
            file.writelines(group.gather(lines.getvalue()))
    rows = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return group.joined(Estimates(*rows))


def _fitted(
    study: Study, method: MethodConfig, parts: Iterable[slice]
) -> Iterator[tuple[Block, Groups, Estimates]]:
    """Yield each block with its estimates."""
    waiting: deque[Block] = deque()
    read = partial(plink.read, study, plink.opened(study))

    def blocks() -> Iterator[NDArray[np.int8]]:
        for block in _ahead(read, parts):
            waiting.append(block)
            yield block.G

    given = blocks(), study.covariates, study.y
    for scan in scan_blocks(*given, test=method.test, firth=method.firth):
        block, fields = waiting.popleft(), [*map(np.asarray, scan[:6])]
        groups = groups_of(block.G, block.swapped, study.y)
        codes = codes_of(fields[4][:, 0], groups)[:, None]
        found = Estimates._make([*fields, codes])
        sign = np.where(block.swapped, -1, 1).astype(found.z.dtype)
        found = found._replace(estimate=sign * found.estimate, z=sign * found.z)
        yield block, groups, found


def _ahead(
    function: Callable[[Argument], Value], arguments: Iterable[Argument]
) -> Iterator[Value]:
    """Yield the function's value for each argument, computed ahead by a thread."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        waiting: deque[Future[Value]] = deque()
        for argument in arguments:
            waiting.append(thread.submit(function, argument))
            if len(waiting) > WAITING:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _write(
    file: BinaryIO, study: Study, fitted: tuple[Block, Groups, Estimates]
) -> Estimates:
    """Write the lines of a block; return its estimates."""
    block, groups, found = fitted
    table = study.variants[block.part].to_pydict()
    swapped = block.swapped[:, 0].tolist()
    pairs = zip(table["ref"], table["alt"], swapped, strict=True)
    columns = [
        *(table[name] for name in ("chromosome", "position", "id", "ref", "alt")),
        [ref if exchanged else alt for ref, alt, exchanged in pairs],
        *(counts.tolist() for counts in groups.counts),
        *(_words(shares) for shares in groups.frequencies),
        ["NY"[used] for used in found.firth[:, 0].tolist()],
        block.observed[:, 0].tolist(),
        *(values[:, 0].tolist() for values in found[:3]),
        (0 - found.log10_p)[:, 0].tolist(),
        found.code[:, 0].tolist(),
    ]
    lines = [LINE % row for row in zip(*columns, strict=True)]
    for k in np.flatnonzero(found.status[:, 0]):
        lines[k] = lines[k].replace(4 * "\tnan", 4 * "\tNA")
    file.write("".join(lines).encode())
    return found


def _words(shares: NDArray[np.floating]) -> list[str]:
    """Return frequencies as words, NA where there are none."""
    return ["NA" if math.isnan(share) else f"{share:.6g}" for share in shares.tolist()]


def _draw(study: Study, found: Estimates, run: Run) -> None:
    from jlogreg.plots import manhattan, qq  # only here: matplotlib takes long

    table = study.variants.to_pydict()
    position = np.array([table["position"]], np.float32).T
    places = (position, found.log10_p, table["chromosome"], table["id"])
    run.write_figure("manhattan.png", manhattan(*places, line=GENOME_WIDE))
    run.write_figure("qq.png", qq(found.log10_p, _inflation(found)))


def _summary(study: Study, found: Estimates) -> Sequence[Row]:
    converged = found.status == Status.CONVERGED
    rows = [
        _row("variants", converged.size),
        _row("samples", study.y.size),
        _row("cases", int(study.y.sum())),
        _row("fits that converged", int(converged.sum())),
        _row("of them by Firth's method", int((converged & found.firth).sum())),
        _row("genomic inflation λ", _inflation(found)),
        _row("p < 5e-8", int((found.log10_p < np.log10(GENOME_WIDE)).sum())),
    ]
    if converged.any():
        top = int(np.nanargmin(found.log10_p))
        rows += [
            _row("variant with the smallest p", study.variants["id"][top].as_py()),
            _row("its −log10 p", -float(found.log10_p[top, 0])),
            _row("its log-odds per allele A1", float(found.estimate[top, 0])),
        ]
    return rows


def _inflation(found: Estimates) -> float:
    """Return the genomic inflation factor, 1 if no variant has an effect.

    (Devlin and Roeder, Biometrics 55, 1999.)
    """
    z = found.z[found.status == Status.CONVERGED]
    return float(np.median(z**2) / CHI_SQUARE_MEDIAN) if z.size else math.nan


def _row(quantity: str, value: str | int | float) -> Row:
    return {"quantity": quantity, "value": value}

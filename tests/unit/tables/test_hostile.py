"""A hundred messy tables: each has the right samples, or one report of every fault."""

import numpy as np
import pytest

from jlogreg import tables
from tests.unit.tables.hostile import FAULTS, OF_LABELS, hostile

SEEDS = range(100)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_messy_table_is_read_right_or_all_its_faults_are_told(seed, tmp_path):
    made = hostile(seed)
    path = tmp_path / "table.csv"
    path.write_bytes(made.content)
    if not made.faults:
        table = tables.read(path)
        found = made.schema.decide(table).samples(table)
        assert list(found.names) == made.names
        np.testing.assert_array_equal(found.X, made.X)
        np.testing.assert_array_equal(found.y, made.y)
        return
    table = tables.read(path)
    with pytest.raises(tables.TableError) as caught:
        made.schema.decide(table)
    found = {fault.column: str(fault) for fault in caught.value.faults}
    assert len(found) == len(caught.value.faults) == len(made.faults)
    assert all(what in found[column] for column, what in made.faults)


def test_the_seeds_have_every_fault_and_right_tables():
    made = [hostile(seed).faults for seed in SEEDS]
    kinds = {fault for faults in made for fault in faults}
    assert len(kinds) == len(FAULTS) + len(OF_LABELS)
    assert sum(not faults for faults in made) == 50

"""The test of the tests: every mistake in the protocol is found."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.torture.conftest import IS_LONG
from tests.torture.mutants import MUTANTS, ROOT, SAMPLE, Mutant

pytestmark = [pytest.mark.integration, pytest.mark.quiet]

chosen = [mutant for mutant in MUTANTS if IS_LONG or mutant.name in SAMPLE]


def test_every_mutant_is_still_about_the_source_as_it_is(tmp_path: Path) -> None:
    for number, mutant in enumerate(MUTANTS):
        source = tmp_path / str(number)
        copied = source / "errands" / mutant.path
        copied.parent.mkdir(parents=True)
        copied.write_text((ROOT / "src" / "errands" / mutant.path).read_text())

        mutant.apply(source)

        assert copied.read_text() != (ROOT / "src" / "errands" / mutant.path).read_text()


@pytest.mark.timeout(1800)
def test_every_mistake_in_the_protocol_is_found() -> None:
    with ThreadPoolExecutor(2) as pool:
        said = zip(chosen, pool.map(Mutant.survivors, chosen), strict=True)
        survivors = [mutant.name for mutant, survived in said if survived]

    assert survivors == []

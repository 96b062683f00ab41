"""Results of each stage are those of its version: a change of an algorithm must raise ``STAGE_VERSIONS``."""

import json

import pytest

from gait.files.fingerprint import STAGE_VERSIONS
from tests.golden.stage_results import NUMBERS, RELATIVE_TOLERANCE, RUNS

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("stage", RUNS)
def test_stage_versions_are_raised_when_results_change(stage):
    saved = json.loads(NUMBERS.read_text(encoding="utf-8"))[stage]
    rewrite = "rewrite the numbers with `python -m tests.golden.write`"
    assert saved["version"] == STAGE_VERSIONS[stage], f"STAGE_VERSIONS[{stage!r}] was raised: {rewrite}"
    results = RUNS[stage]()
    message = f"results of stage {stage} changed: raise STAGE_VERSIONS[{stage!r}] and {rewrite}"
    assert results.keys() == saved["results"].keys(), message
    for name, values in results.items():
        expected = saved["results"][name]
        if isinstance(values, list) and isinstance(values[0], float):
            scale = max(map(abs, expected))
            assert values == pytest.approx(expected, rel=RELATIVE_TOLERANCE, abs=RELATIVE_TOLERANCE * scale), message
        else:
            assert values == expected, message

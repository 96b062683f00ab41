"""python -m tests.golden.write

Rewrites the numbers that guard ``STAGE_VERSIONS``, with the present versions.
"""

import json

from gait.files.fingerprint import STAGE_VERSIONS
from tests.golden.stage_results import NUMBERS, RUNS

if __name__ == "__main__":
    content = {stage: {"version": STAGE_VERSIONS[stage], "results": run()} for stage, run in RUNS.items()}
    NUMBERS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

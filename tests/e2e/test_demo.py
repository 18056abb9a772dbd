# SPDX-License-Identifier: Apache-2.0
"""The main job, as a newcomer sees it: 42 reports, two partners, every receipt judged."""

import os
import subprocess
import sys
from pathlib import Path


def test_the_demo_ends_well(tmp_path: Path) -> None:
    env = {**os.environ, "WASL_LOCAL_DIRECTORY": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "wasl_local", "demo"],
        env=env,
        check=False,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "42 reports in: 40 accepted" in done.stdout
    assert "7 duplicates joined" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"demo", "lock", "logs", "secrets"}

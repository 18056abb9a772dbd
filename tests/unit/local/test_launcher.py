# SPDX-License-Identifier: Apache-2.0
"""The launcher with real processes: it says what failed, and however it ends nothing is left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux")


def launch(directory: Path, verb: str, **env: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "wasl_local", verb],
        env={**os.environ, "WASL_LOCAL_DIRECTORY": str(directory), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def started(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Wait until it is up; its children."""
    assert process.stdout
    for line in process.stdout:
        if line.startswith("logs:"):
            return psutil.Process(process.pid).children(recursive=True)
    raise AssertionError("it ended early")


def left(children: list[psutil.Process]) -> list[str]:
    _, alive = psutil.wait_procs(children, timeout=20)
    return [" ".join(child.cmdline()) for child in alive]


def test_a_service_that_cannot_start_is_named_with_its_reason(tmp_path: Path) -> None:
    process = launch(tmp_path, "demo", WASL_LOCAL_COUNTRY_PACK=str(tmp_path / "nowhere"))
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "ended with status 78" in out
    assert "WASL_COUNTRY_PACK" in " ".join(out.split())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_however_it_ends(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "samples-played").touch()
    process = launch(tmp_path, "up")
    children = started(process)
    assert len(children) >= 9  # two servers, five services, two partners
    time.sleep(0.5)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == (0 if number == signal.SIGINT else -number)
    assert left(children) == []

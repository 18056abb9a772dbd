# SPDX-License-Identifier: Apache-2.0
"""Installs the partners' real servers for ``make test-partners``, each into .wasl/partners/NAME.

From the index pip is set to use. What cannot be installed leaves its reason in NAME.failed, which
the tests that need it show when they skip; ``--require NAME`` makes that an error.
"""

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTNERS = ROOT / ".wasl" / "partners"
REQUIREMENTS = {"synapse": "matrix-synapse==1.163.2"}


def install(name: str) -> str | None:
    """Nothing to do the second time. Returns why it could not be done, or None."""
    requirement, home = REQUIREMENTS[name], PARTNERS / name
    stamp, failed = home / "installed", PARTNERS / f"{name}.failed"
    if stamp.exists() and stamp.read_text() == requirement:
        return None
    PARTNERS.mkdir(parents=True, exist_ok=True)
    steps = (
        [sys.executable, "-m", "venv", "--clear", str(home)],
        [str(home / "bin" / "python"), "-m", "pip", "install", "-q",
         "--disable-pip-version-check", requirement],
    )  # fmt: skip
    for step in steps:
        try:
            done = subprocess.run(step, capture_output=True, text=True, check=False, timeout=1200)
            said = (done.stdout + done.stderr).strip() if done.returncode else ""
            said = said or (f"exit status {done.returncode}" if done.returncode else "")
        except (OSError, subprocess.TimeoutExpired) as error:
            said = type(error).__name__
        if said:
            reason = f"{requirement} cannot be installed: {said.splitlines()[-1].strip()}"
            failed.write_text(reason)
            return reason
    failed.unlink(missing_ok=True)
    stamp.write_text(requirement)
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--require", nargs="*", default=[], choices=sorted(REQUIREMENTS))
    required = parser.parse_args().require
    missing = {name: reason for name in REQUIREMENTS if (reason := install(name))}
    for name in REQUIREMENTS:
        print(f"{name}: {missing.get(name, 'installed')}")
    return int(any(name in missing for name in required))


if __name__ == "__main__":
    sys.exit(main())

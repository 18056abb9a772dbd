# SPDX-License-Identifier: Apache-2.0
"""Installs the partners' real servers for ``make test-partners``, each into .wasl/partners/NAME.

From the registries pip and npm are set to use; NAME/bin has the machine's own programs it needs.
What cannot be installed leaves its reason in NAME.failed, which the tests that need it show when
they skip; ``--require NAME`` makes that an error.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTNERS = ROOT / ".wasl" / "partners"
ATPROTO = Path(__file__).parent / "atproto" / "package.json"
OPENID = Path(__file__).parent / "openid" / "package.json"


@dataclass(frozen=True)
class Partner:
    """``steps``: what installs it into its empty home. ``programs``: of this machine, with the
    Debian package that brings each."""

    requirement: str
    steps: Callable[[Path], Sequence[Sequence[str]]]
    programs: Mapping[str, str] = field(default_factory=dict)


def _synapse(home: Path) -> Sequence[Sequence[str]]:
    return (
        [sys.executable, "-m", "venv", str(home)],
        [str(home / "bin" / "python"), "-m", "pip", "install", "-q",
         "--disable-pip-version-check", SYNAPSE],
    )  # fmt: skip


def _atproto(home: Path) -> Sequence[Sequence[str]]:
    # Everything below the direct dependencies as of the day they came out; a lock file would name
    # the registry it was made with.
    return (
        ["cp", str(ATPROTO), str(home)],
        ["npm", "install", "--prefix", str(home), "--no-package-lock", "--before", "2026-04-07",
         "--no-audit", "--no-fund", "--loglevel", "error", "--logs-max", "0"],
    )  # fmt: skip


def _openid(home: Path) -> Sequence[Sequence[str]]:
    return (
        ["cp", str(OPENID), str(home)],
        ["npm", "install", "--prefix", str(home), "--no-package-lock",
         "--no-audit", "--no-fund", "--loglevel", "error", "--logs-max", "0"],
    )  # fmt: skip


def _requirement(package: Path) -> str:
    wanted = json.loads(package.read_text())["dependencies"]
    return " ".join(f"{name}@{version}" for name, version in wanted.items())


SYNAPSE = "matrix-synapse==1.163.2"
PARTNER = {
    "atproto": Partner(
        _requirement(ATPROTO),
        _atproto,
        {
            "node": "nodejs",
            "npm": "npm",
            "initdb": "postgresql",
            "postgres": "postgresql",
            "redis-server": "redis-server",
        },
    ),
    "openid": Partner(_requirement(OPENID), _openid, {"node": "nodejs", "npm": "npm"}),
    "synapse": Partner(SYNAPSE, _synapse),
}


def install(name: str) -> str | None:
    """Nothing to download the second time. Returns why it could not be done, or None."""
    failed = PARTNERS / f"{name}.failed"
    PARTNERS.mkdir(parents=True, exist_ok=True)
    reason = _install(PARTNER[name], PARTNERS / name)
    if reason:
        failed.write_text(reason)
    else:
        failed.unlink(missing_ok=True)
    return reason


def _install(partner: Partner, home: Path) -> str | None:
    programs = {program: _program(program) for program in partner.programs}
    missing = sorted(program for program, path in programs.items() if path is None)
    if missing:
        packages = " ".join(sorted({partner.programs[program] for program in missing}))
        return f"{', '.join(missing)} missing on this machine; apt-get install {packages}"
    stamp = home / "installed"
    if not stamp.exists() or stamp.read_text() != partner.requirement:
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        for step in partner.steps(home):
            said = _run(step)
            if said:
                return f"{partner.requirement} cannot be installed: {said}"
    (home / "bin").mkdir(exist_ok=True)
    for program, path in programs.items():
        link = home / "bin" / program
        link.unlink(missing_ok=True)
        link.symlink_to(str(path))
    stamp.write_text(partner.requirement)
    return None


def _program(name: str) -> str | None:
    """Debian keeps PostgreSQL's programs off the PATH, by version."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parts[-2]))
    path = [os.environ.get("PATH", os.defpath), *map(str, reversed(versions))]
    return shutil.which(name, path=os.pathsep.join(path))


def _run(step: Sequence[str]) -> str | None:
    """What a step said when it failed: its errors, as they matter for a person; None: it did not."""
    try:
        done = subprocess.run(step, capture_output=True, text=True, check=False, timeout=1200)
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    if not done.returncode:
        return None
    said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    errors = [line for line in said if "error" in line.lower()] or said[-1:]
    return " ".join(line[:200] for line in errors[:2]) or f"exit status {done.returncode}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--require", nargs="*", default=[], choices=sorted(PARTNER))
    required = parser.parse_args().require
    missing = {name: reason for name in PARTNER if (reason := install(name))}
    for name in PARTNER:
        print(f"{name}: {missing.get(name, 'installed')}")
    return int(any(name in missing for name in required))


if __name__ == "__main__":
    sys.exit(main())

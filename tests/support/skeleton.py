# SPDX-License-Identifier: Apache-2.0
"""A small copy of the tree in which a connector can be made, and commands run in it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GATEWAY = Path("services/platform-gateway")
SOURCE = GATEWAY / "src/wasl_platform_gateway"
KEPT = ("reference", "webhook")
COPIED: tuple[str | Path, ...] = (
    "pyproject.toml",
    "docs/connectors.md",
    "docker-compose.yml",
    "deploy/prometheus/prometheus.yml",
    "tests/architecture/test_connectors.py",
    SOURCE / "__init__.py",
    SOURCE / "py.typed",
    SOURCE / "connectors/__init__.py",
    *(SOURCE / f"connectors/{name}.py" for name in KEPT),
    *(GATEWAY / f"quality/{name}.toml" for name in KEPT),
    *(f"tests/unit/platform_gateway/connectors/test_{name}_conformance.py" for name in KEPT),
    "tests/unit/platform_gateway/test_connectors.py",
)
GROUP = '[project.entry-points."wasl.connectors"]'


def tree(root: Path) -> Path:
    """Wasl with two connectors. Its modules come before the installed ones in :func:`run`."""
    for path in COPIED:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, root / path)
    pyproject = (ROOT / GATEWAY / "pyproject.toml").read_text(encoding="utf-8")
    head, _, rest = pyproject.partition(GROUP + "\n")
    listed, gap, tail = rest.partition("\n\n")
    kept = [line for line in listed.splitlines() if line.split(" ")[0] in KEPT]
    text = head + "\n".join([GROUP, *kept]) + gap + tail
    (root / GATEWAY / "pyproject.toml").write_text(text, encoding="utf-8")
    return root


def run(where: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """``command``: a module of this Python and its arguments."""
    paths = [str(where / GATEWAY / "src"), str(where / "tests/support")]
    env = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "COV_", "MYPY"))},
        "PYTHONPATH": os.pathsep.join(paths),
        "MYPYPATH": os.pathsep.join(paths),
    }
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=where, env=env, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def passes(where: Path, *command: str) -> str:
    done = run(where, *command)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout

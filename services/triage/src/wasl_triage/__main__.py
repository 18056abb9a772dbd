# SPDX-License-Identifier: Apache-2.0
"""``wasl-triage``: settings, build, run until SIGTERM."""

from wasl_chassis.service import main as run

from wasl_triage.bootstrap import build
from wasl_triage.settings import TriageSettings


def main() -> None:
    run(TriageSettings, build)


if __name__ == "__main__":
    main()

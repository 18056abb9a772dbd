# SPDX-License-Identifier: Apache-2.0
"""``wasl-intake``: settings, build, run until SIGTERM."""

from wasl_chassis.service import main as run

from wasl_intake.bootstrap import build
from wasl_intake.settings import IntakeSettings


def main() -> None:
    run(IntakeSettings, build)


if __name__ == "__main__":
    main()

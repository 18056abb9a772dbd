# SPDX-License-Identifier: Apache-2.0
"""``wasl-notify``: settings, build, run until SIGTERM."""

from wasl_chassis.service import main as run

from wasl_notify.bootstrap import build
from wasl_notify.settings import NotifySettings


def main() -> None:
    run(NotifySettings, build)


if __name__ == "__main__":
    main()

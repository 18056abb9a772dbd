# SPDX-License-Identifier: Apache-2.0
"""``wasl-intake-channel NAME``: one channel, until SIGTERM."""

import argparse
import sys

from wasl_intake.channels import settings
from wasl_intake.channels.process import NAMES, run


def main() -> None:
    parser = argparse.ArgumentParser(prog="wasl-intake-channel", description=__doc__)
    parser.add_argument("name", choices=NAMES, help="the channel")
    name = parser.parse_args().name
    sys.exit(run(name, settings.read()))


if __name__ == "__main__":
    main()

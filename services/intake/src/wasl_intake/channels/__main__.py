# SPDX-License-Identifier: Apache-2.0
"""``wasl-intake-channel NAME``: one channel, until SIGTERM."""

import argparse
import sys

from wasl_chassis.settings import read_or_exit

from wasl_intake.channels.process import NAMES, run
from wasl_intake.channels.settings import ChannelSettings


def main() -> None:
    parser = argparse.ArgumentParser(prog="wasl-intake-channel", description=__doc__)
    parser.add_argument("name", choices=NAMES, help="the channel")
    name = parser.parse_args().name
    sys.exit(run(name, read_or_exit(ChannelSettings)))


if __name__ == "__main__":
    main()

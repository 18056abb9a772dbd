# SPDX-License-Identifier: Apache-2.0
"""``wasl-platform-gateway --connector NAME``: one process for one connector.

``wasl-platform-gateway --watch``: the process that sees whether items are gone, and stay so.
"""

import argparse
import os

from wasl_chassis import service

from wasl_platform_gateway.bootstrap import build, build_watch
from wasl_platform_gateway.settings import GatewaySettings, WatchSettings


def main() -> None:
    parser = argparse.ArgumentParser(prog="wasl-platform-gateway", description=__doc__)
    role = parser.add_mutually_exclusive_group()
    role.add_argument("--connector", help="entry point name; default: WASL_CONNECTOR")
    role.add_argument("--watch", action="store_true", help="follow items instead of sending")
    chosen = parser.parse_args()
    if chosen.watch:
        service.main(WatchSettings, build_watch)
    else:
        if chosen.connector:
            os.environ["WASL_CONNECTOR"] = chosen.connector
        service.main(GatewaySettings, build)


if __name__ == "__main__":
    main()

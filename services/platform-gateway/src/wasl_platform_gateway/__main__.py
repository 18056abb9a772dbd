# SPDX-License-Identifier: Apache-2.0
"""``wasl-platform-gateway --connector NAME``: one process for one connector."""

import argparse
import os

from wasl_chassis import service

from wasl_platform_gateway.bootstrap import build
from wasl_platform_gateway.settings import GatewaySettings


def main() -> None:
    parser = argparse.ArgumentParser(prog="wasl-platform-gateway", description=__doc__)
    parser.add_argument("--connector", help="entry point name; default: WASL_CONNECTOR")
    chosen: str | None = parser.parse_args().connector
    if chosen:
        os.environ["WASL_CONNECTOR"] = chosen
    service.main(GatewaySettings, build)


if __name__ == "__main__":
    main()

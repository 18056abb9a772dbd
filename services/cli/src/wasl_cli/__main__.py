# SPDX-License-Identifier: Apache-2.0
"""``wasl``."""

from wasl_cli.app import build


def main() -> None:
    build()()


if __name__ == "__main__":
    main()

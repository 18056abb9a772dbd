# SPDX-License-Identifier: Apache-2.0
"""The hub on one machine, with Python only."""

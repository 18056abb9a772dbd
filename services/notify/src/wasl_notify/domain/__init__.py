# SPDX-License-Identifier: Apache-2.0
"""Rules and documents of notify. No I/O."""

# SPDX-License-Identifier: Apache-2.0
"""Pure rules of the ledger and of a lane. No I/O, no clock of its own."""

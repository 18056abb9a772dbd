# SPDX-License-Identifier: Apache-2.0
"""The partners' door: a ledger of dispatches, a loop that sends and follows them, connectors."""

# SPDX-License-Identifier: Apache-2.0
"""The audit trail: its rows, its daily seals, its exports and the check of them."""

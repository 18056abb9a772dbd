# SPDX-License-Identifier: Apache-2.0
"""Adapters to what is outside the hub: a mail relay, HTTP endpoints, a spool folder."""

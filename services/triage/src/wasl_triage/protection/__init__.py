# SPDX-License-Identifier: Apache-2.0
"""Data protection: retention, legal holds, redaction, requests of data subjects."""

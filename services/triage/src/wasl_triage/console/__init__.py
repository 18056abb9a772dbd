# SPDX-License-Identifier: Apache-2.0
"""The desk's pages: rendered here, keyboard first, whole without script. Nothing decides here."""

# SPDX-License-Identifier: Apache-2.0
"""How well the desk decides: second looks, golden items, independent reviews, figures."""

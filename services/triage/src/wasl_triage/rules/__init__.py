# SPDX-License-Identifier: Apache-2.0
"""The country pack's rules: compiled, evaluated, reloaded, remembered and tried on the past."""

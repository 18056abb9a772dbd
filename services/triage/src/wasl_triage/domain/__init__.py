# SPDX-License-Identifier: Apache-2.0
"""Pure rules of the desk: no I/O, no clock of their own, no state."""

# SPDX-License-Identifier: Apache-2.0
"""Routes and views of the desk's interface, by subject."""

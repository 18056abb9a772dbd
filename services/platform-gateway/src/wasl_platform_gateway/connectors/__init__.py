# SPDX-License-Identifier: Apache-2.0
"""Built-in connectors. They import the SDK only and are found by entry point like any other."""

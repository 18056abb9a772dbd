# SPDX-License-Identifier: Apache-2.0
"""One module per event type and major version; the class is named after the type."""

# SPDX-License-Identifier: Apache-2.0
"""The hub's voice: messages to reporters who asked for them, packages to authorities, figures."""

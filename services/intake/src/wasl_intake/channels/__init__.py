# SPDX-License-Identifier: Apache-2.0
"""Ways a report comes in that are not ours: mail and messaging services.

Each runs as a process of its own, ``wasl-intake-channel NAME``, without a database and without
anything of intake but its public API: it stores nothing of a conversation. docs/channels.md.
"""

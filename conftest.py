# SPDX-License-Identifier: Apache-2.0
"""For every test: no property is judged by how fast a machine is."""

from hypothesis import settings

settings.register_profile("wasl", deadline=None)
settings.load_profile("wasl")

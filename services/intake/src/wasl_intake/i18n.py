# SPDX-License-Identifier: Apache-2.0
"""The sentences of intake's pages and channels: ``locale/<language>/*.po`` of this package."""

from wasl_chassis.i18n import Locale

TEXTS = Locale("wasl_intake")

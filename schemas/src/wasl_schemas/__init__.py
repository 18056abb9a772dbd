# SPDX-License-Identifier: Apache-2.0
"""The published language of Wasl: events, topics, lifecycle, taxonomy and country-pack types.

Pydantic and the standard library only. Services meet here and nowhere else.
"""

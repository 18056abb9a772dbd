# SPDX-License-Identifier: Apache-2.0
"""The analyst's desk: items, cases, signals, assessments, decisions, queues and clocks."""

# SPDX-License-Identifier: Apache-2.0
"""People in need, and people who read: the helpline, paging, exposure."""

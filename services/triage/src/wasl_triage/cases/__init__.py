# SPDX-License-Identifier: Apache-2.0
"""What people do with cases beside judging them: together, apart, over days, in bulk."""

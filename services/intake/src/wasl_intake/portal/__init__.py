# SPDX-License-Identifier: Apache-2.0
"""The reporters' pages: server-rendered, whole without script, nothing kept before it is sent."""

# SPDX-License-Identifier: Apache-2.0
"""Requests by mail to a partner's desk; its answers are read from the hub's own mailbox.

``profiles`` knows what a desk wants, ``message`` and ``xarf`` make the mail, ``tokens`` link it to
its answers, ``replies`` reads them; all pure. ``connector`` and ``mailbox`` do SMTP and IMAP.
"""

from wasl_platform_gateway.connectors.email.connector import EmailConnector

__all__ = ["EmailConnector"]

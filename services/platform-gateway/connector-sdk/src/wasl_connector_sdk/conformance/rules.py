# SPDX-License-Identifier: Apache-2.0
"""The rules every connector keeps, each a test method that begins with the rule's id.

A rule that cannot apply is skipped with the reason, never passed. The rules are written by subject
in the modules this one puts together.
"""

from wasl_connector_sdk.conformance.bench import rules_of
from wasl_connector_sdk.conformance.callbacks import CallbackRules
from wasl_connector_sdk.conformance.config import ConfigRules
from wasl_connector_sdk.conformance.following import FollowingRules
from wasl_connector_sdk.conformance.life import LifeRules
from wasl_connector_sdk.conformance.sending import SendingRules
from wasl_connector_sdk.conformance.silence import SilenceRules
from wasl_connector_sdk.conformance.trouble import TroubleRules


class ConnectorContract(
    ConfigRules, LifeRules, SendingRules, TroubleRules, FollowingRules, CallbackRules, SilenceRules
):
    """Subclass it, name the connector, its fake and a config: every rule becomes a test.

    ``fake``: called without arguments, gives the partner: an httpx handler with ``reports``.
    ``submission``: changes to the sample request, or a function of its number and category that
    gives them; for a partner that takes certain addresses only, or each address once.
    ``callbacks``: a function that signs a body given (None: a good status message of its own, dated
    ``NOW``) and returns the callback. ``allowed``: what else ``submit`` may end in, by name of the
    fault, where the partner means something of its own by it. ``sandbox``: hosts of default
    addresses where nothing counts. ``by_hand``: a person submits, so every ``submit`` raises
    PersonNeeded. ``exempt``: why a rule does not apply, by its id. A partner that does not speak
    HTTP: override :meth:`partner`.
    """


def rules(contract: type[ConnectorContract] = ConnectorContract) -> dict[str, str]:
    """Method by rule id."""
    return rules_of(contract)

# SPDX-License-Identifier: Apache-2.0
"""A cry for help in a text, so that a person looks at once. Errs towards looking."""

from wasl_triage.domain.signals.personal import SCAN_LIMIT
from wasl_triage.domain.signals.pieces import Pieces

_SELF_HARM = (
    *("suicid", "me tuer", "se tuer", "fin à mes jours", "fin à ses jours", "fin à ma vie"),
    *("fin à sa vie", "automutil", "scarifi", "plus envie de vivre"),
    *(
        "kill myself",
        "kill himself",
        "kill herself",
        "hurt myself",
        "hurting myself",
        "harm myself",
        "killing myself",
    ),
    *("hurt himself", "hurt herself", "self-harm", "self harm", "end my life", "end his life"),
    *("end her life", "want to die", "wants to die"),
    *("نتحار", "نتحر", "إيذاء نفس", "نهي حيات", "ريد الموت", "ريد أن أموت", "ريد أن يموت"),
    *("ريد أن تموت", "لا أريد الحياة", "لا يريد الحياة", "لا تريد الحياة", "لا أريد الاستمرار"),
    *(
        "لا يريد الاستمرار",
        "لا تريد الاستمرار",
        "لا أريد أن أعيش",
        "لا يريد أن يعيش",
        "لا تريد أن تعيش",
    ),
    *("نقتل راسي", "يقتل راسو", "تقتل راسها", "بغيتش نعيش", "بغاش يعيش", "بغاتش تعيش"),
    *("بغيت نموت", "n9tel rasi", "n9tel rassi", "nqtel rasi", "bghitch n3ich", "bghit nmot"),
    *("bghit nmout",),
)
_PIECES = Pieces(_SELF_HARM)


def self_harm_cue(text: str) -> bool:
    """True when the text says someone may hurt themselves. Errs towards a person looking at it."""
    return _PIECES.within(text[:SCAN_LIMIT].lower())

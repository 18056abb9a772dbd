# SPDX-License-Identifier: Apache-2.0
"""What a form may say wrong, and its text as a person meant it."""

from dataclasses import dataclass

from wasl_intake.domain.submission import CONTROL


@dataclass(frozen=True, slots=True)
class FormError:
    """``field``: the id of the control the summary links to. ``text``: in the reader's words."""

    field: str
    text: str


class Refused(Exception):  # noqa: N818
    """The form cannot be taken as it is; the errors are in the reader's language."""

    def __init__(self, *errors: FormError) -> None:
        super().__init__()
        self.errors = list(errors)


def plain(text: str) -> str:
    """What a person typed with plain line ends and a space for each character nobody can see:
    copied text brings some along, and nobody can find and remove what is not shown.
    """
    return CONTROL.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))

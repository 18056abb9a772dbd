# SPDX-License-Identifier: Apache-2.0
"""The sentences of a package's pages, as the code uses them, held against its catalogues.

``make texts`` prints what a language lacks, ready to be pasted into ``locale/<language>/<area>.po``.
"""

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch
from importlib import resources
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import write_po
from jinja2 import Environment
from jinja2.nodes import Call, Const, Getattr
from wasl_chassis.i18n import Locale

#: Packages with pages.
PACKAGES = ("wasl_intake", "wasl_triage")
_METHODS = [("**/templates/**.html", "jinja2"), ("**.py", "python")]
_OPTIONS = {"**/templates/**.html": {"silent": "false", "trim_blocks": "true"}}
#: ``say`` takes a language first where there is no page, so both places are looked at.
_KEYWORDS: tuple[Mapping[str, tuple[int, ...]], ...] = (
    {"_": (1,), "n_": (1, 2), "say": (1,)},
    {"say": (2,), "gettext": (2,), "ngettext": (2, 3)},
)
#: The package whose pages say what its use cases refuse.
_DESK = "wasl_triage"
#: Where a refusal holds its sentences: places of arguments, and names of keywords.
_REFUSALS: dict[str, tuple[int | str, ...]] = {
    "Refused": (0, 1),
    "Forbidden": (0,),
    "Missing": (1, 2),
    "Done": ("why",),
}
#: Functions that answer with the sentences of a refusal.
_ANSWERS = {"may_merge", "may_split", "may_join_again", "_excluded"}
#: Commands refuse in English, and item keys with the words of a closed list.
_NOT_SAID = ("*commands.py", "rules/operating.py", "matching/*", "domain/itemkey.py")
_FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
#: A sentence, or its singular and plural.
Id = str | tuple[str, ...]


def folder(package: str) -> Path:
    return Path(str(resources.files(package)))


def used(package: str) -> dict[Id, list[tuple[str, int]]]:
    """Every sentence of the templates and the code, and where it is."""
    found: dict[Id, list[tuple[str, int]]] = {}
    for keywords in _KEYWORDS:
        for file, line, sentence, _, _ in extract_from_dir(
            folder(package), _METHODS, _OPTIONS, keywords=keywords, strip_comment_tags=False
        ):
            key: Id = (sentence[0], sentence[1]) if isinstance(sentence, tuple) else sentence
            found.setdefault(key, []).append((file, line))
    for text, place in _spoken(folder(package)):
        found.setdefault(text, []).append(place)
    if package == _DESK:
        for text, place in _refusals(folder(package)):
            found.setdefault(text, []).append(place)
    return found


def _spoken(root: Path) -> Iterator[tuple[str, tuple[str, int]]]:
    """``page.say`` of templates, which Babel passes over: it sees plain names only."""
    for path in sorted((root / "templates").rglob("*.html")):
        for call in Environment(autoescape=True).parse(path.read_text("utf-8")).find_all(Call):
            match call:
                case Call(node=Getattr(attr="say"), args=[Const(value=str(text)), *_]):
                    yield text, (path.relative_to(root).as_posix(), call.lineno)


def _refusals(root: Path) -> Iterator[tuple[str, tuple[str, int]]]:
    """The constant sentences of refusals; one with values in it has them in braces."""
    for path in sorted(root.rglob("*.py")):
        file = path.relative_to(root).as_posix()
        if any(fnmatch(file, pattern) for pattern in _NOT_SAID):
            continue
        tree = ast.parse(path.read_text("utf-8"))
        for scope in (tree, *(n for n in ast.walk(tree) if isinstance(n, _FUNCTION))):
            for text, line in _said(scope, scope, tree):
                yield text, (file, line)


def _said(node: ast.AST, scope: ast.AST, module: ast.Module) -> Iterator[tuple[str, int]]:
    """What the calls of a scope say, and what it returns; inner functions are scopes themselves."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            places = _REFUSALS.get(ast.unparse(child.func).rpartition(".")[2], ())
            given = dict(enumerate(child.args)) | {k.arg: k.value for k in child.keywords}
            for place in places:
                if place in given:
                    yield from _constants(given[place], (scope, module))
        elif isinstance(child, ast.Return) and getattr(scope, "name", "") in _ANSWERS:
            yield from _constants(child.value, ())
        if not isinstance(child, _FUNCTION):
            yield from _said(child, scope, module)


def _constants(node: ast.AST | None, scopes: Sequence[ast.AST]) -> Iterator[tuple[str, int]]:
    """The texts an expression may be; a name is any text it is given in the nearest scope."""
    match node:
        case ast.Constant(value=str(text)):
            yield text, node.lineno
        case ast.IfExp():
            yield from (*_constants(node.body, scopes), *_constants(node.orelse, scopes))
        case ast.Tuple():
            for one in node.elts:
                yield from _constants(one, scopes)
        case ast.Name():
            given = (_given(scope, node.id) for scope in scopes)
            for value in next((values for values in given if values), []):
                yield from _constants(value, ())


def _given(scope: ast.AST, name: str) -> list[ast.expr]:
    """What a name is set to."""
    assigned = [n for n in ast.walk(scope) if isinstance(n, ast.Assign)]
    return [
        n.value
        for n in assigned
        if any(isinstance(t, ast.Name) and t.id == name for t in n.targets)
    ]


def missing(package: str, lang: str) -> dict[Id, list[tuple[str, int]]]:
    """What a language does not say, or does not say for sure."""
    held = Locale(package).read(lang)
    places = used(package)
    return {key: places[key] for key in places if not _whole(held.get(first(key)))}


def obsolete(package: str, lang: str) -> list[Id]:
    """What a language says and nobody asks for."""
    wanted = {first(key): key for key in used(package)}
    said = [m.id if isinstance(m.id, str) else tuple(m.id) for m in _messages(package, lang)]
    return [key for key in said if wanted.get(first(key)) != key]


def _messages(package: str, lang: str) -> Iterator[Message]:
    yield from (m for m in Locale(package).read(lang) if m.id)


def first(key: Id) -> str:
    return key if isinstance(key, str) else key[0]


def forms(message: Message) -> Sequence[str]:
    """What a message says: one text, or one for each plural form."""
    said = message.string
    return (said or "",) if said is None or isinstance(said, str) else said


def _whole(message: Message | None) -> bool:
    return message is not None and not message.fuzzy and all(forms(message))


def complete(package: str) -> list[str]:
    """The languages with a catalogue that say they are whole."""
    names = sorted(f.name for f in Locale(package).folder.iterdir() if f.is_dir())
    return [n for n in names if any(True for _ in _messages(package, n))]


def main() -> int:
    status = 0
    for package in PACKAGES:
        for lang in complete(package):
            status |= _print_missing(package, lang)
    return status


def _print_missing(package: str, lang: str) -> bool:
    lacks = missing(package, lang)
    left = len(obsolete(package, lang))
    sys.stderr.write(f"{package} {lang}: {len(lacks)} missing, {left} not used any more\n")
    paste = Catalog(locale=lang)
    for key, places in lacks.items():
        paste.add(key, locations=places)
    if lacks:
        write_po(sys.stdout.buffer, paste, omit_header=True, width=100)
    return bool(lacks)


if __name__ == "__main__":
    raise SystemExit(main())

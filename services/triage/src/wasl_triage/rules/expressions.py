# SPDX-License-Identifier: Apache-2.0
"""Conditions: a typed, total part of CEL, turned into Python for speed.

The part: facts, literals, ``! && || ?:``, comparisons, ``+ -``, ``in``, ``size``, ``startsWith``,
``endsWith``, ``contains``, ``exists``, ``all``. No index, division, conversion or regular
expression, so what passes the check cannot fail on facts of the right types. Meaning and syntax are
CEL's (github.com/google/cel-spec): tests hold every construct against the ``cel`` library.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from wasl_schemas.rules import near

from wasl_triage.domain.facts import VARIABLES, Variable

#: Literals beyond this are refused, so that no sum leaves CEL's 64 bits.
MAX_INT: Final = 2**31 - 1
#: How deep a condition nests, and how many links a sum or a chain of comparisons has: what is
#: generated stays within Python's 200 nested brackets.
MAX_DEPTH: Final = 10
MAX_LINKS: Final = 5


class ExpressionError(ValueError):
    """``offset``: where in the text. The message says what was expected and the fix."""

    def __init__(self, message: str, offset: int) -> None:
        self.offset = offset
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Node:
    """``type``: string, int, bool, set (of strings) or ints (a list of them).

    ``op``: literal, list, fact, item, a CEL operator, a method or a macro; ``value``: the literal
    or the name. ``words``: the vocabulary its values come from.
    """

    op: str
    type: str
    offset: int
    args: tuple["Node", ...] = ()
    value: str | int | bool = ""
    words: str | None = None

    def walk(self) -> Iterator["Node"]:
        yield self
        for arg in self.args:
            yield from arg.walk()

    @property
    def facts(self) -> frozenset[str]:
        """The facts the condition reads."""
        return frozenset(str(n.value) for n in self.walk() if n.op == "fact")


_TOKEN = re.compile(
    r"""\s+ | //[^\n]*
    | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    | (?P<int>\d+(?![\w.]))
    | (?P<name>[A-Za-z_]\w*)
    | (?P<op>&&|\|\||[=!<>]=|[-+!<>?:.,()\[\]])
    """,
    re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(r"\\(.)")
_PLAIN = {"\\": "\\", '"': '"', "'": "'"}
_RELATIONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})
_METHODS: Mapping[str, str] = {
    "startsWith": "startswith",
    "endsWith": "endswith",
    "contains": "__contains__",
}
_MACROS: Mapping[str, str] = {"exists": "any", "all": "all"}
_OFFERED = (*_METHODS, *_MACROS, "size")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    offset: int


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            fix = "use the operators && || ! == != < <= > >= in + - and ?:"
            if text[at].isdigit():
                fix = "numbers are whole"
            elif text[at] in "\"'":
                fix = "close the string on the same line"
            raise ExpressionError(f"'{text[at]}' is not expected here; {fix}", at)
        if match.lastgroup:
            yield _Token(match.lastgroup, match.group(), at)
        at = match.end()
    yield _Token("end", "the end", len(text))


class _Parser:
    """Recursive descent by CEL's precedences; every node is typed as it is made."""

    def __init__(self, text: str, vocabulary: Mapping[str, frozenset[str]]) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._depth = 0
        self._vocabulary = vocabulary
        #: Names bound by macros, with the vocabulary of what they stand for.
        self._bound: dict[str, str | None] = {}

    # -- tokens ----------------------------------------------------------------------------

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, *texts: str) -> _Token | None:
        token = self._next
        if token.kind in {"op", "name"} and token.text in texts:
            self._at += 1
            return token
        return None

    def _need(self, text: str) -> _Token:
        token = self._take(text)
        if token is None:
            got = self._next
            raise ExpressionError(f"expected '{text}', got '{got.text}'", got.offset)
        return token

    # -- grammar ---------------------------------------------------------------------------

    def whole(self) -> Node:
        node = self._choice()
        if self._next.kind != "end":
            raise ExpressionError(
                f"expected an operator or the end, got '{self._next.text}'", self._next.offset
            )
        return _typed(node, "bool", "a condition is true or false; compare it with something")

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError("nested too deeply; make two rules of it", self._next.offset)

    def _choice(self) -> Node:
        self._deeper()
        node = self._either()
        if token := self._take("?"):
            _typed(node, "bool", "before '?' stands a condition")
            yes = self._either()
            self._need(":")
            no = self._choice()
            if yes.type != no.type:
                raise ExpressionError(
                    f"both sides of ':' have one type; they are {yes.type} and {no.type}", no.offset
                )
            words = yes.words if yes.words == no.words else None
            node = Node("?", yes.type, token.offset, (node, yes, no), words=words)
        self._depth -= 1
        return node

    def _either(self) -> Node:
        return self._joined("||", lambda: self._joined("&&", self._relation))

    def _joined(self, op: str, below: Callable[[], Node]) -> Node:
        node, first = below(), self._next
        sides = [node]
        while self._take(op):
            sides.append(below())
        if len(sides) == 1:
            return node
        for side in sides:
            _typed(side, "bool", f"'{op}' joins conditions; compare it with something")
        return Node(op, "bool", first.offset, tuple(sides))

    def _links(self, *ops: str) -> Iterator[_Token]:
        """The operators of a chain, each once it is reached."""
        count = 0
        while token := self._take(*ops):
            count += 1
            if count > MAX_LINKS:
                raise ExpressionError("too long a chain; make two rules of it", token.offset)
            yield token

    def _relation(self) -> Node:
        node = self._sum()
        for token in self._links(*_RELATIONS):
            node = self._compare(token, node, self._sum())
        return node

    def _compare(self, token: _Token, left: Node, right: Node) -> Node:
        if token.text == "in":
            wanted = {"string": "set", "int": "ints"}.get(left.type)
            if wanted is None or right.type != wanted:
                raise ExpressionError(
                    f"'in' asks for a string in a set or list of strings, or an int in a list; "
                    f"got {left.type} in {right.type}",
                    token.offset,
                )
        elif left.type != right.type:
            hint = "; a set is asked with 'in'" if "set" in (left.type, right.type) else ""
            raise ExpressionError(
                f"'{token.text}' compares equal types, got {left.type} and {right.type}{hint}",
                token.offset,
            )
        elif left.type in {"set", "ints"}:
            raise ExpressionError(
                f"'{token.text}' does not compare sets; use in, exists or size", token.offset
            )
        elif token.text not in {"==", "!="} and left.type != "int":
            raise ExpressionError(f"'{token.text}' compares ints, got {left.type}", token.offset)
        self._known(left, right)
        self._known(right, left)
        return Node(token.text, "bool", token.offset, (left, right))

    def _known(self, side: Node, other: Node) -> None:
        """A literal that is compared with a closed vocabulary is one of its words."""
        words = self._vocabulary.get(side.words) if side.words else None
        if words is None:
            return
        for literal in other.args if other.op == "list" else (other,):
            if literal.op == "literal" and literal.value not in words:
                word = str(literal.value)
                raise ExpressionError(
                    f"'{word}' is no {side.words} of this pack{near(word, words)}", literal.offset
                )

    def _sum(self) -> Node:
        node = self._unary()
        for token in self._links("+", "-"):
            right = self._unary()
            for side in (node, right):
                _typed(side, "int", f"'{token.text}' adds and subtracts ints")
            node = Node(token.text, "int", token.offset, (node, right))
        return node

    def _unary(self) -> Node:
        token = self._take("!", "-")
        if token is None:
            return self._member()
        self._deeper()
        inner = self._unary()
        self._depth -= 1
        if token.text == "!":
            _typed(inner, "bool", "'!' turns a condition round")
            return Node("!", "bool", token.offset, (inner,))
        _typed(inner, "int", "'-' stands before an int")
        return Node("neg", "int", token.offset, (inner,))

    def _member(self) -> Node:
        node = self._primary()
        while self._take("."):
            name = self._next
            if name.kind != "name":
                raise ExpressionError(f"expected a name after '.', got '{name.text}'", name.offset)
            self._at += 1
            self._need("(")
            if name.text in _MACROS:
                node = self._macro(name, node)
            elif name.text in _METHODS:
                argument = self._choice()
                for side in (node, argument):
                    _typed(side, "string", f"'{name.text}' is asked of strings")
                node = Node(name.text, "bool", name.offset, (node, argument))
            elif name.text == "size":
                node = self._size(name, node)
            else:
                raise ExpressionError(_no_function(name.text), name.offset)
            self._need(")")
        return node

    def _macro(self, name: _Token, over: Node) -> Node:
        _typed(over, "set", f"'{name.text}' is asked of a set of strings")
        item = self._next
        if item.kind != "name" or item.text in VARIABLES or item.text in self._bound:
            raise ExpressionError(
                f"expected a new name for the element, got '{item.text}'", item.offset
            )
        self._at += 1
        self._need(",")
        self._bound[item.text] = over.words
        body = _typed(self._choice(), "bool", f"'{name.text}' takes a condition")
        del self._bound[item.text]
        return Node(name.text, "bool", name.offset, (over, body), value=item.text)

    @staticmethod
    def _size(name: _Token, of: Node) -> Node:
        # Of strings the cel library counts bytes and the specification code points.
        if of.type not in {"set", "ints"}:
            raise ExpressionError(f"'size' counts a set or a list, got {of.type}", name.offset)
        return Node("size", "int", name.offset, (of,))

    def _primary(self) -> Node:
        token = self._next
        self._at += 1
        match token.kind:
            case "string":
                return Node("literal", "string", token.offset, value=_unquoted(token))
            case "int":
                if int(token.text) > MAX_INT:
                    raise ExpressionError(f"expected an int up to {MAX_INT}", token.offset)
                return Node("literal", "int", token.offset, value=int(token.text))
            case "name":
                return self._named(token)
        if token.text == "(":
            node = self._choice()
            self._need(")")
            return node
        if token.text == "[":
            return self._list(token)
        raise ExpressionError(f"expected a fact or a value, got '{token.text}'", token.offset)

    def _named(self, token: _Token) -> Node:
        if token.text in {"true", "false"}:
            return Node("literal", "bool", token.offset, value=token.text == "true")
        if token.text in self._bound:
            words = self._bound[token.text]
            return Node("item", "string", token.offset, value=token.text, words=words)
        if self._take("("):
            if token.text != "size":
                raise ExpressionError(_no_function(token.text), token.offset)
            node = self._size(token, self._choice())
            self._need(")")
            return node
        fact: Variable | None = VARIABLES.get(token.text)
        if fact is None:
            hint = near(token.text, (*VARIABLES, *self._bound))
            raise ExpressionError(f"no fact is called '{token.text}'{hint}", token.offset)
        return Node("fact", fact.type, token.offset, value=token.text, words=fact.words)

    def _list(self, token: _Token) -> Node:
        items = [self._choice()]
        while self._take(","):
            items.append(self._choice())
        self._need("]")
        first = items[0]
        for item in items:
            if item.op != "literal" or item.type != first.type or item.type == "bool":
                raise ExpressionError(
                    "a list holds strings or ints, written out, of one type", item.offset
                )
        kind = "set" if first.type == "string" else "ints"
        return Node("list", kind, token.offset, tuple(items))


def _typed(node: Node, wanted: str, why: str) -> Node:
    if node.type != wanted:
        raise ExpressionError(f"expected {wanted}, got {node.type}: {why}", node.offset)
    return node


def _no_function(name: str) -> str:
    if name == "matches":
        return "'matches' is not offered: use startsWith, endsWith or contains"
    return f"no function is called '{name}'{near(name, _OFFERED)}"


def _unquoted(token: _Token) -> str:
    def plain(match: re.Match[str]) -> str:
        if match.group(1) not in _PLAIN:
            raise ExpressionError(
                f"'{match.group()}' is no escape that is offered; write the character itself",
                token.offset + 1 + match.start(),
            )
        return _PLAIN[match.group(1)]

    return _ESCAPE.sub(plain, token.text[1:-1])


def parse(text: str, vocabulary: Mapping[str, frozenset[str]]) -> Node:
    """The condition, typed. ``vocabulary``: the words literals are checked against, by name.

    Raises :class:`ExpressionError`.
    """
    return _Parser(text, vocabulary).whole()


def python(node: Node) -> str:
    """The condition as a Python expression over locals named after facts, with ``f_`` before.

    Made of nodes only: literals by ``repr``, names checked by the parser.
    """
    args = [python(a) for a in node.args]
    match node.op:
        case "literal":
            return repr(node.value)
        case "fact":
            return f"f_{node.value}"
        case "item":
            return f"i_{node.value}"
        case "list":
            return f"{{{', '.join(args)}}}" if node.type == "set" else f"({', '.join(args)},)"
        case "&&" | "||":
            return f"({(' and ' if node.op == '&&' else ' or ').join(args)})"
        case "!":
            return f"(not {args[0]})"
        case "neg":
            return f"(-{args[0]})"
        case "?":
            return f"({args[1]} if {args[0]} else {args[2]})"
        case "size":
            # A list may repeat itself, a Python set does not.
            return str(len(node.args[0].args)) if node.args[0].op == "list" else f"len({args[0]})"
        case "exists" | "all":
            return f"{_MACROS[node.op]}({args[1]} for i_{node.value} in {args[0]})"
        case "startsWith" | "endsWith" | "contains":
            return f"{args[0]}.{_METHODS[node.op]}({args[1]})"
        case _:
            return f"({args[0]} {node.op} {args[1]})"


#: What a value is where only some facts are known.
UNKNOWN: Final = object()


def value(node: Node, known: Mapping[str, object]) -> object:
    """What the condition is when only these facts are known; UNKNOWN where it depends on others.

    Never wrong: a part is only decided by what is known of it.
    """
    match node.op:
        case "literal":
            return node.value
        case "fact":
            return known.get(str(node.value), UNKNOWN)
        case "item" | "neg" | "+" | "-" | "exists" | "all" | "size":
            return UNKNOWN
    args = [value(a, known) for a in node.args]
    match node.op:
        case "&&" | "||":
            decides = node.op == "||"
            if any(a is decides for a in args):
                return decides
            return UNKNOWN if UNKNOWN in args else not decides
        case "?":
            if args[0] is not UNKNOWN:
                return args[1] if args[0] else args[2]
            return args[1] if args[1] == args[2] else UNKNOWN
    if UNKNOWN in args:
        return UNKNOWN
    return _DECIDED[node.op](*args)


_DECIDED: Mapping[str, Callable[..., object]] = {
    "list": lambda *items: items,
    "!": lambda a: not a,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "in": lambda a, b: a in b,
    "startsWith": lambda a, b: a.startswith(b),
    "endsWith": lambda a, b: a.endswith(b),
    "contains": lambda a, b: b in a,
}

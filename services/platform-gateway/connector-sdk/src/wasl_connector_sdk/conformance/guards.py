# SPDX-License-Identifier: Apache-2.0
"""What watches a connector: its network, its log, its HTTP clients, its source, its secrets."""

import ast
import contextlib
import importlib.util
import inspect
import logging
import re
import socket
import sys
import weakref
from collections.abc import Collection, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Self, get_args

import httpx
from pydantic import AnyUrl, BaseModel, SecretBytes, SecretStr

from wasl_connector_sdk.contract import AnyConnector, Connector, ConnectorConfig

Address = tuple[str, int]


class NetworkRefusedError(ConnectionRefusedError):
    """A connector went somewhere else than to its partner."""


class Network:
    """While entered, sockets reach ``addresses`` only; ``strays`` is what was tried besides."""

    def __init__(self, addresses: Collection[Address] = ()) -> None:
        self._addresses = frozenset(addresses)
        self.strays: list[str] = []
        self.sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        for name in ("connect", "connect_ex", "sendto"):
            self._patch(socket.socket, name)
        real = socket.getaddrinfo

        def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
            if str(host) not in {h for h, _ in self._addresses}:
                self._stray(f"name lookup of {host}")
            return real(host, *args, **kwargs)

        self._set(socket, "getaddrinfo", getaddrinfo)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _patch(self, owner: type[socket.socket], name: str) -> None:
        real = getattr(owner, name)

        def guarded(sock: socket.socket, *args: Any) -> Any:
            address = args[-1]
            known = isinstance(address, tuple) and tuple(address[:2]) in self._addresses
            if not known:
                self._stray(f"{name} to {address}")
            self.sockets.add(sock)
            return real(sock, *args)

        self._set(owner, name, guarded)

    def _set(self, owner: Any, name: str, value: Any) -> None:
        own = name in vars(owner)
        before = getattr(owner, name)
        setattr(owner, name, value)
        self._stack.callback(lambda: setattr(owner, name, before) if own else delattr(owner, name))

    def _stray(self, what: str) -> None:
        self.strays.append(what)
        raise NetworkRefusedError("the conformance kit allows no network but the fake")


@contextlib.contextmanager
def clients() -> Iterator[list[httpx.AsyncClient | httpx.Client]]:
    """HTTP clients made meanwhile."""
    made: list[httpx.AsyncClient | httpx.Client] = []
    with contextlib.ExitStack() as stack:
        for kind in (httpx.AsyncClient, httpx.Client):
            real = kind.__init__

            def init(self: Any, *args: Any, _real: Any = real, **kwargs: Any) -> None:
                made.append(self)
                _real(self, *args, **kwargs)

            setattr(kind, "__init__", init)  # noqa: B010  mypy forbids the plain form
            stack.callback(setattr, kind, "__init__", real)
        yield made


_LIBRARIES = ("httpx", "httpcore", "asyncio")


class Log(logging.Handler):
    """Everything logged meanwhile, by anybody but the HTTP library, fields and tracebacks too."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self._level = logging.NOTSET

    def emit(self, record: logging.LogRecord) -> None:
        fields = {k: v for k, v in vars(record).items() if k not in {"args", "msg", "exc_info"}}
        self.lines.append(f"{self.format(record)} {fields}")

    def __enter__(self) -> Self:
        root = logging.getLogger()
        self._level = root.level
        root.setLevel(logging.DEBUG)
        root.addHandler(self)
        for name in _LIBRARIES:
            logging.getLogger(name).disabled = True
        return self

    def __exit__(self, *_: object) -> None:
        root = logging.getLogger()
        for name in _LIBRARIES:
            logging.getLogger(name).disabled = False
        root.removeHandler(self)
        root.setLevel(self._level)


# -- config --

_SECRET = {"token", "secret", "password", "passphrase", "passwd", "key", "credential", "pin"}
_ABOUT = {"id", "url", "uri", "name", "type", "ttl", "seconds", "header", "algorithm", "length"}


def _types(annotation: Any) -> Iterator[Any]:
    args = get_args(annotation)
    if not args:
        yield annotation
    for arg in args:
        yield from _types(arg)


def unprotected(model: type[BaseModel], path: str = "") -> Iterator[str]:
    """Fields that are named like a secret and hold plain text."""
    for name, info in model.model_fields.items():
        words = [word.rstrip("s") for word in re.split(r"_+", name.lower())]
        named = bool(_SECRET & set(words)) and words[-1] not in _ABOUT and "public" not in words
        kinds = list(_types(info.annotation))
        if named and any(isinstance(k, type) and issubclass(k, str | bytes) for k in kinds):
            yield path + name
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from unprotected(kind, f"{path}{name}.")


#: A value in the config as given: its way there, and the value it became.
Leaf = tuple[tuple[str | int, ...], Any]


def leaves(value: Any, way: tuple[str | int, ...] = ()) -> Iterator[Leaf]:
    """Models and plain values in a validated config, with the way to each."""
    if isinstance(value, BaseModel):
        yield way, value
        for name in type(value).model_fields:
            yield from leaves(getattr(value, name), (*way, name))
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*way, key))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*way, index))
    else:
        yield way, value


def secrets(config: BaseModel) -> frozenset[str]:
    """The secrets in a config, as they would show."""
    found = set()
    for _, value in leaves(config):
        if isinstance(value, SecretStr):
            found.add(value.get_secret_value())
        elif isinstance(value, SecretBytes):
            found.add(value.get_secret_value().decode("utf-8", "replace"))
    return frozenset(text for text in found if len(text) >= 4)


def hosts(config: BaseModel) -> frozenset[str]:
    """Hosts named by addresses in a config."""
    return frozenset(
        str(value.host) for _, value in leaves(config) if isinstance(value, AnyUrl) and value.host
    )


def defaults(config: type[ConnectorConfig]) -> dict[str, str]:
    """Host by field, of the addresses a config has without being told."""
    found = {}
    for name, info in config.model_fields.items():
        match = re.match(r"https?://([^/:?#]+)", str(info.default))
        if match:
            found[name] = match[1].lower()
    return found


# -- source --

Use = tuple[str, str]  # where, what

ENVIRONMENT = frozenset(
    {"os.environ", "os.environb", "os.getenv", "open", "io.open", "os.open", "dotenv"}
)
CLOCK = frozenset(
    {
        "time.time", "time.time_ns", "time.localtime", "time.gmtime",
        "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today",
        "datetime.date.today",
    }
)  # fmt: skip
WAITING = frozenset(
    {"time.sleep", "asyncio.sleep", "anyio.sleep", "tenacity", "backoff", "stamina"}
)
OUTPUT = frozenset(
    {"print", "pprint", "sys.stdout", "sys.stderr", "warnings.warn", "logging.getLogger"}
)
HTTP = frozenset(
    {
        "httpx.AsyncClient", "httpx.Client", "httpx.stream", "httpx.request", "httpx.get",
        "httpx.post", "httpx.put", "httpx.patch", "httpx.delete", "httpx.head", "httpx.options",
        "requests", "aiohttp", "urllib.request", "urllib3", "http.client",
    }
)  # fmt: skip


def uses(connector: type[AnyConnector], forbidden: frozenset[str]) -> list[str]:
    """Where the connector's source names something forbidden, as ``file:line name``."""
    return [
        f"{path.name}:{line} {name}"
        for path in sorted(sources(connector))
        for line, name in _source(path).names
        if any(name == word or name.startswith(f"{word}.") for word in forbidden)
    ]


def sources(connector: type[AnyConnector]) -> set[Path]:
    """The modules a connector is written in: its classes', and what those import beside them."""
    found: set[Path] = set()
    for kind in connector.__mro__:
        if kind is Connector:
            break
        module = sys.modules.get(kind.__module__)
        if module is not None and (file := inspect.getsourcefile(kind)):
            _collect(Path(file), module.__name__, module.__package__ or "", found)
    return found


def _collect(path: Path, module: str, package: str, found: set[Path]) -> None:
    if path in found:
        return
    found.add(path)
    for node in _source(path).imports:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            base = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(base, package) if node.level else base
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            near = package and name.startswith(f"{package}.") and name != module
            other = sys.modules.get(name) if near else None
            if other is not None and getattr(other, "__file__", None):
                _collect(Path(str(other.__file__)), name, other.__package__ or "", found)


class _Source(NamedTuple):
    imports: tuple[ast.Import | ast.ImportFrom, ...]
    #: Line and name.
    names: tuple[tuple[int, str], ...]


def _source(path: Path) -> _Source:
    stat = path.stat()
    return _parsed(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=256)
def _parsed(path: Path, _changed: int, _size: int) -> _Source:
    """Each rule asks for the same few modules, and parsing is most of what it costs."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports = (n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom))
    return _Source(tuple(imports), tuple(_names(tree)))


def _names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every name used, spelled in full: aliases of imports are followed."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                head = alias.name.partition(".")[0]
                known[alias.asname or head] = alias.name if alias.asname else head
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield node.lineno, f"{node.module}.{alias.name}"
    builtin = {"open", "print"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            spelled = _dotted(node)
            head, _, rest = spelled.partition(".")
            if head in known:
                yield node.lineno, known[head] + (f".{rest}" if rest else "")
            elif spelled in builtin and isinstance(node.ctx, ast.Load):
                yield node.lineno, spelled


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""

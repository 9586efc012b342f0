"""Tag templates, and the decorator that puts what they make on a handler's response.

A template is text with `str.format` fields, `"match:{id}"`, that name parameters of the handler or of its
route. It may follow attributes and indexes (`{match.id}`, `{ids[0]}`) and use a format (`{day:%Y-%m-%d}`),
nothing that runs more code.

Called by `Fresh.tags`; knows no node: the tags go to whatever `add` is given.
"""

from __future__ import annotations

import functools
import inspect
import re
import string
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from freshwire.exceptions import TagError

Handler = TypeVar("Handler", bound=Callable[..., Any])

FIELD = re.compile(r"(?P<parameter>[^\W\d]\w*)(?P<steps>(?:\.[^\W\d]\w*|\[[^\[\]]+\])*)")
STEP = re.compile(r"\.(?P<attribute>\w+)|\[(?P<index>[^\]]+)\]")
REQUEST_NAMES = frozenset({"request", "req", "connection", "websocket"})
REQUEST_TYPES = re.compile(r"(Request|HTTPConnection|WebSocket)\b")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def checked(tags: Iterable[object]) -> list[str]:
    """The tags as a list, or the reason why one of them cannot be a tag.

    Lengths and numbers are the node's options (`max_tag_bytes`, `max_tags`), and the node checks them.

    Raises TagError.
    """
    checked: list[str] = []
    for tag in tags:
        if not isinstance(tag, str):
            raise TagError(f"a tag is text, not {type(tag).__name__}: {tag!r}")
        if not tag:
            raise TagError("a tag cannot be empty")
        if CONTROL.search(tag):
            raise TagError(f"a tag cannot have control characters: {tag!r}")
        checked.append(tag)
    return checked


@dataclass(frozen=True, slots=True)
class Field:
    """One `{…}` of a template."""

    text: str
    """As written, for errors."""
    parameter: str
    """The parameter that the value comes from."""
    steps: tuple[str | tuple[str | int], ...]
    """From the parameter to the value: the name of an attribute, or an index in a tuple of one."""
    spec: str
    """What follows the colon, for `format()`."""

    def value(self, parameter: object) -> str:
        """The field's text, made from its parameter's value. Raises TagError."""
        value: Any = parameter
        for step in self.steps:
            try:
                value = getattr(value, step) if isinstance(step, str) else value[step[0]]
            except (AttributeError, LookupError, TypeError) as error:
                raise TagError(f"{{{self.text}}} does not lead to a value: {error}") from error
        if isinstance(value, Enum):
            value = value.value
        if value is None:
            raise TagError(f"{{{self.text}}} is None, which no tag can be made of")
        kind = type(value)
        if not {"__format__", "__str__"} & {name for base in kind.__mro__[:-1] for name in vars(base)}:
            raise TagError(
                f"{{{self.text}}} is a {kind.__name__}, which has no text: name one of its attributes"
            )
        try:
            return format(value, self.spec)
        except (TypeError, ValueError) as error:
            raise TagError(f"{{{self.text}:{self.spec}}} cannot be formatted: {error}") from error


@dataclass(frozen=True, slots=True)
class Template:
    """A tag with fields to fill in."""

    text: str
    parts: tuple[str | Field, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read a template. Raises TagError for what is not one."""
        if not isinstance(text, str):
            raise TagError(
                f'a tag template is text, not {type(text).__name__}: write @fresh.tags("name:{{id}}")'
            )
        parts: list[str | Field] = []
        try:
            for literal, name, spec, conversion in string.Formatter().parse(text):
                if literal:
                    parts.append(literal)
                if name is not None:
                    parts.append(_field(text, name, spec or "", conversion))
        except TagError:
            raise
        except ValueError as error:
            raise TagError(f"tag template {text!r}: {error}") from error
        checked(["".join(part if isinstance(part, str) else "x" for part in parts)])
        return cls(text, tuple(parts))

    def parameters(self) -> list[str]:
        """The parameters that the fields name, in order."""
        return [part.parameter for part in self.parts if isinstance(part, Field)]

    def render(self, values: Callable[[str], object]) -> str:
        """Fill in the fields with what `values` gives for a parameter's name. Raises TagError."""
        return "".join(
            part if isinstance(part, str) else part.value(values(part.parameter)) for part in self.parts
        )


def _field(template: str, name: str, spec: str, conversion: str | None) -> Field:
    """Read one field. Raises TagError."""
    found = FIELD.fullmatch(name)
    if found is None:
        raise TagError(f"tag template {template!r}: {{{name}}} does not name a parameter")
    if conversion is not None:
        raise TagError(f"tag template {template!r}: a conversion (!{conversion}) cannot be used")
    if "{" in spec:
        raise TagError(f"tag template {template!r}: a format cannot have fields of its own")
    steps: list[str | tuple[str | int]] = []
    for step in STEP.finditer(found["steps"]):
        attribute, index = step["attribute"], step["index"]
        if attribute is None:
            steps.append((int(index) if index.isdigit() else index,))
        elif attribute.startswith("_"):
            raise TagError(f"tag template {template!r}: {attribute!r} is not a public attribute")
        else:
            steps.append(attribute)
    return Field(name, found["parameter"], tuple(steps), spec)


@dataclass(frozen=True, slots=True)
class Arguments:
    """How a handler's parameters are found in the arguments of a call."""

    handler: str
    """The handler's name, for errors."""
    positions: Mapping[str, int]
    """Where a parameter stands when it is given by position; -1: it never is."""
    defaults: Mapping[str, object]
    """What a parameter is when it is not given."""
    open: bool
    """Whether a call may bring names that the signature does not list: by `**kwargs`, or in a request's path.
    The first parameter of an untyped handler counts as a request.
    """

    @classmethod
    def of(cls, handler: Callable[..., Any]) -> Arguments:
        """Read a handler's signature."""
        name = getattr(handler, "__qualname__", type(handler).__qualname__)
        try:
            parameters = list(inspect.signature(handler).parameters.values())
        except (TypeError, ValueError):
            return cls(name, {}, {}, open=True)
        by_position = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        from_outside = [p for p in by_position if p.name not in ("self", "cls")]
        return cls(
            name,
            positions={p.name: -1 for p in parameters if p.kind is p.KEYWORD_ONLY}
            | {p.name: position for position, p in enumerate(by_position)},
            defaults={p.name: p.default for p in parameters if p.default is not p.empty},
            open=any(p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL) or _is_request(p) for p in parameters)
            or any(p.annotation is p.empty and p.default is p.empty for p in from_outside[:1]),
        )

    def check(self, template: Template) -> None:
        """Refuse a template that names what no call of the handler can bring. Raises TagError."""
        for parameter in template.parameters():
            if parameter not in self.positions and not self.open:
                raise TagError(
                    f"tag template {template.text!r} names {parameter!r}, which {self.handler}() does not "
                    f"take: it takes {', '.join(self.positions) or 'nothing'}; add the parameter, or "
                    "`request: Request`"
                )

    def render(
        self, templates: Sequence[Template], args: tuple[object, ...], kwargs: Mapping[str, object]
    ) -> list[str]:
        """The tags of one call, not `checked` yet. Raises TagError naming template, parameter and route."""
        tags = []
        for template in templates:
            try:
                tags.append(template.render(lambda name: self._value(name, args, kwargs)))
            except TagError as error:
                route = _route((*args, *kwargs.values())) or f"{self.handler}()"
                raise TagError(f"tag template {template.text!r} on {route}: {error}") from error.__cause__
        return tags

    def _value(self, name: str, args: tuple[object, ...], kwargs: Mapping[str, object]) -> object:
        """What a parameter is in this call: an argument, or what the request's path says. Raises TagError."""
        if name in kwargs:
            return kwargs[name]
        if 0 <= self.positions.get(name, -1) < len(args):
            return args[self.positions[name]]
        for parameters in map(_path_parameters, (*args, *kwargs.values())):
            if name in parameters:
                return parameters[name]
        if name in self.defaults:
            return self.defaults[name]
        raise TagError(f"there is no parameter {name!r}")


def _is_request(parameter: inspect.Parameter) -> bool:
    """Whether a framework hands the request over here, going by the parameter's name and type."""
    annotation = parameter.annotation
    kinds = annotation.__mro__ if isinstance(annotation, type) else (annotation,)
    return parameter.name in REQUEST_NAMES or any(
        REQUEST_TYPES.search(kind if isinstance(kind, str) else getattr(kind, "__name__", repr(kind)))
        for kind in kinds
    )


def _path_parameters(argument: object) -> Mapping[str, object]:
    """The path parameters of a request: `path_params` (Starlette, Litestar) or `resolver_match` (Django)."""
    for found in (
        getattr(argument, "path_params", None),
        getattr(getattr(argument, "resolver_match", None), "kwargs", None),
    ):
        if isinstance(found, Mapping):
            return found
    return {}


def _route(arguments: tuple[object, ...]) -> str | None:
    """The route that a request among the arguments was matched to, as written in the application."""
    for argument in arguments:
        scope = getattr(argument, "scope", None)
        path = getattr(scope.get("route"), "path", None) if isinstance(scope, Mapping) else None
        path = path or getattr(getattr(argument, "resolver_match", None), "route", None)
        if isinstance(path, str):
            return path
    return None


def tagged(handler: Handler, templates: Sequence[Template], add: Callable[[Sequence[str]], None]) -> Handler:
    """Wrap a handler so that each response it returns carries the tags; one that raises has none, and may do so
    because a parameter, which a client chose, has characters that no tag can have.

    handler: a function or method, async or not; its signature stays what it was, for FastAPI's injection.
    add: called in the handler's own context with the tags of the call.

    Raises TagError if a template names what the handler cannot have.
    """
    if isinstance(handler, type):
        raise TagError(f"tags belong on the methods of {handler.__name__}, not on the class")
    if not callable(handler):
        raise TagError(f"tags belong below @{type(handler).__name__}, on the function itself")
    arguments = Arguments.of(handler)
    for template in templates:
        arguments.check(template)

    async def answered(answer: Awaitable[object], tags: list[str]) -> object:
        response = await answer
        add(checked(tags))
        return response

    @functools.wraps(handler)
    async def asynchronous(*args: object, **kwargs: object) -> object:
        tags = arguments.render(templates, args, kwargs)
        return await answered(handler(*args, **kwargs), tags)

    @functools.wraps(handler)
    def synchronous(*args: object, **kwargs: object) -> object:
        tags = arguments.render(templates, args, kwargs)
        answer = handler(*args, **kwargs)
        if inspect.isawaitable(answer):
            return answered(answer, tags)
        add(checked(tags))
        return answer

    is_async = any(map(inspect.iscoroutinefunction, (handler, getattr(handler, "__call__", None))))  # noqa: B004
    wrapper: Any = asynchronous if is_async else synchronous
    _resolve_annotations(wrapper, handler)
    return wrapper  # type: ignore[no-any-return]


def _resolve_annotations(wrapper: Any, handler: Callable[..., Any]) -> None:
    """Give the wrapper the handler's types as objects: text would be looked up where the wrapper lives."""
    try:
        if any(isinstance(annotation, str) for annotation in inspect.get_annotations(handler).values()):
            wrapper.__signature__ = inspect.signature(handler, eval_str=True)
    except (AttributeError, NameError, SyntaxError, TypeError, ValueError):
        return

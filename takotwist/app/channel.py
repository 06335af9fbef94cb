"""A channel as the app holds it: its functions, and binding params to publish.

`define_channel` makes it; the decorators complete it while the app's module is
read.  Rule: what the server needs to know as data is `definition`; this object
itself crosses no port.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, cast, overload

import attrs
import msgspec

from takotwist.app.bound import BoundChannel
from takotwist.app.newest import check_field
from takotwist.app.payloads import Payloads, check_type
from takotwist.app.presence import Member, MemberEvent
from takotwist.app.published import Publishing
from takotwist.app.signatures import check_takes
from takotwist.app.state import StateFunction
from takotwist.app.type_parameters import M, OfChannel, Q, R, T, V
from takotwist.app.types import (
    Context,
    Declared,
    DoesNotFit,
    P,
    VerifyRequest,
    to_builtins,
    to_json,
)
from takotwist.codecs.plain_json import ENCODING_ERRORS, failed_in
from takotwist.core.channel import ChannelDefinition, Credentials
from takotwist.core.json_values import Json
from takotwist.core.roster_messages import read_entry
from takotwist.errors import DefinitionError, ParamsInvalid

F = TypeVar("F", bound=Callable[..., object])

#: The header that carries credentials where `verify` names nothing (protocol, section 3).
DEFAULT_HEADER = "authorization"

#: What a header or a cookie may be named (RFC 9110, section 5.6.2).
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")


def _token(name: str, what: str) -> str:
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise DefinitionError(f"{what} {name!r} is no name of a {what}")
    return name


def _plain(value: object, place: str) -> Any:
    try:
        return to_builtins(value)
    except ENCODING_ERRORS as failed:
        raise ParamsInvalid(f"{failed_in(value, place, to_builtins, failed)}.") from None


@attrs.define(slots=True, eq=False, repr=False)
class Channel(OfChannel[P, Q, M]):
    """One channel of an app; made by `define_channel`.

    Called with params it gives a `BoundChannel`, which publishes::

        await chat(room_id="lobby").publish(Msg(text="hi"))

    A type checker knows its params and its payloads: ``Channel[Room]`` is one whose params
    are a ``Room``.

    :ivar place: file and line of its definition, for people.
    """

    place: str
    _definition: ChannelDefinition
    _params: Declared
    _payloads: Payloads
    _params_kind: Callable[..., object] | None = None
    _verify: Callable[..., object] | None = None
    _handlers: dict[str, Callable[..., object]] = attrs.field(factory=dict)
    _publishing: Publishing | None = None
    _hooks: dict[str, Callable[..., object]] = attrs.field(factory=dict, init=False)
    _info: Declared | None = attrs.field(default=None, kw_only=True)
    _state: Declared | None = attrs.field(default=None, kw_only=True)
    state_function: StateFunction | None = attrs.field(default=None, init=False)

    @property
    def name(self) -> str:
        """The wire route, one path segment."""
        return self._definition.name

    @property
    def definition(self) -> ChannelDefinition:
        """The channel as plain data, as far as it has been defined by now."""
        return self._definition

    @property
    def verifier(self) -> Callable[..., object] | None:
        """The function that `verify` decorated."""
        return self._verify

    @property
    def handlers(self) -> Mapping[str, Callable[..., object]]:
        """The functions that `on` decorated, by message type."""
        return self._handlers

    def message(self, type: str, payload: type[T], /) -> Channel[P, Q, M | T]:
        """Declare one more message; gives this channel again.

        As an entry of `define_channel`'s ``messages``, in a form in which every type checker
        knows all payloads::

            chat = define_channel("chat", messages={"msg": Msg}).message("left", Left)

        :param payload: its class.
        :raises DefinitionError: when the type is declared already, or cannot be.
        """
        if self._handlers:
            raise DefinitionError(
                f"channel {self.name!r}: declare message type {type!r} before the first handler"
            )
        self._payloads.add(type, payload)
        check_field(self._definition.newest, type, self._payloads.schemas[type])
        self._definition = attrs.evolve(self._definition, messages=dict(self._payloads.schemas))
        return cast("Channel[P, Q, M | T]", self)

    def type_of(self, message: object) -> str:
        """The message type whose payload `message` is.

        :raises BodyInvalid: none is, or several are.
        """
        return self._payloads.type_of(message)

    @overload
    def verify(
        self, function: Callable[[VerifyRequest[P]], V], /
    ) -> Callable[[VerifyRequest[P]], V]: ...

    @overload
    def verify(
        self,
        /,
        *,
        header: str | None = ...,
        cookie: str | None = ...,
        query_token: bool = ...,
    ) -> Callable[[Callable[[VerifyRequest[P]], V]], Callable[[VerifyRequest[P]], V]]: ...

    def verify(
        self,
        function: Callable[..., object] | None = None,
        /,
        *,
        header: str | None = "",
        cookie: str | None = None,
        query_token: bool = False,
    ) -> Any:
        """Decorate the function that decides who may use this channel.

        It gets one `VerifyRequest` and returns a `Grant` or `True`, or `False` or
        `None` for no, or a mapping like the answer of protocol section 9
        (``{"subject": "u1"}``).  Raising anything but `Reject` means that no
        answer could be had: clients are told to come again.

        :param header: the header that carries the credentials.  Left out:
            ``authorization``, unless a cookie is named.  `None`: no header.
        :param cookie: the cookie that carries them.  Header and cookie may both
            be named; a request needs one of them.
        :param query_token: whether ``access_token`` in the query may stand for the
            header.  Off by default: addresses end up in logs and histories.
        :raises DefinitionError: when there is a `verify` already, a name is none, or the
            function cannot take a request.
        """
        if header == "":
            header = None if cookie else DEFAULT_HEADER
        credentials = None
        if header is not None or cookie is not None or query_token:
            credentials = Credentials(
                header_name=None if header is None else _token(header, "header").lower(),
                cookie_name=None if cookie is None else _token(cookie, "cookie"),
                query_token=query_token,
            )

        def decorate(verifier: F) -> F:
            if self._verify is not None:
                raise DefinitionError(f"channel {self.name!r} has a verify already")
            check_takes(verifier, "request", what=f"channel {self.name!r}: its verify")
            self._verify = verifier
            self._definition = attrs.evolve(
                self._definition, verified=True, credentials=credentials
            )
            return verifier

        return decorate if function is None else decorate(function)

    @overload
    def on(self, message: str, /) -> Callable[[F], F]: ...

    @overload
    def on(
        self, message: type[T], /
    ) -> Callable[[Callable[[T, Context[P]], R]], Callable[[T, Context[P]], R]]: ...

    def on(self, message: Any, /) -> Any:
        """Decorate the function that handles clients' frames of one type.

        It gets ``(data, context)``: the payload as the declared type, and a
        `Context`.  What it returns is stored and fanned out; returning `None`
        drops the frame; raising `Reject` drops it and tells the sender why;
        raising anything else drops it and is logged.  One handler makes the
        channel a WebSocket channel.

        :param message: a message type, or the class of its payload; with a class, a type
            checker knows what the function is called with.
        :raises DefinitionError: when the type has a handler already or is not
            among the declared messages, or the function cannot take data and context.
        """
        kind = message
        if isinstance(message, type):
            kind = self._payloads.only(message, DefinitionError)
        check_type(kind)
        declared = self._definition.messages
        if declared and kind not in declared:
            raise DefinitionError(
                f"channel {self.name!r} declares no message type {kind!r}"
                f" (its types: {', '.join(declared)})"
            )
        if kind in self._handlers:
            raise DefinitionError(f"channel {self.name!r} has a handler for {kind!r} already")

        def decorate(handler: F) -> F:
            what = f"channel {self.name!r}: its handler for {kind!r}"
            check_takes(handler, "data", "context", what=what)
            self._handlers[kind] = handler
            self._definition = attrs.evolve(self._definition, handlers=frozenset(self._handlers))
            return handler

        return decorate

    def state(self, function: Any = None, /, *, of: Any = None) -> Any:
        """Decorate the function that gives the state of a topic, for clients that are new or have
        missed too much.  It gets a `StateRequest`, and returns the state or a `State`.

        :param of: the type of the state.  Left out: anything.
        :raises DefinitionError: there is one already, or it cannot take a request.
        """

        def decorate(function: F) -> F:
            if self.state_function is not None:
                raise DefinitionError(f"channel {self.name!r} has a state already")
            what = f"channel {self.name!r}: its state"
            self.state_function = StateFunction.of(function, of, what)
            self._definition = attrs.evolve(self._definition, state=self.state_function.rules)
            return function

        return decorate if function is None else decorate(function)

    def on_join(self, hook: F, /) -> F:
        """Decorate the function that is told who joins a topic: at least once, in order.

        It gets one `MemberEvent`.  What it returns is not looked at; what it raises is logged.

        :raises DefinitionError: there is one already, the channel has no presence, or the
            function cannot take an event.
        """
        return self._hooked("join", hook)

    def on_leave(self, hook: F, /) -> F:
        """Decorate the function that is told who has left; see `on_join`."""
        return self._hooked("leave", hook)

    def _hooked(self, kind: str, hook: F) -> F:
        rules = self._definition.presence
        if rules is None:
            raise DefinitionError(f"channel {self.name!r} has no presence: nobody joins or leaves")
        if kind in self._hooks:
            raise DefinitionError(f"channel {self.name!r} has an on_{kind} already")
        check_takes(hook, "event", what=f"channel {self.name!r}: its on_{kind}")
        self._hooks[kind] = hook
        rules = attrs.evolve(rules, hooks=frozenset(self._hooks))
        self._definition = attrs.evolve(self._definition, presence=rules)
        return hook

    def member_event(
        self, kind: Literal["join", "leave"], params: P, data: bytes
    ) -> MemberEvent[P]:
        """The argument of a hook.

        :param data: the id, and what the roster says of the member.
        """
        return MemberEvent(
            str(msgspec.json.decode(data)["id"]), kind, self.name, params, self.read_member(data)
        )

    def read_member(self, data: bytes) -> Member[Any, Any]:
        """A member, with what is said of it as the declared types.

        :param data: as the roster says it.
        """
        said = read_entry(data)

        def typed(value: bytes | None, declared: Declared | None) -> Any:
            if value is None or declared is None:
                return None if value is None else msgspec.json.decode(value)
            return declared.read(value)

        assert said.subject is not None
        info, state = typed(said.info, self._info), typed(said.state, self._state)
        return Member(said.subject, info, state, said.since / 1000)

    @property
    def hooks(self) -> Mapping[str, Callable[..., object]]:
        """The functions that `on_join` and `on_leave` decorated, by ``join`` and ``leave``."""
        return self._hooks

    def bind(self, publishing: Publishing | None) -> None:
        """Say how this channel's messages leave this process.

        The server binds the channels that it loaded to itself.  Elsewhere nothing
        need be bound: ``TAKO_PUBLISH_URL`` and ``TAKO_PUBLISH_KEY`` say where to.

        :param publishing: or `None`, to go by the environment again.
        """
        self._publishing = publishing

    @property
    def publishing(self) -> Publishing | None:
        """Publisher that `bind` gave."""
        return self._publishing

    @overload
    def __call__(self, params: P, /) -> BoundChannel[M]: ...

    @overload
    def __call__(self, /, *args: Q.args, **named: Q.kwargs) -> BoundChannel[M]: ...

    def __call__(self, /, *args: object, **named: object) -> BoundChannel[M]:
        """Bind params.

        :param args: a value of the declared type, or a mapping of names on the wire; else
            what the declared type itself is made with.
        :param named: single params, by their name in Python or on the wire.  One that is
            `None` was not given: its default counts, and where it has none it is missing.
        :raises ParamsInvalid: names the param.
        """
        raw = _plain(args[0], "params") if args else {}
        if len(args) > 1 or not (raw is None or isinstance(raw, dict)):
            raw, named = _plain(self._made(args, named), "params"), {}
        return self._bound(raw or {}, named)

    def _made(self, args: tuple[object, ...], named: Mapping[str, object]) -> object:
        if self._params_kind is None:
            raise ParamsInvalid(f"params must be named values, not {type(args[0]).__name__}.")
        try:
            return self._params_kind(*args, **named)
        except (TypeError, ValueError) as unusable:
            raise ParamsInvalid(f"params: {unusable}.") from None

    def _bound(self, raw: dict[str, Json], named: Mapping[str, object]) -> BoundChannel[M]:
        for name, value in named.items():
            wire_name = self._params.wire_names.get(name, name)
            if wire_name in raw:
                raise ParamsInvalid(f"param {wire_name!r} is given twice.")
            raw[wire_name] = _plain(value, f"param {wire_name!r}")
        # As every client does: what is `None` was not given.
        given = {name: value for name, value in raw.items() if value is not None}
        return BoundChannel(self, self._definition.params.bind(given))

    def read_params(self, params: Mapping[str, object]) -> P:
        """Validated params as the declared type.

        :raises ParamsInvalid: the type refuses what its schema let through.
        """
        try:
            read: P = self._params.read(to_json(params))
        except DoesNotFit as misfit:
            place = misfit.path.removeprefix(".") or "params"
            raise ParamsInvalid(f"{place}: {misfit.reason}") from None
        return read

    def read_data(self, type: str, data: bytes) -> Any:
        """A payload as the declared type.

        :param data: one JSON value, encoded.
        :raises BodyInvalid: names the path inside ``data``.
        """
        return self._payloads.read(type, data)

    def write_data(self, type: str, data: object) -> bytes:
        """A payload as JSON.

        :param data: of the declared type, or what JSON would carry.
        :raises BodyInvalid: names the path inside ``data``.
        """
        return self._payloads.write(type, data)

    def __repr__(self) -> str:
        return f"<Channel {self.name!r} defined in {self.place}>"

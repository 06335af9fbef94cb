"""Names of Pusher channels: what their prefixes mean, and the topic that each one is.

A rule of the configuration maps names to a channel of the app's, ``private-chat-{roomId}`` to
``chat`` with the param ``roomId``; a name without a rule is a topic of a channel of our own,
``pusher?app=main&name=private-chat-1``, which collides with no channel of the app's.

Rule: a name is one topic, and a topic has one name for one app of Pusher's, because a message
is encoded once for all who follow it and must name the channel.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import attrs

from takotwist.core.topic import Topic, spelled
from takotwist.errors import BodyInvalid

#: The channel whose topics are the names without a rule.
CHANNEL = "pusher"

#: Pusher's documents say 164 characters, its libraries take 200.
MAX_NAME = 200

_NAME = re.compile(rf"[-a-zA-Z0-9_=@,.;]{{1,{MAX_NAME}}}")
_USER_ID = re.compile(r"[^\x00-\x1f\x7f]{1,128}")

TO_USER = "#server-to-user-"
CLIENT_EVENT = "client-"

#: Events that only the server may say.
RESERVED_EVENTS = ("pusher:", "pusher_internal:")

_PRIVATE, _PRESENCE, _ENCRYPTED = "private-", "presence-", "private-encrypted-"
_CACHE = ("cache-", "private-cache-", "presence-cache-", "private-encrypted-cache-")


@attrs.frozen(slots=True)
class Name:
    """A channel's name, and what its prefix says.

    :ivar presence: who follows it is shown to the others.
    :ivar private: it needs a signature, as presence does.
    :ivar encrypted: its events are read by clients alone.
    :ivar cache: who comes gets its last event.
    :ivar user: the user whose own channel it is.
    """

    text: str
    presence: bool = False
    private: bool = False
    encrypted: bool = False
    cache: bool = False
    user: str | None = None

    @property
    def signed(self) -> bool:
        """`True` where a signature lets in."""
        return self.private or self.presence

    @property
    def takes_client_events(self) -> bool:
        """`True` where clients may speak at all."""
        return self.signed and not self.encrypted

    @classmethod
    def of(cls, text: object) -> Name:
        """:raises BodyInvalid: it is no name of a channel."""
        if isinstance(text, str):
            if text.startswith(TO_USER) and _USER_ID.fullmatch(text, len(TO_USER)):
                return cls(text, user=text[len(TO_USER) :])
            if _NAME.fullmatch(text):
                return cls(
                    text,
                    presence=text.startswith(_PRESENCE),
                    private=text.startswith(_PRIVATE),
                    encrypted=text.startswith(_ENCRYPTED),
                    cache=text.startswith(_CACHE),
                )
        raise BodyInvalid(
            f"A channel's name has 1 to {MAX_NAME} of the characters A-Z a-z 0-9 _ - = @ , . ;"
        )


def is_user_id(text: object) -> bool:
    """`True` where it can be the id of a user."""
    return isinstance(text, str) and _USER_ID.fullmatch(text) is not None


_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


@attrs.frozen(slots=True)
class Rule:
    """A rule that maps names to a channel.

    :ivar pattern: such as ``private-chat-{roomId}``.
    :ivar channel: of the app.
    :ivar trust_signature: a signature of Pusher's lets in, and the channel's own check is not
        asked.
    :ivar store_client_events: events of clients go the way of the channel's own frames: through
        its schema and handlers into the log.
    """

    pattern: str
    channel: str
    trust_signature: bool = False
    store_client_events: bool = False
    prefix: str = attrs.field(init=False, eq=False)
    params: tuple[str, ...] = attrs.field(init=False, eq=False)
    _matches: re.Pattern[str] = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """:raises ValueError: the pattern is none; says what is wrong, as it follows its name."""
        parts = _PLACE.split(self.pattern)
        literals, params = parts[0::2], tuple(parts[1::2])
        if not re.fullmatch(r"[-a-zA-Z0-9_=@,.;]*", "".join(literals)):
            raise ValueError("must be a channel's name, with {param} where a param stands")
        if len(set(params)) != len(params):
            raise ValueError("names a param twice")
        if "" in literals[1:-1]:
            raise ValueError("has two params with nothing between them")
        expression = re.escape(literals[0]) + "".join(
            rf"(?P<{name}>[-a-zA-Z0-9_=@,.;]+{'' if name == params[-1] else '?'})"
            + re.escape(literal)
            for name, literal in zip(params, literals[1:], strict=True)
        )
        object.__setattr__(self, "prefix", literals[0])
        object.__setattr__(self, "params", params)
        object.__setattr__(self, "_matches", re.compile(expression))

    def match(self, name: str) -> Mapping[str, str] | None:
        """The params of a name; `None` where the rule is not for it."""
        found = self._matches.fullmatch(name)
        return None if found is None else found.groupdict()

    def name_of(self, params: Mapping[str, object]) -> str:
        """The name of a topic of the channel."""
        return _PLACE.sub(lambda place: spelled(params.get(place[1])), self.pattern)


@attrs.define(slots=True, eq=False)
class Names:
    """The names of one app of Pusher's.

    :ivar app: as it is called in the configuration.
    """

    app: str
    _rules: tuple[Rule, ...]
    _by_channel: Mapping[str, Rule] = attrs.field(init=False)

    @classmethod
    def of(cls, app: str, rules: Iterable[Rule]) -> Names:
        """:raises ValueError: two rules are for one channel."""
        # The longest literal beginning wins.
        return cls(app, tuple(sorted(rules, key=lambda rule: -len(rule.prefix))))

    def __attrs_post_init__(self) -> None:
        by_channel: dict[str, Rule] = {}
        for rule in self._rules:
            if rule.channel in by_channel:
                raise ValueError(f"has two patterns for the channel {rule.channel!r}")
            by_channel[rule.channel] = rule
        self._by_channel = by_channel

    def place(self, name: str) -> tuple[str, Mapping[str, str], Rule | None]:
        """The channel and the params of a name, and the rule that says so."""
        for rule in self._rules:
            params = rule.match(name)
            if params is not None:
                return rule.channel, params, rule
        return CHANNEL, {"app": self.app, "name": name}, None

    def name_of(self, topic: Topic) -> str:
        """The name that a topic has for this app."""
        if topic.channel == CHANNEL:
            return str(topic.params["name"])
        return self._by_channel[topic.channel].name_of(topic.params)

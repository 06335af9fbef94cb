"""Publish fast path: a request whose head is known but for its target
(see `streams.http.known_heads`).

target -> idempotency key -> body -> append -> answer.  Rule: what the slow path would
refuse before it stores takes the slow path, so there is one place that says what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus

import attrs
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import datetimeToString

from takotwist.codecs.tako_json import encode_message, encode_messages
from takotwist.core.log import Appended
from takotwist.errors import Refusal
from takotwist.flow.refusal import refusal_of
from takotwist.streams.http.interface import Request
from takotwist.transports.publish.intake import PublishIntake
from takotwist.transports.responses import encode_refusal, retry_seconds

_logger = Logger()

#: Fields of a request whose values decide how it is published and answered, in every request
#: that is remembered.  The idempotency key does too, and is read from each.
VALUES_READ = ("authorization", "content-type", "x-forwarded-host")

#: The line of an idempotency key in a plain head.
_KEY = re.compile(rb"\r\nidempotency-key:([^\r]*)\r\n", re.IGNORECASE)

#: Fields of an answer that differ from one to the next.
_OWN = frozenset({b"date", b"content-length"})


@lru_cache(maxsize=2)
def _date(second: int) -> bytes:
    date: bytes = datetimeToString(second)
    return date


@attrs.frozen(slots=True)
class KnownHeadPublish:
    """Answers requests of one sender.

    :ivar sender: as rates count it.
    :ivar keyed: whether each has an idempotency key.
    :ivar version: of what may change while the server runs; when it has, the head
        takes the slow path again.
    """

    intake: PublishIntake
    sender: str
    keyed: bool
    version: object
    _fields: bytes = attrs.field(repr=False)

    @classmethod
    def of(
        cls, intake: PublishIntake, request: Request, sender: str, version: object
    ) -> KnownHeadPublish | None:
        """For the head of `request`, to which the answer's fields were given.

        :param version: when `request` was judged.
        :return: `None` where answers depend on more than the head: on how a page reached us.
        """
        headers = request.requestHeaders
        keys = headers.getRawHeaders(b"idempotency-key") or ()
        if headers.hasHeader(b"origin") or len(keys) > 1:
            return None
        fields = b"".join(
            b"%b: %b\r\n" % (name, value)
            for name, values in request.responseHeaders.getAllRawHeaders()
            if name.lower() not in _OWN
            for value in values
        )
        return cls(intake, sender, bool(keys), version, fields)

    def answer(
        self, head: bytes, target: bytes, body: bytes, done: Callable[[bytes], None]
    ) -> bool:
        """Answer one request (`takotwist.streams.http.interface.FastAnswer`)."""
        intake = self.intake
        settings = intake.settings
        if settings.version is not self.version or len(body) > settings.limits.max_body_bytes:
            return False
        asked = intake.targets.get(target)
        if asked is None:
            return False
        try:
            key = _key_of(head) if self.keyed else None
            if key is not None:
                intake.check_key(key)
            drafts, many = intake.read(body)
            storing = intake.store(self.sender, asked, drafts, key)
        except Refusal:
            return False

        def stored(appended: Appended) -> None:
            messages = appended.messages
            done(
                self._text(200, encode_messages(messages) if many else encode_message(messages[0]))
            )

        def failed(failure: Failure) -> None:
            refusal = refusal_of(failure, _logger, "a publish failed")
            intake.answers.count(refusal)
            wait = retry_seconds(refusal)
            extra = b"" if wait is None else b"Retry-After: %d\r\n" % wait
            done(self._text(refusal.http_status, encode_refusal(refusal), extra))

        storing.addCallbacks(stored, failed)
        return True

    def _text(self, status: int, body: bytes, extra: bytes = b"") -> bytes:
        return b"HTTP/1.1 %d %b\r\n%b%bDate: %b\r\nContent-Length: %d\r\n\r\n%b" % (
            status,
            _phrase(status),
            self._fields,
            extra,
            _date(int(self.intake.publishing.wall())),
            len(body),
            body,
        )


def _key_of(head: bytes) -> str:
    """The value of the one idempotency key in a plain head."""
    found = _KEY.search(head)
    assert found is not None
    value: bytes = found[1].strip(b" \t")
    return value.decode("ascii")


@lru_cache(maxsize=64)
def _phrase(status: int) -> bytes:
    return HTTPStatus(status).phrase.encode("ascii")

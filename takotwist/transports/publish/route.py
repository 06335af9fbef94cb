"""Publish requests over HTTP (protocol, section 7).

path -> channel -> params -> key -> body -> append -> answer.  A plain resource with
no web framework in between: a publish is the hot path of whoever uses HTTP.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable

import attrs

from takotwist.codecs.tako_json import encode_message, encode_messages
from takotwist.errors import CredentialsMissing, VerifyRejected
from takotwist.flow.topic_request import TopicRequest
from takotwist.streams.http.interface import BodyRequest, ReadableRequest, Request
from takotwist.transports.publish.intake import PublishIntake
from takotwist.transports.publish.known_head import KnownHeadPublish
from takotwist.transports.publish.ndjson import publish_lines
from takotwist.transports.request import header_text, read_channel_request, whole_body

NDJSON = "application/x-ndjson"


@attrs.define(slots=True)
class PublishKeys:
    """Publish keys of a public listener.

    :ivar keys: UTF-8.
    """

    keys: tuple[bytes, ...] = attrs.field(repr=False)

    def check(self, authorization: str | None) -> None:
        """Check an Authorization header, in a time that does not depend on the keys.

        :raises CredentialsMissing: there is no key. :raises VerifyRejected: it is none of ours.
        """
        scheme, _, given = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise CredentialsMissing("Publishing needs 'Authorization: Bearer <publish key>'.")
        candidate = given.strip().encode("utf-8", "surrogateescape")
        if not sum(hmac.compare_digest(candidate, key) for key in self.keys):
            raise VerifyRejected("The publish key is not one of this server's.")

    @classmethod
    def of(cls, keys: Iterable[str]) -> PublishKeys:
        """:param keys: as configured."""
        return cls(tuple(key.encode() for key in keys))


@attrs.define(slots=True)
class PublishTransport:
    """Answers POSTs to a channel.

    :ivar may_publish: checks a request's right to publish; does nothing on the
        private listener.
    """

    intake: PublishIntake
    may_publish: Callable[[ReadableRequest], None]

    def stop(self) -> None:
        """The server stops."""
        self.intake.stop()

    async def ask(self, request: Request, channel: str) -> tuple[TopicRequest, str | None]:
        """Check everything but the body.

        :return: what is asked, and the idempotency key.
        """
        channel_request = read_channel_request(request)
        authorizing = self.intake.authorizing
        definition = await authorizing.find(channel)
        asked = authorizing.bind_query(definition, channel_request.params)
        self.may_publish(request)
        key = header_text(request, "idempotency-key")
        if key is not None:
            self.intake.check_key(key)
        return asked, key

    async def publish(self, request: BodyRequest, channel: str) -> None:
        """Store one message, an array of them (all or none), or NDJSON line by line.

        :param request: a `StreamRequest` whose body is streamed.
        """
        intake, answers = self.intake, self.intake.answers
        # Before the key is checked: it may be withdrawn while the message is stored.
        version = intake.settings.version
        asked, key = await self.ask(request, channel)
        kind = (header_text(request, "content-type") or "").partition(";")[0].strip().lower()
        sender = request.getHeader("authorization") or ""
        if kind == NDJSON:
            answers.cors(request)
            publish_lines(intake, request, asked, sender, key)
            return
        drafts, many = intake.read(await whole_body(request, intake.settings.limits.max_body_bytes))
        messages = (await intake.store(sender, asked, drafts, key)).messages
        answers.cors(request)
        body = encode_messages(messages) if many else encode_message(messages[0])
        answers.json_head(request, body)
        again = KnownHeadPublish.of(intake, request, sender, version)
        if again is not None:
            intake.targets.learn(request.path, channel)
            request.remember(again.answer)
        answers.send(request, body)

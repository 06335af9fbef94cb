"""NDJSON publish: one message a line, stored as they arrive and answered line by line.

Rule: answers come in the order of the lines, and as many lines are in flight as
one transaction takes; a client that does not read its answers is not read from.

A stream may be quiet for as long as it likes, up to a bound; then an empty line, now and
then, shows everybody between that it is alive.  Whatever ends it is its last line.
"""

from __future__ import annotations

from collections import deque

from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from takotwist.codecs.tako_json import encode_message, read_draft
from takotwist.core.counted import counted
from takotwist.core.deadlines import Comments, Deadline, Pulse
from takotwist.core.log import Appended
from takotwist.core.topic import Draft
from takotwist.errors import MessageTooLarge, Refusal, ShuttingDown
from takotwist.flow.refusal import refusal_of
from takotwist.flow.topic_request import TopicRequest
from takotwist.streams.http.interface import BodyRequest
from takotwist.streams.unfinished import Cut, Incoming
from takotwist.transports.publish.intake import PublishIntake
from takotwist.transports.request import refusal_of_cut
from takotwist.transports.responses import encode_refusal

#: Lines that may be in flight; the body is read on when half of them are answered.
MAX_LINES_IN_FLIGHT = 512

#: Seconds of silence after which an empty line is written.
KEEPALIVE_SECONDS = 25.0

#: Bytes of a line beside its payload.
ENVELOPE_BYTES = 4096

_logger = Logger()


def publish_lines(
    intake: PublishIntake,
    request: BodyRequest,
    asked: TopicRequest,
    sender: str,
    key: str | None,
) -> None:
    """Take the body of `request`, a `StreamRequest`.

    :param sender: as rates count it.
    :param key: idempotency key; that of a line is ``<key>:<number of the line>``.
    """
    request.responseHeaders.setRawHeaders("Content-Type", ["application/x-ndjson"])
    request.responseHeaders.setRawHeaders("Cache-Control", ["no-store"])
    request.setResponseCode(200)
    lines = LineStream(intake, request, asked, sender, key)
    request.let_body_be_quiet()
    request.registerProducer(lines, True)
    # A body that has come whole is not told of a loss, and its answers may still be due.
    request.notifyFinish().addErrback(lambda _: lines.body_lost())
    request.stream_body(lines)


class _Answer:
    """The place of one line among the answers."""

    __slots__ = ("text",)

    def __init__(self) -> None:
        self.text: bytes | None = None


@implementer(IPushProducer)
class LineStream:
    """One request; also the producer of its answer.  Made by `publish_lines`."""

    def __init__(
        self,
        intake: PublishIntake,
        request: BodyRequest,
        asked: TopicRequest,
        sender: str,
        key: str | None,
    ) -> None:
        self._intake = intake
        self._request = request
        self._asked = asked
        self._sender = sender
        self._key = key
        self._rest = b""
        #: The line that has begun; a stream is quiet between its lines for as long as it likes.
        self._incoming: Incoming | None = None
        self._number = 0
        self._answers: deque[_Answer] = deque()
        self._read: list[tuple[_Answer, Draft]] = []
        self._ended = False
        self._gone = False
        self._slow_client = False
        self._begun_at = self._heard_at = self._written_at = intake.publishing.seconds()
        self._deadline: Deadline | None = None
        self._watch(self._begun_at + KEEPALIVE_SECONDS)
        intake.streams.add(self)

    def stop(self) -> None:
        """The server stops: what was taken is answered, and then it is said why no more is."""
        if not self._ended:
            self._end_by(ShuttingDown())
            self.flush()

    # the body

    def body_chunk(self, data: bytes) -> None:
        """Implement `BodyReceiver`."""
        if self._ended:
            return
        self._heard_at = self._intake.publishing.seconds()
        *lines, self._rest = (self._rest + data).split(b"\n")
        if lines:
            self._forget_rest()
        for line in lines:
            self._line(line)
        self._store_read()
        limit = self._intake.settings.limits.max_message_bytes + ENVELOPE_BYTES
        if len(self._rest) > limit:
            self._end_by(MessageTooLarge(f"A line may have {limit} bytes."))
        elif self._rest:
            if self._incoming is None:
                self._incoming = self._request.site.unfinished.begin(self._cut_off)
            self._incoming.holds(len(self._rest))
        self._pace()
        self.flush()

    def body_end(self) -> None:
        """Implement `BodyReceiver`."""
        self._forget_rest()
        if self._rest:
            self._line(self._rest)
            self._store_read()
        self._ended = True
        self.flush()

    def body_lost(self) -> None:
        """Implement `BodyReceiver`.  Lines that were taken are stored all the same."""
        self._over()
        self._answers.clear()

    def _cut_off(self, why: Cut) -> None:
        self._end_by(refusal_of_cut(why))
        self.flush()

    def _forget_rest(self) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.end()

    def _end_by(self, refusal: Refusal) -> None:
        """Take no more; the last line of the answer says why."""
        self._forget_rest()
        self._number += 1
        self._refuse(refusal)
        self._rest = b""
        self._ended = True
        self._request.close_after()

    def _line(self, line: bytes) -> None:
        if self._ended or not line.strip():
            return
        self._number += 1
        place = _Answer()
        self._answers.append(place)
        try:
            draft = read_draft(line, self._intake.settings.limits.max_message_bytes)
            self._intake.check(self._sender, self._asked, [draft])
        except Refusal as refusal:
            self._refused(place, refusal)
            return
        if self._key is None:
            self._read.append((place, draft))
        else:
            self._store([(place, draft)], f"{self._key}:{self._number}")

    def _store_read(self) -> None:
        """Store together what came together: lines of one read would share a transaction anyway."""
        read, self._read = self._read, []
        if read:
            self._store(read, None)

    def _store(self, lines: list[tuple[_Answer, Draft]], key: str | None) -> None:
        storing = self._intake.keep(self._asked, [draft for _, draft in lines], key)
        storing.addCallbacks(
            lambda appended: self._stored(lines, appended),
            lambda failure: self._failed(lines, failure),
        )

    def _stored(self, lines: list[tuple[_Answer, Draft]], appended: Appended) -> None:
        for (place, _), message in zip(lines, appended.messages, strict=True):
            place.text = encode_message(message)
        self._answered(lines[0][0])

    def _failed(self, lines: list[tuple[_Answer, Draft]], failure: Failure) -> None:
        refusal = refusal_of(failure, _logger, "a line could not be stored")
        for place, _ in lines:
            self._refused(place, refusal)
        self._answered(lines[0][0])

    def _refused(self, place: _Answer, refusal: Refusal) -> None:
        place.text = encode_refusal(refusal)
        self._intake.answers.count(refusal)

    def _refuse(self, refusal: Refusal) -> None:
        place = _Answer()
        place.text = encode_refusal(refusal)
        self._answers.append(place)

    # the answer

    def _answered(self, place: _Answer) -> None:
        # The lines of one transaction are answered in one write, when its turn ends.
        if not self._gone and self._answers[0] is place:
            self._intake.publishing.flush_batch.add(self)

    def flush(self) -> None:
        if self._gone:
            return
        ready: list[bytes] = []
        while self._answers and self._answers[0].text is not None:
            text = self._answers.popleft().text
            assert text is not None
            ready.append(text)
        if ready:
            self._write(b"\n".join([*ready, b""]))
        if self._ended and not self._answers:
            self._over()
            self._request.unregisterProducer()
            self._request.finish()
        else:
            self._pace()

    def _write(self, data: bytes) -> None:
        self._request.write(data)
        self._written_at = self._intake.publishing.seconds()

    def _over(self) -> None:
        self._gone = True
        self._intake.streams.discard(self)
        self._forget_rest()
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    # a stream that is quiet

    def _watch(self, when: float) -> None:
        times = self._intake.settings.publish
        idle, whole = times.stream_idle_seconds, times.stream_seconds
        due = min(when, self._heard_at + idle, self._begun_at + whole)
        self._deadline = self._intake.deadlines.at(due, self._beat)

    def _beat(self) -> None:
        if self._ended:
            # Its last answers are on their way.
            return
        now, times = self._intake.publishing.seconds(), self._intake.settings.publish
        idle, whole = times.stream_idle_seconds, times.stream_seconds
        if now >= self._begun_at + whole:
            self._end_by(Refusal(f"A stream may last {counted(whole, 'second')}: begin another."))
        elif now >= self._heard_at + idle:
            self._end_by(Refusal(f"Nothing has come for {counted(idle, 'second')}."))
        else:
            pulse, again = Comments(KEEPALIVE_SECONDS).check(now, self._written_at)
            if pulse is Pulse.SPEAK and not self._slow_client:
                self._write(b"\n")
            self._watch(again)
            return
        self.flush()

    def _pace(self) -> None:
        if self._slow_client or len(self._answers) >= MAX_LINES_IN_FLIGHT:
            self._request.pause_body()
            if self._incoming is not None:
                self._incoming.wait()
        elif len(self._answers) <= MAX_LINES_IN_FLIGHT // 2:
            self._request.resume_body()
            if self._incoming is not None:
                self._incoming.go_on()

    # IPushProducer, towards the transport

    def pauseProducing(self) -> None:
        """The client does not read its answers."""
        self._slow_client = True
        self._pace()

    def resumeProducing(self) -> None:
        """It does again."""
        self._slow_client = False
        self._pace()

    def stopProducing(self) -> None:
        """It has gone; `body_lost` follows."""

"""Schedule of requests for certificates.

Rules: what is decided is a function of what is on disk and of the time, so a restart, a second
process and a clock that jumps change nothing about how often an authority is asked; and
after a failure it is hours until the next try, because authorities count failures.
"""

from __future__ import annotations

from collections.abc import Collection
from math import isfinite
from typing import Any, Literal

import attrs

from takotwist.tls.certificate import CertificatePair

HOUR, DAY = 3600.0, 86_400.0

#: Seconds before the next try: after the first failure, and at most.  Let's Encrypt takes five
#: failures an hour for a name.
FIRST_PAUSE, LONGEST_PAUSE = HOUR, DAY

#: Seconds between two tries that the operator asks for.
ASKED_PAUSE = 15 * 60.0

#: The longest that an authority may tell us to stay away.
LONGEST_RETRY_AFTER = 7 * DAY

#: Seconds between two questions when to renew (ARI, RFC 9773).
ADVICE_INTERVAL = 12 * HOUR

#: The part of its life before which a certificate is not renewed, whatever the authority's advice;
#: after which it is where there is none; and after which it is in any case.
EARLIEST_AGE, USUAL_AGE, LATEST_AGE = 0.01, 2 / 3, 0.9

#: Seconds by which this machine's clock may differ from the authority's.  With a wrong clock
#: each new certificate would seem to be old, and be renewed at once.
MOST_SKEW = HOUR

What = Literal["certificate", "advice"]


@attrs.frozen(slots=True)
class Record:
    """Record of the tries so far; times in unix seconds by this machine's clock.

    :ivar failures: since the last success.
    :ivar next_try: no sooner than that.
    :ivar renew_at: when the authority would have the certificate renewed.
    :ivar advised_at: when it was asked for that.
    :ivar reason: of the last failure.
    """

    failures: int = 0
    tried_at: float | None = None
    next_try: float | None = None
    renew_at: float | None = None
    advised_at: float | None = None
    reason: str = ""

    @classmethod
    def of_json(cls, said: object) -> Record:
        """The record that was written; an empty one where it cannot be read."""
        if not isinstance(said, dict):
            return cls()
        kept: dict[str, Any] = {}
        for name in ("tried_at", "next_try", "renew_at", "advised_at"):
            value = said.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value):
                kept[name] = float(value)
        failures, reason = said.get("failures"), said.get("reason")
        if isinstance(failures, int) and not isinstance(failures, bool) and failures >= 0:
            kept["failures"] = failures
        if isinstance(reason, str):
            kept["reason"] = reason
        return cls(**kept)

    def succeeded(self, now: float) -> Record:
        """The record after a success.

        Whatever makes the new certificate seem to be old, there is not one each minute.
        """
        return Record(tried_at=now, next_try=now + FIRST_PAUSE)

    def for_other_names(self) -> Record:
        """The record for a list of names that shares some with that of before.

        Authorities count failures by the name, so whoever edits the list again and again has no
        more tries than whoever asks again and again.
        """
        if self.failures == 0 or self.tried_at is None or self.next_try is None:
            return Record()
        at = min(self.next_try, self.tried_at + ASKED_PAUSE)
        return Record(tried_at=self.tried_at, next_try=at, reason=self.reason)

    def failed(self, now: float, chance: float, retry_after: float, reason: str) -> Record:
        """The record after a failure.

        :param chance: a number from 0 to 1, so that many servers do not come back together.
        :param retry_after: seconds that the authority wants to be left alone.
        """
        pause = min(FIRST_PAUSE * 2.0 ** min(self.failures, 10), LONGEST_PAUSE)
        pause = max(pause * (1 + 0.2 * chance), min(retry_after, LONGEST_RETRY_AFTER))
        return attrs.evolve(
            self, failures=self.failures + 1, tried_at=now, next_try=now + pause, reason=reason
        )


def is_due(pair: CertificatePair, domains: Collection[str], record: Record, now: float) -> bool:
    """Tell whether another certificate is needed.

    :param pair: what is shown now.
    """
    leaf = pair.leaf
    if leaf.issuer == leaf.subject or set(pair.names) != set(domains):
        # Made here for the time being, or for other names.
        return True
    begins, ends = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    earliest, usual, latest = (
        begins + (ends - begins) * age for age in (EARLIEST_AGE, USUAL_AGE, LATEST_AGE)
    )
    at = usual if record.renew_at is None else record.renew_at
    return now >= min(max(at, earliest), latest)


def may_try(record: Record, now: float, *, asked: bool = False) -> bool:
    """Tell whether the authority may be asked for a certificate.

    :param asked: the operator wants it, who may have mended what was wrong.
    """
    if record.tried_at is None or record.next_try is None:
        return True
    if now < record.tried_at:
        # The clock was set back, and only a new try tells what it was worth.
        return True
    if now >= record.next_try:
        return True
    # What an authority has said by itself is kept to, whoever asks.
    told = record.next_try - record.tried_at > LONGEST_PAUSE * 1.2
    return asked and not told and now - record.tried_at >= ASKED_PAUSE


def what_next(
    pair: CertificatePair,
    domains: Collection[str],
    record: Record,
    now: float,
    *,
    asked: bool = False,
) -> What | None:
    """The next thing to do; `None` where there is nothing."""
    if is_due(pair, domains, record, now):
        return "certificate" if may_try(record, now, asked=asked) else None
    advised = record.advised_at
    if advised is None or not 0 <= now - advised < ADVICE_INTERVAL:
        return "advice"
    return None

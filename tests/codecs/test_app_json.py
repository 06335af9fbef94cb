"""The two sides of an app elsewhere read what the other writes."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from takotwist.codecs import app_json
from takotwist.core.authorization import (
    LATEST_EXPIRY,
    AuthRequest,
    Drop,
    Fanout,
    Frame,
    Grant,
    HeaderCredential,
    Reject,
)
from takotwist.errors import BodyInvalid, VerifyRejected

# Text as it may come in HTTP and in JSON: no lone surrogates.
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
params = st.dictionaries(text, st.none() | st.booleans() | st.integers(-(2**53), 2**53) | text)
whole = st.none() | st.integers(0, 2**40)
data = st.sampled_from([b"null", b"0", b'"x"', b"[1,2]", b'{"a":{"b":null}}'])


class TestAppJson(SynchronousTestCase):
    @given(
        st.builds(
            AuthRequest,
            text,
            st.sampled_from(["subscribe", "connect", "publish", "history"]),
            params,
            st.none() | st.builds(HeaderCredential, text, st.none() | text),
            st.none() | text,
        )
    )
    def test_question(self, request: AuthRequest) -> None:
        """A question is read as it was asked."""
        self.assertEqual(app_json.read_question(app_json.write_question(request)), request)

    @given(
        st.builds(
            Grant,
            subject=st.none() | text,
            expires_at=st.none() | st.floats(0, LATEST_EXPIRY),
            replay_window_ms=whole,
            inactivity_ttl_ms=whole,
            keepalive_interval_ms=whole,
            max_connection_lifetime_ms=whole,
        )
    )
    def test_grant(self, grant: Grant) -> None:
        """A grant is read as it was given, and is no refusal."""
        written = app_json.write_grant(grant)
        self.assertEqual(app_json.read_grant(written), grant)
        self.assertFalse(app_json.says_no(written))

    @given(st.builds(Frame, text, params, text, data, st.none() | text))
    def test_frame(self, frame: Frame) -> None:
        """A frame is read as it was sent."""
        self.assertEqual(app_json.read_frame(app_json.write_frame(frame)), frame)

    @given(st.builds(Fanout, data) | st.builds(Drop, st.none() | text) | st.builds(Reject, text))
    def test_verdict(self, verdict: Fanout | Drop | Reject) -> None:
        """A verdict is read as it was given."""
        self.assertEqual(app_json.read_verdict(app_json.write_verdict(verdict)), verdict)

    def test_no(self) -> None:
        """The app's no is read as one."""
        self.assertRaises(VerifyRejected, app_json.read_grant, app_json.NO)
        self.assertTrue(app_json.says_no(app_json.NO))

    @given(st.binary(max_size=50))
    def test_any_bytes(self, body: bytes) -> None:
        """Whatever comes is read, or refused as what it is."""
        for read in (app_json.read_question, app_json.read_frame, app_json.read_verdict):
            with contextlib.suppress(BodyInvalid):
                read(body)
        app_json.says_no(body)

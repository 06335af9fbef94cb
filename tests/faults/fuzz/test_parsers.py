"""No parser of ours fails in a way that its caller does not expect."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.faults.fuzz.parsers import PARSERS, read
from tests.faults.seen import say

#: Nested deeper, and numbers longer, than anybody reads.
_DEEP = st.sampled_from(
    [
        b"[" * 20_000,
        b'{"a":' * 20_000,
        b'{"op":"open","lifecycle":{"keepaliveIntervalMs":1%b}}' % (b"0" * 400),
    ]
)

#: Pieces that mean something to some parser.
_WORDS = st.sampled_from(
    [b'"', b"{", b"}", b"[", b"]", b":", b",", b"%", b"\\u", b"null", b"-", b"1e999", b"0", b"\xff"]
)


def _damaged(seed: bytes) -> st.SearchStrategy[bytes]:
    """`seed` with some bytes replaced by others."""
    place = st.integers(0, len(seed))
    what = st.one_of(st.binary(max_size=8), _WORDS)
    return st.builds(
        lambda start, end, new: seed[: min(start, end)] + new + seed[max(start, end) :],
        place,
        place,
        what,
    )


class ParserTests(SynchronousTestCase):
    """Anything may come."""

    def test_anything(self) -> None:
        """Bytes that mean nothing, and good input that was damaged, are read or refused."""
        for name, parser in PARSERS.items():
            inputs = st.one_of(
                st.binary(max_size=200),
                st.lists(_WORDS, max_size=20).map(b"".join),
                _DEEP,
                *map(_damaged, parser.seeds),
            )
            self._hold(name, inputs)
        say(
            f"nonsense and damaged input to {len(PARSERS)} parsers", "values, or the named refusals"
        )

    def _hold(self, name: str, inputs: st.SearchStrategy[bytes]) -> None:
        @settings(max_examples=150, database=None)
        @given(inputs)
        def hold(data: bytes) -> None:
            read(name, data)

        hold()

    def test_seeds(self) -> None:
        """What a fuzzer begins with is good input, or nearly."""
        for name, parser in PARSERS.items():
            self.assertTrue(parser.seeds, name)
            for seed in parser.seeds:
                read(name, seed)

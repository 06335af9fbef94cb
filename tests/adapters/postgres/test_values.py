"""Values in PostgreSQL's binary form: as psycopg writes and reads them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from psycopg.adapt import Transformer
from psycopg.pq import Format
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.postgres.values import (
    boolean,
    byteas,
    int4,
    int4s,
    int8,
    int8s,
    read_byteas,
    read_int8,
    read_int8s,
    texts,
)

BIG = st.integers(-(2**63), 2**63 - 1)
SMALL = st.integers(-(2**31), 2**31 - 1)

#: PostgreSQL's numbers of types.
BOOL, BYTEA, INT8, INT4 = 16, 17, 20, 23
TEXTS, BYTEAS, INT8S, INT4S = 1009, 1001, 1016, 1007


def read(kind: int, data: bytes) -> Any:
    """What psycopg makes of a column of a type."""
    return Transformer().get_loader(kind, Format.BINARY).load(data)


class ValuesTests(SynchronousTestCase):
    """Both ways."""

    @given(BIG, SMALL, st.booleans())
    def test_numbers(self, big: int, small: int, flag: bool) -> None:
        """One number, and a truth value."""
        self.assertEqual(read(INT8, int8(big)), big)
        self.assertEqual(read(INT4, int4(small)), small)
        self.assertEqual(read(BOOL, boolean(flag)), flag)
        self.assertEqual(read_int8(int8(big)), big)

    @given(st.lists(BIG), st.lists(SMALL))
    def test_arrays_of_numbers(self, big: list[int], small: list[int]) -> None:
        """Arrays, empty ones too."""
        self.assertEqual(read(INT8S, int8s(big)), big)
        self.assertEqual(read(INT4S, int4s(small)), small)
        self.assertEqual(read_int8s(int8s(big)), tuple(big))

    @given(st.lists(st.none() | st.binary(max_size=20)))
    def test_bytes(self, values: list[bytes | None]) -> None:
        """Bytes, with nulls among them."""
        self.assertEqual(read(BYTEAS, byteas(values)), values)
        whole = [value for value in values if value is not None]
        self.assertEqual(read_byteas(byteas(whole)), whole)

    @given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=10)))
    def test_texts(self, values: list[str]) -> None:
        """Texts."""
        self.assertEqual(read(TEXTS, texts(values)), values)
        self.assertEqual(read_byteas(texts(values)), [value.encode() for value in values])

    def test_null(self) -> None:
        """A null is a zero, or nothing."""
        self.assertEqual((read_int8(None), read_int8s(None), read_byteas(None)), (0, (), []))

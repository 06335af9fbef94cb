"""Tables of transitions: the states that a lifecycle has, and what may follow each.

A lifecycle keeps its state in one attribute, and its file has the table and says what
causes each transition; `docs/architecture/states.md` is drawn from the tables.  Rule: a
transition that the table does not have is an error of this program, whoever is at the
other end, and changes nothing.

(Automat was the alternative: a class for each state and a call through its dispatch for
each input.  The lifecycles here need the check and the picture, and their inputs are
plain methods that a reader can follow.)
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeAlias, TypeVar

State = TypeVar("State", bound=Enum)

#: The states that may follow each state; a final one has none.
Transitions: TypeAlias = Mapping[State, frozenset[State]]


def moved(table: Transitions[State], state: State, to: State) -> State:
    """The next state by a table of transitions.

    :raises RuntimeError: there is no such transition.
    """
    if to not in table[state]:
        raise RuntimeError(f"{type(state).__name__} cannot go from {state.name} to {to.name}")
    return to

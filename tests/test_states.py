"""Tables of transitions: each is whole, and refuses what it does not have."""

from __future__ import annotations

import inspect
import pkgutil
import re
from enum import Enum
from importlib import import_module

from twisted.trial.unittest import SynchronousTestCase

import takotwist
from takotwist.live.machine.lifecycle import Phase
from takotwist.states import Transitions, moved
from tests.docs.page import ROOT
from tests.docs.states_page import LIFECYCLES, Lifecycle, diagram


class Light(Enum):
    """A state of these tests."""

    RED = "red"
    GREEN = "green"
    OFF = "off"


LIGHT: Transitions[Light] = {
    Light.RED: frozenset({Light.GREEN, Light.OFF}),
    Light.GREEN: frozenset({Light.RED, Light.OFF}),
    Light.OFF: frozenset(),
}


class MovedTests(SynchronousTestCase):
    """One step by a table."""

    def test_allowed(self) -> None:
        """A transition of the table gives the next state."""
        self.assertIs(moved(LIGHT, Light.RED, Light.GREEN), Light.GREEN)

    def test_refused(self) -> None:
        """Any other is an error that names both states; a state does not follow itself unless
        the table says so."""
        for state, to in ((Light.OFF, Light.RED), (Light.RED, Light.RED)):
            error = self.assertRaises(RuntimeError, moved, LIGHT, state, to)
            self.assertEqual(str(error), f"Light cannot go from {state.name} to {to.name}")


class TablesTests(SynchronousTestCase):
    """The lifecycles of the program."""

    def test_whole(self) -> None:
        """Each table has every state, each can be reached, and each that is final is reached
        from all others, or there is none."""
        for one in LIFECYCLES:
            states = set(one.states)
            self.assertEqual(set(one.table), states, one.title)
            self.assertEqual(self._reached(one, one.first), states, one.title)
            final = {state for state in states if not one.table[state]}
            for state in states - final:
                self.assertTrue(not final or self._reached(one, state) & final, one.title)

    def _reached(self, one: Lifecycle, begin: Enum) -> set[Enum]:
        found, todo = {begin}, [begin]
        while todo:
            new = one.table[todo.pop()] - found
            found |= new
            todo += new
        return found

    def test_refused(self) -> None:
        """What a table does not have is refused, each pair of states of each lifecycle."""
        for one in LIFECYCLES:
            for state in one.states:
                for to in one.states:
                    if to in one.table[state]:
                        self.assertIs(moved(one.table, state, to), to)
                    else:
                        self.assertRaises(RuntimeError, moved, one.table, state, to)

    def test_drawn(self) -> None:
        """A picture has an arrow for each transition and for each end, and no other."""
        for one in LIFECYCLES:
            arrows = {
                (before, after)
                for before, after in re.findall(r"(\S+) --> (\S+)", "\n".join(diagram(one)))
            }
            wanted = {(state.name, to.name) for state in one.states for to in one.table[state]}
            wanted |= {(state.name, "[*]") for state in one.states if not one.table[state]}
            self.assertEqual(arrows, wanted | {("[*]", one.first.name)}, one.title)

    def test_all_of_them(self) -> None:
        """Every table of the program is among them, and the head of its file names it."""
        found = {}
        for info in pkgutil.walk_packages(takotwist.__path__, "takotwist."):
            source = ROOT / (info.name.replace(".", "/") + ".py")
            if not source.exists() or ": Transitions[" not in source.read_text():
                continue
            module = import_module(info.name)
            for name, value in vars(module).items():
                if name.endswith("TRANSITIONS") and f"\n{name}: " in source.read_text():
                    found[id(value)] = (info.name, name, inspect.getdoc(module) or "")
        self.assertEqual({id(one.table) for one in LIFECYCLES}, set(found))
        for module_name, name, head in found.values():
            self.assertIn(f"`{name}`", head, module_name)

    def test_javascript(self) -> None:
        """The live machine of the JavaScript client has the same phases."""
        source = (ROOT / "clients" / "js" / "src" / "live_machine.ts").read_text()
        declared = re.search(r"^export type Phase = (.+);$", source, re.MULTILINE)
        assert declared is not None
        self.assertEqual(
            [word.strip(' "') for word in declared[1].split("|")],
            [phase.name.lower() for phase in Phase],
        )

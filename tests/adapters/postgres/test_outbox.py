"""Publishing inside a transaction of the application's own."""

from __future__ import annotations

from typing import Any

import psycopg
from twisted.trial.unittest import SynchronousTestCase

from takotwist.adapters.postgres.schema import MOVER_US
from takotwist.core.channel import ChannelDefinition, Defined, NewestRules, Registry
from takotwist.core.metrics import Metrics
from takotwist.core.params import Params
from takotwist.core.topic import EVERYTHING, Topic
from takotwist.flow.authorize import AuthorizerService
from takotwist.flow.outbox import OutboxMover
from tests.adapters.postgres.clocked import ClockedLog, World
from tests.adapters.postgres.engine import engine
from tests.contracts.replay_log import LOBBY, NOW, Listener, entry
from tests.settings import limited


class OutboxTests(SynchronousTestCase):
    """Two nodes that both would move it over."""

    def setUp(self) -> None:
        self.world = World(NOW)
        self.addCleanup(self.world.close)
        self.reactor = self.world.reactor
        self.one, self.heard = self.node()
        self.other, _ = self.node()
        self.reactor.wait(self.one.follow(LOBBY))

    def node(self) -> tuple[ClockedLog, Listener]:
        log = self.world.log()
        listener = Listener(log)
        self.reactor.wait(log.start(listener))
        self.addCleanup(lambda: self.reactor.wait(log.stop()))
        mover = OutboxMover(log, authorizing(), lambda: 1000, self.reactor)
        mover.startService()
        self.addCleanup(lambda: self.reactor.wait(mover.stopService()))
        return log, listener

    def app(self) -> psycopg.Connection[Any]:
        """The application's connection, which is in a transaction."""
        connection = engine().connect()
        connection.execute(f"SET search_path = {self.world.schema}")
        connection.execute("CREATE TABLE IF NOT EXISTS public.orders (id text)")
        connection.autocommit = False
        self.addCleanup(connection.close)
        return connection

    def publish(self, app: Any, text: str, *, room: str = "lobby", **more: Any) -> None:
        given = {"channel": "chat", "type": "msg", "data": f'"{text}"', "key": None, **more}
        app.execute(
            "SELECT tako_publish(%(channel)s, json_build_object('roomId', %(room)s::text),"
            " %(type)s, %(data)s::json, %(key)s)",
            {**given, "room": room},
        )

    def texts(self) -> list[str]:
        return self.heard.texts.get(LOBBY.key, [])

    def test_with_the_row(self) -> None:
        """A message is there when the application's transaction commits, and not before; where
        that is rolled back it never was.  Meanwhile others publish."""
        app = self.app()
        app.execute("INSERT INTO public.orders VALUES ('1')")
        self.publish(app, "ordered")
        self.reactor.wait(self.other.append([entry(LOBBY, "meanwhile")], NOW))
        self.reactor.until(self.texts)
        self.assertEqual(self.texts(), ["meanwhile"])
        app.commit()
        self.reactor.until(lambda: len(self.texts()) == 2)
        self.assertEqual(self.texts(), ["meanwhile", "ordered"])
        self.publish(app, "not")
        app.rollback()
        self.publish(app, "later")
        app.commit()
        self.reactor.until(lambda: len(self.texts()) == 3)
        self.assertEqual(self.texts()[2:], ["later"])
        self.assertEqual(self.world.do("SELECT count(*) FROM outbox"), [(0,)])

    def test_order_and_number(self) -> None:
        """Many come in their order, each once, whichever nodes are there."""
        app = self.app()
        expected = []
        for number in range(400):
            self.publish(app, str(number))
            expected.append(str(number))
            if number % 7 == 0:
                app.commit()
                self.reactor.pump()
        app.commit()
        self.reactor.until(lambda: len(self.texts()) >= 400)
        self.assertEqual(self.texts(), expected)

    def test_unheard(self) -> None:
        """Without its notification it is found by looking; and when the node that moved is gone
        another one does it."""
        app = self.app()
        self.publish(app, "a")
        app.commit()
        self.reactor.until(self.texts)
        self.world.do("UPDATE mover SET node = 'gone'")
        self.publish(app, "b")
        app.commit()
        for _ in range(10):
            self.reactor.pump(0.01)
        self.assertEqual(self.texts(), ["a"])
        self.world.set_clock(NOW + MOVER_US + 10)
        self.reactor.advance(1.0)
        self.reactor.until(lambda: len(self.texts()) == 2)

    def test_refused(self) -> None:
        """What cannot be published is put aside with the reason, and holds up nothing."""
        app = self.app()
        self.publish(app, "a", channel="nowhere")
        self.publish(app, "b", type="tako.reset")
        self.publish(app, "x" * 2000)
        self.publish(app, "good")
        app.commit()
        self.reactor.until(self.texts)
        self.reactor.until(lambda: self.world.do("SELECT id FROM outbox WHERE refused <> ''"))
        rows = self.world.do("SELECT channel, refused FROM outbox ORDER BY id")
        self.assertEqual(len(rows), 3)
        self.assertIn("type", rows[1][1])
        self.assertEqual(self.texts(), ["good"])
        for bad in ("NULL::json", "'[]'::json"):
            if bad.startswith("NULL"):
                with self.assertRaises(psycopg.errors.NullValueNotAllowed):
                    app.execute(f"SELECT tako_publish('chat', {bad}, 'msg', '1'::json)")
                app.rollback()
            else:
                app.execute(f"SELECT tako_publish('chat', {bad}, 'msg', '1'::json)")
                app.commit()
        self.reactor.until(
            lambda: self.world.do("SELECT id FROM outbox WHERE refused LIKE '%JSON object%'")
        )

    def test_no_room(self) -> None:
        """A key too many is put aside with the reason, and its neighbours are stored."""
        app = self.app()
        for name in ("a", "b", "c", "a"):
            data = f'{{"name": "{name}"}}'
            self.publish(app, "", channel="board", type=name, data=data)
        self.publish(app, "good")
        app.commit()
        self.reactor.until(self.texts)
        rows = self.world.do("SELECT type, refused FROM outbox")
        self.assertEqual([row[0] for row in rows], ["c"])
        self.assertIn("as many keys", rows[0][1])
        board = Topic.of("board", {"roomId": "lobby"})
        page = self.reactor.wait(self.one.read(board, EVERYTHING, 10, 10_000))
        self.assertEqual([one.type for one in page.messages], ["b", "a"])

    def test_idempotency_key(self) -> None:
        """A key is known as it is of any publish."""
        app = self.app()
        self.publish(app, "a", key="k")
        app.commit()
        self.reactor.until(self.texts)
        self.publish(app, "b", key="k")
        self.publish(app, "c")
        app.commit()
        self.reactor.until(lambda: len(self.texts()) == 2)
        self.assertEqual(self.texts(), ["a", "c"])

    def test_rights(self) -> None:
        """A role that may use the schema may publish, and nothing else; no temporary table of its
        own is taken for ours."""
        app = self.app()
        app.execute("DROP ROLE IF EXISTS shop")
        app.execute("CREATE ROLE shop")
        app.execute(f"GRANT USAGE ON SCHEMA {self.world.schema} TO shop")
        app.commit()
        app.execute("SET ROLE shop")
        app.execute("CREATE TEMP TABLE outbox (id bigint)")
        self.publish(app, "a")
        app.commit()
        self.reactor.until(self.texts)
        with self.assertRaises(psycopg.errors.InsufficientPrivilege):
            app.execute(f"SELECT * FROM {self.world.schema}.message")
        app.rollback()
        app.execute("RESET ROLE")
        app.execute("DROP OWNED BY shop")
        app.execute("DROP ROLE shop")
        app.commit()


def authorizing() -> AuthorizerService:
    """As much of the service as a check of a publish needs."""
    params = Params.of({"type": "object", "properties": {"roomId": {"type": "string"}}})
    board = NewestRules(key="name", max_keys=2)
    registry = Registry.of(
        [
            Defined(ChannelDefinition(name="chat", params=params), "here", local=True),
            Defined(ChannelDefinition(name="board", params=params, newest=board), "", local=True),
        ]
    )
    nobody: Any = None
    return AuthorizerService(registry, nobody, Metrics(), lambda: 0.0, limited())

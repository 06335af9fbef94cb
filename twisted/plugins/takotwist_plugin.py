"""Makes ``twistd tako`` known.

Nothing of takotwist is imported here: ``import klein`` installs the default
reactor, and twistd reads every plugin file before it installs the one that
``--reactor`` names.
"""

from twisted.application.service import ServiceMaker

tako = ServiceMaker(
    "takotwist",
    "takotwist.server.start",
    "Durable realtime channels over SSE and WebSocket, with a replay log.",
    "tako",
)

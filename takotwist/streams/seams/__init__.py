"""Seams: the one room for private names of libraries.

Each function here has the name of what it does and hides how a library must be asked for it.
`tests/streams/seams/test_versions.py` names every private name in use, with its library and the
versions in which it was seen, and fails when one is gone or one more is used.

A subclass cannot use its base class from another file, and a pipe that delivers must not pay for
a call more.  So these stay where they are, and are listed here and in the same test:

- `streams/http/body_framing`, `streams/http/http1`, `streams/http/request`: subclasses of
  twisted.web's chunked decoder, HTTP/1.1 channel and request;
- `streams/http/http2` and `streams/http/response`: a subclass of Twisted's `H2Connection`, and
  the response pipe that counts what is queued for one of its streams;
- `streams/http3/quic` and `streams/http3/streams`: subclasses of aioquic's connections;
- `streams/websocket/protocol`, and `streams/websocket/upgrade` that sets it up: a subclass of
  Autobahn's protocol;
- `tls/connection`: a subclass of Twisted's TLS transport, with pyOpenSSL's buffers that it renews;
- `transports/webtransport_lines`: a subclass of Twisted's `LineReceiver`;
- `adapters/postgres/connection`: psycopg's generators, which its documentation calls internal.
"""

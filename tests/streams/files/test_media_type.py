"""Content types by name."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from takotwist.streams.files.media_type import media_type_of


class MediaTypeOf(SynchronousTestCase):
    """What a name says about the content."""

    def test_types(self) -> None:
        """Text has a charset, everything else none, and the web's newer types are known."""
        for name, expected in (
            *(("a.html", "text/html; charset=utf-8"), ("a.CSS", "text/css; charset=utf-8")),
            *(("a.js", "text/javascript; charset=utf-8"), ("a.json", "application/json")),
            *(("a.mjs", "text/javascript; charset=utf-8"), ("a.svg", "image/svg+xml")),
            *(("a.wasm", "application/wasm"), ("a.webp", "image/webp"), ("a.woff2", "font/woff2")),
            *(("a.mp4", "video/mp4"), ("a.webm", "video/webm"), ("a.m4a", "audio/mp4")),
            *(("a.webmanifest", "application/manifest+json"), ("a.pdf", "application/pdf")),
            *(("x/y.z/readme", "application/octet-stream"), ("a.b-c", "application/octet-stream")),
            *((".html", "application/octet-stream"), ("", "application/octet-stream")),
        ):
            self.assertEqual(media_type_of(name), expected, name)

    def test_compressed_files_are_what_they_are(self) -> None:
        """A downloaded ``.gz`` is an archive, not the text inside of it."""
        self.assertEqual(media_type_of("log.txt.gz"), "application/gzip")
        self.assertEqual(media_type_of("app.js.br"), "application/octet-stream")
        self.assertEqual(media_type_of("x.tar.xz"), "application/x-xz")
        self.assertEqual(media_type_of("x.tar.zst"), "application/zstd")

    def test_names_that_look_like_urls(self) -> None:
        """A file name is never read as a ``data:`` URL."""
        self.assertEqual(media_type_of("data:text/html,x.png"), "image/png")

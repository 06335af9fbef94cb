"""How pages are taken apart."""

from __future__ import annotations

import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.page import blocks_of

TEXT = """\
# A page

```python
# channels/chat.py
a = "```"
```

<!-- as: answer -->

```json
{}
```

- in a list

  ```sh
  echo a
    echo b
  ```
"""


class TestPage(SynchronousTestCase):
    def test_blocks(self) -> None:
        """Each fenced block comes with its language, its file, its kind, and without its indent."""
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "page.md"
            page.write_text(TEXT)
            found = list(blocks_of(page))
        self.assertEqual([one.language for one in found], ["python", "json", "sh"])
        self.assertEqual([one.file for one in found], ["channels/chat.py", None, None])
        self.assertEqual([one.kind for one in found], ["", "answer", ""])
        self.assertEqual([one.line for one in found], [4, 11, 17])
        self.assertEqual(found[2].text, "echo a\n  echo b\n")

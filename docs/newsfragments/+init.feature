`tako init` makes a project that runs, plain or with FastAPI, Django, Flask, Klein or React, with tests of its channel.

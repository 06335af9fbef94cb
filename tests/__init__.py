"""The tests of takotwist; run by `python -m twisted.trial tests`.

One hypothesis profile holds for all of them, because it is loaded here, before any test module.
A busy machine is no fault of the code: so no example has a deadline, and the health check that
counts the seconds of generating input is off.  The other health checks count examples and stay.
"""

from hypothesis import HealthCheck, settings

settings.register_profile("takotwist", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("takotwist")

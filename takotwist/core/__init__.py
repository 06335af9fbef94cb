"""Values, decisions and machines.  No Twisted, no zope, no clock, no logging, no I/O."""

"""The replay log in a PostgreSQL that several nodes share.  Needs the extra ``postgres``."""

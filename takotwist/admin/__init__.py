"""Health, metrics and the administrator's view, on the private listener."""

`limits.presence_interval_seconds`, `presence_count_interval_seconds` and `presence_deliveries_per_second` say how often who is here is told.

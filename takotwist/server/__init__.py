"""The only place that knows every part and touches the reactor."""

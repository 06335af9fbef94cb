"""The log of workers, and its writer."""

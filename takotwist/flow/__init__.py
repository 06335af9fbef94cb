"""The two sentences: attach and publish, over ports."""

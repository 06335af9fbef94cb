"""The three sentences: attach, publish and follow, over ports."""

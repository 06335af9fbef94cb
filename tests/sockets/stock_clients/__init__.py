"""Event stream clients that other people wrote, each as a program that prints what it gets."""

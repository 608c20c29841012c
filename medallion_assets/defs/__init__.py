"""Rooms of the code location; each offers `definitions(settings)`."""

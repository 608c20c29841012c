"""Alerts about the platform itself: failed runs and failed checks, each with the page that helps."""

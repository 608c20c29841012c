"""Measurements, never tests: figures depend on the machine, so each run prints what else the machine was doing."""

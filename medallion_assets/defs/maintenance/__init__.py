"""Keeping the lake and Dagster's own records small while streams write every few seconds."""

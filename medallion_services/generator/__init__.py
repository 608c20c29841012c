"""Synthetic payment traffic with known truth: customers with habits, fraud scenarios, and near-misses.

Truth never travels in a transaction: it goes to the labels topic, late like a chargeback, and to an oracle
file for tests.
"""

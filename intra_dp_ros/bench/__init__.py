"""Testbed, simulator front end and reports."""

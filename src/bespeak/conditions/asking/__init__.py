"""Conditions asked: whether they hold, until when, why, and which of many an event can have moved."""

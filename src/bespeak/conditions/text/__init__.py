"""Conditions as text and JSON, read and written; what an editor offers; and conditions of others, read as ours."""

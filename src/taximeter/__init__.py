"""Taximeter: the meter for paid live sessions, running inside a Supabase database."""

from importlib.metadata import version

__version__ = version("taximeter")

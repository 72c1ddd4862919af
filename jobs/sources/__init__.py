"""Reads raw data in many formats and maps it to interactions, items and users.

`places.py` finds the files, a format's readers turn them into chunks of raw columns (`formats.py` lists the
formats, `chunk.py` says what a reader is), and `tables.py` maps the columns that the settings name.
"""

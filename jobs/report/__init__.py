"""The morning report: one self-contained HTML file about a night and the nights before it."""

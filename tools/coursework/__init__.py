"""Coursework: what students are given, and how what they hand in is graded.

The modules `release`, `grade_one`, `execution` and `feedback` need nbgrader, which lives in an environment of
its own (`.venv-grading`). The others need the standard library alone.
"""

"""Coursework: what students are given, and how what they hand in is graded.

`release` makes what is given out; it and `course` need nbgrader, which lives in an environment of its own
(`.venv-grading`). `grade` grades a folder, by `grade_one` for each submission: `submissions` reads what was
handed in, `session` runs it in a process that `confinement` closes up and in which there is nothing but
`worker`; the two speak plain data (`wire`, `networks`). `gradebook` and `feedback` write down what came out.
These need the book's own environment alone.
"""

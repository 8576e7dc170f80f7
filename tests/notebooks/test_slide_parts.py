"""What slides take of a chapter as it is now written: drawings too, and no boxes that ask for a guess."""

import base64

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools.slides import plain, to_slides


@pytest.mark.parametrize("fence", ["```", ":::"])
def test_a_question_is_left_out(fence):
    text = f"Before.\n\n{fence}{{predict}} Which?\n- The 1\n- The 8\n{fence}\n\nAfter."

    assert plain(text, {}).split() == ["Before.", "After."]


def test_a_figure_that_is_a_drawing_is_shown():
    drawing = "<svg xmlns='http://www.w3.org/2000/svg'/>"
    shown = new_output("display_data", data={"image/svg+xml": drawing, "text/plain": "<Figure>"})
    settings = {"figure": {"caption": "A line."}, "image": {"alt": "It rises."}}
    cells = [
        new_markdown_cell("# A chapter\n\nWhat it is about."),
        new_code_cell("plot()", outputs=[shown], metadata={"mystnb": settings}),
        new_code_cell("print(1)"),
    ]

    _, figure = to_slides(new_notebook(cells=cells)).cells

    data = base64.b64encode(drawing.encode()).decode()
    assert f'<img src="data:image/svg+xml;base64,{data}" alt="It rises.">' in figure.source

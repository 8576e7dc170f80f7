"""What has to be told to the programs that print this book: LaTeX for the PDF, and the writer of the ePub.

sphinx-jupyterbook-latex sets a document class of its own, which wants fonts from a package of 500 MB that
the book does not use. The class of Sphinx does without.

Readers of ePub run no scripts, so formulas, which the pages leave to MathJax, are written as MathML there.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.math import get_node_equation_number

PREAMBLE = r"""
% Lines of code that are too long are broken, and a table may run over several pages.
\fvset{fontsize=\footnotesize}
\setcounter{tocdepth}{1}
\emergencystretch=3em
\usepackage{etoolbox}
% Below a figure there has to be room for its caption.
\makeatletter
\AtBeginDocument{\spx@image@maxheight=0.82\textheight}
\makeatother
% Code cells and what they print, each with a frame of its own.
\usepackage{changepage}
\definecolor{codeframe}{RGB}{190,200,210}
\definecolor{codepaper}{RGB}{246,248,250}
\definecolor{outputframe}{RGB}{255,255,255}
\newenvironment{sphinxVerbatimInput}
  {\sphinxsetup{VerbatimColor={named}{codepaper},VerbatimBorderColor={named}{codeframe}}}{}
\newenvironment{sphinxVerbatimOutput}
  {\sphinxsetup{VerbatimColor={named}{white},VerbatimBorderColor={named}{outputframe}}%
   \begin{adjustwidth}{12pt}{}}
  {\end{adjustwidth}}
"""


# Only the chapters are numbered on the web, and the text calls them by their numbers.
NUMBERING = r"""
\let\partofbook\part
\renewcommand{\part}[1]{\partofbook{#1}%
  \ifstrequal{#1}{@NUMBERED@}{\setcounter{secnumdepth}{2}\setcounter{chapter}{0}}{\setcounter{secnumdepth}{-1}}}
"""


def numbered_part(app: Sphinx) -> str:
    """Return the caption of the part in `_toc.yml` whose pages are numbered; empty when there is none."""
    site_map = getattr(app.config, "external_site_map", None)
    trees = site_map.root.subtrees if site_map else []
    return next((tree.caption for tree in trees if tree.numbered and tree.caption), "")


def choose_class(app: Sphinx, config: Config) -> None:
    """Put back what sphinx-jupyterbook-latex changed."""
    config["latex_theme"] = "manual"
    config["latex_use_xindy"] = False
    # Drawings are converted by sphinxcontrib.rsvgconverter; the other converter needs ImageMagick.
    config["jblatex_load_imgconverter"] = False
    elements = dict(config["latex_elements"])
    # This package wants a font for every script in the text; letters in formulas are right without it.
    preamble = elements.get("preamble", "").replace(r"\usepackage[Latin,Greek]{ucharclasses}", "")
    elements |= {
        "papersize": "a4paper",
        "pointsize": "10pt",
        "extraclassoptions": "openany,oneside",
        "figure_align": "htbp",
        "preamble": PREAMBLE + NUMBERING.replace("@NUMBERED@", numbered_part(app)) + preamble,
    }
    config["latex_elements"] = elements


def _mathml(writer: Any, node: nodes.math | nodes.math_block, display: str) -> str:
    from latex2mathml.converter import convert

    formula = node.astext()
    # Lines of a display that are aligned at a sign.
    if display == "block" and (r"\\" in formula or "&" in formula) and r"\begin{" not in formula:
        formula = rf"\begin{{split}}{formula}\end{{split}}"
    return convert(formula, display=display)


def visit_inline(writer: Any, node: nodes.math) -> None:
    """Write a formula inside a sentence as MathML."""
    writer.body.append(_mathml(writer, node, "inline"))
    raise nodes.SkipNode


def visit_display(writer: Any, node: nodes.math_block) -> None:
    """Write a formula on a line of its own as MathML, with its number."""
    writer.body.append(writer.starttag(node, "div", CLASS="math"))
    if node["number"]:
        writer.body.append(f'<span class="eqno">({get_node_equation_number(writer, node)})</span>')
    writer.body.append(_mathml(writer, node, "block") + "</div>")
    raise nodes.SkipNode


def tidy(markup: str) -> str:
    """Return a piece of a page as XML, as an ePub wants it: without the styles that pandas writes."""
    return re.sub(r"<style scoped>.*?</style>\s*", "", markup, flags=re.DOTALL)


def tidy_page(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Make a page of the ePub XML."""
    if app.builder.name == "epub" and "body" in context:
        context["body"] = tidy(context["body"])


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the step, after that of sphinx-jupyterbook-latex, and the writer of formulas."""
    app.connect("config-inited", choose_class, priority=900)
    app.connect("html-page-context", tidy_page)
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_display, None))
    app.add_config_value("epub_math_renderer", "mathml", "env")
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""Link the first use of each word of the glossary on each page, with its meaning as a hint.

Only running text is looked at: not headings, code, formulas, links, tables, captions, outputs of cells, nor
folded solutions. `book/wayfinding.yml` says under `forms` which forms of a word count. The hint is shown by
`glossary.js` when the link is pointed at or has the focus; without JavaScript the link alone is there. In
formats other than HTML nothing changes.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

from docutils import nodes
from finished_pages import SITE_BUILDERS
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from wayfinding import wayfinding

logger = logging.getLogger(__name__)

LONGEST_HINT = 240
# Pages that explain words themselves, list things, or are about programs.
NOT_LINKED = re.compile(
    r"genindex|book/(glossary|bibliography|changelog|licences|contributing|setup|results|execution_times|api/.*)"
)
NOT_INSIDE = (
    nodes.title,
    nodes.reference,
    nodes.literal,
    nodes.literal_block,
    nodes.math,
    nodes.math_block,
    nodes.raw,
    nodes.table,
    nodes.term,
    nodes.caption,
    nodes.legend,
    nodes.topic,
    addnodes.pending_xref,
    addnodes.index,
    addnodes.desc,
    addnodes.glossary,
)
NOT_INSIDE_CLASSES = {
    "cell_output",
    "solution",
    "exercise",
    "dropdown",
    "toggle",
    "chapter-times",
    "concept-list",
    "predict-answers",
    "predict-question",
    "result",
}
_CITATION = re.compile(r"\s+([.,;:])")


def definitions(glossary: nodes.document) -> dict[str, tuple[str, str]]:
    """Return the name of the place and the short meaning of each word, from the page of the glossary.

    The meaning is as many whole sentences as fit, at least one, without citations.
    """
    found = {}
    for item in glossary.findall(nodes.definition_list_item):
        term = item.next_node(nodes.term)
        meaning = item.next_node(nodes.definition)
        if term is None or meaning is None or not term["ids"]:
            continue
        paragraph = meaning.next_node(nodes.paragraph).deepcopy()
        for citation in list(paragraph.findall(addnodes.pending_xref)):
            if citation.get("refdomain") == "cite":
                citation.parent.remove(citation)
            elif citation.get("reftype") in ("eq", "ref"):
                citation.replace_self(nodes.Text("the notation"))
        text = _CITATION.sub(r"\1", " ".join(paragraph.astext().split()))
        found[term.astext()] = (term["ids"][0], shortened(text))
    return found


def shortened(text: str, most: int = LONGEST_HINT) -> str:
    """Return as many whole sentences from the start of `text` as have `most` letters, but at least one."""
    sentences = re.split(r"(?<=[.?!])\s+(?=[A-Z(])", text)
    taken = sentences[0]
    for sentence in sentences[1:]:
        if len(taken) + 1 + len(sentence) > most:
            break
        taken = f"{taken} {sentence}"
    return taken


def pattern(
    words: Mapping[str, tuple[str, str]], forms: Mapping[str, list[str]]
) -> tuple[re.Pattern[str], dict]:
    """Return an expression that finds any form of any word, the longest first, and the word of each form."""
    word_of: dict[str, str] = {}
    for word in words:
        plain = forms.get(word, [word, f"{word}s"])
        word_of |= {form.lower(): word for form in plain}
    longest_first = sorted(word_of, key=len, reverse=True)
    joined = "|".join(re.escape(form).replace(r"\ ", r"\s+") for form in longest_first)
    # A word in a longer one, in a name, or in front of a bracket or an equals sign is not this word.
    return re.compile(rf"(?<![\w/.-])(?:{joined})(?![\w/=(-]|\.\w)", re.IGNORECASE), word_of


def readable(paragraph: nodes.Element) -> bool:
    """Return whether the text in `paragraph` is running text."""
    node: nodes.Node | None = paragraph
    while node is not None:
        if isinstance(node, NOT_INSIDE) or NOT_INSIDE_CLASSES & set(
            getattr(node, "attributes", {}).get("classes", ())
        ):
            return False
        node = node.parent
    return True


def link(text: str, address: str, meaning: str) -> str:
    """Return the HTML of a link with a hint."""
    return (
        f'<a class="glossary-term reference internal" href="{html.escape(address)}" '
        f'data-meaning="{html.escape(meaning)}">{html.escape(text, quote=False)}</a>'
    )


def link_words(
    doctree: nodes.document, words: Mapping[str, tuple[str, str]], forms: Mapping[str, list[str]], page: str
) -> list[str]:
    """Link the first use of each word in `doctree` to `page`; return the linked words in order."""
    finder, word_of = pattern(words, forms)
    linked: list[str] = []
    for paragraph in doctree.findall(nodes.paragraph):
        if not readable(paragraph):
            continue
        for text in list(paragraph.findall(nodes.Text)):
            if not readable(text.parent):
                continue
            pieces: list[nodes.Node] = []
            done = 0
            content = text.astext()
            for found in finder.finditer(content):
                word = word_of[" ".join(found[0].lower().split())]
                if word in linked:
                    continue
                linked.append(word)
                place, meaning = words[word]
                pieces += [
                    nodes.Text(content[done : found.start()]),
                    nodes.raw("", link(found[0], f"{page}#{place}", meaning), format="html"),
                ]
                done = found.end()
            if pieces:
                text.parent.replace(text, [*pieces, nodes.Text(content[done:])])
    return linked


def link_glossary(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Link the words of the glossary on one page."""
    if app.builder.name not in SITE_BUILDERS or NOT_LINKED.fullmatch(docname):
        return
    words = glossary_of(app.env)
    if words:
        page = app.builder.get_relative_uri(docname, "book/glossary")
        link_words(doctree, words, wayfinding(app.srcdir).get("forms", {}), page)


def glossary_of(env: BuildEnvironment) -> dict[str, tuple[str, str]]:
    """Return the words of the page `book/glossary`, read once a build."""
    kept = getattr(env, "_glossary_of_the_book", None)
    if kept is None:
        kept = definitions(env.get_doctree("book/glossary")) if "book/glossary" in env.found_docs else {}
        env._glossary_of_the_book = kept
    return kept


def check_forms(app: Sphinx, env: BuildEnvironment) -> None:
    """Complain about forms of words that the glossary does not have, and forget the last build's glossary."""
    env._glossary_of_the_book = None
    words = glossary_of(env)
    for word in wayfinding(app.srcdir).get("forms", {}):
        if words and word not in words:
            logger.warning(
                "book/wayfinding.yml: forms of %r, which is not in the glossary", word, type="wayfinding"
            )


def forget(app: Sphinx, exception: Exception | None) -> None:
    """Keep the words out of the stored environment."""
    if app.env is not None:
        app.env.__dict__.pop("_glossary_of_the_book", None)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the step; it comes late, when all that becomes a link is one."""
    app.connect("env-check-consistency", check_forms)
    app.connect("doctree-resolved", link_glossary, priority=960)
    app.connect("build-finished", forget)
    app.add_js_file("glossary.js", loading_method="defer")
    return {"parallel_read_safe": True, "parallel_write_safe": True}

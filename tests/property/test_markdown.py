"""Nothing that others wrote is anything but text in a comment on a pull request."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from rehearsal.checks import Finding
from rehearsal.compare import Difference
from rehearsal.markdown import block, code, markdown
from rehearsal.preview import Report
from tests.property.test_edge_routing import BOUNDED

PARSER = MarkdownIt("commonmark", {"html": True}).enable("table")
# X stands for others' words: it must never come out of a code span or block.
ALPHABET = "X@`|\\*_#<>[]()!:/-~&;\"' \n\t\r\u202e1."
FOREIGN = st.text(ALPHABET, max_size=40) | st.text(max_size=20).map(lambda text: f"X{text}X")
ATTACKS = (
    "@acme/team",
    "<img src=x onerror=X>",
    "[X](https://evil.example)",
    "```\n# X\n```",
    "`X`@X",
    "a|X|\\|X\\",
    "| X\n\n@X",
)


def plain_text(text: str) -> str:
    """What is not code, as a reader of the comment has it."""
    found: list[str] = []
    for token in PARSER.parse(text):
        assert token.type != "html_block", token.content
        for child in token.children or ():
            assert child.type not in {"html_inline", "link_open", "image"}, child
            if child.type == "text":
                found.append(child.content)
    return " ".join(found)


@settings(BOUNDED, max_examples=200)
@given(st.lists(FOREIGN, max_size=4), st.lists(FOREIGN, max_size=4), FOREIGN, FOREIGN)
@example(list(ATTACKS), list(ATTACKS), ATTACKS[3], ATTACKS[5])
def test_everything_of_others_is_code(problems: list[str], notes: list[str], name: str, value: str) -> None:
    outputs: dict[str, Any] = {"routes": [{"host": value, "path": name, f"X{name}": [name, {"X": value}]}]}
    urn = f"urn:pulumi:t::shop::docker:index/container:Container::{name}"
    report = Report(name, value, (), tuple(Finding(name, problem) for problem in problems), outputs, tuple(notes))  # type: ignore[arg-type]
    difference = Difference((urn,), (), {urn: {"image": (name, value)}}, {})
    text = plain_text(markdown(report, difference, name))
    assert "X" not in text
    assert "@" not in text


@settings(BOUNDED, max_examples=200)
@given(FOREIGN)
def test_code_and_blocks_keep_the_words(text: str) -> None:
    assert "X" not in plain_text(f"| a |\n| --- |\n| {code(text)} |")
    (fence,) = (token for token in PARSER.parse(block([text])) if token.type == "fence")
    assert fence.content.count("X") == text.count("X")

"""The documents are there, and lead to each other."""

from __future__ import annotations

import re

import pytest

from taximeter.stack.postgres import CHECKOUT

PAGES = (
    *("architecture", "api", "errors", "security", "payments", "edge-functions", "operations"),
    *("migration", "developing", "scaling"),
)
DOCUMENTS = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", *(f"docs/{page}.md" for page in PAGES))
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")


def anchors(text: str) -> set[str]:
    """What a heading is called in an address."""
    headings = re.findall(r"(?m)^#+ (.+)$", text)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    """DOC-01: every document is there, and so is what it names, with its heading."""
    file = CHECKOUT / name
    for path, anchor in LINK.findall(file.read_text()):
        target = (file.parent / path).resolve() if path else file
        assert target.exists(), path
        if anchor:
            assert anchor in anchors(target.read_text()), f"{path}#{anchor}"


@pytest.mark.parametrize("name", DOCUMENTS[1:])
def test_the_readme_leads_to_every_document(name: str) -> None:
    """DOC-01: nobody has to look for one."""
    assert f"]({name})" in (CHECKOUT / "README.md").read_text()

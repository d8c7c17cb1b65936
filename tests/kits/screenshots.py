"""Looks at a page as people do, in Debian's Chromium: what sticks out of the window, and what can hardly be read."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

WIDTHS = (320, 480, 700, 1200)
MIN_CONTRAST = 4.5
"""What WCAG's level AA asks of text of a usual size."""
LOW_CONTRAST_SCRIPT = """
least => {
  const parts = colour => { const p = colour.match(/[\\d.]+/g).map(Number); return p.length < 4 ? [...p, 1] : p; };
  const light = colour => {
    const [r, g, b] = colour.map(p => { p /= 255; return p <= 0.03928 ? p / 12.92 : ((p + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = element => {
    for (let each = element; each; each = each.parentElement) {
      const colour = parts(getComputedStyle(each).backgroundColor);
      if (colour[3] > 0) return colour;
    }
    return matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18, 1] : [255, 255, 255, 1];
  };
  const said = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    if (!own || !element.getClientRects().length) continue;
    const [a, b] = [light(parts(getComputedStyle(element).color)), light(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < least) said.push(`${ratio.toFixed(2)} ${element.textContent.trim().slice(0, 40)}`);
  }
  return said;
}
"""
STICKING_OUT_SCRIPT = """
() => [...document.querySelectorAll(".card, .note, .meaning, .says")].flatMap(card => {
  const edge = card.getBoundingClientRect().right + 1;
  const hidden = ".vh, pre, .behind, .pop, .glance, svg *";
  const over = [...card.querySelectorAll("*")].find(e => !e.closest(hidden) && e.getBoundingClientRect().right > edge);
  return over ? [`${over.tagName} ${over.className}: ${over.textContent.trim().slice(0, 40)}`] : [];
})
"""
LONGEST_WHOLE_WORD = 12
"""A longer word of somebody else's may be broken."""
BROKEN_WORDS_SCRIPT = """
longest => {
  const said = [], part = document.createRange();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text; (text = texts.nextNode());) {
    if (text.parentElement.closest("svg, pre, code, .vh, bdi, details:not([open]) > :not(summary)")) continue;
    for (const word of text.data.matchAll(/[\\p{L}\\d]+/gu)) {
      if (word[0].length > longest) continue;
      part.setStart(text, word.index);
      part.setEnd(text, word.index + word[0].length);
      const lines = new Set([...part.getClientRects()].map(each => Math.round(each.top)));
      if (lines.size > 1) said.push(word[0]);
    }
  }
  return said;
}
"""
Scheme = Literal["light", "dark"]


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start Chromium; without it the test is skipped."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium here to look at pages with: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def open_page() -> Iterator[Page]:
    """Open the one page that all tests of a module use."""
    with open_browser() as browser:
        yield browser.new_page()


def overflowing_widths(page: Page, widths: Sequence[int] = WIDTHS) -> list[int]:
    """Find the widths at which the page must be scrolled sideways."""
    wrong = []
    for width in widths:
        page.set_viewport_size({"width": width, "height": 800})
        if page.evaluate("document.documentElement.scrollWidth") > width:
            wrong.append(width)
    return wrong


def sticking_out(page: Page) -> list[str]:
    """Find the cards of the console that something is wider than, at the present width."""
    found: list[str] = page.evaluate(STICKING_OUT_SCRIPT)
    return found


def low_contrast_texts(page: Page, scheme: Scheme) -> list[str]:
    """Find the texts that stand out too little from what is behind them, in this scheme."""
    page.emulate_media(color_scheme=scheme)
    found: list[str] = page.evaluate(LOW_CONTRAST_SCRIPT, MIN_CONTRAST)
    return found


def broken_words(page: Page) -> list[str]:
    """Find the short words that a squeezed column breaks into several lines, at the present width."""
    found: list[str] = page.evaluate(BROKEN_WORDS_SCRIPT, LONGEST_WHOLE_WORD)
    return found

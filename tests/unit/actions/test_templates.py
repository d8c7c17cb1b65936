"""The users' templates: what they can say, and that they can do no harm."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.actions.formats import template_values
from app.actions.sample import sample_notifications
from app.actions.templates import UnusableTemplate, render_json, render_text

VALUES = template_values(sample_notifications()[0])
LONGEST = 65536


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ('{"text": "{{ alert.severity }}"}', {"text": "info"}),
        ('{"n": {{ alert.occurrences }}, "x": {{ alert.resolved_at }}}', {"n": 3, "x": None}),
        ('{"v": {{ alert.value }}}', {"v": 3.5}),
        ('{"g": {{ alert.group | tojson }}}', {"g": {"to_country": "GB"}}),
        ('"{{ nothing.at.all }}{{ alert.nothing }}"', ""),
        ('[{% for log in logs %}"{{ log.to }}"{% if not loop.last %},{% endif %}{% endfor %}]', ["+447700900123"] * 2),
        ('"{{ "a" ~ alert.occurrences ~ "b" }}"', "a3b"),
        ('"{{ logs | join(", ", attribute="to_country") }}"', "GB, GB"),
        ('"{{ rule.name if rule else "built in" }}"', 'said "no" \\ and\nleft <b>&amp;</b> {{ it }}'),
        ('"{{ 1 + 2 * 3 }} {{ (7 / 2) | round(1) }} {{ alert.severity | upper }}"', "7 3.5 INFO"),
        ('"{% for name, value in alert.group.items() %}{{ name }}={{ value }}{% endfor %}"', "to_country=GB"),
        ('"{{ alert.started_at | when }}"', "1 Jan 2026, 00:00:00 UTC"),
        ("{{ {'codes': logs | map(attribute='error_code') | list} | tojson }}", {"codes": [30003, 30003]}),
        ("{% set name = alert.rule_name | truncate(8) %}\"{{ name | replace('said', 'sang') }}\"", "sang..."),
    ],
)  # fmt: skip
def test_a_template_makes_json(source: str, made: object) -> None:
    assert json.loads(render_json(source, VALUES, LONGEST)) == made


HARMFUL = [
    "{{ ''.__class__ }}", "{{ alert.__class__.__mro__ }}", "{{ alert['__class__'] }}",
    "{{ alert | attr('__class__') }}",
    "{{ range.__globals__ }}", "{{ self }}", "{{ self.__init__ }}", "{{ cycler('a') }}", "{{ lipsum() }}",
    "{{ namespace(x=1) }}", "{{ 'a' * 10**9 }}", "{{ 'a' * 1000000000 }}", "{{ [1] * 1000000000 }}", "{{ 10 ** 10 }}",
    "{{ range(10**9) }}", "{{ range(1000000000) | list }}", "{% include 'x' %}", "{% import 'os' as os %}",
    "{% from 'os' import x %}", "{% extends 'x' %}", "{% block a %}{% endblock %}", "{{ alert | safe }}",
    "{% macro f(x) %}{{ f(x ~ x) }}{% endmacro %}{{ f('a') }}", "{% call f() %}{% endcall %}",
    "{% filter upper %}x{% endfilter %}", "{% set x %}a{% endset %}{{ x }}", "{{ '%1000000000d' | format(1) }}",
    "{{ '%1000000000d' % 1 }}", "{{ '{:>999999999}'.format(1) }}", "{{ '{0.__class__}'.format(alert) }}",
    "{{ alert.summary.format_map(alert) }}", "{{ 'x'.ljust(1000000000) }}", "{{ 'x' | center(1000000000) }}",
    "{{ 'x' | indent(1000000000) }}", "{{ 1.5 | round(1000000000, 'floor') }}", "{{ 9 | round(400) }}",
    "{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}" + "{% endfor %}" * 3,
    "{% for a in range(1000) %}{% for b in range(1000) %}" + "a" * 1000 + "{% endfor %}{% endfor %}",
    "{% for x in logs recursive %}{{ loop(logs) }}{% endfor %}", "{{ logs.append(1) }}", "{{ alert.pop('id') }}",
    "{{ alert.update(x=1) }}", "{% set alert.x = 1 %}", "{% do 1 %}", "{{ 1 / 0 }}", "{{ alert", "{% if %}", "{{ }}",
    "{{ '\"'" + " | tojson" * 30 + " }}", "{{ " + "(" * 500 + "1" + ")" * 500 + " }}", "{{ " + "-" * 3000 + "1 }}",
    "{{ " + "9" * 6000 + " }}", "{{ " + " ~ ".join(["alert"] * 2000) + " }}", "a" * 20_000, "{{ ''|_concat }}",
    "{% set a = '" + "a" * 1000 + "' %}"
    + "".join(f"{{% set {chr(98 + i)} = {' ~ '.join([chr(97 + i)] * 8)} %}}" for i in range(20)) + "{{ u }}",
    "{{ 'a' | replace('', 'b') }}",
    "{{ alert.summary" + "".join(f" | replace('{letter}', alert | tojson)" for letter in "aeiostn") + " }}",
    "\x00", "\ud800", "\u202e{{ type }}", "{{ type }}\x1b[2J", '"{{ "\\ud800" }}"',
]  # fmt: skip
DOUBLINGS = ["[x, x, x, x]", "(x, x, x, x)", "{'a': x, 'b': x, 'c': x}", "[x + x, x, x]", "[[x, x], [x, x]]"]
WRITERS = ["x", "x | tojson", "x | string", "x | join", "x == y", "x in [y]", "x < y", "[x, y] | sort", "{x: 1}",
           "[x, y] | unique | list", "x ~ y", "x | urlencode", "[x, y] | max"]  # fmt: skip
GROWING = [
    f"{{% set x = [1] %}}{{% set y = [1] %}}{doubling * 40}{{{{ {writer} }}}}"
    for number, writer in enumerate(WRITERS)
    for each in [DOUBLINGS[number % len(DOUBLINGS)]]
    for doubling in [f"{{% set x = {each} %}}{{% set y = {each.replace('x', 'y')} %}}"]
] + [
    "{% set x = [[1]] %}" + "{% set x = x | groupby('list') %}" * 40 + "{{ x }}",
    "{% set x = 'a' ~ alert.summary %}" + "{% set x = x ~ x %}" * 8 + "{{ [" + "x, " * 1000 + "] | tojson }}",
    "{% set x = [[1]] %}" + "{% set x = x + x %}" * 16 + "{{ x | sum(start=[]) }}",
]


@pytest.mark.parametrize("source", HARMFUL)
def test_a_harmful_template_is_refused_in_no_time(source: str) -> None:
    began = time.thread_time()
    with pytest.raises(UnusableTemplate):
        render_json(source, VALUES, LONGEST)
    assert time.thread_time() - began < 2


@pytest.mark.parametrize("source", GROWING)
def test_a_value_that_holds_itself_many_times_is_counted_as_often(source: str) -> None:
    began = time.thread_time()
    with pytest.raises(UnusableTemplate):
        render_json(source, VALUES, LONGEST)
    assert time.thread_time() - began < 3


def test_characters_without_width_that_belong_to_words_may_be_used() -> None:
    assert render_text("نمی\u200cرسند: {{ type }}", VALUES, LONGEST) == "نمی\u200cرسند: alert.firing"


def test_half_a_surrogate_pair_is_no_valid_text() -> None:
    with pytest.raises(UnusableTemplate, match="half"):
        render_text("{{ '\\ud800' }}", VALUES, LONGEST)


def test_a_refusal_names_the_line() -> None:
    with pytest.raises(UnusableTemplate, match="line 3"):
        render_json('{\n"a": 1,\n"b": {{ type | nonsense }}\n}', VALUES, LONGEST)
    with pytest.raises(UnusableTemplate, match="line 2"):
        render_json('{\n"a": {{ 1 / 0 }}}', VALUES, LONGEST)


def test_what_is_no_json_is_refused() -> None:
    for source in ("{{ type }}", '{"a": NaN}', "[" * 5000, '{"a": }', ""):
        with pytest.raises(UnusableTemplate):
            render_json(source, VALUES, LONGEST)


PIECES = st.sampled_from(
    ["{{ ", " }}", "{% for x in ", " %}", "{% endfor %}", "alert", "logs", ".items()", "[0]", " | list", " | tojson",
     " | join('a')", "'a'", " ~ ", " * ", " + ", "10", "range(99)", "(", ")", "{% set x = ", "x", " | map('upper')",
     ".upper()", "{% if x %}", "{% endif %}", " | sort", " | groupby('a')", "\n", '"', ".split('a')", " | sum"]
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(PIECES, max_size=30).map("".join))
def test_any_template_ends_soon_in_text_or_a_refusal(source: str) -> None:
    began = time.thread_time()
    try:
        assert len(render_text(source, VALUES, LONGEST)) <= LONGEST
    except UnusableTemplate as error:
        assert str(error)  # noqa: PT017
    assert time.thread_time() - began < 3


@given(st.text(), st.text(min_size=1))
def test_untrusted_text_can_neither_break_json_nor_be_evaluated(summary: str, key: str) -> None:
    values = {"alert": {"summary": summary, "group": {key: summary}}}
    made = json.loads(render_json('{"a": "{{ alert.summary }}", "b": {{ alert.group | tojson }}}', values, 10**6))
    assert made == {"a": summary, "b": {key: summary}}

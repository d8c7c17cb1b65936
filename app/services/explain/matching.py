"""The first steps: the rule's population, its pattern, and whether it had started. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from app.enums import PatternType
from app.services.explain.steps import Step, StepName, moment
from app.services.rules.groups import field_of
from app.services.rules.patterns import reads_text
from app.services.rules.rule import Rule
from app.services.rules.rule_index import RuleIndex
from app.services.rules.types import LogVersion
from app.utils.quantities import first_of

TEXT_ERASED = (
    "Its text is not kept (STORE_MESSAGE_BODIES is off), so whether the pattern matches it cannot be said any more."
)
DID_NOT_MATCH = "It did not match when it was evaluated. Its text is not kept since (STORE_MESSAGE_BODIES is off)."


@dataclass(frozen=True)
class Subject:
    """A log in all its versions, oldest first, and the rule."""

    rule: Rule
    versions: Sequence[LogVersion]
    effective_start: datetime
    """Later changes count: the start of the rule or the account, to the second."""
    account_started_at: datetime
    is_text_erased: bool

    @property
    def is_unknown(self) -> bool:
        """Whether the pattern looks at a text that was erased."""
        return self.is_text_erased and reads_text(self.rule)

    @property
    def newest(self) -> LogVersion:
        """The log as it is now."""
        return self.versions[-1]


def population_step(subject: Subject) -> Step:
    """Explain whether the log is in the rule's population."""
    everything = replace(subject.rule, pattern_type=PatternType.ANY, pattern_value=None)
    if any(RuleIndex([everything]).match_batch(subject.versions)):
        return Step(StepName.POPULATION, True, _inside(subject))
    return Step(StepName.POPULATION, False, _outside(subject))


def _inside(subject: Subject) -> str:
    rule, log = subject.rule, subject.newest
    which = "logs of every type" if rule.log_type == "any" else f"logs of the type {rule.log_type}"
    let_through = [f"{field} {field_of(log, field)}" for field in rule.filters]
    return f"The rule looks at {which}" + (
        f"; its filters let {first_of(let_through)} through." if let_through else "."
    )


def _outside(subject: Subject) -> str:
    rule, log = subject.rule, subject.newest
    if rule.log_type not in ("any", log.log_type):
        return f"The rule looks at logs of the type {rule.log_type}; this is one of the type {log.log_type}."
    wrong = [
        f"its {field} is {'empty' if (has := field_of(log, field)) is None else has}, not {first_of(sorted(values))}"
        for field, values in rule.filters.items()
        if field_of(log, field) not in values
    ]
    return f"A filter holds it back: {'; '.join(wrong) or 'no state of it has all values'}."


def matching_versions(subject: Subject) -> tuple[list[LogVersion], str | None]:
    """Find the versions that the pattern matches for certain, and the error if it failed."""
    if subject.is_unknown and subject.rule.pattern_type == PatternType.EXPRESSION:
        return [], None
    index = RuleIndex([subject.rule])
    found = [
        version for version, rules in zip(subject.versions, index.match_batch(subject.versions), strict=True) if rules
    ]
    return found, index.pop_failures().reasons.get(subject.rule.id)


def pattern_step(subject: Subject, matching: Sequence[LogVersion], failure: str | None) -> Step:
    """Explain whether the pattern matches some version of the log."""
    rule = subject.rule
    if matching:
        return Step(StepName.PATTERN, True, f"{_looked_for(rule)}: it matches with {_state(matching[0])}.")
    if failure is not None:
        return Step(StepName.PATTERN, False, f"{failure[:1].upper()}{failure[1:]}.")
    if subject.is_unknown:
        return Step(StepName.PATTERN, None, TEXT_ERASED)
    return Step(StepName.PATTERN, False, f"{_looked_for(rule)}: it does not match, with {_states(subject.versions)}.")


def _looked_for(rule: Rule) -> str:
    if rule.pattern_type == PatternType.ANY:
        return "Every log matches"
    return f"The pattern is {rule.pattern_type.replace('_', ' ')} {rule.pattern_value}"


def _states(versions: Sequence[LogVersion]) -> str:
    """Describe the states that a log had, its code once if it never had another."""
    if len({log.error_code for log in versions}) > 1 or len({log.status for log in versions}) == 1:
        return first_of([*dict.fromkeys(map(_state, versions))])
    code = _state(versions[0]).partition(", ")[2]
    return f"statuses {first_of([*dict.fromkeys(log.status for log in versions)])}, {code}"


def _state(log: LogVersion) -> str:
    code = "no error code" if log.error_code is None else f"error code {log.error_code}"
    return f"status {log.status}, {code}" if log.status else f"level {log.level}, {code}"


def start_step(subject: Subject, matching: Sequence[LogVersion]) -> tuple[Step, LogVersion | None]:
    """Explain whether the log reached a matching state after the rule started; return the version that counts."""
    hit = next((version for version in matching if version.changed_at >= subject.effective_start), None)
    since = f"changes count from {moment(subject.effective_start)}, when {_began(subject)}"
    if hit is None:
        did = "changed" if subject.is_unknown else "matched"
        return Step(StepName.START, False, f"It {did} at {moment(matching[-1].changed_at)}; {since}."), None
    return Step(StepName.START, True, f"It came into this state at {moment(hit.changed_at)}; {since}."), hit


def _began(subject: Subject) -> str:
    if subject.account_started_at > subject.rule.started_at:
        return "its account was added"
    return "the rule was made, enabled or last edited"

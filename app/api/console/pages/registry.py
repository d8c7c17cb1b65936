"""The routers of all pages, and what pages cache for a few seconds."""

from functools import partial

from starlette.datastructures import State

from app.api.console import alert_evidence, failures, frame, report_view, spend, traffic, unwatched_view
from app.api.console.pages import (
    account_edit,
    accounts,
    action_editor,
    actions,
    alert_bulk,
    alert_silence,
    alerts,
    audit,
    deliveries,
    delivery,
    error_codes,
    fraud,
    keys,
    kit,
    logs,
    overview,
    people,
    phone,
    report,
    rule_editor,
    rule_packs,
    rules,
    server,
    sign_in,
    sign_in_provider,
    silences,
)
from app.utils.caching import ReadCache

ROUTERS = tuple(
    module.router
    for module in (
        sign_in,
        sign_in_provider,
        overview,
        alert_bulk,
        alert_silence,
        alerts,
        logs,
        rules,
        rule_packs,
        rule_editor,
        deliveries,
        delivery,
        fraud,
        silences,
        keys,
        people,
        audit,
        error_codes,
        server,
        actions,
        action_editor,
        accounts,
        account_edit,
        phone,
        report,
        kit,
    )
)


def install_caches(state: State) -> None:
    """Cache what is expensive to read, in this process."""
    state.frame = frame.frame_cache()
    state.traffic = ReadCache(traffic.read_traffic)
    state.failures = ReadCache(failures.read_failures)
    state.spend = ReadCache(spend.read_spend, spend.KEEP_SECONDS)
    state.unwatched = ReadCache(unwatched_view.read_unwatched, unwatched_view.KEEP_SECONDS)
    state.delivery = ReadCache(delivery.find_rows)
    state.fraud = ReadCache(fraud.find_fraud)
    state.evidence = ReadCache(partial(alert_evidence.read_evidence, state.settings))
    state.reports = ReadCache(report_view.read_report, report_view.KEEP_SECONDS)

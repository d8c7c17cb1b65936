"""The routers of all pages, and what pages keep for some seconds."""

from functools import partial

from starlette.datastructures import State

from app.api.console import alert_evidence, failures, report_view, spend, traffic
from app.api.console.kept import Kept
from app.api.console.pages import (
    account_edit,
    accounts,
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
    phone,
    report,
    rule_editor,
    rule_packs,
    rules,
    server,
    sign_in,
    silences,
)

ROUTERS = tuple(
    module.router
    for module in (
        sign_in,
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
        audit,
        error_codes,
        server,
        actions,
        accounts,
        account_edit,
        phone,
        report,
        kit,
    )
)


def install_kept(state: State) -> None:
    """Keep in this process what costs much to read."""
    state.traffic = Kept(traffic.read_traffic)
    state.failures = Kept(failures.read_failures)
    state.spend = Kept(spend.read_spend, spend.KEEP_SECONDS)
    state.delivery = Kept(delivery.find_rows)
    state.fraud = Kept(fraud.find_fraud)
    state.evidence = Kept(partial(alert_evidence.read_evidence, state.settings))
    state.reports = Kept(report_view.read_report, report_view.KEEP_SECONDS)

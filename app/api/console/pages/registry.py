"""The routers of all pages."""

from app.api.console.pages import (
    accounts,
    actions,
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
        phone,
        report,
        kit,
    )
)

"""The first schema: everything from accounts to attempts.

Revision: 0001, the first.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    op.execute("CREATE SEQUENCE log_ids")
    op.execute("CREATE SEQUENCE change_ids")
    op.create_table(
        "accounts",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("friendly_name", sa.Text(), nullable=True),
        sa.Column("parent_sid", sa.Text(), nullable=True),
        sa.Column("auth_token", sa.Text(), nullable=True),
        sa.Column("api_key_sid", sa.Text(), nullable=True),
        sa.Column("api_key_secret", sa.Text(), nullable=True),
        sa.Column("next_auth_token", sa.Text(), nullable=True),
        sa.Column("api_base_url", sa.Text(), nullable=True),
        sa.Column("monitor_base_url", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("from_environment", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("include_subaccounts", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("sid", name=op.f("uq_accounts_sid")),
    )
    op.create_table(
        "actions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("rule_id", sa.Uuid(), nullable=True),
        sa.Column("action_type", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("min_severity", sa.Text(), nullable=False),
        sa.Column("notify_on", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("failures_in_a_row", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("probe_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("free_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_actions")),
    )
    op.create_table(
        "alerts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("rule_id", sa.Uuid(), nullable=True),
        sa.Column("rule_name", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("group", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("group_key", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_match_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("window_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("baseline", sa.Double(), nullable=True),
        sa.Column("short_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("still_holds", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolve_reason", sa.Text(), nullable=True),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_by", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("silenced", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("occurrences", sa.Integer(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("sample_sids", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("left_out_accounts", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("error_code", sa.Integer(), nullable=True),
        sa.Column("firing_notified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("notified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("notified_occurrences", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("notify_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
    )
    op.create_index(
        op.f("ix_alerts_fingerprint_firing_notified_at"), "alerts", ["fingerprint", "firing_notified_at"], unique=False
    )
    op.create_index(
        op.f("ix_alerts_notify_at"),
        "alerts",
        ["notify_at"],
        unique=False,
        postgresql_where=sa.text("notify_at IS NOT NULL"),
    )
    op.create_index(op.f("ix_alerts_rule_id"), "alerts", ["rule_id"], unique=False)
    op.create_index(op.f("ix_alerts_started_at_id"), "alerts", ["started_at", "id"], unique=False)
    op.create_index(
        "uq_alerts_open", "alerts", ["fingerprint"], unique=True, postgresql_where=sa.text("status <> 'resolved'")
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("prefix", name=op.f("uq_api_keys_prefix")),
    )
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("before", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("after", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
    )
    op.create_index(op.f("ix_audit_entries_target_id"), "audit_entries", ["target", "id"], unique=False)
    op.execute(
        "CREATE FUNCTION keep_audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF TG_OP = 'DELETE' AND OLD.at < now() - interval '365 days' THEN RETURN OLD; END IF;"
        " RAISE EXCEPTION 'audit entries are kept as they are for 365 days'; END $$"
    )
    op.execute(
        "CREATE TRIGGER keep_audit BEFORE UPDATE OR DELETE ON audit_entries FOR EACH ROW EXECUTE FUNCTION keep_audit()"
    )
    op.create_table(
        "idempotent_answers",
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("caller", "key", name=op.f("pk_idempotent_answers")),
    )
    op.create_index(op.f("ix_idempotent_answers_created_at"), "idempotent_answers", ["created_at"], unique=False)
    op.create_table(
        "counters",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("part", sa.SmallInteger(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "labels", "part", name=op.f("pk_counters")),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("alert_id", sa.Uuid(), nullable=True),
        sa.Column("action_id", sa.Uuid(), nullable=False),
        sa.Column("action_type", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("content", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("warning", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempt_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("retries_from", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("digest_id", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index(op.f("ix_deliveries_action_id_created_at"), "deliveries", ["action_id", "created_at"], unique=False)
    op.create_index(
        "ix_deliveries_due",
        "deliveries",
        ["action_id", "next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index(
        "ix_deliveries_leased",
        "deliveries",
        ["action_id"],
        unique=False,
        postgresql_where=sa.text("lease_until IS NOT NULL"),
    )
    op.create_index(
        "ix_deliveries_untold",
        "deliveries",
        ["action_id", "created_at"],
        unique=False,
        postgresql_where=sa.text("status = 'folded' AND digest_id IS NULL"),
    )
    op.create_index(
        op.f("ix_deliveries_alert_id_action_id_recipient_number"),
        "deliveries",
        ["alert_id", "action_id", "recipient", "number"],
        unique=False,
    )
    op.create_index(op.f("ix_deliveries_created_at_id"), "deliveries", ["created_at", "id"], unique=False)
    op.create_index(
        op.f("ix_deliveries_next_attempt_at"),
        "deliveries",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_table(
        "heartbeats",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_heartbeats")),
    )
    op.create_table(
        "log_changes",
        sa.Column("stream_id", sa.Integer(), nullable=False),
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("log_id", sa.BigInteger(), nullable=False),
        sa.Column("is_first", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("from_", sa.Text(), nullable=True),
        sa.Column("error_code", sa.Integer(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("price", sa.Numeric(), nullable=True),
        sa.Column("duration_seconds", sa.Integer(), nullable=True),
        sa.Column("segments", sa.Integer(), nullable=True),
        sa.Column("final", sa.Boolean(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("stream_id", "id", "occurred_at", name=op.f("pk_log_changes")),
        postgresql_partition_by="RANGE (occurred_at)",
    )
    op.create_index(op.f("ix_log_changes_log_id"), "log_changes", ["log_id"], unique=False)
    op.create_table(
        "log_texts",
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("log_id", sa.BigInteger(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("occurred_at", "log_id", name=op.f("pk_log_texts")),
        postgresql_partition_by="RANGE (occurred_at)",
    )
    op.create_index(
        "ix_log_texts_words",
        "log_texts",
        ["words"],
        unique=False,
        postgresql_using="gin",
        postgresql_ops={"words": "gin_trgm_ops"},
    )
    op.create_table(
        "logs",
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("log_type", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("level", sa.Text(), nullable=True),
        sa.Column("direction", sa.Text(), nullable=True),
        sa.Column("from_", sa.Text(), nullable=True),
        sa.Column("to_", sa.Text(), nullable=True),
        sa.Column("to_country", sa.Text(), nullable=True),
        sa.Column("error_code", sa.Integer(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("text_", sa.Text(), nullable=True),
        sa.Column("price", sa.Numeric(), nullable=True),
        sa.Column("price_unit", sa.Text(), nullable=True),
        sa.Column("duration_seconds", sa.Integer(), nullable=True),
        sa.Column("segments", sa.Integer(), nullable=True),
        sa.Column("messaging_service_sid", sa.Text(), nullable=True),
        sa.Column("resource_sid", sa.Text(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pushed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("final", sa.Boolean(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reread_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.BigInteger(), nullable=False),
        sa.Column("rest", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("occurred_at", "id", name=op.f("pk_logs")),
        sa.UniqueConstraint("account_id", "sid", "occurred_at", name=op.f("uq_logs_account_id_sid_occurred_at")),
        postgresql_partition_by="RANGE (occurred_at)",
    )
    op.create_index(
        op.f("ix_logs_account_id_log_type_reread_at"),
        "logs",
        ["account_id", "log_type", "reread_at"],
        unique=False,
        postgresql_where=sa.text("reread_at IS NOT NULL"),
    )
    op.create_index(
        op.f("ix_logs_account_id_resource_sid"),
        "logs",
        ["account_id", "resource_sid"],
        unique=False,
        postgresql_where=sa.text("resource_sid IS NOT NULL"),
    )
    op.create_table(
        "managed_entries",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Uuid(), nullable=False),
        sa.Column("references", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("kind", "slug", name=op.f("pk_managed_entries")),
        sa.UniqueConstraint("kind", "object_id", name=op.f("uq_managed_entries_kind_object_id")),
    )
    op.create_table(
        "matches",
        sa.Column("rule_id", sa.Uuid(), nullable=False),
        sa.Column("log_id", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("error_code", sa.Integer(), nullable=True),
        sa.Column("group_key", sa.Text(), nullable=False),
        sa.Column("alert_id", sa.Uuid(), nullable=True),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("novel", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("rule_id", "log_id", "epoch", name=op.f("pk_matches")),
    )
    op.create_index(
        op.f("ix_matches_alert_id_changed_at"),
        "matches",
        ["alert_id", "changed_at"],
        unique=False,
        postgresql_where=sa.text("alert_id IS NOT NULL"),
    )
    op.create_index(
        "ix_matches_held", "matches", ["rule_id", "group_key"], unique=False, postgresql_where=sa.text("held")
    )
    op.create_index(op.f("ix_matches_log_id"), "matches", ["log_id"], unique=False)
    op.create_index(
        op.f("ix_matches_rule_id_group_key_changed_at"),
        "matches",
        ["rule_id", "group_key", "changed_at"],
        unique=False,
    )
    op.create_table(
        "minute_counts",
        sa.Column("rule_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column("group_key", sa.Text(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("matched", sa.Integer(), nullable=False),
        sa.Column("amount", sa.Numeric(), nullable=False),
        sa.PrimaryKeyConstraint("rule_id", "epoch", "minute", "group_key", name=op.f("pk_minute_counts")),
    )
    op.create_table(
        "rule_groups",
        sa.Column("rule_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("group_key", sa.Text(), nullable=False),
        sa.Column("last_match_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("rule_id", "epoch", "group_key", name=op.f("pk_rule_groups")),
    )
    op.create_table(
        "seen_values",
        sa.Column("rule_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("group_key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("since_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("rule_id", "epoch", "group_key", "value", name=op.f("pk_seen_values")),
    )
    op.create_table(
        "silences",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("rule_id", sa.Uuid(), nullable=True),
        sa.Column("group", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_silences")),
    )
    op.create_table(
        "rule_sets",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rule_sets")),
    )
    op.create_table(
        "rules",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("log_type", sa.Text(), nullable=False),
        sa.Column("filters", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("pattern_type", sa.Text(), nullable=False),
        sa.Column("pattern_value", sa.Text(), nullable=True),
        sa.Column("condition", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("group_by", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("renotify_minutes", sa.Integer(), nullable=True),
        sa.Column("resolve_after_minutes", sa.Integer(), nullable=False),
        sa.Column("cooldown_minutes", sa.Integer(), nullable=False),
        sa.Column("schedule", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True),
        sa.Column("epoch", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_evaluated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_matched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("last_error_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error_count", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("cost_ms", sa.Double(), nullable=True),
        sa.Column("groups_capped", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("seeded", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("judged_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rules")),
        sa.UniqueConstraint("slug", name=op.f("uq_rules_slug")),
    )
    op.create_table(
        "attempts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("token", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=True),
        sa.Column("response", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.id"], name=op.f("fk_attempts_delivery_id_deliveries"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
    )
    op.create_index(op.f("ix_attempts_delivery_id_id"), "attempts", ["delivery_id", "id"], unique=False)
    op.create_table(
        "quarantined_records",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("log_type", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_quarantined_records_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "log_type", "content_hash", name=op.f("pk_quarantined_records")),
    )
    op.create_index(
        op.f("ix_quarantined_records_account_id_seen_at"),
        "quarantined_records",
        ["account_id", "seen_at"],
        unique=False,
    )
    op.create_table(
        "request_counts",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("minute", sa.DateTime(timezone=True), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_request_counts_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", "minute", name=op.f("pk_request_counts")),
    )
    op.create_table(
        "streams",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("log_type", sa.Text(), nullable=False),
        sa.Column("unavailable", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("unavailable_reason", sa.Text(), nullable=True),
        sa.Column("complete_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("complete_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("read_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_success_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("last_error_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("rereads_behind", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("swept_at", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("reading", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_streams_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_streams")),
        sa.UniqueConstraint("account_id", "log_type", name=op.f("uq_streams_account_id_log_type")),
    )
    op.create_table(
        "pushed_records",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("log_type", sa.Text(), nullable=False),
        sa.Column("sid", sa.Text(), nullable=False),
        sa.Column("digest", sa.BigInteger(), nullable=False),
        sa.Column("fields", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_pushed_records_account_id_accounts"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pushed_records")),
        sa.UniqueConstraint("account_id", "sid", "digest", name=op.f("uq_pushed_records_account_id_sid_digest")),
    )
    op.create_index(
        op.f("ix_pushed_records_account_id_log_type"),
        "pushed_records",
        ["account_id", "log_type"],
        unique=False,
        postgresql_where=sa.text("applied_at IS NULL"),
    )
    op.create_table(
        "backfills",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("stream_id", sa.Integer(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("read_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("records", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["stream_id"], ["streams.id"], name=op.f("fk_backfills_stream_id_streams"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backfills")),
    )
    op.create_index(
        op.f("ix_backfills_stream_id"),
        "backfills",
        ["stream_id"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "coverage_gaps",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("stream_id", sa.Integer(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["stream_id"], ["streams.id"], name=op.f("fk_coverage_gaps_stream_id_streams"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_coverage_gaps")),
    )
    op.create_index(op.f("ix_coverage_gaps_stream_id_since"), "coverage_gaps", ["stream_id", "since"], unique=False)
    op.create_table(
        "stream_searches",
        sa.Column("stream_id", sa.Integer(), nullable=False),
        sa.Column("change_id", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(
            ["stream_id"], ["streams.id"], name=op.f("fk_stream_searches_stream_id_streams"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("stream_id", name=op.f("pk_stream_searches")),
    )
    op.create_table(
        "stream_evaluations",
        sa.Column("stream_id", sa.Integer(), nullable=False),
        sa.Column("change_id", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("complete_until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["stream_id"], ["streams.id"], name=op.f("fk_stream_evaluations_stream_id_streams"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("stream_id", name=op.f("pk_stream_evaluations")),
    )
    op.execute("INSERT INTO rule_sets (id, version) VALUES (1, extract(epoch FROM clock_timestamp()) * 1000000)")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_table("stream_evaluations")
    op.drop_table("stream_searches")
    op.drop_index(op.f("ix_coverage_gaps_stream_id_since"), table_name="coverage_gaps")
    op.drop_table("coverage_gaps")
    op.drop_index(
        op.f("ix_backfills_stream_id"), table_name="backfills", postgresql_where=sa.text("finished_at IS NULL")
    )
    op.drop_table("backfills")
    op.drop_index(
        op.f("ix_pushed_records_account_id_log_type"),
        table_name="pushed_records",
        postgresql_where=sa.text("applied_at IS NULL"),
    )
    op.drop_table("pushed_records")
    op.drop_table("streams")
    op.drop_table("request_counts")
    op.drop_index(op.f("ix_quarantined_records_account_id_seen_at"), table_name="quarantined_records")
    op.drop_table("quarantined_records")
    op.drop_index(op.f("ix_attempts_delivery_id_id"), table_name="attempts")
    op.drop_table("attempts")
    op.drop_table("rules")
    op.drop_table("rule_sets")
    op.drop_table("silences")
    op.drop_table("seen_values")
    op.drop_table("rule_groups")
    op.drop_table("minute_counts")
    op.drop_index(op.f("ix_matches_rule_id_group_key_changed_at"), table_name="matches")
    op.drop_index(op.f("ix_matches_log_id"), table_name="matches")
    op.drop_index("ix_matches_held", table_name="matches", postgresql_where=sa.text("held"))
    op.drop_index(
        op.f("ix_matches_alert_id_changed_at"), table_name="matches", postgresql_where=sa.text("alert_id IS NOT NULL")
    )
    op.drop_table("matches")
    op.drop_table("managed_entries")
    op.drop_index(
        op.f("ix_logs_account_id_resource_sid"), table_name="logs", postgresql_where=sa.text("resource_sid IS NOT NULL")
    )
    op.drop_index(
        op.f("ix_logs_account_id_log_type_reread_at"),
        table_name="logs",
        postgresql_where=sa.text("reread_at IS NOT NULL"),
    )
    op.drop_table("logs")
    op.drop_index("ix_log_texts_words", table_name="log_texts")
    op.drop_table("log_texts")
    op.drop_index(op.f("ix_log_changes_log_id"), table_name="log_changes")
    op.drop_table("log_changes")
    op.drop_table("heartbeats")
    op.drop_index(
        op.f("ix_deliveries_next_attempt_at"), table_name="deliveries", postgresql_where=sa.text("status = 'pending'")
    )
    op.drop_index(op.f("ix_deliveries_created_at_id"), table_name="deliveries")
    op.drop_index(op.f("ix_deliveries_alert_id_action_id_recipient_number"), table_name="deliveries")
    op.drop_index("ix_deliveries_untold", table_name="deliveries")
    op.drop_index("ix_deliveries_leased", table_name="deliveries")
    op.drop_index("ix_deliveries_due", table_name="deliveries")
    op.drop_index(op.f("ix_deliveries_action_id_created_at"), table_name="deliveries")
    op.drop_table("deliveries")
    op.drop_table("counters")
    op.drop_index(op.f("ix_idempotent_answers_created_at"), table_name="idempotent_answers")
    op.drop_table("idempotent_answers")
    op.drop_index(op.f("ix_audit_entries_target_id"), table_name="audit_entries")
    op.drop_table("audit_entries")
    op.execute("DROP FUNCTION keep_audit")
    op.drop_table("api_keys")
    op.drop_index("uq_alerts_open", table_name="alerts", postgresql_where=sa.text("status <> 'resolved'"))
    op.drop_index(op.f("ix_alerts_started_at_id"), table_name="alerts")
    op.drop_index(op.f("ix_alerts_rule_id"), table_name="alerts")
    op.drop_index(op.f("ix_alerts_notify_at"), table_name="alerts", postgresql_where=sa.text("notify_at IS NOT NULL"))
    op.drop_index(op.f("ix_alerts_fingerprint_firing_notified_at"), table_name="alerts")
    op.drop_table("alerts")
    op.drop_table("actions")
    op.drop_table("accounts")
    op.execute("DROP SEQUENCE change_ids")
    op.execute("DROP SEQUENCE log_ids")

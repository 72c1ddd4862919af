"""`nightmill renew`, which remembers in Airflow from when on nights are to be looked at next time."""

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Asset, AssetAlias, Context

from job_operator import NightmillOperator, table_asset
from parameters import template
from published import in_words, renewed

KEY = "renewed_at"
RENEWED = AssetAlias("renewed tables")


class RenewOperator(NightmillOperator):
    """Run again what learnt from other nights than are there now, of the nights since the last renewal.

    That is: since the last one that succeeded began; it is kept in the asset's own state, since Airflow knows
    no order of runs that an asset began. Where there was none, since the first night began that told of it.
    told_by: the asset whose events begin it. The parameter `since` overrides, and is not remembered.

    Each partition that was published anew is told of, as an event of its table's asset.
    """

    template_fields = (*NightmillOperator.template_fields, "since")

    def __init__(self, *, told_by: Asset, **kwargs: Any) -> None:
        # An alias, since an outlet that is an asset would have an event even where nothing was renewed.
        super().__init__(command=["nightmill", "renew"], inlets=[told_by], outlets=[RENEWED], **kwargs)
        self.told_by, self.since, self.began = told_by, template("since"), datetime.now(UTC)

    def before(self, context: Context) -> None:
        """Find out since when."""
        self.began = datetime.now(UTC)
        if since := self.since or self.last(context):
            self.command += ["--since", since]
            # A night in which every job had nothing to do is as old as before, and may have come too early.
            for ds in sorted({event.extra["ds"] for event in self.events(context) if "ds" in event.extra}):
                self.command += ["--ds", ds]

    def last(self, context: Any) -> str:
        """When the last renewal began, or else the first night that told of it; empty: neither is known."""
        if found := context["asset_state_store"][self.told_by].get(KEY):
            return str(found)
        begun = [event.source_dag_run.start_date for event in self.events(context) if event.source_dag_run]
        return min(begun).isoformat() if begun else ""

    def events(self, context: Any) -> list[Any]:
        """What told of nights since the renewal before."""
        return list(context["triggering_asset_events"].get(self.told_by, []))

    def after(self, context: Context) -> None:
        """Remember when it began: nights that were published meanwhile are looked at again next time."""
        if not self.since:
            context["asset_state_store"][self.told_by].set(KEY, self.began.isoformat())
        for table, account in renewed(self.began, self.environment):
            self.log.info("renewed %s", in_words(table, account))
            context["outlet_events"][RENEWED].add(table_asset(table), extra=account)

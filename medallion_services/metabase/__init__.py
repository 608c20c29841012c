"""Metabase's content as code: cards and dashboards from `dashboards/metabase/*.yaml`, put there over its REST API."""

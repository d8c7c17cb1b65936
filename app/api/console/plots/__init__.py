"""Plots as SVG, drawn on the server. Pure: they take plain series and know no database."""

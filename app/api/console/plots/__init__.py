"""Plots as SVG, made on the server. Pure: they take plain series and know no database."""

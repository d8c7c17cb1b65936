"""A page for people: the simulator's contents, and a button for each incident."""

from html import escape

from scripts.twilio_simulator.http import Response
from scripts.twilio_simulator.scenarios import SCENARIOS
from scripts.twilio_simulator.simulator import Simulator

HTML = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Twilio simulator</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a2e }}
td, th {{ text-align: left; padding: .3rem .8rem .3rem 0; vertical-align: top }}
button {{ font: inherit; cursor: pointer; white-space: nowrap }}
</style>
<h1>Twilio simulator</h1>
<p>It speaks Twilio's REST API with made-up traffic. Account <code>{sid}</code>, {now} by its clock.</p>
<table>{counts}</table>
<h2>Incidents</h2>
<p>They come by themselves now and then; a button begins one now.</p>
<table>{scenarios}</table>
<script>
for (const button of document.querySelectorAll("button"))
  button.onclick = async () => {{
    button.disabled = true;
    const answer = await fetch("/_simulator/scenarios/" + button.value, {{method: "POST", body: "{{}}"}});
    button.textContent = answer.ok ? "begun" : "not possible here";
  }};
</script>
</html>
"""


def show(simulator: Simulator) -> Response:
    """Render the page."""
    simulator.settle()
    counts = "".join(f"<tr><th>{kind}s<td>{count:,}" for kind, count in simulator.counts().items())
    scenarios = "".join(
        f'<tr><td><button value="{name}">{name.replace("_", " ")}</button><td>{escape(scenario.description)}'
        for name, scenario in SCENARIOS.items()
    )
    text = HTML.format(
        sid=simulator.account.sid,
        now=f"{simulator.clock.now():%Y-%m-%d %H:%M:%S} UTC",
        counts=counts,
        scenarios=scenarios,
    )
    return Response(200, text.encode(), {"Content-Type": "text/html; charset=utf-8"})

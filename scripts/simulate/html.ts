/** Draws one run as a page that needs nothing but itself: hosts as lanes, time downwards, messages as arrows. */
import type { Plan } from "./plan.ts";
import type { Outcome } from "./run.ts";
import type { Trace } from "./trace.ts";

/** More would make a browser slow; the rest of the run is left out, and said so. */
const EVENTS_MAX = 8000;

export function htmlOf(plan: Plan, outcome: Outcome, trace: Trace): string {
  const events = trace.events.filter(({ kind, text }) => kind !== "log" || !text.includes(": debug "));
  const shown = events.slice(0, EVENTS_MAX);
  const hosts = [...new Set(shown.map(({ host }) => host))].filter((host) => host !== "-").sort();
  const data = JSON.stringify({ hosts, events: shown }).replaceAll("<", "\\u003c");
  const verdict = outcome.failure === undefined ? "passed" : `${outcome.failure.kind}: ${outcome.failure.message}`;
  const omitted = events.length > shown.length ? `, the first ${shown.length} of ${events.length} shown` : "";
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Seed ${plan.seed}</title>
<style>
  :root { color-scheme: light dark; --back: #fff; --text: #1d2733; --dim: #8a96a3; --line: #d9dee4; --message: #2b6cb0; --lost: #c53030; --fault: #b7791f; --event: #2f855a; }
  @media (prefers-color-scheme: dark) {
    :root { --back: #14181d; --text: #e3e8ee; --dim: #7b8794; --line: #323a44; --message: #63a4e8; --lost: #fc8181; --fault: #ecc94b; --event: #68d391; }
  }
  body { margin: 0; background: var(--back); color: var(--text); font: 14px/1.4 system-ui, sans-serif; }
  header { position: sticky; top: 0; background: var(--back); border-bottom: 1px solid var(--line); padding: 8px 16px; z-index: 1; }
  h1 { font-size: 15px; margin: 0 0 4px; }
  label { margin-right: 12px; color: var(--dim); }
  #lanes { position: relative; }
  #about { white-space: pre-wrap; color: var(--dim); min-height: 2.8em; max-height: 5.6em; overflow: auto; font: 12px/1.4 ui-monospace, monospace; }
  svg { display: block; width: 100%; }
  text { fill: var(--text); font-size: 11px; }
  .time { fill: var(--dim); font-variant-numeric: tabular-nums; }
  .lane { stroke: var(--line); }
  .message { stroke: var(--message); }
  .lost { stroke: var(--lost); stroke-dasharray: 3 3; }
  .mark { cursor: pointer; }
  .fault circle { fill: var(--fault); } .event circle { fill: var(--event); } .log circle { fill: var(--dim); } .digest circle { fill: none; stroke: var(--dim); }
  .fault text { fill: var(--fault); }
</style>
<header>
  <h1>Seed ${plan.seed}: ${escapeHtml(verdict)}</h1>
  <div>${plan.hosts.length} replicas, ${outcome.events} events, ${(outcome.virtualMs / 1000).toFixed(1)} s of virtual time, trace ${outcome.traceHash}${omitted}</div>
  <label><input type="checkbox" data-kind="page" checked> pages</label>
  <label><input type="checkbox" data-kind="ack"> acks</label>
  <label><input type="checkbox" data-kind="other" checked> other messages</label>
  <label><input type="checkbox" data-kind="log"> log</label>
  <label><input type="checkbox" data-kind="digest" checked> digests</label>
  <div id="about">Choose an arrow or a dot to read about it.</div>
</header>
<div id="lanes"></div>
<script type="application/json" id="data">${data}</script>
<script>
${SCRIPT}
</script>
</html>
`;
}

function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** Rows are as far apart as what happens needs, not as time goes: bursts stay readable and waits are short. */
const SCRIPT = `
const { hosts, events } = JSON.parse(document.getElementById("data").textContent);
const about = document.getElementById("about");
const boxes = [...document.querySelectorAll("input[data-kind]")];
const make = (name, attributes, parent) => {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  parent.append(node);
  return node;
};
const kindOf = (event) => {
  if (event.kind !== "message") return event.kind;
  return event.text.startsWith("page") ? "page" : event.text.startsWith("ack") ? "ack" : "other";
};
function draw() {
  const on = new Set(boxes.filter((box) => box.checked).map((box) => box.dataset.kind));
  const shown = events.filter((event) => ["event", "fault"].includes(event.kind) || on.has(kindOf(event)));
  const moments = [...new Set(shown.flatMap((event) => [event.atMs, event.arrivedMs ?? event.atMs]))].sort((a, b) => a - b);
  const rowOf = new Map();
  let y = 30;
  let before = 0;
  for (const ms of moments) {
    y += Math.min(60, Math.max(7, Math.sqrt(ms - before) * 2));
    before = ms;
    rowOf.set(ms, y);
  }
  const width = Math.max(700, hosts.length * 190 + 90);
  const lane = (host) => 90 + (hosts.indexOf(host) + 0.5) * ((width - 90) / hosts.length);
  const root = document.getElementById("lanes");
  root.replaceChildren();
  const svg = make("svg", { viewBox: "0 0 " + width + " " + (y + 30), role: "img" }, root);
  make("path", { d: "M0 0L6 3L0 6z", fill: "var(--message)" }, make("marker", { id: "tip", markerWidth: 6, markerHeight: 6, refX: 6, refY: 3, orient: "auto" }, make("defs", {}, svg)));
  for (const host of hosts) {
    make("line", { class: "lane", x1: lane(host), x2: lane(host), y1: 24, y2: y + 10 }, svg);
    make("text", { x: lane(host), y: 16, "text-anchor": "middle" }, svg).textContent = host;
  }
  let labelled = -99;
  for (const event of shown) {
    const at = rowOf.get(event.atMs);
    if (at - labelled > 16) {
      make("text", { class: "time", x: 8, y: at + 4 }, svg).textContent = (event.atMs / 1000).toFixed(3) + " s";
      labelled = at;
    }
    const mark = make("g", { class: "mark " + event.kind }, svg);
    const read = (event.atMs / 1000).toFixed(4) + " s  " + event.host + (event.to ? " -> " + event.to : "") + "  " + event.text;
    mark.addEventListener("click", () => { about.textContent = read; });
    make("title", {}, mark).textContent = read;
    if (event.kind === "message") {
      const isLost = event.arrivedMs === undefined;
      const x1 = lane(event.host), far = lane(event.to);
      const x2 = isLost ? x1 + (far - x1) * 0.6 : far;
      const line = { x1, y1: at, x2, y2: isLost ? at + 4 : rowOf.get(event.arrivedMs), class: isLost ? "lost" : "message" };
      make("line", { ...line, ...(isLost ? {} : { "marker-end": "url(#tip)" }) }, mark);
      make("line", { ...line, class: "", stroke: "transparent", "stroke-width": 7 }, mark);
    } else {
      const x = event.host === "-" ? 84 : lane(event.host);
      make("circle", { cx: x, cy: at, r: event.kind === "log" ? 2.5 : 4 }, mark);
      if (event.kind === "fault" || event.kind === "event") make("text", { x: x + 7, y: at + 4 }, mark).textContent = event.text.replace(/^\\{"atMs":[\\d.]+,"type":"(\\w+)".*$/, "$1").slice(0, 26);
    }
  }
}
for (const box of boxes) box.addEventListener("change", draw);
draw();
`;

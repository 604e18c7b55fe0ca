/** The status of a replica as a page for people: no script, nothing loaded, made anew every two seconds. */
import type { Status } from "../status.ts";
import type { Metrics } from "../telemetry/metrics.ts";

const STYLE = `body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#222}
h1{font-size:1.3rem}h2{font-size:1rem;margin:1.5rem 0 .3rem}table{border-collapse:collapse;width:100%}
th,td{text-align:left;padding:.2rem .8rem .2rem 0;border-bottom:1px solid #eee;vertical-align:top}
.health{color:#fff;border-radius:.3rem;padding:.1rem .5rem}.green{background:#287d3c}.yellow{background:#9a6700}
.red{background:#b3261e}@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}th,td{border-color:#333}}`;

export function statusPage(status: Status, metrics: Metrics): string {
  const { nodeId, clusterId, health, reasons, durability, clock, peers } = status;
  const facts: [string, string | number][] = [
    ["cluster", clusterId],
    ["entries", status.entries],
    ["tombstones", status.tombstones],
    ["bytes", status.bytes],
    ["digest", status.digest],
    ["durability", `${durability.mode}, ${durability.state}`],
    ["clock ahead by", `${clock.driftMs} ms`],
    ["up for", `${Math.floor(metrics.uptimeMs / 1000)} s`],
    ["writes here", metrics.writes.puts + metrics.writes.deletes],
  ];
  const rows = Object.entries(peers).map(([id, peer]) => {
    const { state, address = "", lagEntries, lagMs, entriesIn, entriesOut, rejects } = peer;
    const refused = Object.entries(rejects).map(([reason, count]) => `${count} ${reason}`);
    return [id, state, address, lagEntries, `${lagMs} ms`, entriesIn, entriesOut, refused.join(", ")];
  });
  const heading = ["peer", "state", "address", "lacks", "for", "entries in", "out", "refused"];
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="2">
<title>${text(nodeId)} (${health})</title><style>${STYLE}</style></head><body>
<h1>${text(nodeId)} <span class="health ${health}">${health}</span></h1>
${reasons.length === 0 ? "" : `<ul>${reasons.map((reason) => `<li>${text(reason)}</li>`).join("")}</ul>`}
<table>${facts.map(([name, value]) => `<tr><th>${name}</th><td>${text(value)}</td></tr>`).join("")}</table>
<h2>Peers</h2>
<table><tr>${heading.map((name) => `<th>${name}</th>`).join("")}</tr>
${rows.map((row) => `<tr>${row.map((cell) => `<td>${text(cell)}</td>`).join("")}</tr>`).join("\n")}</table>
</body></html>
`;
}

/** Names come from other replicas. */
function text(value: string | number): string {
  return String(value).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

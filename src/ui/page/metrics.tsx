/** What the replica counts, over the last minutes: small charts, each with its number of the moment. */
import { effect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { bytes, count, duration, short } from "./format.ts";
import { Card, Empty } from "./parts.tsx";
import { type Sample, samples, snapshot } from "./store.ts";
import { theme } from "./theme.ts";

type Field = Exclude<keyof Sample, "at">;

interface ChartSpec {
  readonly title: string;
  readonly unit: string;
  readonly fields: readonly (readonly [Field, string])[];
  readonly format: (value: number) => string;
}

const CHARTS: readonly ChartSpec[] = [
  {
    title: "Writes here",
    unit: "per second",
    fields: [
      ["puts", "puts"],
      ["deletes", "deletes"],
    ],
    format: short,
  },
  {
    title: "Entries",
    unit: "per second",
    fields: [
      ["entriesIn", "received"],
      ["entriesOut", "sent"],
    ],
    format: short,
  },
  {
    title: "Traffic",
    unit: "per second",
    fields: [
      ["bytesIn", "received"],
      ["bytesOut", "sent"],
    ],
    format: bytes,
  },
  {
    title: "Messages",
    unit: "per second",
    fields: [
      ["messagesIn", "received"],
      ["messagesOut", "sent"],
    ],
    format: short,
  },
  { title: "Commit", unit: "mean, ms", fields: [["commitMs", "until durable"]], format: short },
  { title: "Furthest peer", unit: "entries behind", fields: [["behind", "behind"]], format: short },
];

const HEIGHT_PX = 120;

export function MetricsView() {
  const replica = snapshot.value?.replica;
  if (replica === undefined) return null;
  const { counters } = replica;
  const kinds = Object.entries(counters.kinds).sort(([a], [b]) => (a < b ? -1 : 1));
  const facts: readonly (readonly [string, string])[] = [
    ["entries", count(replica.entries)],
    ["tombstones", count(replica.tombstones)],
    ["keys and values", bytes(replica.bytes)],
    ["puts", count(counters.puts)],
    ["deletes", count(counters.deletes)],
    ["expired", count(counters.expired)],
    ["refused writes", count(counters.refused)],
    ["commits", count(counters.commits)],
    ["received", bytes(counters.bytesIn)],
    ["sent", bytes(counters.bytesOut)],
    ["watchers", count(counters.watchers)],
    ["waiting for the disk", count(counters.waiting)],
    ["clock ahead by", `${count(replica.driftMs)} ms`],
    ["up for", duration(replica.uptimeMs)],
  ];
  return (
    <div class="metrics">
      {CHARTS.map((spec) => (
        <Chart key={spec.title} spec={spec} />
      ))}
      <Card title="Counted" class="wide" note="since the replica was opened">
        <dl class="tiles">
          {facts.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
      </Card>
      <Card title="Messages by kind" class="wide" note="since the replica was opened">
        {kinds.length === 0 ? (
          <Empty title="None yet">They begin with the first connection to another replica.</Empty>
        ) : (
          <table class="plain">
            <thead>
              <tr>
                <th scope="col">kind</th>
                <th scope="col">sent</th>
                <th scope="col">received</th>
              </tr>
            </thead>
            <tbody>
              {kinds.map(([kind, [sent, received]]) => (
                <tr key={kind}>
                  <th scope="row">{kind}</th>
                  <td>{count(sent)}</td>
                  <td>{count(received)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Card>
    </div>
  );
}

function Chart({ spec }: { readonly spec: ChartSpec }) {
  const place = useRef<HTMLDivElement>(null);
  const drawnIn = theme.value;
  useEffect(() => (place.current === null ? undefined : draw(place.current, spec)), [drawnIn]);
  const last = samples.value.at(-1);
  return (
    <section class="card chart" aria-label={`${spec.title}, ${spec.unit}`}>
      <div class="card-head">
        <h2>{spec.title}</h2>
        <p class="muted small">{spec.unit}</p>
      </div>
      <p class="readings">
        {spec.fields.map(([field, name], index) => {
          const value = last?.[field];
          return (
            <span key={field}>
              <i class={`key series-${index}`} />
              <b>{value === undefined || value === null ? "–" : spec.format(value)}</b>{" "}
              <span class="muted small">{name}</span>
            </span>
          );
        })}
      </p>
      <div ref={place} class="plot" aria-hidden="true" />
    </section>
  );
}

/** @returns takes it away */
function draw(place: HTMLElement, { fields, format }: ChartSpec): () => void {
  const colour = (name: string): string => getComputedStyle(place).getPropertyValue(name).trim();
  const [text, grid] = [resolved(place, "--muted"), resolved(place, "--line")];
  const axis = {
    stroke: text,
    grid: { stroke: grid, width: 1 },
    ticks: { show: false },
    font: `11px ${colour("--font")}`,
  };
  const chart = new uPlot(
    {
      width: Math.max(200, place.clientWidth),
      height: HEIGHT_PX,
      legend: { show: false },
      cursor: { show: false },
      padding: [8, 4, 0, 0],
      scales: { y: { range: (_, __, max) => [0, Math.max(1, max * 1.15)] } },
      axes: [
        { ...axis, size: 22, space: 70 },
        { ...axis, size: 58, space: 34, values: (_, values) => values.map((value) => format(value)) },
      ],
      series: [
        {},
        ...fields.map(([field], index) => ({
          stroke: resolved(place, `--series-${index}`),
          ...(index === 0 ? { fill: resolved(place, "--series-fill") } : {}),
          width: 2,
          points: { show: false },
          spanGaps: field === "commitMs",
        })),
      ],
    },
    dataOf(samples.peek(), fields),
    place,
  );
  const stop = effect(() => chart.setData(dataOf(samples.value, fields)));
  const resized = new ResizeObserver(() =>
    chart.setSize({ width: Math.max(200, place.clientWidth), height: HEIGHT_PX }),
  );
  resized.observe(place);
  return () => {
    stop();
    resized.disconnect();
    chart.destroy();
  };
}

/** A canvas knows no variables of the style sheet, and no light-dark(). */
function resolved(place: HTMLElement, name: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  place.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

function dataOf(shown: readonly Sample[], fields: readonly (readonly [Field, string])[]): uPlot.AlignedData {
  return [shown.map(({ at }) => at), ...fields.map(([field]) => shown.map((sample) => sample[field]))];
}

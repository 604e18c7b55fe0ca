/** Charts as SVG: lines over an axis of numbers or words. A light background of their own, so that they read anywhere. */

export interface ChartLine {
  readonly name: string;
  /** Ours is strong, a limit dashed and grey. */
  readonly style: "ours" | "limit" | "peer";
  /** By x: a number, or the place of a word. */
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Chart {
  readonly title: string;
  /** A sentence on what is seen, and which way is better. */
  readonly note: string;
  readonly xLabel: string;
  readonly yLabel: string;
  /** Words under the axis, one for each whole number from 0; otherwise x is logarithmic. */
  readonly words?: readonly string[];
  readonly isYLogarithmic: boolean;
  readonly lines: readonly ChartLine[];
  /** With k and M. */
  readonly describeY: (value: number) => string;
}

const WIDTH = 820;
const HEIGHT = 440;
const LEFT = 78;
const RIGHT = 170;
const TOP = 78;
const BOTTOM = 62;
const LABEL_PX = 16;
const FONT = "font-family='system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif'";
const INK = "#1f2933";
const FAINT = "#61707f";
const GRID = "#e4e9ee";
const OURS = "#0b5fff";
const LIMITS = ["#7b8794", "#a3adb8", "#56616c"];
const PEERS = ["#d9480f", "#2b8a3e", "#9c36b5", "#c2920c", "#0c8599", "#c2255c"];

/** @returns a document */
export function chartSvg(chart: Chart): string {
  const x = horizontal(chart);
  const y = vertical(chart);
  const colours = coloursOf(chart.lines);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" aria-label="${escaped(chart.title)}" ${FONT}>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" rx="8" fill="#ffffff"/>`,
    text(LEFT - 50, 32, chart.title, `font-size="18" font-weight="600" fill="${INK}"`),
    text(LEFT - 50, 54, chart.note, `font-size="13" fill="${FAINT}"`),
  ];
  for (const tick of y.ticks) {
    parts.push(`<path d="M${LEFT} ${n(y.at(tick))}H${WIDTH - RIGHT}" stroke="${GRID}"/>`);
    parts.push(
      text(LEFT - 8, y.at(tick) + 4, chart.describeY(tick), `font-size="12" text-anchor="end" fill="${FAINT}"`),
    );
  }
  for (const tick of x.ticks) {
    const label = chart.words?.[tick] ?? describeCount(tick);
    parts.push(`<path d="M${n(x.at(tick))} ${HEIGHT - BOTTOM}v5" stroke="${FAINT}"/>`);
    parts.push(text(x.at(tick), HEIGHT - BOTTOM + 20, label, `font-size="12" text-anchor="middle" fill="${FAINT}"`));
  }
  parts.push(`<path d="M${LEFT} ${HEIGHT - BOTTOM}H${WIDTH - RIGHT}" stroke="${FAINT}"/>`);
  const middle = (LEFT + WIDTH - RIGHT) / 2;
  parts.push(text(middle, HEIGHT - 16, chart.xLabel, `font-size="13" text-anchor="middle" fill="${INK}"`));
  const side = `font-size="13" text-anchor="middle" fill="${INK}" transform="rotate(-90 18 ${(TOP + HEIGHT - BOTTOM) / 2})"`;
  parts.push(text(18, (TOP + HEIGHT - BOTTOM) / 2, chart.yLabel, side));

  // Ours last, on top of the others.
  const ordered = chart.lines.toSorted((a, b) => Number(a.style === "ours") - Number(b.style === "ours"));
  for (const line of ordered) {
    const colour = colours.get(line.name) ?? INK;
    const way = line.points
      .map(([px, py], index) => `${index === 0 ? "M" : "L"}${n(x.at(px))} ${n(y.at(py))}`)
      .join("");
    const dash = line.style === "limit" ? ` stroke-dasharray="6 4"` : "";
    const width = line.style === "ours" ? 3.5 : 2;
    parts.push(
      `<path d="${way}" fill="none" stroke="${colour}" stroke-width="${width}" stroke-linejoin="round"${dash}/>`,
    );
    for (const [px, py] of line.points) {
      const radius = line.style === "ours" ? 4.5 : 3;
      parts.push(`<circle cx="${n(x.at(px))}" cy="${n(y.at(py))}" r="${radius}" fill="${colour}" stroke="#ffffff"/>`);
    }
  }
  parts.push(...endLabels(chart.lines, x, y, colours));
  return `${parts.join("\n")}\n</svg>\n`;
}

interface Axis {
  readonly ticks: readonly number[];
  at(value: number): number;
}

function horizontal({ lines, words }: Chart): Axis {
  const from = LEFT + 24;
  const to = WIDTH - RIGHT - 24;
  if (words !== undefined) {
    const step = words.length < 2 ? 0 : (to - from) / (words.length - 1);
    return { ticks: words.map((_, index) => index), at: (value) => from + value * step };
  }
  const values = lines.flatMap(({ points }) => points.map(([px]) => px));
  const low = Math.log10(Math.min(...values));
  const high = Math.log10(Math.max(...values));
  const span = high === low ? 1 : high - low;
  const ticks = [...new Set(values)].sort((a, b) => a - b);
  const at = (value: number): number => from + ((Math.log10(value) - low) / span) * (to - from);
  // Values that are close to each other would write over each other.
  const shown: number[] = [];
  for (const tick of ticks) if (shown.length === 0 || at(tick) - at(shown.at(-1) ?? 0) > 44) shown.push(tick);
  return { ticks: shown, at };
}

function vertical({ lines, isYLogarithmic }: Chart): Axis {
  const values = lines.flatMap(({ points }) => points.map(([, py]) => py));
  const bottom = HEIGHT - BOTTOM;
  if (!isYLogarithmic) {
    const step = niceStep(Math.max(...values) / 5);
    const top = Math.ceil(Math.max(...values) / step) * step;
    const ticks = Array.from({ length: Math.round(top / step) + 1 }, (_, index) => index * step);
    return { ticks, at: (value) => bottom - (value / top) * (bottom - TOP) };
  }
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(Math.ceil(Math.log10(Math.max(...values))), low + 1);
  const ticks = Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index));
  return { ticks, at: (value) => bottom - ((Math.log10(value) - low) / (high - low)) * (bottom - TOP) };
}

/** 1, 2 or 5 times a power of ten. */
function niceStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  return ([1, 2, 5].find((times) => times * power >= rough) ?? 10) * power;
}

/** Names at the ends of the lines, moved apart where they would write over each other. */
function endLabels(lines: readonly ChartLine[], x: Axis, y: Axis, colours: ReadonlyMap<string, string>): string[] {
  const labels = lines
    .map(({ name, style, points }) => ({ name, style, end: points.at(-1) ?? ([0, 0] as const) }))
    .map((label) => ({ ...label, at: y.at(label.end[1]) }))
    .sort((a, b) => a.at - b.at);
  let above = Number.NEGATIVE_INFINITY;
  for (const label of labels) {
    label.at = Math.max(label.at, above + LABEL_PX);
    above = label.at;
  }
  let below = HEIGHT - BOTTOM + LABEL_PX / 2;
  for (const label of labels.toReversed()) {
    label.at = Math.min(label.at, below - LABEL_PX / 2);
    below = label.at - LABEL_PX / 2;
  }
  return labels.map(({ name, style, end, at }) => {
    const colour = colours.get(name) ?? INK;
    const labelX = WIDTH - RIGHT + 6;
    const lead = `<path d="M${n(x.at(end[0]) + 7)} ${n(y.at(end[1]))}L${labelX - 4} ${n(at)}" stroke="${colour}" stroke-opacity="0.35" fill="none"/>`;
    const weight = style === "ours" ? ` font-weight="700"` : "";
    return lead + text(labelX, at + 4, name, `font-size="13" fill="${colour}"${weight}`);
  });
}

function coloursOf(lines: readonly ChartLine[]): Map<string, string> {
  const colours = new Map<string, string>();
  let limits = 0;
  let peers = 0;
  for (const { name, style } of lines) {
    if (style === "ours") colours.set(name, OURS);
    else if (style === "limit") colours.set(name, LIMITS[limits++ % LIMITS.length] ?? INK);
    else colours.set(name, PEERS[peers++ % PEERS.length] ?? INK);
  }
  return colours;
}

function text(x: number, y: number, words: string, attributes: string): string {
  return `<text x="${n(x)}" y="${n(y)}" ${attributes}>${escaped(words)}</text>`;
}

function escaped(words: string): string {
  return words.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}

/** Tenths of a pixel are enough. */
function n(value: number): string {
  return String(Number(value.toFixed(1)));
}

function describeCount(value: number): string {
  const power = Math.log10(value);
  if (value >= 10_000 && Number.isInteger(power)) return `10${"⁰¹²³⁴⁵⁶⁷⁸⁹"[power] ?? power}`;
  if (value >= 1e6) return `${value / 1e6} M`;
  return value.toLocaleString("en-US");
}

/**
 * A strict reader of the text format of Prometheus, version 0.0.4, written from its description: throws at what a
 * collector would refuse, and at what its conventions forbid.
 */

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  readonly type: string;
  readonly help: string | undefined;
  readonly samples: Sample[];
}

const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\[\\\\"n])*"';
const SAMPLE = new RegExp(
  `^(${NAME})(?:\\{(${LABEL}(?:,${LABEL})*)?\\})? ([+-]?Inf|NaN|[+-]?\\d+(?:\\.\\d+)?(?:e[+-]?\\d+)?)$`,
);

export function parseExposition(text: string): Map<string, Family> {
  if (!text.endsWith("\n")) throw new Error("the last line has no end");
  const families = new Map<string, Family>();
  const helps = new Map<string, string>();
  const seen = new Set<string>();
  let current: string | undefined;
  for (const line of text.slice(0, -1).split("\n")) {
    const [, kind, name = "", rest = ""] = new RegExp(`^# (HELP|TYPE) (${NAME}) (.*)$`).exec(line) ?? [];
    if (kind === "HELP") {
      if (helps.has(name)) throw new Error(`HELP of ${name} twice`);
      helps.set(name, rest);
    } else if (kind === "TYPE") {
      if (families.has(name)) throw new Error(`TYPE of ${name} twice`);
      if (!["counter", "gauge", "histogram"].includes(rest)) throw new Error(`no type: ${rest}`);
      if (rest === "counter" && !name.endsWith("_total")) throw new Error(`the counter ${name} does not end in _total`);
      families.set(name, { type: rest, help: helps.get(name), samples: [] });
      current = name;
    } else {
      const sample = parseSample(line);
      const family = families.get(current ?? "");
      const base = family?.type === "histogram" ? sample.name.replace(/_(?:bucket|sum|count)$/, "") : sample.name;
      if (family === undefined || base !== current) throw new Error(`no TYPE before ${line}`);
      const identity = `${sample.name} ${JSON.stringify(Object.entries(sample.labels).sort())}`;
      if (seen.has(identity)) throw new Error(`twice: ${line}`);
      seen.add(identity);
      family.samples.push(sample);
    }
  }
  for (const [name, family] of families) if (family.type === "histogram") checkHistogram(name, family.samples);
  return families;
}

function parseSample(line: string): Sample {
  const [, name, labels = "", value] = SAMPLE.exec(line) ?? [];
  if (name === undefined || value === undefined) throw new Error(`no sample: ${line}`);
  const pairs = [...labels.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g)].map(([, label = "", text = ""]) => {
    return [label, text.replace(/\\(.)/g, (_, character: string) => (character === "n" ? "\n" : character))] as const;
  });
  const sample = { name, labels: Object.fromEntries(pairs), value: Number(value.replace("Inf", "Infinity")) };
  if (Object.keys(sample.labels).length !== pairs.length) throw new Error(`a label twice: ${line}`);
  return sample;
}

/** One series: what is counted up to a bound is counted up to the next one as well. */
function checkHistogram(name: string, samples: readonly Sample[]): void {
  const buckets = samples.filter((sample) => sample.name === `${name}_bucket`);
  const count = samples.find((sample) => sample.name === `${name}_count`)?.value;
  const bounds = buckets.map(({ labels }) => Number(labels.le?.replace("Inf", "Infinity")));
  if (bounds.at(-1) !== Number.POSITIVE_INFINITY) throw new Error(`${name} has no bucket +Inf at its end`);
  const isGrowing = (values: readonly number[]) =>
    values.every((value, index) => index === 0 || value >= (values[index - 1] ?? 0));
  if (!isGrowing(bounds) || !isGrowing(buckets.map(({ value }) => value))) throw new Error(`${name} is not cumulative`);
  if (buckets.at(-1)?.value !== count)
    throw new Error(`${name} has another count than its last bucket, not cumulative`);
  if (!samples.some((sample) => sample.name === `${name}_sum`)) throw new Error(`${name} has no sum`);
}

/** Numbers, times and names for people. Pure. */

const COUNT = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function count(value: number): string {
  return COUNT.format(value);
}

/** For axes and tiles: `1.2K`. */
export function short(value: number): string {
  return Math.abs(value) < 10 && value % 1 !== 0 ? value.toFixed(1) : SHORT.format(value);
}

export function bytes(value: number): string {
  let [amount, unit] = [value, 0];
  while (amount >= 1024 && unit < UNITS.length - 1) {
    amount /= 1024;
    unit += 1;
  }
  return `${unit === 0 || amount >= 100 ? Math.round(amount) : amount.toFixed(1)} ${UNITS[unit]}`;
}

/** `now`, `12 s`, `5 min`, `3 h`, `2 d`. */
export function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 1) return "now";
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

export function ago(at: number, now: number): string {
  const text = duration(Math.max(0, now - at));
  return text === "now" ? "just now" : `${text} ago`;
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DATE = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** The time of day. */
export function clock(at: number): string {
  return `${CLOCK.format(at)}.${String(Math.floor(at) % 1000).padStart(3, "0")}`;
}

export function date(at: number): string {
  return DATE.format(at);
}

/** A colour of its own for each name or digest, as a class: colours live in the style sheet. */
export function hueClass(text: string): string {
  let hash = 0;
  for (let index = 0; index < text.length; index++) hash = (Math.imul(hash, 31) + text.charCodeAt(index)) | 0;
  return `hue-${Math.abs(hash) % 8}`;
}

/** JSON laid out over lines; a text that is cut short stays as it is. */
export function laidOut(text: string, isWhole: boolean): string {
  if (!isWhole) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** Whole ones, as people count them. */
export function charactersOf(text: string): string[] {
  return Array.from(new Intl.Segmenter().segment(text), ({ segment }) => segment);
}

/** Cut short in the middle, at most 18 characters: names of replicas often differ at their end. */
export function shortened(name: string): string {
  const characters = charactersOf(name);
  return characters.length <= 18 ? name : `${characters.slice(0, 9).join("")}…${characters.slice(-8).join("")}`;
}

/** What stands for a name where there is room for two or three characters: `O`, or `N12` of `node-12`. */
export function initialOf(name: string): string {
  const [first = ""] = charactersOf(name);
  const [digits = ""] = /\d{1,2}$/.exec(name) ?? [];
  return `${first.toUpperCase()}${digits === name ? "" : digits}`;
}

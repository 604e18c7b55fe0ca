/** Text for people: tables, sizes, colours, and names that cannot play tricks on a terminal. */

/** Where text goes. `write` never throws because nobody reads any more. */
export interface Output {
  write(text: string): void;
  /** Resolves when it takes more without keeping it in memory. Absent: it always does. */
  drained?(): Promise<void>;
  readonly isTerminal: boolean;
  readonly hasColours: boolean;
}

export type Colour = "bold" | "red" | "green" | "yellow";
/** Colours a text, or leaves it alone where there are no colours. */
export type Paint = (colour: Colour, text: string) => string;

const SGR: Record<Colour, number> = { bold: 1, red: 31, green: 32, yellow: 33 };
const UNITS = ["KiB", "MiB", "GiB", "TiB"];
/** Beyond this a cell no longer widens its column; it is shown whole all the same. */
const COLUMN_WIDTH_MAX = 60;

export function paintFor({ hasColours }: Output): Paint {
  return (colour, text) => (hasColours ? `\u001b[${SGR[colour]}m${text}\u001b[0m` : text);
}

/** A text, to be shown as `printable` has it; a number; or what can be shown as it is. */
export type Cell = string | number | { readonly shown: string };

/**
 * Rows as lines, in columns two blanks apart. Cells are shown as `printable` has them; columns in which all cells
 * are numbers stand to the right, also under a heading.
 *
 * @param heading  one cell per column, if there is to be one
 */
export function table(rows: readonly (readonly Cell[])[], heading?: readonly string[]): string[] {
  const count = Math.max(heading?.length ?? 0, ...rows.map((row) => row.length));
  const columns = Array.from({ length: count }, (_, index) => {
    const isNumeric = rows.length > 0 && rows.every((row) => typeof row[index] === "number");
    const cells = [...(heading === undefined ? [] : [heading[index] ?? ""]), ...rows.map((row) => textOf(row[index]))];
    const widths = cells.map(widthOf).filter((width) => width <= COLUMN_WIDTH_MAX);
    const width = Math.max(0, ...widths);
    return cells.map((cell) => {
      const blanks = " ".repeat(Math.max(0, width - widthOf(cell)));
      return isNumeric ? blanks + cell : cell + blanks;
    });
  });
  const lines = Array.from({ length: columns[0]?.length ?? 0 }, (_, row) => columns.map((cells) => cells[row] ?? ""));
  return lines.map((cells) => cells.join("  ").trimEnd());
}

/** Whole numbers with a comma between thousands. */
export function grouped(count: number): string {
  return String(count).replace(/\B(?=(?:\d{3})+$)/g, ",");
}

/** `0 bytes`, `1 byte`, `1,023 bytes`, `1.5 KiB`. */
export function sizeText(bytes: number): string {
  if (bytes < 1024) return `${bytes} ${bytes === 1 ? "byte" : "bytes"}`;
  let amount = bytes / 1024;
  let unit = 0;
  // Rounded to one digit it would read 1024.0 of the smaller unit.
  for (; amount >= 1023.95 && unit < UNITS.length - 1; unit++) amount /= 1024;
  return `${amount.toFixed(1)} ${UNITS[unit] ?? ""}`;
}

/**
 * The text as it is if it can be shown as it is. Otherwise in JSON's quotes, with an escape for whatever moves the
 * cursor, is invisible or turns the direction of writing: keys and names come from strangers.
 */
export function printable(text: string): string {
  const isPlain = text !== "" && !UNPRINTABLE.test(text) && text === text.trim() && !text.startsWith('"');
  return isPlain ? text : escaped(JSON.stringify(text));
}

/** As `printable`, without the quotes: for sentences of which only a part comes from strangers. */
export function escaped(text: string): string {
  return text.replace(new RegExp(UNPRINTABLE, "gu"), (character) => {
    let escapes = "";
    for (let at = 0; at < character.length; at++) {
      escapes += `\\u${character.charCodeAt(at).toString(16).padStart(4, "0")}`;
    }
    return escapes;
  });
}

const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/u;

function textOf(cell: Cell | undefined): string {
  if (typeof cell === "object") return cell.shown;
  if (typeof cell === "number") return grouped(cell);
  return cell === undefined || cell === "" ? "" : printable(cell);
}

/** In code points. Wide and combining characters count as one: near enough for a table. */
function widthOf(text: string): number {
  return Array.from(text).length;
}

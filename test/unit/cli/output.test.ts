/** Text for people: sizes, tables, and names that must not reach a terminal as they are. */
import { describe, expect, test } from "vitest";
import { escaped, grouped, type Output, paintFor, printable, sizeText, table } from "../../../src/cli/output.ts";
import { progressOn } from "../../../src/cli/progress.ts";

test.each([
  [0, "0 bytes"],
  [1, "1 byte"],
  [1023, "1023 bytes"],
  [1024, "1.0 KiB"],
  [1536, "1.5 KiB"],
  [1024 * 1024 - 52, "1023.9 KiB"],
  [1024 * 1024 - 51, "1.0 MiB"], // would read 1024.0 KiB
  [1024 ** 3, "1.0 GiB"],
  [3 * 1024 ** 5, "3072.0 TiB"],
])("%i bytes read as %s", (bytes, expected) => {
  expect(sizeText(bytes)).toBe(expected);
});

test.each([
  [0, "0"],
  [999, "999"],
  [1000, "1,000"],
  [1234567, "1,234,567"],
])("%i is written %s", (count, expected) => {
  expect(grouped(count)).toBe(expected);
});

describe("printable", () => {
  test.each(["plain", "with a blank", "größe", "日本", "🐟", 'in "the" middle', "back\\slash"])(
    "leaves %s alone",
    (text) => {
      expect(printable(text)).toBe(text);
    },
  );

  test.each([
    ["", '""'],
    [" a", '" a"'],
    ["a ", '"a "'],
    ['"a"', '"\\"a\\""'], // else it would look like the quoted form of a
    ["\u001b[31m", '"\\u001b[31m"'],
    ["a\nb", '"a\\nb"'],
    ["a\u009bb", '"a\\u009bb"'], // a control sequence in one character, which JSON lets through
    ["a\u202eb", '"a\\u202eb"'], // turns the direction of writing
    ["a\u{e0041}", '"a\\udb40\\udc41"'],
  ])("quotes %j", (text, expected) => {
    expect(printable(text)).toBe(expected);
    if (!text.includes('"')) expect(JSON.parse(expected)).toBe(text);
  });

  test("within a sentence nothing is quoted", () => {
    expect(escaped('the cluster "a\u001b[2J"')).toBe('the cluster "a\\u001b[2J"');
  });
});

describe("table", () => {
  test("columns line up, numbers to the right, without blanks at the ends", () => {
    expect(
      table(
        [
          ["a", 5, "x"],
          ["bbb", 1000, ""],
        ],
        ["name", "n", ""],
      ),
    ).toEqual(["name      n", "a         5  x", "bbb   1,000"]);
  });

  test("one long cell does not push the others away", () => {
    const long = "k".repeat(61);
    expect(
      table([
        ["a", 1],
        [long, 2],
      ]),
    ).toEqual(["a  1", `${long}  2`]);
    const limit = "k".repeat(60);
    expect(
      table([
        ["a", 1],
        [limit, 2],
      ]),
    ).toEqual([`a${" ".repeat(59)}  1`, `${limit}  2`]);
  });

  test("cells cannot break out of their line", () => {
    expect(table([["a\nb", "c"]])).toEqual(['"a\\nb"  c']);
  });

  test("nothing gives nothing", () => {
    expect(table([])).toEqual([]);
  });
});

function outputTo(written: string[], isTerminal: boolean): Output {
  return { isTerminal, hasColours: isTerminal, write: (text) => written.push(text) };
}

test("colours are for terminals", () => {
  expect(paintFor(outputTo([], true))("red", "x")).toBe("\u001b[31mx\u001b[0m");
  expect(paintFor(outputTo([], false))("red", "x")).toBe("x");
});

describe("progress", () => {
  const at = (bytes: number) => ({ phase: "log", bytes, bytesTotal: 200, entries: 1000 }) as const;

  test("is one line that is written over, and taken away", () => {
    const written: string[] = [];
    const progress = progressOn(outputTo(written, true));
    for (const bytes of [100, 101, 102]) progress.report(at(bytes));
    progress.end();
    const clear = "\r\u001b[K";
    const [half, more] = ["50", "51"].map((percent) => `${clear}reading, ${percent} %, 1,000 entries`);
    expect(written).toEqual([half, more, clear]);
  });

  test("is silent elsewhere", () => {
    const written: string[] = [];
    const progress = progressOn(outputTo(written, false));
    progress.report(at(100));
    progress.end();
    expect(written).toEqual([]);
  });

  test("leaves no trace of a short reading", () => {
    const written: string[] = [];
    progressOn(outputTo(written, true)).end();
    expect(written).toEqual([]);
  });
});

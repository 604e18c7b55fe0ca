/** System calls of a process as strace saw them. */

export interface Call {
  readonly name: string;
  /** Of the file that its first argument refers to. */
  readonly path: string;
  /** Everything else that strace shows of its arguments. */
  readonly text: string;
  /** Lines of the trace at which it began and ended, which are in the order of events across threads. */
  readonly begin: number;
  readonly end: number;
  /** Below 0: it failed. `undefined`: it never returned. */
  readonly result: number | undefined;
}

const BEGIN = /^(\d+) +(\w+)\(\d+<([^>]*)>(.*)$/;
const RESUMED = /^(\d+) +<\.\.\. (\w+) resumed>(.*)$/;
const RESULT = /\)\s+= (-?\d+)/;

/** Parses what `strace -f -y -o` has written. Calls whose first argument is no file are left out. */
export function parseTrace(text: string): Call[] {
  const calls: Call[] = [];
  const unfinished = new Map<string, Call>();
  for (const [index, line] of text.split("\n").entries()) {
    const resumed = RESUMED.exec(line);
    const thread = resumed?.[1] ?? "";
    const begun = unfinished.get(thread);
    if (resumed !== null && begun !== undefined) {
      unfinished.delete(thread);
      calls.push({ ...begun, text: begun.text + resumed[3]!, end: index, result: resultOf(line) });
      continue;
    }
    const [, pid = "", name = "", path = "", rest = ""] = BEGIN.exec(line) ?? [];
    if (name === "") continue;
    const call = { name, path, text: rest, begin: index, end: index, result: resultOf(line) };
    if (line.endsWith("<unfinished ...>")) unfinished.set(pid, { ...call, end: Number.POSITIVE_INFINITY });
    else calls.push(call);
  }
  return [...calls, ...unfinished.values()].sort((a, b) => a.begin - b.begin);
}

function resultOf(line: string): number | undefined {
  const match = [...line.matchAll(new RegExp(RESULT, "g"))].at(-1);
  return match === undefined ? undefined : Number(match[1]);
}

/** Keys and values: found by how they begin, and each with what is known of its last write. */
import { effect, signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { EntriesView, EntryView } from "../wire.ts";
import { ask } from "./api.ts";
import { Dialog, tell } from "./dialogs.tsx";
import { ago, count, date, laidOut } from "./format.ts";
import { Card, Empty, moveInList, NodeName, Value } from "./parts.tsx";
import { freshChanges, now, snapshot } from "./store.ts";

const REFRESH_MS = 800;

const prefix = signal("");
const entries = signal<readonly EntryView[] | undefined>(undefined);
const hasMore = signal(false);
const opened = signal<EntryView | undefined>(undefined);
let latest = 0;
let isDue = false;

export function KeysView() {
  useEffect(follow, []);
  const shown = entries.value;
  const total = snapshot.value?.replica.entries ?? 0;
  return (
    <Card title="Keys" note={prefix.value === "" ? `${count(total)} in all` : "that begin so"}>
      <div class="search">
        <input
          type="search"
          placeholder="Begins with…   ( / )"
          aria-label="Keys that begin with"
          spellcheck={false}
          autocomplete="off"
          value={prefix.value}
          onInput={(event) => {
            prefix.value = event.currentTarget.value;
            void load();
          }}
        />
      </div>
      {shown === undefined ? null : shown.length === 0 ? (
        <Empty title={prefix.value === "" ? "There are no keys yet" : "No key begins so"}>
          {prefix.value === ""
            ? "They appear here as they are written, on this replica or on any other."
            : "Upper and lower case differ."}
        </Empty>
      ) : (
        <ul class="rows entries" onKeyDown={moveInList}>
          {shown.map((entry) => (
            <EntryRow key={entry.key} entry={entry} />
          ))}
        </ul>
      )}
      {hasMore.value && (
        <div class="row-actions">
          <button type="button" class="button" onClick={() => void loadMore()}>
            Show more
          </button>
        </div>
      )}
      <EntryDialog />
    </Card>
  );
}

function EntryRow({ entry }: { readonly entry: EntryView }) {
  const isFresh = freshChanges.value.some(({ key }) => key === entry.key);
  return (
    <li>
      <button type="button" class={`row entry ${isFresh ? "fresh" : ""}`} data-row onClick={() => void open(entry.key)}>
        <span class="key-text">{entry.key}</span>
        <Value value={entry.value} />
        <NodeName nodeId={entry.nodeId} />
        <span class="muted small when">{ago(entry.writtenAt, now.value)}</span>
      </button>
    </li>
  );
}

function EntryDialog() {
  const entry = opened.value;
  if (entry === undefined) return null;
  const close = () => {
    opened.value = undefined;
  };
  return (
    <Dialog title="Entry" class="wide" onClose={close}>
      <p class="entry-key">{entry.key}</p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: reason: whoever has no mouse has to be able to scroll it */}
      <pre class="entry-value" tabIndex={0}>
        {laidOut(entry.value.text, entry.value.more === 0)}
        {entry.value.more > 0 && <span class="muted">… {count(entry.value.more)} more characters</span>}
      </pre>
      <dl class="facts">
        <div>
          <dt>written</dt>
          <dd>{date(entry.writtenAt)}</dd>
        </div>
        <div>
          <dt>by</dt>
          <dd>
            <NodeName nodeId={entry.nodeId} />
          </dd>
        </div>
        <div>
          <dt>version</dt>
          <dd>
            <code>{entry.version}</code>
          </dd>
        </div>
        <div>
          <dt>expires</dt>
          <dd>{entry.expiresAt === undefined ? "never" : date(entry.expiresAt)}</dd>
        </div>
      </dl>
      <div class="dialog-actions">
        <button type="button" class="button" onClick={close}>
          Close
        </button>
      </div>
    </Dialog>
  );
}

async function open(key: string): Promise<void> {
  try {
    opened.value = await ask<EntryView>("GET", "entry", { key });
  } catch (error) {
    tell(error instanceof Error ? error.message : String(error), true);
  }
}

/** Loads now, and again when something changes that may be in the list, but not for every change. */
function follow(): () => void {
  void load();
  const stop = effect(() => {
    const isTouched = freshChanges.value.some(({ key }) => key.startsWith(prefix.peek()));
    if (!isTouched || isDue) return;
    isDue = true;
    setTimeout(() => {
      isDue = false;
      void load(entries.peek()?.length);
    }, REFRESH_MS);
  });
  return stop;
}

/** @param atLeast  rows that are shown already; beyond the first page they stay as they are */
async function load(atLeast = 0): Promise<void> {
  latest += 1;
  const mine = latest;
  try {
    const page = await ask<EntriesView>("GET", "entries", { prefix: prefix.peek() });
    // Somebody has typed on meanwhile.
    if (mine !== latest) return;
    if (atLeast > page.entries.length && page.more) {
      const last = page.entries.at(-1)?.key;
      const from = (entries.peek() ?? []).findIndex(({ key }) => key === last);
      entries.value = [...page.entries, ...(entries.peek() ?? []).slice(from < 0 ? page.entries.length : from + 1)];
      return;
    }
    entries.value = page.entries;
    hasMore.value = page.more;
  } catch (error) {
    tell(error instanceof Error ? error.message : String(error), true);
  }
}

async function loadMore(): Promise<void> {
  const after = entries.peek()?.at(-1)?.key;
  if (after === undefined) return;
  const page = await ask<EntriesView>("GET", "entries", { prefix: prefix.peek(), after });
  entries.value = [...(entries.peek() ?? []), ...page.entries];
  hasMore.value = page.more;
}

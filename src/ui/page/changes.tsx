/** Changes as they become durable here, newest first. */
import { computed, signal } from "@preact/signals";
import type { ChangeView } from "../wire.ts";
import { clock, count } from "./format.ts";
import { Card, Empty, NodeName, Value } from "./parts.tsx";
import { changes, missed } from "./store.ts";

const filter = signal("");
/** What was there when the stream was held; undefined: it flows. */
const held = signal<readonly ChangeView[] | undefined>(undefined);
const shown = computed(() => (held.value ?? changes.value).filter(({ key }) => key.startsWith(filter.value)));

export function ChangesView() {
  const isHeld = held.value !== undefined;
  const note = `${missed.value > 0 ? `${count(missed.value)} passed too fast to be shown · ` : ""}the last ${count(changes.value.length)}`;
  return (
    <Card
      title="Changes"
      note={note}
      actions={
        <button
          type="button"
          class="button"
          aria-pressed={isHeld}
          onClick={() => {
            held.value = isHeld ? undefined : changes.peek();
          }}
        >
          {isHeld ? "Go on" : "Hold"}
        </button>
      }
    >
      <div class="search">
        <input
          type="search"
          placeholder="Key begins with…   ( / )"
          aria-label="Changes of keys that begin with"
          spellcheck={false}
          autocomplete="off"
          value={filter.value}
          onInput={(event) => {
            filter.value = event.currentTarget.value;
          }}
        />
      </div>
      {shown.value.length === 0 ? (
        <Empty
          title={filter.value === "" ? "Nothing has changed since this page was opened" : "No change of such a key"}
        >
          Writes of every replica appear here once they are durable on this one.
        </Empty>
      ) : (
        <ul class="rows">
          {shown.value.map((change) => (
            <ChangeRow key={`${change.version} ${change.type} ${change.key}`} change={change} />
          ))}
        </ul>
      )}
    </Card>
  );
}

function ChangeRow({ change }: { readonly change: ChangeView }) {
  const { type, key, value, nodeId, local, writtenAt } = change;
  return (
    <li class="row change">
      <span class={`type ${type}`}>{type}</span>
      <span class="key-text">{key}</span>
      {value === undefined ? <span class="value muted">–</span> : <Value value={value} />}
      <span class="by">
        <NodeName nodeId={nodeId} />
        {local && <span class="tag">here</span>}
      </span>
      <time class="muted small when">{clock(writtenAt)}</time>
    </li>
  );
}

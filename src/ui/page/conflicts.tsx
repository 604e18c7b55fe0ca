/** Writes that did not know of each other: what has stayed beside what was lost. */
import type { ConflictView, SideView } from "../wire.ts";
import { count, date, laidOut } from "./format.ts";
import { Card, Empty, NodeName } from "./parts.tsx";
import { snapshot } from "./store.ts";

export function ConflictsView() {
  const shown = snapshot.value;
  if (shown === undefined) return null;
  const { conflicts, conflictsTotal } = shown;
  const note =
    conflictsTotal > conflicts.length
      ? `the last ${count(conflicts.length)} of ${count(conflictsTotal)}`
      : `${count(conflictsTotal)} since this page is served`;
  return (
    <Card title="Conflicts" note={note}>
      {conflicts.length === 0 ? (
        <Empty title="No write has met another one that it did not know of">
          Where two replicas write the same key at once, the later write stays. Both are shown here.
        </Empty>
      ) : (
        <ul class="conflicts">
          {conflicts.map((conflict, index) => (
            <Conflict key={`${conflictsTotal - index} ${conflict.key}`} conflict={conflict} />
          ))}
        </ul>
      )}
    </Card>
  );
}

function Conflict({ conflict: { key, winner, loser } }: { readonly conflict: ConflictView }) {
  return (
    <li class="conflict">
      <h3 class="key-text">{key}</h3>
      <div class="sides">
        <Side side={winner} title="stayed" class="stayed" />
        <Side side={loser} title="was overwritten" class="lost" />
      </div>
    </li>
  );
}

function Side({ side, title, ...rest }: { readonly side: SideView; readonly title: string; readonly class: string }) {
  return (
    <div class={`side ${rest.class}`}>
      <p class="side-head">
        <span class="side-title">{title}</span>
        <NodeName nodeId={side.nodeId} />
        <time class="muted small">{date(side.writtenAt)}</time>
      </p>
      {side.value === undefined ? (
        <p class="muted">deleted</p>
      ) : (
        <pre>
          {laidOut(side.value.text, side.value.more === 0)}
          {side.value.more > 0 && ` … ${count(side.value.more)} more`}
        </pre>
      )}
    </div>
  );
}

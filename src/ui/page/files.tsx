/** Files that an embedder keeps in the store, and how far each one is. */
import { signal } from "@preact/signals";
import type { FileState, FileView } from "../wire.ts";
import { ago, bytes, count } from "./format.ts";
import { Card, Empty, NodeName } from "./parts.tsx";
import { now, snapshot } from "./store.ts";

const STATES: readonly FileState[] = ["synced", "receiving", "sending", "waiting", "conflict", "refused"];

const filter = signal("");

export function FilesPage() {
  const files = snapshot.value?.files;
  if (files === undefined || files === null) {
    return (
      <Card title="Files">
        <Empty title="This replica keeps no files" />
      </Card>
    );
  }
  const shown = files.shown.filter(({ path }) => path.toLowerCase().includes(filter.value.toLowerCase()));
  return (
    <Card
      title="Files"
      note={`${count(files.total)} in all${files.total > files.shown.length ? `, ${count(files.shown.length)} shown` : ""}`}
    >
      <ul class="counts">
        {STATES.flatMap((state) => {
          const number = files.byState[state];
          return number === undefined
            ? []
            : [
                <li key={state}>
                  <b>{count(number)}</b> <span class={`state ${state}`}>{state}</span>
                </li>,
              ];
        })}
      </ul>
      <div class="search">
        <input
          type="search"
          placeholder="Path contains…   ( / )"
          aria-label="Files whose path contains"
          spellcheck={false}
          autocomplete="off"
          value={filter.value}
          onInput={(event) => {
            filter.value = event.currentTarget.value;
          }}
        />
      </div>
      {shown.length === 0 ? (
        <Empty title={files.total === 0 ? "The folder is empty" : "No such file"} />
      ) : (
        <ul class="rows">
          {shown.map((file) => (
            <FileRow key={file.path} file={file} />
          ))}
        </ul>
      )}
    </Card>
  );
}

function FileRow({ file }: { readonly file: FileView }) {
  const { path, state, bytes: size, doneBytes, note, nodeId, changedAt } = file;
  const isMoving = size !== undefined && doneBytes !== undefined && (state === "sending" || state === "receiving");
  return (
    <li class="row file">
      <span class="key-text">{path}</span>
      <span class={`state ${state}`}>{state}</span>
      <span class="muted small size">
        {size === undefined ? "" : isMoving ? `${bytes(doneBytes)} of ${bytes(size)}` : bytes(size)}
      </span>
      <span class="by">{nodeId !== undefined && <NodeName nodeId={nodeId} />}</span>
      <span class="muted small when">{changedAt === undefined ? "" : ago(changedAt, now.value)}</span>
      {isMoving && <progress class="bar" max={Math.max(1, size)} value={doneBytes} aria-label={`${path}: ${state}`} />}
      {note !== undefined && <span class="note small">{note}</span>}
    </li>
  );
}

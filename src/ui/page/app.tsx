/** The frame around the views: who this is, how it is, and the way from view to view. */
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { ChangesView } from "./changes.tsx";
import { ConflictsView } from "./conflicts.tsx";
import { Dialog, HelpDialog, isHelpOpen, Notice, QuestionDialog } from "./dialogs.tsx";
import { FilesPage } from "./files.tsx";
import { count } from "./format.ts";
import { KeysView } from "./keys.tsx";
import { MembersView } from "./members.tsx";
import { MeshView } from "./mesh.tsx";
import { MetricsView } from "./metrics.tsx";
import { show, VIEWS, type ViewName, view } from "./navigation.ts";
import { Digest } from "./parts.tsx";
import { connection, connectionDetail, snapshot } from "./store.ts";
import { nextTheme, theme } from "./theme.ts";

const isHealthOpen = signal(false);

export function App() {
  useEffect(() => {
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);
  if (connection.value === "refused") return <Refused />;
  const shown = snapshot.value;
  return (
    <>
      <button type="button" class="skip" onClick={() => document.getElementById("content")?.focus()}>
        Skip to the content
      </button>
      <Header />
      <Tabs />
      <main id="content" tabIndex={-1}>
        {shown === undefined ? <Loading /> : <CurrentView name={view.value} />}
      </main>
      <QuestionDialog />
      <HealthDialog />
      <HelpDialog />
      <Notice />
    </>
  );
}

function CurrentView({ name }: { readonly name: ViewName }) {
  switch (name) {
    case "mesh":
      return <MeshView />;
    case "keys":
      return <KeysView />;
    case "changes":
      return <ChangesView />;
    case "members":
      return <MembersView />;
    case "conflicts":
      return <ConflictsView />;
    case "files":
      return <FilesPage />;
    case "metrics":
      return <MetricsView />;
  }
}

function Header() {
  const replica = snapshot.value?.replica;
  const isLost = connection.value === "lost";
  return (
    <header class="header">
      <div class="brand">
        <img src="icon.svg" alt="" width="28" height="28" />
        <div class="identity">
          <h1>{replica?.nodeId ?? "wavekv"}</h1>
          <p class="muted small">{replica === undefined ? "connecting" : `cluster ${replica.clusterId}`}</p>
        </div>
      </div>
      {replica !== undefined && (
        <div class="vitals">
          <button type="button" class={`badge ${isLost ? "grey" : replica.health}`} onClick={openHealth}>
            <span class="dot" />
            {isLost ? "not connected" : HEALTH[replica.health]}
          </button>
          <span class="vital">
            <b>{count(replica.entries)}</b> {replica.entries === 1 ? "entry" : "entries"}
          </span>
          <Digest digest={replica.digest} />
        </div>
      )}
      <div class="tools">
        <button
          type="button"
          class="icon-button"
          onClick={nextTheme}
          title={`Theme: ${theme.value} (T)`}
          aria-label={`Theme: ${theme.value}`}
        >
          {theme.value === "system" ? "◐" : theme.value === "light" ? "☀" : "☾"}
        </button>
        <button
          type="button"
          class="icon-button"
          title="Keyboard (?)"
          aria-label="Keyboard shortcuts"
          onClick={() => {
            isHelpOpen.value = true;
          }}
        >
          ?
        </button>
      </div>
    </header>
  );
}

const HEALTH = { green: "healthy", yellow: "needs a look", red: "failing" } as const;

function openHealth(): void {
  isHealthOpen.value = true;
}

function HealthDialog() {
  const replica = snapshot.value?.replica;
  if (!isHealthOpen.value || replica === undefined) return null;
  const close = () => {
    isHealthOpen.value = false;
  };
  return (
    <Dialog title={`${replica.nodeId} ${HEALTH_SENTENCE[replica.health]}`} onClose={close}>
      {replica.reasons.length === 0 ? (
        <p>It writes what it is given, and knows of no trouble with its peers.</p>
      ) : (
        <ul class="reasons">
          {replica.reasons.map((reason) => (
            <li key={reason}>{reason}</li>
          ))}
        </ul>
      )}
      <div class="dialog-actions">
        <button type="button" class="button" onClick={close}>
          Close
        </button>
      </div>
    </Dialog>
  );
}

const HEALTH_SENTENCE = { green: "is healthy", yellow: "needs a look", red: "is failing" } as const;

function Tabs() {
  const chosen = useRef<HTMLAnchorElement>(null);
  const name = view.value;
  useEffect(() => chosen.current?.scrollIntoView({ block: "nearest", inline: "center" }), [name]);
  const shown = snapshot.value;
  const conflicts = shown?.conflictsTotal ?? 0;
  return (
    <nav class="tabs" aria-label="Views">
      {viewsNow().map(({ name, title }) => (
        <a
          key={name}
          ref={view.value === name ? chosen : null}
          href={`#/${name}`}
          aria-current={view.value === name ? "page" : undefined}
        >
          {title}
          {name === "conflicts" && conflicts > 0 && <span class="pill">{count(conflicts)}</span>}
        </a>
      ))}
    </nav>
  );
}

function viewsNow() {
  return VIEWS.filter(({ name }) => name !== "files" || snapshot.value?.offers.files === true);
}

function Loading() {
  return (
    <section class="card empty">
      <p>{connection.value === "lost" ? "The process does not answer. Trying again." : "Connecting to the replica."}</p>
      {connectionDetail.value !== "" && <p class="muted">{connectionDetail.value}</p>}
    </section>
  );
}

function Refused() {
  return (
    <main class="no-token">
      <section class="card empty">
        <img src="icon.svg" alt="" width="40" height="40" />
        <h1>This link has no token, or an old one</h1>
        <p>The page shows data, so it asks for the token that the process made when it was started.</p>
        <p class="muted">Open the link that it has printed. It ends in #token= and many letters.</p>
      </section>
    </main>
  );
}

function onKey(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { target } = event;
  const isTyping = target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement;
  if (event.key === "Escape" && isTyping) target.blur();
  if (isTyping || document.querySelector("dialog[open]") !== null) return;
  const chosen = viewsNow()[Number(event.key) - 1];
  if (chosen !== undefined) show(chosen.name);
  else if (event.key === "t" || event.key === "T") nextTheme();
  else if (event.key === "?") isHelpOpen.value = true;
  else if (event.key === "/") document.querySelector<HTMLInputElement>("input[type=search]")?.focus();
  else return;
  event.preventDefault();
}

/** What is known of each replica; of the chosen one, or the chosen link, everything, and what can be done with it. */
import type { PeerView } from "../wire.ts";
import { ask } from "./api.ts";
import { attempt } from "./dialogs.tsx";
import { ago, bytes, count, duration } from "./format.ts";
import { STATES } from "./graph.tsx";
import { askToEvict } from "./members.tsx";
import { mesh, select, selection } from "./mesh-state.ts";
import type { MeshLink, MeshNode } from "./model.ts";
import { Card, Digest, moveInList, NodeName } from "./parts.tsx";
import { now, snapshot } from "./store.ts";

export function MeshPanel() {
  const { nodes, links } = mesh.value;
  const link = links.find(({ id }) => selection.value?.type === "link" && selection.value.id === id);
  const digests = new Set(nodes.flatMap(({ view }) => view?.digest ?? []));
  const known = nodes.filter(({ view }) => view !== undefined).length;
  const note =
    known < 2 ? undefined : digests.size === 1 ? "all digests are equal" : `${digests.size} different digests`;
  return (
    <Card title="Replicas" class="mesh-panel" {...(note === undefined ? {} : { note })}>
      {link !== undefined && <ChosenLink link={link} />}
      <ul class="rows" onKeyDown={moveInList}>
        {nodes.map((node) => (
          <NodeRow key={node.nodeId} node={node} links={links} />
        ))}
      </ul>
    </Card>
  );
}

function NodeRow({ node, links }: { readonly node: MeshNode; readonly links: readonly MeshLink[] }) {
  const { nodeId, state, behind, view, isOwn } = node;
  const isChosen = selection.value?.type === "node" && selection.value.id === nodeId;
  return (
    <li class={isChosen ? "open" : ""}>
      <button
        type="button"
        class="row node-row"
        data-row
        aria-expanded={isChosen}
        onClick={() => select("node", nodeId)}
      >
        <NodeName nodeId={nodeId} />
        {isOwn && <span class="tag">this one</span>}
        <span class={`state ${state}`}>{state === "behind" ? `${count(behind)} behind` : STATES[state]}</span>
        {view !== undefined && <Digest digest={view.digest} />}
      </button>
      {isChosen && <NodeDetails node={node} links={links} />}
    </li>
  );
}

function NodeDetails({ node, links }: { readonly node: MeshNode; readonly links: readonly MeshLink[] }) {
  const { nodeId, view, isOwn, state } = node;
  const shown = snapshot.value;
  const peer = shown?.replica.peers.find((one) => one.nodeId === nodeId);
  const own = links.filter(({ ends }) => ends.includes(nodeId));
  const canPause = shown?.offers.pauses === true;
  const isPaused = state === "paused";
  return (
    <div class="details">
      <dl class="facts">
        {view !== undefined && <ViewFacts node={node} />}
        {peer !== undefined && !isOwn && <PeerFacts peer={peer} />}
      </dl>
      {own.length > 0 && (
        <ul class="link-list">
          {own.slice(0, 16).map((link) => (
            <LinkLine key={link.id} link={link} from={nodeId} />
          ))}
        </ul>
      )}
      <div class="row-actions">
        {canPause && (
          <button
            type="button"
            class="button"
            onClick={() =>
              void attempt(
                () => ask("POST", isPaused ? "resume" : "pause", { nodeId }),
                `${nodeId}: ${isPaused ? "back" : "paused"}`,
              )
            }
          >
            {isPaused ? "Resume" : "Pause"}
          </button>
        )}
        {state === "down" && !isOwn && (
          <button type="button" class="button danger" onClick={() => askToEvict(nodeId)}>
            Evict…
          </button>
        )}
      </div>
    </div>
  );
}

function ViewFacts({ node: { view } }: { readonly node: MeshNode }) {
  if (view === undefined) return null;
  return (
    <>
      <Fact name="entries" value={`${count(view.entries)} · ${bytes(view.bytes)}`} />
      <Fact name="tombstones" value={count(view.tombstones)} />
      <Fact name="durability" value={view.durability} />
      <Fact name="up for" value={duration(view.uptimeMs)} />
      {view.reasons.map((reason) => (
        <Fact key={reason} name="look" value={reason} />
      ))}
    </>
  );
}

function PeerFacts({ peer }: { readonly peer: PeerView }) {
  return (
    <>
      <Fact name="connection" value={peer.state === "down" ? "none from here" : peer.state} />
      {peer.address !== undefined && <Fact name="address" value={peer.address} />}
      <Fact name="received" value={`${count(peer.entriesIn)} entries · ${bytes(peer.bytesIn)}`} />
      <Fact name="sent" value={`${count(peer.entriesOut)} entries · ${bytes(peer.bytesOut)}`} />
      {peer.lastSeenAt !== undefined && <Fact name="heard" value={ago(peer.lastSeenAt, now.value)} />}
      {peer.refused !== "" && <Fact name="refused" value={peer.refused} />}
    </>
  );
}

function Fact({ name, value }: { readonly name: string; readonly value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function ChosenLink({ link }: { readonly link: MeshLink }) {
  const [a, b] = link.ends;
  return (
    <div class="details chosen-link">
      <p>
        <NodeName nodeId={a} /> <span class="muted">to</span> <NodeName nodeId={b} />
        <span class={`state ${link.state}`}>{LINK_STATES[link.state]}</span>
      </p>
      <div class="row-actions">
        <LinkButton link={link} />
        <button type="button" class="button" onClick={() => select("link", link.id)}>
          Close
        </button>
      </div>
    </div>
  );
}

function LinkLine({ link, from }: { readonly link: MeshLink; readonly from: string }) {
  const other = link.ends[0] === from ? link.ends[1] : link.ends[0];
  return (
    <li>
      <span class="muted">link to</span> <NodeName nodeId={other} />
      <span class={`state ${link.state}`}>{LINK_STATES[link.state]}</span>
      <LinkButton link={link} />
    </li>
  );
}

const LINK_STATES = { live: "live", busy: "catching up", cut: "cut" } as const;

function LinkButton({ link }: { readonly link: MeshLink }) {
  if (snapshot.value?.offers.links !== true) return null;
  const [a, b] = link.ends;
  const isCut = link.state === "cut";
  return (
    <button
      type="button"
      class="button"
      aria-label={`${isCut ? "Heal" : "Cut"} the link between ${a} and ${b}`}
      onClick={() =>
        void attempt(() => ask("POST", isCut ? "heal" : "cut", { a, b }), `${a} – ${b}: ${isCut ? "healed" : "cut"}`)
      }
    >
      {isCut ? "Heal" : "Cut"}
    </button>
  );
}

/** Everybody who belongs to the cluster, and the way to let go of those who will not come back. */
import type { MemberView, PeerView } from "../wire.ts";
import { ask } from "./api.ts";
import { question } from "./dialogs.tsx";
import { ago, count } from "./format.ts";
import { Card, Empty, NodeName } from "./parts.tsx";
import { now, snapshot } from "./store.ts";

export function MembersView() {
  const shown = snapshot.value;
  if (shown === undefined) return null;
  const { replica } = shown;
  const peers = new Map(replica.peers.map((peer) => [peer.nodeId, peer]));
  const rest = replica.membersTotal - replica.members.length;
  return (
    <Card
      title="Members"
      note={`${count(replica.membersTotal)} have announced themselves${rest > 0 ? `; ${count(rest)} are not listed` : ""}`}
    >
      {replica.pinnedBy.length > 0 && (
        <p class="hint">
          Deletes are remembered until {replica.pinnedBy.join(", ")} {replica.pinnedBy.length === 1 ? "has" : "have"}{" "}
          seen them.
        </p>
      )}
      <ul class="rows members">
        {replica.members.map((member) => (
          <MemberRow
            key={member.nodeId}
            member={member}
            peer={peers.get(member.nodeId)}
            isOwn={member.nodeId === replica.nodeId}
          />
        ))}
      </ul>
      {replica.members.length < 2 && (
        <Empty title="No other replica has been seen yet">
          Start one that knows the address of this one: a single address is enough.
        </Empty>
      )}
    </Card>
  );
}

function MemberRow(props: {
  readonly member: MemberView;
  readonly peer: PeerView | undefined;
  readonly isOwn: boolean;
}) {
  const { member, peer, isOwn } = props;
  const { nodeId, addresses, version, epoch } = member;
  // Whoever is connected would announce itself again at once.
  const isDown = !isOwn && (peer === undefined || peer.state === "down");
  const state = isOwn ? "live" : isDown ? "down" : peer !== undefined && peer.lagEntries > 0 ? "behind" : "live";
  return (
    <li class="row member">
      <div class="member-name">
        <NodeName nodeId={nodeId} />
        {isOwn && <span class="tag">this one</span>}
      </div>
      <span class={`state ${state}`}>
        {isOwn
          ? "here"
          : isDown
            ? "not connected"
            : state === "behind"
              ? `${count(peer?.lagEntries ?? 0)} behind`
              : "up to date"}
      </span>
      <span class="muted small where">{addresses.length === 0 ? "no address: it dials" : addresses.join(", ")}</span>
      <span class="muted small" title={`epoch ${epoch}`}>
        version {version}
        {peer?.lastSeenAt !== undefined && ` · heard ${ago(peer.lastSeenAt, now.value)}`}
      </span>
      <div class="row-actions">
        {isDown && (
          <button type="button" class="button danger" onClick={() => askToEvict(nodeId)} aria-label={`Evict ${nodeId}`}>
            Evict…
          </button>
        )}
      </div>
    </li>
  );
}

export function askToEvict(nodeId: string): void {
  question.value = {
    title: `Evict ${nodeId}`,
    text: "The cluster forgets this member, on every replica, and no longer keeps deletes for it. If it comes back, it is told what was deleted meanwhile, keeps what only it has, and is a member again.",
    action: "Evict",
    run: () => ask("POST", "evict", { nodeId }),
  };
}

/** Lets the page cut and heal links between replicas of one process, and take a replica off the network. */
import type { Replica } from "wavekv";
import type { InProcessNetwork } from "wavekv/transports/in-process";
import { replicaView, type UiExtras } from "wavekv/ui";

/** @param replicas  by nodeId; all of them on `network` */
export function meshControls(network: InProcessNetwork, replicas: ReadonlyMap<string, Replica>): UiExtras {
  let cuts: (readonly [string, string])[] = [];
  const paused = new Set<string>();
  const apply = (): void => {
    network.heal();
    for (const [a, b] of cuts) network.cut(a, b);
    for (const away of paused) for (const other of replicas.keys()) if (other !== away) network.cut(away, other);
  };
  const without = (a: string, b: string) => cuts.filter((link) => !(link.includes(a) && link.includes(b)));
  return {
    replicas: () => [...replicas.values()].map(replicaView),
    links: {
      cuts: () => cuts,
      cut(a, b) {
        cuts = [...without(a, b), [a, b]];
        apply();
      },
      heal(a, b) {
        cuts = without(a, b);
        apply();
      },
    },
    pauses: {
      paused: () => [...paused],
      pause(nodeId) {
        paused.add(nodeId);
        apply();
      },
      resume(nodeId) {
        paused.delete(nodeId);
        apply();
      },
    },
  };
}

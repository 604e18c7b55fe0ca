/** The mesh as a living picture, what is known of each replica beside it, and below it who has what. */
import { Coverage } from "./coverage.tsx";
import { Graph } from "./graph.tsx";
import { MeshPanel } from "./mesh-panel.tsx";
import { mesh } from "./mesh-state.ts";
import { Card } from "./parts.tsx";
import { snapshot } from "./store.ts";

export function MeshView() {
  const { nodes, links } = mesh.value;
  const others = snapshot.value?.others.length ?? 0;
  const source = others === 0 ? "as this replica knows it" : `as ${others + 1} replicas tell it`;
  return (
    <div class="mesh">
      <Card title="Mesh" class="mesh-graph" note={`${nodes.length} replicas, ${links.length} links, ${source}`}>
        <Graph />
        <Legend />
      </Card>
      <MeshPanel />
      <Coverage />
    </div>
  );
}

function Legend() {
  return (
    <ul class="legend small muted">
      <li>
        <i class="key live" />
        has everything
      </li>
      <li>
        <i class="key behind" />
        behind
      </li>
      <li>
        <i class="key down" />
        not reached
      </li>
      <li>
        <i class="key entries" />
        entries
      </li>
      <li>
        <i class="key acks" />
        acknowledgements
      </li>
    </ul>
  );
}

/** Which replica has how much of what each one has written. A cell fills up as what is missing arrives. */
import { count, short } from "./format.ts";
import { mesh } from "./mesh-state.ts";
import { type Author, type MeshNode, Progress } from "./model.ts";
import { Card, Name, NodeName } from "./parts.tsx";

const progress = new Progress();
const COLUMNS_MAX = 32;

export function Coverage() {
  const { nodes, authors } = mesh.value;
  const shown = authors.slice(0, COLUMNS_MAX);
  const isWhole = nodes.every(({ behind }) => behind === 0);
  const hidden = authors.length - shown.length;
  return (
    <Card
      title="Coverage"
      class="mesh-coverage"
      note={`${isWhole ? "everybody has everything" : "writes of each column that each row has"}${hidden > 0 ? ` · ${hidden} more authors` : ""}`}
    >
      <div class="matrix-scroll">
        <table class="matrix">
          <thead>
            <tr>
              <th scope="col">
                <span class="muted small">has, of</span>
              </th>
              {shown.map(({ origin, label, writes }) => (
                <th key={origin} scope="col" title={origin}>
                  <span class="author">
                    <Name text={label} />
                  </span>
                  <span class="muted small">{short(writes)}</span>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {nodes.map((node) => (
              <tr key={node.nodeId} class={node.state}>
                <th scope="row">
                  <NodeName nodeId={node.nodeId} />
                </th>
                {shown.map((author) => (
                  <Cell key={author.origin} node={node} author={author} />
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

function Cell({ node, author }: { readonly node: MeshNode; readonly author: Author }) {
  const held = node.coverage[author.origin] ?? 0;
  const missing = author.writes - held;
  const part = progress.of(`${node.nodeId} ${author.origin}`, missing);
  const text = missing === 0 ? "all" : `${count(missing)} missing`;
  return (
    <td
      class={missing === 0 ? "whole" : "partial"}
      aria-label={text}
      title={`${node.nodeId} has ${count(held)} of the ${count(author.writes)} writes of ${author.label}`}
    >
      <span class="cell">
        <span class="fill" style={{ transform: `scaleX(${missing === 0 ? 1 : Math.max(0.04, part * 0.96)})` }} />
        <span class="cell-text">{missing === 0 ? "✓" : `−${short(missing)}`}</span>
      </span>
    </td>
  );
}

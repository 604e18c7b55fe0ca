/** What the views of the mesh share: the picture as it is now, and what somebody has chosen in it. */
import { computed, signal } from "@preact/signals";
import { type Mesh, meshOf } from "./model.ts";
import { snapshot } from "./store.ts";

export type Selection = { readonly type: "node" | "link"; readonly id: string } | undefined;

export const mesh = computed<Mesh>(() =>
  snapshot.value === undefined ? { nodes: [], links: [], authors: [] } : meshOf(snapshot.value),
);
export const selection = signal<Selection>(undefined);

export function select(type: "node" | "link", id: string): void {
  const isSame = selection.value?.type === type && selection.value.id === id;
  selection.value = isSame ? undefined : { type, id };
}

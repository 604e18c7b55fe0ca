/** Which view is shown: the fragment of the address says so. */
import { signal } from "@preact/signals";

export type ViewName = "mesh" | "keys" | "changes" | "members" | "conflicts" | "files" | "metrics";

export const VIEWS: readonly { readonly name: ViewName; readonly title: string }[] = [
  { name: "mesh", title: "Mesh" },
  { name: "keys", title: "Keys" },
  { name: "changes", title: "Changes" },
  { name: "members", title: "Members" },
  { name: "conflicts", title: "Conflicts" },
  { name: "metrics", title: "Metrics" },
  { name: "files", title: "Files" },
];

export const view = signal<ViewName>(named());

export function show(name: ViewName): void {
  location.hash = `#/${name}`;
}

addEventListener("hashchange", () => {
  view.value = named();
});

function named(): ViewName {
  const name = location.hash.slice(2);
  return VIEWS.find((known) => known.name === name)?.name ?? "mesh";
}

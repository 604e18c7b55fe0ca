/** The files of the page, as `npm run build` has made them: read once, when a page is served for the first time. */
import { readFile } from "node:fs/promises";
import { ReplicaError } from "../errors.ts";

export interface Asset {
  readonly type: string;
  readonly body: Uint8Array;
}

/** By the path under which they are served. */
export type Assets = ReadonlyMap<string, Asset>;

const FILES: readonly (readonly [path: string, name: string, type: string])[] = [
  ["/", "index.html", "text/html; charset=utf-8"],
  ["/page.js", "page.js", "text/javascript; charset=utf-8"],
  ["/page.css", "page.css", "text/css; charset=utf-8"],
  ["/icon.svg", "icon.svg", "image/svg+xml"],
  ["/licenses.txt", "licenses.txt", "text/plain; charset=utf-8"],
];

/** @throws ReplicaError ERR_LISTEN if they are not there */
export async function readAssets(): Promise<Assets> {
  try {
    const assets = FILES.map(async ([path, name, type]) => {
      return [path, { type, body: await readFile(new URL(`./assets/${name}`, import.meta.url)) }] as const;
    });
    return new Map(await Promise.all(assets));
  } catch (cause) {
    throw new ReplicaError("ERR_LISTEN", "the files of the page are not there: in a checkout, npm run build", {
      cause,
    });
  }
}

/** Small pieces that several views use. */
import type { ComponentChildren } from "preact";
import type { ValueView } from "../wire.ts";
import { charactersOf, count, hueClass } from "./format.ts";

export function Card(props: {
  readonly title: string;
  readonly note?: string;
  readonly class?: string;
  readonly actions?: ComponentChildren;
  readonly children: ComponentChildren;
}) {
  return (
    <section class={`card ${props.class ?? ""}`} aria-label={props.title}>
      <div class="card-head">
        <h2>{props.title}</h2>
        {props.note !== undefined && <p class="muted small">{props.note}</p>}
        {props.actions !== undefined && <div class="card-actions">{props.actions}</div>}
      </div>
      {props.children}
    </section>
  );
}

/** Equal colours, equal data. */
export function Digest({ digest }: { readonly digest: string }) {
  return (
    <span class="digest" title={`Digest ${digest}: equal on replicas that show the same data`}>
      <span class={`swatch ${hueClass(digest)}`} />
      <code>{digest.slice(0, 8)}</code>
    </span>
  );
}

/** A name with a colour of its own. */
export function NodeName({ nodeId }: { readonly nodeId: string }) {
  return (
    <span class="node-name" title={nodeId}>
      <span class={`swatch round ${hueClass(nodeId)}`} />
      <Name text={nodeId} />
    </span>
  );
}

const TAIL_CHARACTERS = 6;

/** Where there is no room it is cut short before its end: names of replicas often differ there. */
export function Name({ text }: { readonly text: string }) {
  const characters = charactersOf(text);
  const head = characters.slice(0, -TAIL_CHARACTERS).join("");
  return (
    <span class="name" title={text}>
      <span class="head">{head}</span>
      <span class="tail">{characters.slice(-TAIL_CHARACTERS).join("")}</span>
    </span>
  );
}

export function Value({ value }: { readonly value: ValueView }) {
  return (
    <code class="value">
      {value.text}
      {value.more > 0 && <span class="muted">… {count(value.more)} more</span>}
    </code>
  );
}

export function Empty({ title, children }: { readonly title: string; readonly children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p>{title}</p>
      {children !== undefined && <p class="muted small">{children}</p>}
    </div>
  );
}

/** Up and down move among the rows of a list. */
export function moveInList(event: KeyboardEvent): void {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const { currentTarget, target } = event;
  if (!(currentTarget instanceof HTMLElement) || !(target instanceof HTMLElement)) return;
  const rows = [...currentTarget.querySelectorAll<HTMLElement>("[data-row]")];
  const next = rows[rows.indexOf(target) + (event.key === "ArrowDown" ? 1 : -1)];
  if (next === undefined) return;
  next.focus();
  event.preventDefault();
}

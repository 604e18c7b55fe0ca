/**
 * Draws replicas and their links. Where they stand is settled by forces, and then left alone: the picture moves only when
 * somebody comes or goes. What passes on a link runs along it. Positions and pulses are written straight into the SVG,
 * past the components, since they change with every picture of the screen.
 */
import { effect } from "@preact/signals";
import {
  forceCollide,
  forceLink,
  forceManyBody,
  forceSimulation,
  forceX,
  forceY,
  type Simulation,
  type SimulationLinkDatum,
  type SimulationNodeDatum,
} from "d3-force";
import { useEffect, useRef } from "preact/hooks";
import { hueClass, initialOf, short, shortened } from "./format.ts";
import { mesh, select, selection } from "./mesh-state.ts";
import type { Mesh, MeshLink, MeshNode } from "./model.ts";
import { freshChanges, pulses } from "./store.ts";

interface Body extends SimulationNodeDatum {
  readonly nodeId: string;
}

type Spring = SimulationLinkDatum<Body> & { readonly id: string; readonly ends: readonly [string, string] };

interface Running {
  readonly dot: SVGCircleElement;
  readonly from: string;
  readonly to: string;
  readonly startMs: number;
}

const PULSE_MS = 900;
const PULSES_MAX = 120;
/** More of them are not to be stepped through with Tab: the list beside the picture has them too. */
const FOCUSABLE_LINKS_MAX = 30;
const LABELLED_MAX = 36;
/** With more of them a narrow picture has no room for names: only the chosen one has its name then. */
const CROWD = 6;
const SVG = "http://www.w3.org/2000/svg";

export function Graph() {
  const svg = useRef<SVGSVGElement>(null);
  useEffect(() => (svg.current === null ? undefined : new Picture(svg.current).run()), []);
  const { nodes, links } = mesh.value;
  const radius = radiusOf(nodes.length);
  const dark = new Set(nodes.filter(({ state }) => state === "down" || state === "paused").map(({ nodeId }) => nodeId));
  return (
    <svg
      ref={svg}
      class={`graph ${nodes.length > CROWD ? "crowded" : ""}`}
      role="group"
      aria-label="Replicas and their links"
    >
      <g>
        {links.map((link) => (
          <LinkShape
            key={link.id}
            link={link}
            isDark={link.ends.some((end) => dark.has(end))}
            isFocusable={links.length <= FOCUSABLE_LINKS_MAX}
          />
        ))}
      </g>
      <g class="pulses" />
      <g>
        {nodes.map((node) => (
          <NodeShape key={node.nodeId} node={node} radius={radius} hasLabel={nodes.length <= LABELLED_MAX} />
        ))}
      </g>
    </svg>
  );
}

function LinkShape({
  link,
  isDark,
  isFocusable,
}: {
  readonly link: MeshLink;
  readonly isDark: boolean;
  readonly isFocusable: boolean;
}) {
  const { id, ends, state } = link;
  const isChosen = selection.value?.id === id;
  return (
    <g
      class={`link ${isDark && state !== "cut" ? "down" : state} ${isChosen ? "chosen" : ""}`}
      data-link={id}
      role="button"
      tabindex={isFocusable ? 0 : -1}
      aria-pressed={isChosen}
      aria-label={`Link between ${ends[0]} and ${ends[1]}: ${state === "busy" ? "catching up" : state}`}
      onClick={() => select("link", id)}
      onKeyDown={(event) => isPress(event) && select("link", id)}
    >
      <line class="hit" />
      <line class="wire" />
      <g class="scissors">
        <circle r="9" />
        <path d="M-4-4 4 4M4-4-4 4" />
      </g>
    </g>
  );
}

function NodeShape({
  node,
  radius,
  hasLabel,
}: {
  readonly node: MeshNode;
  readonly radius: number;
  readonly hasLabel: boolean;
}) {
  const { nodeId, state, behind, isOwn } = node;
  const isChosen = selection.value?.id === nodeId;
  const told = state === "behind" ? `${short(behind)} behind` : STATES[state];
  return (
    <g
      class={`node ${state} ${isOwn ? "own" : ""} ${isChosen ? "chosen" : ""} ${hueClass(nodeId)}`}
      data-node={nodeId}
      role="button"
      tabindex={0}
      aria-pressed={isChosen}
      aria-label={`${nodeId}: ${told}`}
      onClick={() => select("node", nodeId)}
      onKeyDown={(event) => isPress(event) && select("node", nodeId)}
    >
      <circle class="halo" r={radius + 6} />
      <circle class="disc" r={radius} />
      {radius >= 14 && (
        <text class="initial" dy="0.35em" style={{ fontSize: `${radius * 0.75}px` }}>
          {initialOf(nodeId)}
        </text>
      )}
      {(hasLabel || isChosen) && (
        <text class="label" y={radius + 20}>
          {shortened(nodeId)}
        </text>
      )}
      {state !== "live" && (hasLabel || isChosen) && (
        <text class="sub" y={radius + 36}>
          {told}
        </text>
      )}
    </g>
  );
}

export const STATES = { live: "has everything", behind: "behind", down: "not reached", paused: "paused" } as const;

/** The part that moves. */
class Picture {
  readonly #svg: SVGSVGElement;
  readonly #simulation: Simulation<Body, Spring>;
  readonly #isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  #bodies = new Map<string, Body>();
  #springs: Spring[] = [];
  #running: Running[] = [];
  #topology = "";
  #size = { width: 0, height: 0 };
  #radius = 24;
  #frame = 0;

  constructor(svg: SVGSVGElement) {
    this.#svg = svg;
    this.#simulation = forceSimulation<Body, Spring>([])
      .force("charge", forceManyBody<Body>())
      .force(
        "link",
        forceLink<Body, Spring>([]).id(({ nodeId }) => nodeId),
      )
      .force("collide", forceCollide<Body>())
      .force("x", forceX<Body>())
      .force("y", forceY<Body>())
      .on("tick", () => this.#place())
      .stop();
  }

  /** @returns ends it */
  run(): () => void {
    const resized = new ResizeObserver(() => this.#resize());
    resized.observe(this.#svg);
    this.#resize();
    const stops = [
      // After the components have drawn what is new.
      effect(() => {
        const { nodes, links } = mesh.value;
        queueMicrotask(() => this.#update({ nodes, links }));
      }),
      effect(() => {
        for (const { from, to, entries } of pulses.value) this.#send(from, to, entries);
      }),
      effect(() => {
        const authors = new Set(freshChanges.value.map(({ nodeId }) => nodeId));
        for (const nodeId of authors) this.#flash(nodeId);
      }),
    ];
    return () => {
      for (const stop of stops) stop();
      resized.disconnect();
      this.#simulation.stop();
      cancelAnimationFrame(this.#frame);
    };
  }

  #resize(): void {
    const { width, height } = this.#svg.getBoundingClientRect();
    if (width === this.#size.width && height === this.#size.height) return;
    this.#size = { width, height };
    this.#svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.#tune();
    this.#settle();
  }

  #update({ nodes, links }: Pick<Mesh, "nodes" | "links">): void {
    const topology = JSON.stringify([nodes.map(({ nodeId }) => nodeId), links.map(({ id }) => id)]);
    if (topology !== this.#topology) {
      this.#topology = topology;
      const { width, height } = this.#size;
      this.#bodies = new Map(
        nodes.map(({ nodeId }, index) => {
          const angle = (2 * Math.PI * index) / nodes.length - Math.PI / 2;
          const x = width / 2 + Math.cos(angle) * width * 0.3;
          const y = height / 2 + Math.sin(angle) * height * 0.3;
          return [nodeId, this.#bodies.get(nodeId) ?? { nodeId, x, y }];
        }),
      );
      this.#springs = links
        .filter(({ ends }) => ends.every((end) => this.#bodies.has(end)))
        .map(({ id, ends }) => ({ id, ends, source: ends[0], target: ends[1] }));
      this.#radius = radiusOf(nodes.length);
      this.#tune();
      this.#settle();
    }
    this.#place();
  }

  #tune(): void {
    const { width, height } = this.#size;
    const count = Math.max(1, this.#bodies.size);
    const room = Math.min(width, height);
    const distance = Math.max(this.#radius * 2.6, (room * 1.7) / Math.sqrt(count + 1));
    this.#simulation.nodes([...this.#bodies.values()]);
    this.#simulation.force(
      "charge",
      forceManyBody<Body>()
        .strength(-distance * 5)
        .distanceMax(room),
    );
    this.#simulation.force(
      "link",
      forceLink<Body, Spring>(this.#springs)
        .id(({ nodeId }) => nodeId)
        .distance(distance)
        .strength(0.25 / Math.sqrt(count)),
    );
    this.#simulation.force("collide", forceCollide<Body>(this.#radius * 1.5));
    this.#simulation.force("x", forceX<Body>(width / 2).strength(0.06 * Math.min(1, height / width)));
    this.#simulation.force("y", forceY<Body>(height / 2 - 10).strength(0.08));
  }

  /** Most of the way at once, so that nothing flies about; the rest is seen. */
  #settle(): void {
    if (this.#size.width === 0) return;
    this.#simulation.alpha(1).tick(this.#isStill ? 300 : 120);
    this.#place();
    if (!this.#isStill) this.#simulation.alpha(0.12).restart();
  }

  #place(): void {
    const { width, height } = this.#size;
    const edge = this.#radius + 10;
    for (const body of this.#bodies.values()) {
      body.x = clamp(body.x ?? 0, edge + 16, width - edge - 16);
      body.y = clamp(body.y ?? 0, edge, height - edge - 34);
    }
    for (const shape of this.#svg.querySelectorAll<SVGGElement>("[data-node]")) {
      const body = this.#bodies.get(shape.dataset.node ?? "");
      if (body !== undefined) shape.setAttribute("transform", `translate(${body.x},${body.y})`);
    }
    const springs = new Map(this.#springs.map((spring) => [spring.id, spring.ends]));
    for (const shape of this.#svg.querySelectorAll<SVGGElement>("[data-link]")) {
      const [a, b] = (springs.get(shape.dataset.link ?? "") ?? []).map((end) => this.#bodies.get(end));
      if (a === undefined || b === undefined) continue;
      for (const line of shape.querySelectorAll("line")) {
        line.setAttribute("x1", String(a.x));
        line.setAttribute("y1", String(a.y));
        line.setAttribute("x2", String(b.x));
        line.setAttribute("y2", String(b.y));
      }
      const middle = `translate(${((a.x ?? 0) + (b.x ?? 0)) / 2},${((a.y ?? 0) + (b.y ?? 0)) / 2})`;
      shape.querySelector(".scissors")?.setAttribute("transform", middle);
    }
  }

  /** More entries, more dots; what has none is an acknowledgement or a sign of life. */
  #send(from: string, to: string, entries: number): void {
    if (this.#isStill || document.hidden || !this.#bodies.has(from) || !this.#bodies.has(to)) return;
    const layer = this.#svg.querySelector(".pulses");
    const count = entries === 0 ? 1 : Math.min(5, 1 + Math.floor(Math.log2(entries)));
    for (let index = 0; index < count && this.#running.length < PULSES_MAX; index++) {
      const dot = document.createElementNS(SVG, "circle");
      dot.setAttribute("class", entries === 0 ? "pulse ack" : "pulse");
      dot.setAttribute("r", entries === 0 ? "2" : "4");
      dot.setAttribute("visibility", "hidden");
      layer?.append(dot);
      this.#running.push({ dot, from, to, startMs: performance.now() + index * 90 });
    }
    if (this.#frame === 0) this.#frame = requestAnimationFrame((time) => this.#move(time));
  }

  #move(timeMs: number): void {
    this.#running = this.#running.filter(({ dot, from, to, startMs }) => {
      const part = (timeMs - startMs) / PULSE_MS;
      const [a, b] = [this.#bodies.get(from), this.#bodies.get(to)];
      if (part >= 1 || a === undefined || b === undefined) {
        dot.remove();
        return false;
      }
      if (part < 0) return true;
      // The two directions keep to their right.
      const [dx, dy] = [(b.x ?? 0) - (a.x ?? 0), (b.y ?? 0) - (a.y ?? 0)];
      const length = Math.hypot(dx, dy) || 1;
      const eased = part * part * (3 - 2 * part);
      dot.setAttribute("cx", String((a.x ?? 0) + dx * eased - (dy / length) * 4));
      dot.setAttribute("cy", String((a.y ?? 0) + dy * eased + (dx / length) * 4));
      dot.setAttribute("visibility", "visible");
      return true;
    });
    this.#frame = this.#running.length === 0 ? 0 : requestAnimationFrame((time) => this.#move(time));
  }

  /** It has written something. */
  #flash(nodeId: string): void {
    if (this.#isStill || document.hidden) return;
    for (const shape of this.#svg.querySelectorAll<SVGGElement>("[data-node]")) {
      if (shape.dataset.node !== nodeId) continue;
      shape.querySelector(".halo")?.animate([{ opacity: 0.55 }, { opacity: 0 }], { duration: 700, easing: "ease-out" });
    }
  }
}

function radiusOf(count: number): number {
  return count <= 8 ? 26 : count <= 16 ? 20 : count <= 36 ? 14 : 9;
}

function clamp(value: number, least: number, most: number): number {
  return Math.max(least, Math.min(Math.max(least, most), value));
}

function isPress(event: KeyboardEvent): boolean {
  if (event.key !== "Enter" && event.key !== " ") return false;
  event.preventDefault();
  return true;
}

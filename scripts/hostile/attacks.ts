/** What somebody who wants to get in, or to keep others out, may try. Each is counted by the victim under a reason. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { type Channel, openReplica, type TransportHost } from "wavekv";
import { WebSocketTransport } from "wavekv/transports/websocket";
import { WebSocket } from "ws";
import { frame, hello, page } from "./frames.ts";
import { CLUSTER_ID, MAX_FRAME_BYTES, pause, quiet, SECRET, STRANGERS, type Stage, transportFor } from "./stage.ts";

export interface Attack {
  readonly name: string;
  /** What `status().refused` counts it under, one or the other; none: see `run`. */
  readonly reasons: readonly string[];
  /** @returns how often it was tried, or at least how often it has to be counted. Throws if somebody got in */
  run(stage: Stage): Promise<number>;
}

export interface Scale {
  readonly idleSockets: number;
  readonly connectionsPerS: number;
  readonly seconds: number;
}

export function attacks(scale: Scale): readonly Attack[] {
  return [...TRICKS, idleSockets(scale.idleSockets), silentChannels(scale.idleSockets), storm(scale)];
}

const TRICKS: readonly Attack[] = [
  raw("no secret: a frame of the protocol", "no-secret", (socket) => socket.send(frame(1, helloOf("mallory")))),
  // Not with the first byte of a handshake, which would make it a malformed one.
  raw("no secret: rubbish", "no-secret", (socket) => socket.send(Buffer.concat([Buffer.of(0xff), randomBytes(99)]))),
  raw("a short answer", "malformed", (socket) => socket.send(Buffer.of(0x58, 1, 2, 32))),
  raw("an answer with a proof of one byte", "malformed", (socket) =>
    socket.send(answer([randomBytes(32), "m", CLUSTER_ID, randomBytes(1)])),
  ),
  raw("our own challenge, sent back", "malformed", (socket, challenge) => socket.send(challenge)),
  raw("a proof that is a guess", "wrong-secret", (socket) =>
    socket.send(answer([randomBytes(32), "m", CLUSTER_ID, randomBytes(32)])),
  ),
  raw("text in place of bytes", "bad-websocket", (socket) => socket.send("let me in")),
  raw("a mebibyte in place of an answer", "frame-too-long", (socket) => socket.send(Buffer.alloc(MAX_FRAME_BYTES))),
  raw("a million fragments of one byte", "too-many-fragments", async (socket) => {
    // It is closed long before; what is not sent then costs nobody anything.
    for (let sent = 0; sent < 1_000_000 && socket.readyState === WebSocket.OPEN; sent++) {
      socket.send(Buffer.of(0x58), { fin: false });
      if (sent % 1000 === 0) await pause(0);
    }
  }),
  {
    name: "a wrong secret",
    reasons: ["wrong-secret"],
    run: (stage) => refusedDial(stage, "m", CLUSTER_ID, "some other secret, long enough"),
  },
  {
    name: "the right secret in another cluster",
    reasons: ["cluster-mismatch"],
    run: (stage) => refusedDial(stage, "m", "test", SECRET),
  },
  { name: "a recorded answer", reasons: ["wrong-secret"], run: replay },
  { name: "a page in a browser", reasons: ["browser"], run: browser },
  {
    name: "a member under another's name",
    reasons: ["unauthenticated"],
    run: (stage) => insider(stage, (send) => send(frame(1, helloOf("peer")))),
  },
  {
    name: "a member: a frame one byte above the limit",
    reasons: ["frame-too-long"],
    run: (stage) => insider(stage, (send) => send(Buffer.alloc(MAX_FRAME_BYTES + 1))),
  },
  {
    name: "a member: nested heads, 100,000 deep",
    reasons: [],
    run: (stage) => bomb(stage, Buffer.alloc(100_000, 0x91)),
  },
  {
    name: "a member: heads that each claim all that follows",
    reasons: [],
    run: (stage) => bomb(stage, claims(20_000)),
  },
  { name: "a member: a Map in a Map in a Map", reasons: [], run: (stage) => bomb(stage, maps(1000)) },
];

/** What turns away those who come too often, or too many at once. */
const CROWD = ["too-many-handshakes", "too-fast"] as const;

/** Sockets on which nothing is ever said, from as many addresses as there are. */
function idleSockets(count: number): Attack {
  return {
    name: `${count} sockets that say nothing`,
    reasons: CROWD,
    async run(stage) {
      const sockets = await opened(count, stage.port);
      await stage.welcomesNewcomer();
      for (const socket of sockets) socket.destroy();
      return count - WAITING_MAX;
    },
  };
}

/** The same, one step further, from one address. */
function silentChannels(count: number): Attack {
  return {
    name: `${count} WebSockets that say nothing`,
    reasons: CROWD,
    async run(stage) {
      const sockets = Array.from({ length: count }, () => dialRaw(stage));
      const outcomes = await Promise.all([...sockets.map(isLetIn), stage.welcomesNewcomer()]);
      for (const socket of sockets) socket.terminate();
      return outcomes.filter((outcome) => outcome === false).length;
    },
  };
}

/** Connects and goes, again and again; meanwhile a replica that belongs here gets in. */
function storm({ connectionsPerS, seconds }: Scale): Attack {
  return {
    name: `${connectionsPerS} connections a second, for ${seconds} s`,
    reasons: CROWD,
    async run(stage) {
      const newcomer = stage.welcomesNewcomer();
      const count = connectionsPerS * seconds;
      const outcomes: Promise<boolean>[] = [];
      for (const startMs = performance.now(); outcomes.length < count; await pause(10)) {
        const due = Math.min(count, Math.ceil(((performance.now() - startMs) / 1000) * connectionsPerS));
        while (outcomes.length < due) {
          const socket = dialRaw(stage);
          socket.once("open", () => socket.terminate());
          outcomes.push(isLetIn(socket));
        }
      }
      await newcomer;
      return (await Promise.all(outcomes)).filter((outcome) => !outcome).length;
    },
  };
}

/** Whether it gets as far as a handshake. Those who come too often are not even read. */
async function isLetIn(socket: WebSocket): Promise<boolean> {
  return await once(socket, "open").then(
    () => true,
    () => false,
  );
}

const [localAddress = "127.0.0.1"] = STRANGERS;
const from = { localAddress };
/** As in authentication-lobby.ts. */
const WAITING_MAX = 256;

/** Opens a WebSocket, waits for the challenge, does something, and is closed. */
function raw(
  name: string,
  reason: string,
  act: (socket: WebSocket, challenge: Buffer) => void | Promise<void>,
): Attack {
  return {
    name,
    reasons: [reason],
    async run(stage) {
      const socket = dialRaw(stage);
      const closed = once(socket, "close");
      const [challenge] = (await once(socket, "message")) as [Buffer];
      const frames: Buffer[] = [];
      socket.on("message", (data: Buffer) => frames.push(data));
      await act(socket, challenge);
      await closed;
      // A refusal at most, with its reason.
      for (const said of frames)
        if (said[0] !== 0x58 || said[2] !== 4) throw new Error(`it was told ${said.toString("hex")}`);
      return 1;
    },
  };
}

function dialRaw({ address }: Stage): WebSocket {
  const socket = new WebSocket(address, { perMessageDeflate: false, ...from });
  socket.on("error", () => undefined);
  return socket;
}

async function refusedDial(stage: Stage, nodeId: string, clusterId: string, secret: string): Promise<number> {
  const outcome = await dialed(stage, nodeId, clusterId, secret, async () => "let in").catch((error: unknown) => error);
  if (!(outcome instanceof Error && "code" in outcome && outcome.code === "ERR_AUTH"))
    throw new Error(`it was ${String(outcome)}`);
  return 1;
}

/** Gives the channel of a dialer that has the victim's address. */
async function dialed<T>(
  stage: Stage,
  nodeId: string,
  clusterId: string,
  secret: string,
  use: (channel: Channel) => Promise<T>,
): Promise<T> {
  // The limit is the victim's: this end would not mind.
  const transport = new WebSocketTransport({ secret });
  try {
    const host = { nodeId, clusterId, maxFrameBytes: 2 * MAX_FRAME_BYTES, accept: () => undefined };
    await transport.listen(host as unknown as TransportHost);
    return await use(await transport.dial(stage.address, AbortSignal.timeout(10_000)));
  } finally {
    await transport.close();
  }
}

/** Somebody who knows the secret: sends, and waits to be thrown out. */
async function insider(stage: Stage, act: (send: (bytes: Uint8Array) => void) => void): Promise<number> {
  return await dialed(stage, "mallory", CLUSTER_ID, SECRET, async (channel) => {
    const closed = new Promise((resolve) => channel.start({ frame: () => undefined, closed: resolve }));
    act((bytes) => channel.send(bytes));
    await closed;
    return 1;
  });
}

/** A member's value that is none: refused, and counted for that member. */
async function bomb(stage: Stage, value: Buffer): Promise<number> {
  await dialed(stage, "mallory", CLUSTER_ID, SECRET, async (channel) => {
    channel.start({ frame: () => undefined, closed: () => undefined });
    channel.send(frame(1, helloOf("mallory")));
    channel.send(frame(2, page("mallory", "bomb", value)));
    const rejects = (): number =>
      Object.values(stage.victim.status().peers["mallory"]?.rejects ?? {}).reduce((a, b) => a + b, 0);
    await stage.until(() => rejects() > 0, "the value is refused");
  });
  if (stage.victim.get("bomb") !== undefined) throw new Error("the value got in");
  return 0;
}

/** Lets a replica that knows the secret answer a challenge, and gives its answer to another one. */
async function replay(stage: Stage): Promise<number> {
  let recorded: Buffer | undefined;
  const record = (bytes: Uint8Array): void => {
    recorded ??= Buffer.from(bytes);
  };
  const relay = new WebSocketTransport({ listen: { port: 0 } });
  const socket = dialRaw(stage);
  const [challenge] = (await once(socket, "message")) as [Buffer];
  const host = {
    nodeId: "relay",
    clusterId: CLUSTER_ID,
    maxFrameBytes: MAX_FRAME_BYTES,
    accept: (channel: Channel) => {
      channel.start({ frame: (bytes) => record(bytes), closed: () => undefined });
      channel.send(challenge);
    },
  };
  const [address = ""] = await relay.listen(host as unknown as TransportHost);
  const honest = await openReplica({
    nodeId: "honest",
    clusterId: CLUSTER_ID,
    transport: transportFor([address]),
    logger: quiet,
  });
  await stage.until(() => recorded !== undefined, "the honest replica has answered");
  socket.terminate();
  await Promise.all([honest.close(), relay.close()]);
  return await raw("", "", (again) => again.send(recorded ?? "")).run(stage);
}

async function browser(stage: Stage): Promise<number> {
  const socket = new WebSocket(stage.address, { origin: "http://127.0.0.1", ...from });
  const error = await once(socket, "open").catch((caught: unknown) => caught);
  if (!(error instanceof Error && error.message.includes("403"))) throw new Error("a page was let in");
  return 1;
}

async function opened(count: number, port: number): Promise<Socket[]> {
  const sockets = STRANGERS.flatMap((address) => {
    const each = Math.ceil(count / STRANGERS.length);
    return Array.from({ length: each }, () => connect({ port, host: "127.0.0.1", localAddress: address }));
  });
  for (const socket of sockets) socket.on("error", () => undefined);
  await Promise.all(
    sockets.map((socket) => new Promise((resolve) => socket.once("connect", resolve).once("close", resolve))),
  );
  return sockets;
}

function helloOf(nodeId: string): Buffer {
  return hello(nodeId, CLUSTER_ID, randomBytes(8));
}

function answer(fields: readonly (string | Uint8Array)[]): Buffer {
  const behindLengths = fields.flatMap((field) => [Buffer.of(Buffer.from(field).length), Buffer.from(field)]);
  return Buffer.concat([Buffer.of(0x58, 1, 2), ...behindLengths]);
}

function claims(count: number): Buffer {
  const heads = Buffer.alloc(5 * count);
  for (let at = 0; at < heads.length; at += 5) heads.writeUInt32BE(heads.length - at - 5, heads.writeUInt8(0xdd, at));
  return heads;
}

function maps(depth: number): Buffer {
  let inside = Buffer.of(0x80);
  for (let level = 0; level < depth; level++) {
    const head = Buffer.from("c90000000001", "hex");
    const body = Buffer.concat([Buffer.of(0x81, 0xc0), inside]);
    head.writeUInt32BE(body.length, 1);
    inside = Buffer.concat([head, body]);
  }
  return inside;
}

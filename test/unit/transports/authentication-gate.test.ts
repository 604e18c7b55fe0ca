import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { describe, expect, test } from "vitest";
import type { TransportHost } from "../../../src/transport.ts";
import type { NodeId } from "../../../src/types.ts";
import { Gate } from "../../../transports/authentication-gate.ts";

describe("sockets on which nothing was said yet", () => {
  test("are turned away, and counted, if their address connects too often", () => {
    const { meet, refusals } = opened();
    const sockets = Array.from({ length: 400 }, (_, port) => meet("10.0.0.1", port));
    const turnedAway = sockets.filter(({ stays }) => !stays);
    // The burst, and what the rate has added while this ran.
    expect(turnedAway.length).toBeGreaterThan(0);
    expect(turnedAway.length).toBeLessThanOrEqual(400 - 256);
    expect(turnedAway.every(({ socket }) => socket.isDestroyed)).toBe(true);
    expect(refusals.filter((reason) => reason === "too-fast").length).toBe(turnedAway.length);
    expect(meet("10.0.0.2", 1).stays).toBe(true);
  });

  test("make room when there are too many, but not once they were recognized, or have closed", () => {
    const { gate, meet, refusals } = opened();
    const sockets = Array.from({ length: 256 }, (_, n) => meet(`10.0.${n >> 7}.1`, n).socket);
    gate.recognize(sockets[0]!.asSocket);
    sockets[1]!.close();
    expect(gate.lobby.count).toBe(254);
    meet("10.0.9.1", 1);
    meet("10.0.9.1", 2);
    expect(refusals).toEqual([]);
    meet("10.0.9.1", 3);
    expect(refusals).toEqual(["too-many-handshakes"]);
    expect(sockets.filter(({ isDestroyed }) => isDestroyed).length).toBe(1);
    expect(sockets[0]!.isDestroyed).toBe(false);
  });

  test("of a unix socket are let in", () => {
    const { gate, meet } = opened();
    for (let n = 0; n < 300; n++) expect(meet(undefined, n).stays).toBe(true);
    expect(gate.lobby.count).toBe(0);
  });
});

/** What the gate needs of a socket. As a real one does, it forgets its address when it closes. */
class FakeSocket extends EventEmitter {
  remoteAddress: string | undefined;
  remotePort: number | undefined;
  isDestroyed = false;

  constructor(address: string | undefined, port: number) {
    super();
    this.remoteAddress = address;
    this.remotePort = port;
  }

  get asSocket(): Socket {
    return this as unknown as Socket;
  }

  destroy(): void {
    this.isDestroyed = true;
    this.close();
  }

  close(): void {
    this.remoteAddress = undefined;
    this.remotePort = undefined;
    this.emit("close");
  }
}

function opened() {
  const gate = new Gate({ secret: "correct horse battery staple" });
  const refusals: string[] = [];
  const host: TransportHost = {
    nodeId: "a" as NodeId,
    clusterId: "prod",
    maxFrameBytes: 1024,
    accept: () => undefined,
    refused: (reason) => void refusals.push(reason),
  };
  gate.open(host);
  const meet = (address: string | undefined, port: number): { stays: boolean; socket: FakeSocket } => {
    const socket = new FakeSocket(address, port);
    return { stays: gate.meet(socket.asSocket), socket };
  };
  return { gate, meet, refusals };
}

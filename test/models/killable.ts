/** The end of a process, as others see it: its connections break, and nothing more comes; it says goodbye to nobody. */
import type { Transport } from "../../src/transport.ts";
import { tapped } from "./tapped-transport.ts";

export interface Killable {
  /** For the transport of the replica that is to be killed. */
  wrap(transport: Transport): Transport;
  /** The replica object stays, cut off from everything; close it all the same. */
  kill(): void;
}

export function killable(): Killable {
  let isKilled = false;
  let close = (): void => undefined;
  return {
    wrap(transport) {
      close = () => void transport.close();
      const mortal = tapped(transport, (channel) => ({
        remote: channel.remote,
        start: (receiver) => channel.start(receiver),
        close: () => channel.close(),
        send: (frame) => {
          if (!isKilled) channel.send(frame);
        },
      }));
      return {
        ...mortal,
        dial: (address, signal) => (isKilled ? Promise.reject(new Error("killed")) : mortal.dial(address, signal)),
      };
    },
    kill() {
      isKilled = true;
      close();
    },
  };
}

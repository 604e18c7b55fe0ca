/** Partitions: a transport whose connections to some addresses can be cut, and healed. */
import type { Channel, Transport, TransportHost } from "../../../src/transport.ts";

/**
 * Cuts what its own replica has dialed. Each connection was dialed by one of its ends, so that a cluster of which both
 * sides cut has no connection across.
 */
export class CutTransport implements Transport {
  readonly #inner: Transport;
  readonly #dialed: { readonly address: string; readonly channel: Channel }[] = [];
  #cut: ReadonlySet<string> = new Set();

  constructor(inner: Transport) {
    this.#inner = inner;
  }

  /** Closes the connections to these addresses, and refuses to dial them until `heal`. */
  cut(addresses: readonly string[]): void {
    this.#cut = new Set(addresses);
    for (const { address, channel } of this.#dialed) if (this.#cut.has(address)) channel.close();
  }

  /** Everybody can be dialed again. When that is done is the replica's business. */
  heal(): void {
    this.#cut = new Set();
  }

  listen(host: TransportHost): Promise<readonly string[]> {
    return this.#inner.listen(host);
  }

  seeds(): Iterable<string> {
    return this.#inner.seeds();
  }

  async dial(address: string, signal: AbortSignal): Promise<Channel> {
    this.#refuse(address);
    const channel = await this.#inner.dial(address, signal);
    try {
      this.#refuse(address);
    } catch (error) {
      channel.close();
      throw error;
    }
    this.#dialed.push({ address, channel });
    return channel;
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  #refuse(address: string): void {
    if (this.#cut.has(address)) throw new Error(`${address} is cut off`);
  }
}

/**
 * Where addresses come from that nobody has written down: a source that is asked again and again.
 *
 * A source is asked, and does not tell: so the interval, its jitter, trying again after a failure, keeping the last
 * answer and stopping are in one place, and a source is one function. What pushes (a watch on a registry) keeps the
 * latest list and answers with it.
 */
import { lookup, Resolver } from "node:dns/promises";
import { inAddress, optionError } from "./options.ts";

/** Give it to any transport as `discovery`. */
export interface Discovery {
  /**
   * The addresses at which replicas may be found now, of the kind that the transport dials; this replica's own may be
   * among them. The list replaces the one before. A rejection is a warning, and the last list stays in use.
   *
   * @param signal  aborts when the transport closes, and when the answer takes longer than 10 s
   */
  addresses(signal: AbortSignal): Promise<Iterable<string>>;
  /** How often to ask. Default 30,000. The time is drawn anew between half of it and all of it. */
  readonly refreshMs?: number;
}

/** Always the same addresses. */
export function staticDiscovery(addresses: readonly string[]): Discovery {
  return { addresses: async () => addresses };
}

export interface DnsDiscoveryOptions {
  /**
   * An address whose host is the name to resolve: `ws://replicas.internal:7001/wavekv`. Each answer takes its place:
   * `ws://10.0.0.7:7001/wavekv`.
   */
  readonly address: string;
  /**
   * "address", the default: every A and AAAA record of the name, as the operating system resolves it, search list and
   * hosts file included. A headless service of Kubernetes answers with its ready pods.
   * "srv": the service records of the name (`tls://_wavekv._tcp.example.org`, no port), asked of the name server, in
   * the order of their priority. They bring names and ports, and certificates are checked against these names.
   */
  readonly records?: "address" | "srv";
  /** See {@link Discovery.refreshMs}. */
  readonly refreshMs?: number;
  /** For tests. Default: the one of Node.js. */
  readonly resolver?: DnsResolver;
}

/** The part of `node:dns/promises` that is used. */
export interface DnsResolver {
  lookup(name: string): Promise<readonly { readonly address: string }[]>;
  resolveSrv(name: string, signal: AbortSignal): Promise<readonly ServiceRecord[]>;
}

export interface ServiceRecord {
  readonly name: string;
  readonly port: number;
  readonly priority: number;
}

/**
 * Addresses from DNS.
 *
 * @throws ReplicaError ERR_OPTION if `address` is no URL with a name, or has a port where the records bring it
 */
export function dnsDiscovery(options: DnsDiscoveryOptions): Discovery {
  const { address, records = "address", refreshMs, resolver = systemResolver } = options;
  const parts = /^([a-z][a-z0-9+.-]*:\/\/)([^/:@?#[\]]+)(:\d+)?(\/[^?#]*)?$/i.exec(address);
  if (parts === null) {
    throw optionError(
      `dnsDiscovery resolves the name in an address such as ws://replicas.internal:7001: got ${address}`,
    );
  }
  const [, scheme = "", name = "", port = "", path = ""] = parts;
  if (records === "srv" && port !== "") throw optionError(`service records bring the port: ${address} must have none`);
  const at = (host: string, hostPort: string): string => `${scheme}${inAddress(host)}${hostPort}${path}`;
  return {
    async addresses(signal) {
      if (records === "srv") {
        const services = [...(await resolver.resolveSrv(name, signal))].sort((a, b) => a.priority - b.priority);
        return services.map((service) => at(service.name.replace(/\.$/, ""), `:${service.port}`));
      }
      return (await resolver.lookup(name)).map((answer) => at(answer.address, port));
    },
    ...(refreshMs === undefined ? {} : { refreshMs }),
  };
}

const systemResolver: DnsResolver = {
  lookup: (name) => lookup(name, { all: true, verbatim: true }),
  async resolveSrv(name, signal) {
    // One for each query, because `cancel` ends all of its queries.
    const resolver = new Resolver();
    const cancel = (): void => resolver.cancel();
    signal.addEventListener("abort", cancel);
    try {
      return await resolver.resolveSrv(name);
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  },
};

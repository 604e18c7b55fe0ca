/** The seeds of a transport: those it was given, and those that its discovery finds. */
import type { Discovery } from "./discovery.ts";

const REFRESH_MS = 30_000;
const RETRY_MS_MIN = 1000;
const ANSWER_MS_MAX = 10_000;
/** Of one answer: the dialer keeps a few words about each. */
const ADDRESSES_MAX = 1024;

export interface SeedsOptions {
  readonly fixed?: readonly string[] | undefined;
  readonly discovery?: Discovery | undefined;
  /** Is told once of each new reason for which there is no answer. */
  readonly warn: (message: string) => void;
}

export class Seeds {
  readonly #fixed: readonly string[];
  readonly #discovery: Discovery | undefined;
  readonly #warn: (message: string) => void;
  #found: readonly string[] = [];
  /** Of the question that is being asked. */
  #asking: AbortController | undefined;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  #lastWarning: string | undefined;
  #closed = false;

  constructor({ fixed = [], discovery, warn }: SeedsOptions) {
    this.#fixed = fixed;
    this.#discovery = discovery;
    this.#warn = warn;
  }

  /** Those that are known now. */
  current(): readonly string[] {
    return this.#found.length === 0 ? this.#fixed : [...new Set([...this.#fixed, ...this.#found])];
  }

  /** Begins to ask. Does not wait for the first answer: a replica opens also while the name server is away. */
  open(): void {
    if (this.#discovery !== undefined && !this.#closed) void this.#ask(this.#discovery);
  }

  /** Asks no more. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#asking?.abort(new Error("the transport was closed"));
    clearTimeout(this.#timer);
  }

  /** Does not reject. */
  async #ask(discovery: Discovery): Promise<void> {
    this.#asking = new AbortController();
    try {
      this.#found = await answerOf(discovery, this.#asking);
      this.#failures = 0;
      this.#lastWarning = undefined;
    } catch (error) {
      this.#failures += 1;
      this.#tell(`discovery failed, the last known addresses stay in use: ${String(error)}`);
    }
    if (this.#closed) return;
    const { refreshMs = REFRESH_MS } = discovery;
    const retryMs = RETRY_MS_MIN * 2 ** Math.min(this.#failures, 20);
    const delayMs = this.#failures === 0 ? refreshMs : Math.min(refreshMs, retryMs);
    // Replicas that start together must not ask together for ever.
    this.#timer = setTimeout(() => void this.#ask(discovery), delayMs * (0.5 + Math.random() / 2));
    this.#timer.unref();
  }

  #tell(message: string): void {
    if (this.#closed || message === this.#lastWarning) return;
    this.#lastWarning = message;
    this.#warn(message);
  }
}

/** What the discovery says, checked. Rejects if it does not say it in time, whatever it does with the signal. */
async function answerOf(discovery: Discovery, asking: AbortController): Promise<readonly string[]> {
  const { signal } = asking;
  const timer = setTimeout(() => asking.abort(new Error(`no answer within ${ANSWER_MS_MAX} ms`)), ANSWER_MS_MAX);
  timer.unref();
  let giveUp = (): void => undefined;
  const given = new Promise<never>((_, reject) => {
    giveUp = () => reject(signal.reason as Error);
  });
  signal.addEventListener("abort", giveUp);
  try {
    // Within a function, so that what it throws at once is a rejection too.
    const asked = (async () => await discovery.addresses(signal))();
    const addresses = [...(await Promise.race([asked, given]))];
    if (!addresses.every((address) => typeof address === "string")) throw new Error("an address is a string");
    if (addresses.length > ADDRESSES_MAX) throw new Error(`${addresses.length} addresses are above ${ADDRESSES_MAX}`);
    return addresses;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", giveUp);
  }
}

/** Opening: checks the options, recovers the directory if there is one, and starts the replica on what it found. */
import { systemStopwatch, systemTimers } from "./clock.ts";
import { CoreState } from "./core/core-state.ts";
import { Engine } from "./engine.ts";
import type { ReplicaError } from "./errors.ts";
import { checkOptions, consoleLogger, type ReplicaOptions } from "./options.ts";
import { systemRandom } from "./random.ts";
import { Replica } from "./replica.ts";
import { nodeDisk } from "./storage/node-disk.ts";
import { openStore } from "./storage/store.ts";
import { meteredDisk } from "./telemetry/metered-disk.ts";
import { Telemetry } from "./telemetry/telemetry.ts";
import { type Epoch, makeOrigin, type NodeId } from "./types.ts";

/**
 * Opens a replica: recovers its directory, starts to listen, and connects to whom it can reach. Does
 * not wait for any peer.
 *
 * @throws ReplicaError ERR_OPTION, ERR_LOCKED, ERR_FOREIGN_DIRECTORY, ERR_FORMAT_VERSION, ERR_CORRUPT,
 *   ERR_STORAGE_FAILED, ERR_STORAGE_FULL, ERR_LISTEN; nothing is left open then
 */
export function openReplica(options: ReplicaOptions = {}): Promise<Replica> {
  return openObserved(options, () => undefined);
}

/** As `openReplica`. `observe` gets the state as it was recovered, before anything happens to it: for simulations, to look at. */
export async function openObserved(options: ReplicaOptions, observe: (state: CoreState) => void): Promise<Replica> {
  const checked = checkOptions(options);
  const { clock } = options;
  // Durations by a clock that does not jump; where time is that of a test, so are they.
  const telemetry = new Telemetry(clock === undefined ? systemStopwatch : () => clock.now());
  const { directory, random = systemRandom, logger = consoleLogger } = options;
  if (directory === undefined) {
    const nodeId = checked.nodeId ?? (`node-${random.hex64()}` as NodeId);
    const state = new CoreState(makeOrigin(nodeId, random.hex64() as Epoch));
    observe(state);
    return new Replica(await Engine.start(options, checked, { state, telemetry }));
  }
  // The store may fail before the replica that is to hear of it exists.
  let tell: (error: ReplicaError) => void = () => undefined;
  const failed = new Promise<ReplicaError>((resolve) => {
    tell = resolve;
  });
  const { store, state, recovery } = await openStore({
    disk: meteredDisk(options.disk ?? nodeDisk, telemetry),
    directory,
    ...(checked.nodeId === undefined ? {} : { nodeId: checked.nodeId }),
    clusterId: checked.clusterId,
    durability: checked.durability,
    strict: options.strict ?? false,
    readOnly: options.readOnly ?? false,
    timers: options.timers ?? systemTimers,
    random,
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
    onFailure: tell,
    onCheckpoint: (state) => telemetry.checkpoint(state),
    onWarning: (message, error) => {
      logger.warn(`${message}: ${String(error)}`);
    },
  });
  try {
    observe(state);
    return new Replica(await Engine.start(options, checked, { state, telemetry, store, recovery, failed }));
  } catch (error) {
    // What opening failed with says more than what closing fails with then.
    await store.close().catch(() => undefined);
    throw error;
  }
}

/** For the tests of those who write a transport, or a service on top of replicas: `wavekv/testing`. */

export { MemoryDisk, type Survives } from "../storage/memory-disk.ts";
export { checkMergeLaws } from "./merge-laws.ts";
export type { SimClock } from "./sim-clock.ts";
export type { DiskCall, DiskFault } from "./sim-disk.ts";
export type { NetworkConditions, SimNetwork } from "./sim-network.ts";
export { type Ports, type SimHost, Simulation, type SimulationOptions } from "./simulation.ts";
export {
  type TransportBench,
  type TransportCheck,
  type TransportContractOptions,
  transportContract,
} from "./transport-contract.ts";

/** For the tests of those who write a transport, or a service on top of replicas: `wavekv/testing`. */

export {
  type TransportBench,
  type TransportCheck,
  type TransportContractOptions,
  transportContract,
} from "./transport-contract.ts";

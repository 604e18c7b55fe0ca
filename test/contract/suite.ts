/** Hands the public contract of a transport to vitest. */
import { describe, test } from "vitest";
import { type TransportContractOptions, transportContract } from "wavekv/testing";

export function contractTests(name: string, create: TransportContractOptions["create"]): void {
  describe(`transport contract: ${name}`, () => {
    for (const check of transportContract({ create })) test(check.name, check.run);
  });
}

/** Any transport with a secret or a hook around it keeps the contract. */
import { authenticated } from "../../transports/authentication.ts";
import { inProcessNetwork } from "../../transports/in-process.ts";
import { contractTests } from "./suite.ts";

const NOWHERE = "in-process:nobody";

contractTests("in-process, with a secret", () => {
  const network = inProcessNetwork();
  const secret = "correct horse battery staple";
  return { transport: () => authenticated(network.transport(), { secret }), nowhere: NOWHERE };
});

contractTests("in-process, with a hook", () => {
  const network = inProcessNetwork();
  const authenticate = async (): Promise<boolean> => true;
  return { transport: () => authenticated(network.transport(), { authenticate }), nowhere: NOWHERE };
});

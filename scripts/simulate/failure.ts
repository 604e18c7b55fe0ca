/** What a checker objects to. `kind` names the promise that was broken. */
export type FailureKind =
  | "convergence"
  | "coverage"
  | "lost write"
  | "unknown write"
  | "order"
  | "batch"
  | "watch"
  | "durability"
  | "liveness"
  | "bounds"
  | "interface"
  | "exception";

export class SimulationFailure extends Error {
  readonly kind: FailureKind;

  constructor(kind: FailureKind, message: string) {
    super(message);
    this.kind = kind;
  }
}

export function fail(kind: FailureKind, message: string): never {
  throw new SimulationFailure(kind, message);
}

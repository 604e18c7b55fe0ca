/**
 * The part of the Standard Schema specification, version 1, that this library uses: how a schema of any
 * library (zod, valibot, arktype, ...) is asked whether a value fits. https://standardschema.dev
 */

/** A schema. `Input` is what may be written, `Output` what the schema makes of it: with defaults, transformed. */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    /** The library that it comes from. */
    readonly vendor: string;
    /** Must answer at once: a promise is refused where a schema is used. */
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    /** For the compiler only. */
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

/** What a schema says of a value: what it becomes, or what is wrong with it. */
export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

export interface SchemaIssue {
  readonly message: string;
  /** Where in the value. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** What may be written where a schema is used. */
export type InputOf<Schema extends StandardSchema> = NonNullable<Schema["~standard"]["types"]>["input"];

/** What is read where a schema is used. */
export type OutputOf<Schema extends StandardSchema> = NonNullable<Schema["~standard"]["types"]>["output"];

export function isStandardSchema(value: unknown): value is StandardSchema {
  // A schema may be a function with properties.
  if ((typeof value !== "object" || value === null) && typeof value !== "function") return false;
  const standard: unknown = Reflect.get(value, "~standard");
  if (typeof standard !== "object" || standard === null) return false;
  return Reflect.get(standard, "version") === 1 && typeof Reflect.get(standard, "validate") === "function";
}

/** The issues as a sentence: `role: expected string; tags.0: too long`. */
export function issuesText(issues: readonly SchemaIssue[]): string {
  return issues
    .map(({ message, path = [] }) => {
      const where = path.map((part) => String(typeof part === "object" ? part.key : part)).join(".");
      return where === "" ? message : `${where}: ${message}`;
    })
    .join("; ");
}

/** Reads the declarations that the compiler has emitted, and prints those that users can import. */
import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import ts from "typescript";

export const REPORT_DIRECTORY = "test/api-report";

interface EntryPoint {
  /** As it is imported: `wavekv/dump`. */
  readonly name: string;
  /** Its declarations. */
  readonly path: string;
}

export interface Api {
  /** One text for each entry point, by the name of its file. */
  readonly reports: ReadonlyMap<string, string>;
  /** Where `any` stands in what a user's compiler reads: path, line and text. */
  readonly anys: readonly string[];
}

/** @throws if the package is not built */
export function readApi(checkout: string): Api {
  const entryPoints = entryPointsOf(checkout);
  const program = programOf(entryPoints);
  return { reports: reportsOf(program, entryPoints), anys: anysIn(program, checkout) };
}

function reportsOf(program: ts.Program, entryPoints: readonly EntryPoint[]): Map<string, string> {
  const checker = program.getTypeChecker();
  return new Map(
    entryPoints.map(({ name, path }) => {
      const lines = [
        `# \`${name}\``,
        "",
        "Written by `npm run api`. Types that are not named here are not exported.",
        "",
      ];
      const symbol = moduleOf(program, checker, path);
      const exported = checker.getExportsOfModule(symbol).sort((a, b) => (a.name < b.name ? -1 : 1));
      lines.push("```ts", exported.map((each) => printed(checker, each)).join("\n\n"), "```", "");
      return [`${name.replace("/", "-").replaceAll("/", "-")}.md`, lines.join("\n")] as const;
    }),
  );
}

function anysIn(program: ts.Program, checkout: string): string[] {
  const found: string[] = [];
  for (const file of program.getSourceFiles()) {
    const path = relative(checkout, file.fileName).replaceAll("\\", "/");
    if (!path.startsWith("dist/")) continue;
    const visit = (node: ts.Node): void => {
      if (node.kind === ts.SyntaxKind.AnyKeyword) {
        const { line } = file.getLineAndCharacterOfPosition(node.getStart(file));
        found.push(`${path}:${line + 1}: ${node.parent.getText(file)}`);
      }
      ts.forEachChild(node, visit);
    };
    visit(file);
  }
  return found;
}

function entryPointsOf(checkout: string): EntryPoint[] {
  const { name: packageName, exports } = JSON.parse(readFileSync(join(checkout, "package.json"), "utf8")) as {
    readonly name: string;
    readonly exports: Readonly<Record<string, string | { readonly types: string }>>;
  };
  return Object.entries(exports).flatMap(([name, target]) =>
    typeof target === "string" ? [] : [{ name: name.replace(/^\./, packageName), path: join(checkout, target.types) }],
  );
}

function programOf(entryPoints: readonly EntryPoint[]): ts.Program {
  return ts.createProgram(
    entryPoints.map(({ path }) => path),
    {
      module: ts.ModuleKind.NodeNext,
      target: ts.ScriptTarget.ES2022,
      skipLibCheck: true,
      types: ["node"],
      noEmit: true,
    },
  );
}

function moduleOf(program: ts.Program, checker: ts.TypeChecker, path: string): ts.Symbol {
  const file = program.getSourceFile(path);
  const symbol = file === undefined ? undefined : checker.getSymbolAtLocation(file);
  if (symbol === undefined) throw new Error(`${path} is not there, or no module: run npm run build`);
  return symbol;
}

const printer = ts.createPrinter({ removeComments: true });

function printed(checker: ts.TypeChecker, exported: ts.Symbol): string {
  const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
  const renamed = symbol.name === exported.name ? "" : `// exported as ${exported.name}\n`;
  const declarations = (symbol.declarations ?? []).map((declaration) => {
    // Of a variable the statement: `export declare const x: T`.
    const node = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration;
    return printer.printNode(ts.EmitHint.Unspecified, withoutPrivate(node), node.getSourceFile());
  });
  return renamed + declarations.join("\n");
}

/** A class without the members that users do not see. */
function withoutPrivate(node: ts.Node): ts.Node {
  if (!ts.isClassDeclaration(node)) return node;
  const members = node.members.filter((member) => {
    const isPrivate = member.name !== undefined && ts.isPrivateIdentifier(member.name);
    return !isPrivate && !isInternal(member) && !(ts.getCombinedModifierFlags(member) & ts.ModifierFlags.Private);
  });
  return ts.factory.updateClassDeclaration(
    node,
    node.modifiers,
    node.name,
    node.typeParameters,
    node.heritageClauses,
    members,
  );
}

function isInternal(node: ts.Node): boolean {
  return ts.getJSDocTags(node).some(({ tagName }) => tagName.text === "internal");
}

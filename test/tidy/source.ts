/** Reads the files of this repository for the house rules, and what the rules need to know about one of them. */
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

export interface SourceFile {
  /** Below the repository, with `/` separators. */
  readonly path: string;
  readonly text: string;
}

export interface Import {
  /** As written: `./types.ts`, `node:fs`, `ws`. */
  readonly specifier: string;
  /** A relative specifier resolved to a path of the repository, else undefined. */
  readonly target: string | undefined;
  /** Nothing of it is left at run time. */
  readonly typeOnly: boolean;
  /** The imported names; `*` for a namespace, `default` for a default import. */
  readonly names: readonly string[];
}

const root = fileURLToPath(new URL("../../", import.meta.url));
const SKIPPED_DIRECTORY = /^(?:node_modules|dist|coverage|golden|\.git|\.wavekv-.*|\.vite.*)$/;
const TEXT_FILE = /(?:\.(?:tsx?|js|mjs|cjs|json|md|yml|yaml|html|css|sh)|\/run|\.npmrc|\.gitignore|LICENSE)$/;

/** Every text file of the checkout, except what is installed, built or recorded. */
export function readRepository(): SourceFile[] {
  const files: SourceFile[] = [];
  const walk = (directory: string): void => {
    for (const entry of readdirSync(root + directory, { withFileTypes: true })) {
      const path = posix.join(directory, entry.name);
      if (entry.isDirectory()) {
        if (!SKIPPED_DIRECTORY.test(entry.name)) walk(path);
      } else if (entry.isFile() && TEXT_FILE.test(path)) {
        files.push({ path, text: readFileSync(root + path, "utf8") });
      }
    }
  };
  walk("");
  return files;
}

/** Calls `visit` for every node of the syntax tree. */
export function visitNodes(file: SourceFile, visit: (node: ts.Node) => void): void {
  const step = (node: ts.Node): void => {
    visit(node);
    ts.forEachChild(node, step);
  };
  step(parse(file));
}

/** Static and dynamic imports, and re-exports. */
export function importsOf(file: SourceFile): Import[] {
  const imports: Import[] = [];
  const add = (specifier: ts.Expression | undefined, typeOnly: boolean, names: string[]): void => {
    if (specifier === undefined || !ts.isStringLiteralLike(specifier)) return;
    const target = specifier.text.startsWith(".") ? posix.join(posix.dirname(file.path), specifier.text) : undefined;
    imports.push({ specifier: specifier.text, target, typeOnly, names });
  };
  visitNodes(file, (node) => {
    if (ts.isImportDeclaration(node)) {
      const { names, typeOnly } = importedNames(node.importClause);
      add(node.moduleSpecifier, typeOnly, names);
    } else if (ts.isExportDeclaration(node)) {
      const clause = node.exportClause;
      const elements = clause !== undefined && ts.isNamedExports(clause) ? [...clause.elements] : undefined;
      const typeOnly = node.isTypeOnly || (elements?.length ? elements.every((element) => element.isTypeOnly) : false);
      add(node.moduleSpecifier, typeOnly, elements?.map((element) => sourceName(element)) ?? ["*"]);
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0], false, ["*"]);
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      const { literal } = node.argument;
      if (ts.isStringLiteral(literal)) add(literal, true, ["*"]);
    }
  });
  return imports;
}

/** The names that a module exports, sorted; `*` for each `export * from`, `default` for a default export. */
export function exportsOf(file: SourceFile): string[] {
  const names: string[] = [];
  for (const statement of parse(file).statements) {
    if (ts.isExportDeclaration(statement)) {
      const clause = statement.exportClause;
      if (clause === undefined) names.push("*");
      else if (ts.isNamedExports(clause)) names.push(...clause.elements.map((element) => element.name.text));
      else names.push(clause.name.text);
    } else if (ts.isExportAssignment(statement)) {
      names.push("default");
    } else if (isExported(statement)) {
      names.push(...declaredNames(statement));
    }
  }
  return names.sort();
}

/** Every rule asks for the tree of every file. */
const trees = new WeakMap<SourceFile, ts.SourceFile>();

function parse(file: SourceFile): ts.SourceFile {
  let tree = trees.get(file);
  if (tree === undefined) {
    tree = ts.createSourceFile(file.path, file.text, ts.ScriptTarget.Latest, true);
    trees.set(file, tree);
  }
  return tree;
}

function importedNames(clause: ts.ImportClause | undefined): { names: string[]; typeOnly: boolean } {
  if (clause === undefined) return { names: [], typeOnly: false };
  const names: string[] = clause.name === undefined ? [] : ["default"];
  const bindings = clause.namedBindings;
  if (bindings === undefined) return { names, typeOnly: clause.phaseModifier === ts.SyntaxKind.TypeKeyword };
  const elements = ts.isNamedImports(bindings) ? [...bindings.elements] : undefined;
  names.push(...(elements?.map((element) => sourceName(element)) ?? ["*"]));
  const everyElement =
    clause.name === undefined && elements !== undefined && elements.length > 0
      ? elements.every((element) => element.isTypeOnly)
      : false;
  return { names, typeOnly: clause.phaseModifier === ts.SyntaxKind.TypeKeyword || everyElement };
}

function sourceName(element: ts.ImportSpecifier | ts.ExportSpecifier): string {
  return (element.propertyName ?? element.name).text;
}

function isExported(statement: ts.Statement): boolean {
  const modifiers = ts.canHaveModifiers(statement) ? (ts.getModifiers(statement) ?? []) : [];
  return modifiers.some((modifier) => modifier.kind === ts.SyntaxKind.ExportKeyword);
}

function declaredNames(statement: ts.Statement): string[] {
  if (ts.isVariableStatement(statement)) {
    return statement.declarationList.declarations.map(({ name }) => (ts.isIdentifier(name) ? name.text : "?"));
  }
  const named =
    ts.isFunctionDeclaration(statement) ||
    ts.isClassDeclaration(statement) ||
    ts.isInterfaceDeclaration(statement) ||
    ts.isTypeAliasDeclaration(statement) ||
    ts.isEnumDeclaration(statement);
  return named ? [statement.name?.text ?? "default"] : [];
}

/** Small changes of a source file, one at a time: what a test that looks closely has to notice. */
import ts from "typescript";

export interface Mutant {
  /** Counted from 1. */
  readonly line: number;
  /** What was there, and what is there instead. */
  readonly text: string;
  readonly replacement: string;
  /** The whole file, changed. */
  readonly source: string;
}

type Kind = ts.SyntaxKind;
const K = ts.SyntaxKind;

/** Of each operator its nearest rivals: the boundary, and the opposite. */
const RIVALS: ReadonlyMap<Kind, readonly string[]> = new Map<Kind, readonly string[]>([
  [K.LessThanToken, ["<=", ">="]],
  [K.LessThanEqualsToken, ["<", ">"]],
  [K.GreaterThanToken, [">=", "<="]],
  [K.GreaterThanEqualsToken, [">", "<"]],
  [K.EqualsEqualsEqualsToken, ["!=="]],
  [K.ExclamationEqualsEqualsToken, ["==="]],
  [K.AmpersandAmpersandToken, ["||"]],
  [K.BarBarToken, ["&&"]],
  [K.PlusToken, ["-"]],
  [K.MinusToken, ["+"]],
  [K.AsteriskToken, ["/"]],
  [K.SlashToken, ["*"]],
  [K.PlusEqualsToken, ["-="]],
  [K.MinusEqualsToken, ["+="]],
  [K.AmpersandToken, ["|"]],
  [K.BarToken, ["&"]],
]);

/** All mutants of a file: comparisons, arithmetic, conditions, statements and blocks that go. */
export function mutantsOf(file: string, source: string): Mutant[] {
  const tree = ts.createSourceFile(file, source, ts.ScriptTarget.Latest, true);
  const mutants: Mutant[] = [];
  const replace = (node: ts.Node, replacement: string): void => {
    const from = node.getStart(tree);
    mutants.push({
      line: tree.getLineAndCharacterOfPosition(from).line + 1,
      text: source.slice(from, node.end),
      replacement,
      source: source.slice(0, from) + replacement + source.slice(node.end),
    });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isTypeNode(node) || ts.isInterfaceDeclaration(node) || ts.isImportDeclaration(node)) return;
    // Our own assertions say what cannot be: nothing can see them go.
    if (ts.isCallExpression(node) && node.expression.getText(tree) === "assert") return;
    if (ts.isBinaryExpression(node))
      for (const rival of RIVALS.get(node.operatorToken.kind) ?? []) replace(node.operatorToken, rival);
    if (ts.isIfStatement(node) || ts.isConditionalExpression(node)) {
      const condition = ts.isIfStatement(node) ? node.expression : node.condition;
      replace(condition, "true");
      replace(condition, "false");
    }
    if (ts.isPrefixUnaryExpression(node) && node.operator === K.ExclamationToken)
      replace(node, node.operand.getText(tree));
    if (ts.isExpressionStatement(node)) replace(node, ";");
    if (node.kind === K.ContinueKeyword || ts.isBreakStatement(node)) replace(node, ";");
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return mutants;
}

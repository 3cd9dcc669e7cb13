/**
 * A declaration of a `.d.ts` file without what no caller can see: comments, private members, the names in a destructured parameter, the order of a
 * union, kinds of quotes. Two that print alike are alike to their users.
 */
import ts from 'typescript';

const printer = ts.createPrinter({ removeComments: true, newLine: ts.NewLineKind.LineFeed });

export function printNode(/** @type {ts.Node} */ node, /** @type {ts.SourceFile} */ file) {
  return printer.printNode(ts.EmitHint.Unspecified, node, file);
}

export function canonical(/** @type {ts.Statement} */ statement, /** @type {ts.SourceFile} */ file) {
  const text = (/** @type {ts.Node} */ node) => printNode(node, file);
  const result = ts.transform(statement, [
    (context) => {
      /** @type {(node: ts.Node) => ts.Node | undefined} */
      const visit = (node) => {
        if (node.kind === ts.SyntaxKind.ExportKeyword || node.kind === ts.SyntaxKind.DeclareKeyword) return undefined;
        if (ts.isClassElement(node) && !ts.isConstructorDeclaration(node) && isPrivate(node)) return undefined;
        const visited = ts.visitEachChild(node, visit, context);
        if (ts.isUnionTypeNode(visited)) {
          const members = [...visited.types].sort((a, b) => (text(a) < text(b) ? -1 : 1));
          return context.factory.updateUnionTypeNode(visited, context.factory.createNodeArray(members));
        }
        if (ts.isTupleTypeNode(visited) && !visited.elements.some((element) => text(element).includes('\n'))) {
          return ts.setEmitFlags(visited, ts.EmitFlags.SingleLine);
        }
        if (ts.isStringLiteral(visited)) return context.factory.createStringLiteral(visited.text, true);
        if (ts.isParameter(visited) && !ts.isIdentifier(visited.name)) {
          const { modifiers, dotDotDotToken, questionToken, type, initializer } = visited;
          const name = context.factory.createIdentifier(ts.isObjectBindingPattern(visited.name) ? 'options' : 'values');
          return context.factory.updateParameterDeclaration(visited, modifiers, dotDotDotToken, name, questionToken, type, initializer);
        }
        return visited;
      };
      return (node) => /** @type {ts.Statement} */ (ts.visitEachChild(node, visit, context));
    },
  ]);
  return result.transformed[0] ?? statement;
}

function isPrivate(/** @type {ts.ClassElement} */ member) {
  if (member.name !== undefined && ts.isPrivateIdentifier(member.name)) return true;
  return ts.canHaveModifiers(member) && ts.getModifiers(member)?.some(({ kind }) => kind === ts.SyntaxKind.PrivateKeyword) === true;
}

/**
 * What a package shows to its users, as text: for each entry point of its `exports` every name with its declaration, then the declarations those
 * refer to without exporting them. Read from source, as the TypeScript compiler would write them into `.d.ts` files; nothing has to be built.
 */
import { realpathSync } from 'node:fs';
import { posix } from 'node:path';
import ts from 'typescript';
import { canonical, printNode } from './canonical-declaration.mjs';
import { workspaces } from './workspaces.mjs';

/** @typedef {{ statements: Map<string, ts.Statement[]>, imports: Map<string, Reference>, file: ts.SourceFile }} Declarations */
/** @typedef {{ path: string, name: string }} Reference a declaration: the source file it stands in, and its name there */

const SOURCE_CONDITION = '@coda-nets/source';

/**
 * The text for `api/<name>.txt` of every package that is published: blocks with an empty line between them, in an order of their own.
 * @returns {Map<string, string>}
 */
export function publicExports(/** @type {string} */ folderOfRepository) {
  // The compiler names files by their real path, with slashes.
  const root = realpathSync(folderOfRepository).replaceAll('\\', '/');
  const packages = workspaces(root).filter(({ manifest }) => manifest['private'] !== true);
  const entries = packages.map(({ folder, manifest }) => entryPoints(posix.join(root, folder), manifest));
  const program = createProgram(
    root,
    entries.flatMap((points) => points.map(({ path }) => path)),
  );
  const declarationsOf = declarationReader(program);
  return new Map(
    packages.map(({ folder, manifest }, i) => {
      const blocks = [`# Public exports of ${manifest['name']}. Written by \`pnpm check:exports --accept\`, to be read in review.`];
      blocks.push(...describe(program, declarationsOf, posix.join(root, folder), entries[i] ?? []));
      return [posix.basename(folder), `${blocks.join('\n\n')}\n`];
    }),
  );
}

/** The source file behind each subpath that is code. */
function entryPoints(/** @type {string} */ folder, /** @type {Record<string, any>} */ manifest) {
  const points = [];
  for (const [subpath, target] of Object.entries(manifest['exports'])) {
    if (subpath.endsWith('.json')) continue;
    const source = target[SOURCE_CONDITION];
    if (source === undefined) throw new Error(`${folder}/package.json: exports["${subpath}"] has no "${SOURCE_CONDITION}"`);
    points.push({ specifier: posix.join(manifest['name'], subpath), path: posix.join(folder, source) });
  }
  return points;
}

function createProgram(/** @type {string} */ root, /** @type {string[]} */ files) {
  const { config } = ts.readConfigFile(posix.join(root, 'tsconfig.base.json'), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  Object.assign(options, {
    composite: false,
    sourceMap: false,
    declarationMap: false,
    emitDeclarationOnly: true,
    noCheck: true,
    types: ['node'],
  });
  const host = ts.createCompilerHost(options);
  host.jsDocParsingMode = ts.JSDocParsingMode.ParseNone;
  return ts.createProgram(files, options, host);
}

/** Gives the declarations of a source file, each file once. */
function declarationReader(/** @type {ts.Program} */ program) {
  /** @type {Map<string, Declarations>} */
  const known = new Map();
  return (/** @type {string} */ path) => {
    let declarations = known.get(path);
    if (declarations === undefined) known.set(path, (declarations = readDeclarations(program, path)));
    return declarations;
  };
}

/** @returns {Declarations} */
function readDeclarations(/** @type {ts.Program} */ program, /** @type {string} */ path) {
  const source = program.getSourceFile(path);
  if (source === undefined) throw new Error(`check-exports: there is no source file ${path}`);
  let text = '';
  program.emit(source, (_, written) => (text = written), undefined, true);
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  /** @type {Declarations} */
  const declarations = { statements: new Map(), imports: new Map(), file };
  for (const statement of file.statements) {
    if (ts.isImportDeclaration(statement)) {
      const bindings = statement.importClause?.namedBindings;
      if (bindings === undefined || !ts.isNamedImports(bindings)) continue;
      const from = relativePath(path, statement.moduleSpecifier);
      if (from === undefined) continue;
      for (const { name, propertyName } of bindings.elements) {
        declarations.imports.set(name.text, { path: from, name: (propertyName ?? name).text });
      }
    }
    for (const name of namesOf(statement)) {
      declarations.statements.set(name, [...(declarations.statements.get(name) ?? []), statement]);
    }
  }
  return declarations;
}

/** @returns {string[]} */
function namesOf(/** @type {ts.Statement} */ statement) {
  if (ts.isVariableStatement(statement)) {
    return statement.declarationList.declarations.map(({ name }) => (ts.isIdentifier(name) ? name.text : ''));
  }
  const { name } = /** @type {{ name?: ts.Node }} */ (/** @type {unknown} */ (statement));
  return name !== undefined && ts.isIdentifier(name) ? [name.text] : [];
}

/** The source file a relative specifier names; undefined for other packages, whose exports are in their own list. */
function relativePath(/** @type {string} */ from, /** @type {ts.Node} */ specifier) {
  if (!ts.isStringLiteral(specifier) || !specifier.text.startsWith('.')) return undefined;
  return posix.join(posix.dirname(from), specifier.text);
}

/** @returns {string[]} the blocks of one package */
function describe(
  /** @type {ts.Program} */ program,
  /** @type {(path: string) => Declarations} */ declarationsOf,
  /** @type {string} */ folder,
  /** @type {{ specifier: string, path: string }[]} */ points,
) {
  const checker = program.getTypeChecker();
  const blocks = [];
  /** @type {Map<string, Reference>} */
  const described = new Map();
  for (const { specifier, path } of points) {
    blocks.push(`== ${specifier}`);
    const source = program.getSourceFile(path);
    const module = source && checker.getSymbolAtLocation(source);
    const symbols = module === undefined ? [] : checker.getExportsOfModule(module);
    for (const symbol of symbols.sort((a, b) => compare(a.name, b.name))) {
      const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
      const at = target.declarations?.[0]?.getSourceFile().fileName;
      if (at === undefined || !at.startsWith(`${folder}/`)) {
        blocks.push(`${symbol.name}: exported from another package`);
        continue;
      }
      const reference = { path: at, name: target.name };
      described.set(keyOf(reference), reference);
      blocks.push(symbol.name === target.name ? print(declarationsOf, reference) : `${symbol.name}: ${print(declarationsOf, reference)}`);
    }
  }
  const inner = reached(declarationsOf, described);
  if (inner.length > 0) blocks.push('== not exported, but part of the above');
  blocks.push(...inner.map((reference) => print(declarationsOf, reference)));
  return blocks;
}

/** Declarations in the same package that the described ones refer to, and those that these refer to, by name. */
function reached(/** @type {(path: string) => Declarations} */ declarationsOf, /** @type {Map<string, Reference>} */ described) {
  const queue = [...described.values()];
  /** @type {Map<string, Reference>} */
  const found = new Map();
  for (const { path, name } of queue) {
    for (const reference of referencesOf(declarationsOf(path), name)) {
      const key = keyOf(reference);
      if (described.has(key) || found.has(key)) continue;
      found.set(key, reference);
      queue.push(reference);
    }
  }
  return [...found.values()].sort((a, b) => compare(a.name, b.name) || compare(a.path, b.path));
}

/** @returns {Reference[]} */
function referencesOf(/** @type {Declarations} */ { statements, imports, file }, /** @type {string} */ name) {
  /** @type {Reference[]} */
  const references = [];
  const visit = (/** @type {ts.Node} */ node) => {
    if (ts.isIdentifier(node)) {
      const imported = imports.get(node.text);
      if (imported !== undefined) references.push(imported);
      else if (node.text !== name && statements.has(node.text)) references.push({ path: file.fileName, name: node.text });
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument) && node.qualifier !== undefined) {
      const from = relativePath(file.fileName, node.argument.literal);
      if (from !== undefined) references.push({ path: from, name: node.qualifier.getText(file) });
    }
    ts.forEachChild(node, visit);
  };
  for (const statement of statements.get(name) ?? []) visit(canonical(statement, file));
  return references;
}

function print(/** @type {(path: string) => Declarations} */ declarationsOf, /** @type {Reference} */ { path, name }) {
  const { statements, file } = declarationsOf(path);
  const found = statements.get(name);
  if (found === undefined) throw new Error(`check-exports: ${path} declares no ${name} that could be described`);
  return found.map((statement) => printNode(canonical(statement, file), file)).join('\n');
}

function keyOf(/** @type {Reference} */ { path, name }) {
  return `${path}#${name}`;
}

/** By code unit: the same on every machine. */
function compare(/** @type {string} */ a, /** @type {string} */ b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Checks a value from outside (a config, metadata) against a valibot schema and turns what is wrong into one CodaError that names the leaf.
 */
import * as v from 'valibot';
import { CodaError } from './errors.ts';
import { nearestName } from './nearest-name.ts';
import { shown } from './shown.ts';

/**
 * The value as `schema` types it, with its defaults filled in. `where` names the config in errors: `config.json`.
 * Throws a CodaError of kind `argument`: path to the leaf, what was expected and what came, and for an unknown key the nearest known one.
 */
export function parseConfig<Schema extends v.GenericSchema>(schema: Schema, value: unknown, where: string): v.InferOutput<Schema> {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  // A misspelt key is both unknown and missing; the unknown one is what to correct.
  const issue = result.issues.find(isUnknownKey) ?? result.issues[0];
  const path = issue.path ?? [];
  const place = path.reduce((text, { key }) => text + (typeof key === 'number' ? `[${key}]` : `.${String(key)}`), '');
  const more = result.issues.length - 1;
  const also = more > 0 && !isUnknownKey(issue) ? ` (and ${more} more ${more === 1 ? 'issue' : 'issues'})` : '';
  const details = { kind: 'argument', where: place === '' ? where : `${where}: ${place.replace(/^\./, '')}` } as const;
  if (isUnknownKey(issue)) {
    const known = keysAt(
      schema,
      path.slice(0, -1).map(({ key }) => key),
    );
    throw new CodaError({
      ...details,
      problem: 'unknown key',
      expected: known.length === 0 ? undefined : `one of ${known.join(', ')}`,
      hint: didYouMean(nearestName(String(path.at(-1)?.key), known)),
    });
  }
  if (isMissingKey(issue)) throw new CodaError({ ...details, problem: `missing${also}` });
  const got = shown(path.length === 0 ? value : path.at(-1)?.value);
  const options = optionsAt(
    schema,
    path.map(({ key }) => key),
  );
  throw new CodaError({
    ...details,
    problem: `${issue.kind === 'validation' ? issue.message.replace(/: .*/, '').toLowerCase() : 'not a valid value'}${also}`,
    expected: issue.expected ?? expectedByType[issue.type],
    got,
    hint: didYouMean(nearestName(got.replaceAll('"', ''), options)),
  });
}

/** What a check without an `expected` of its own wants. */
const expectedByType: Readonly<Record<string, string>> = { integer: 'an integer', finite: 'a finite number' };

function isUnknownKey(issue: v.BaseIssue<unknown>): boolean {
  return issue.kind === 'schema' && issue.expected === 'never' && issue.path?.at(-1)?.origin === 'key';
}

function isMissingKey(issue: v.BaseIssue<unknown>): boolean {
  return issue.kind === 'schema' && issue.received === 'undefined' && issue.path?.at(-1)?.origin === 'key';
}

function didYouMean(name: string | undefined): string | undefined {
  return name === undefined ? undefined : `Did you mean ${JSON.stringify(name)}?`;
}

/** The fields of valibot's schemas through which a path leads. */
interface SchemaNode {
  readonly wrapped?: SchemaNode;
  readonly entries?: Readonly<Record<string, SchemaNode>>;
  readonly item?: SchemaNode;
  readonly items?: readonly SchemaNode[];
  readonly value?: SchemaNode;
  readonly options?: readonly unknown[];
  readonly literal?: unknown;
}

/** Every schema the path may lead to: more than one below a union. */
function nodesAt(schema: v.GenericSchema, path: readonly unknown[]): SchemaNode[] {
  let nodes = unwrapped(schema as unknown as SchemaNode);
  for (const key of path) {
    nodes = nodes.flatMap((node) => {
      const next = typeof key === 'number' ? (node.items?.[key] ?? node.item) : (node.entries?.[String(key)] ?? node.value);
      return next === undefined ? [] : unwrapped(next);
    });
  }
  return nodes;
}

/** Without optional, nullable and the like, and with the members of a union. */
function unwrapped(node: SchemaNode): SchemaNode[] {
  if (node.wrapped !== undefined) return unwrapped(node.wrapped);
  const members = node.options?.filter((option): option is SchemaNode => typeof option === 'object' && option !== null);
  return members === undefined || members.length === 0 ? [node] : members.flatMap(unwrapped);
}

function keysAt(schema: v.GenericSchema, path: readonly unknown[]): string[] {
  return [...new Set(nodesAt(schema, path).flatMap((node) => Object.keys(node.entries ?? {})))];
}

function optionsAt(schema: v.GenericSchema, path: readonly unknown[]): string[] {
  return nodesAt(schema, path).flatMap((node) => [...(node.options ?? []), node.literal].filter(isString));
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

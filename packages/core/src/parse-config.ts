/**
 * Checks a value from outside (a config, metadata) against a valibot schema and turns all that is wrong into one CodaError that names the leaves.
 */
import * as v from 'valibot';
import { throwAll } from './check-all.ts';
import { CodaError, maxParts, type ErrorDetails } from './errors.ts';
import { nearestName } from './nearest-name.ts';
import { shortened, shown } from './shown.ts';

/** What is wrong at a path: keys of objects, and numbers in lists. */
export interface ConfigMistake extends Pick<ErrorDetails, 'problem' | 'expected' | 'got'> {
  readonly path: Keys;
}

/**
 * The value as `schema` types it, with its defaults filled in. `where` names the config in errors: `config.json`. `further` is asked for what the schema cannot
 * see, also of a value that it has refused, which then is no `Output` in the places that are wrong; what it finds wrong with an object is told in place of what
 * the schema finds in it.
 * Throws a CodaError of kind `argument`: path to the leaf, what was expected and what came, and for an unknown key the nearest known one. Where several leaves are
 * wrong, all of them, as its `parts`.
 */
export function parseConfig<Schema extends v.GenericSchema>(
  schema: Schema,
  value: unknown,
  where: string,
  further: (output: unknown) => readonly ConfigMistake[] = () => [],
): v.InferOutput<Schema> {
  const result = v.safeParse(schema, value);
  const others = further(result.output);
  const replaced = new Set(others.map(({ path }) => idOf(path)));
  const issues = (result.issues ?? []).filter((issue) => !holdersOf(keysOf(issue)).some((holder) => replaced.has(holder)));
  const mistakes: readonly Mistake[] = [...schemaMistakes(schema, value, issues), ...others];
  // a leaf has one mistake at a time, and what holds it none of its own
  const told = new Set(mistakes.flatMap(({ path }) => holdersOf(path)));
  const left = mistakes.filter(({ path }) => {
    const id = idOf(path);
    if (told.has(id)) return false;
    told.add(id);
    return true;
  });
  throwAll(
    where,
    left.map(({ path, nearest, ...details }, i) => {
      // of those that are not shown nobody sees it, and it takes the longest
      const hint = i < maxParts ? didYouMean(nearest?.()) : undefined;
      return new CodaError({ kind: 'argument', where: placeOf(where, path), ...details, hint });
    }),
  );
  return result.output as v.InferOutput<Schema>;
}

type Keys = readonly (string | number)[];
type Issue = v.BaseIssue<unknown>;
type Path = readonly Pick<v.IssuePathItem, 'key' | 'value'>[];
/** `nearest`: what was meant. */
type Mistake = ConfigMistake & { readonly nearest?: () => string | undefined };

/** Unknown keys first: a misspelt key is both unknown and missing, and the unknown one is what to correct. */
function schemaMistakes(schema: v.GenericSchema, value: unknown, issues: readonly Issue[]): Mistake[] {
  const unknown = issues.filter(isUnknownKey).flatMap((issue) => {
    const parent = keysOf(issue).slice(0, -1);
    const known = keysAt(schema, value, (issue.path ?? []).slice(0, -1));
    return unknownKeys(issue, known).map((key, i) => ({
      path: [...parent, key],
      problem: 'unknown key',
      // once is enough
      expected: known.length === 0 || i > 0 ? undefined : `one of ${known.join(', ')}`,
      nearest: () => nearestName(key, known),
    }));
  });
  const meant = new Set(unknown.slice(0, maxParts).map(({ path, nearest }) => idOf([...path.slice(0, -1), nearest() ?? ''])));
  const others = issues.filter((issue) => !isUnknownKey(issue) && (issue.input !== undefined || !meant.has(idOf(keysOf(issue)))));
  return [...unknown, ...others.map((issue) => mistakeOf(schema, value, issue))];
}

/** Valibot ends with the first of an object. */
function unknownKeys(issue: Issue, known: readonly string[]): string[] {
  const last = issue.path?.at(-1);
  const first = String(last?.key);
  const rest = Object.keys(last?.input ?? {}).filter((key) => key !== first && !known.includes(key));
  return [first, ...rest];
}

function mistakeOf(schema: v.GenericSchema, value: unknown, issue: Issue): Mistake {
  const path = keysOf(issue);
  if (isMissing(issue)) return { path, problem: 'missing' };
  const got = shown(path.length === 0 ? value : issue.path?.at(-1)?.value);
  return {
    path,
    problem: issue.kind === 'validation' ? issue.message.replace(/: .*/, '').toLowerCase() : 'not a valid value',
    expected: issue.expected ?? expectedByType[issue.type],
    got,
    nearest: () => nearestName(got.replaceAll('"', ''), optionsAt(schema, value, issue.path ?? [])),
  };
}

function keysOf({ path }: Issue): Keys {
  return (path ?? []).map(({ key }) => (typeof key === 'number' ? key : String(key)));
}

/** The same for the same path only, whatever its keys contain. */
function idOf(path: Keys): string {
  return JSON.stringify(path);
}

/** Of all that a leaf lies in. */
function holdersOf(path: Keys): string[] {
  return path.map((_, depth) => idOf(path.slice(0, depth)));
}

function placeOf(where: string, path: Keys): string {
  const place = path.reduce<string>((text, key) => text + (typeof key === 'number' ? `[${key}]` : `.${shortened(key)}`), '');
  return place === '' ? where : `${where}: ${place.replace(/^\./, '')}`;
}

/** What a check without an `expected` of its own wants. */
const expectedByType: Readonly<Record<string, string>> = { integer: 'an integer', finite: 'a finite number' };

function isUnknownKey(issue: Issue): boolean {
  return issue.kind === 'schema' && issue.expected === 'never' && issue.path?.at(-1)?.origin === 'key';
}

/** Also of a key that is there and has nothing: what a caller builds often does. */
function isMissing(issue: Issue): boolean {
  return issue.kind === 'schema' && issue.received === 'undefined' && typeof issue.path?.at(-1)?.key === 'string';
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

/** Every schema the path may lead to: more than one below a union, unless the value's literals say which. */
function nodesAt(schema: v.GenericSchema, value: unknown, path: Path): SchemaNode[] {
  let nodes = fitting(unwrapped(schema as unknown as SchemaNode), value);
  for (const { key, value: inner } of path) {
    const next = nodes.flatMap((node) => {
      const found = typeof key === 'number' ? (node.items?.[key] ?? node.item) : (node.entries?.[String(key)] ?? node.value);
      return found === undefined ? [] : unwrapped(found);
    });
    nodes = fitting(next, inner);
  }
  return nodes;
}

/** Without optional, nullable and the like, and with the members of a union. */
function unwrapped(node: SchemaNode): SchemaNode[] {
  if (node.wrapped !== undefined) return unwrapped(node.wrapped);
  const members = node.options?.filter((option): option is SchemaNode => typeof option === 'object' && option !== null);
  return members === undefined || members.length === 0 ? [node] : members.flatMap(unwrapped);
}

/** Those whose literals (`kind`) are the value's; all where there are none. */
function fitting(nodes: SchemaNode[], value: unknown): SchemaNode[] {
  const given = (typeof value === 'object' && value !== null ? value : {}) as Readonly<Record<string, unknown>>;
  const fits = ({ entries = {} }: SchemaNode): boolean =>
    Object.entries(entries).every(([key, { literal }]) => literal === undefined || literal === given[key]);
  const found = nodes.filter(fits);
  return found.length === 0 ? nodes : found;
}

function keysAt(schema: v.GenericSchema, value: unknown, path: Path): string[] {
  return [...new Set(nodesAt(schema, value, path).flatMap((node) => Object.keys(node.entries ?? {})))];
}

function optionsAt(schema: v.GenericSchema, value: unknown, path: Path): string[] {
  return nodesAt(schema, value, path).flatMap((node) => [...(node.options ?? []), node.literal].filter(isString));
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

/**
 * Checks a value from outside (a config, metadata) against a valibot schema and turns all that is wrong into one CodaError that names the leaves.
 */
import * as v from 'valibot';
import { throwAll } from './check-all.ts';
import { CodaError } from './errors.ts';
import { nearestName } from './nearest-name.ts';
import { shown } from './shown.ts';

/**
 * The value as `schema` types it, with its defaults filled in. `where` names the config in errors: `config.json`. `further` is asked for what the schema cannot
 * see, also of a value that it has refused, which then is no `Output` in the places that are wrong.
 * Throws a CodaError of kind `argument`: path to the leaf, what was expected and what came, and for an unknown key the nearest known one. Where several leaves are
 * wrong, all of them, as its `parts`.
 */
export function parseConfig<Schema extends v.GenericSchema>(
  schema: Schema,
  value: unknown,
  where: string,
  further: (output: unknown) => readonly CodaError[] = () => [],
): v.InferOutput<Schema> {
  const result = v.safeParse(schema, value);
  const errors = [...schemaErrors(schema, value, where, result.issues ?? []), ...further(result.output)];
  const places = errors.map((error) => error.where);
  // a leaf has one mistake at a time, and what holds it none of its own
  const holdsAnother = (place: string): boolean => places.some((other) => ['.', '[', ': '].some((next) => other.startsWith(place + next)));
  throwAll(
    where,
    errors.filter(({ where: place }, i) => places.indexOf(place) === i && !holdsAnother(place)),
  );
  return result.output as v.InferOutput<Schema>;
}

type Issue = v.BaseIssue<unknown>;
type Path = readonly Pick<v.IssuePathItem, 'key' | 'value'>[];

/** Unknown keys first: a misspelt key is both unknown and missing, and the unknown one is what to correct. */
function schemaErrors(schema: v.GenericSchema, value: unknown, where: string, issues: readonly Issue[]): CodaError[] {
  const meant = new Set<string>();
  const unknown = issues.filter(isUnknownKey).flatMap((issue) => {
    const path = issue.path ?? [];
    const parent = path.slice(0, -1);
    const known = keysAt(schema, value, parent);
    return unknownKeys(issue, known).map((key, i) => {
      const nearest = nearestName(key, known);
      if (nearest !== undefined) meant.add(placeOf(where, [...parent, { key: nearest, value: undefined }]));
      return new CodaError({
        kind: 'argument',
        where: placeOf(where, [...parent, { key, value: undefined }]),
        problem: 'unknown key',
        // once is enough
        expected: known.length === 0 || i > 0 ? undefined : `one of ${known.join(', ')}`,
        hint: didYouMean(nearest),
      });
    });
  });
  const others = issues.filter((issue) => !isUnknownKey(issue));
  return [
    ...unknown,
    ...others
      .filter((issue) => issue.input !== undefined || !meant.has(placeOf(where, issue.path ?? [])))
      .map((issue) => errorOf(schema, value, where, issue)),
  ];
}

/** Valibot ends with the first of an object. */
function unknownKeys(issue: Issue, known: readonly string[]): string[] {
  const last = issue.path?.at(-1);
  const first = String(last?.key);
  const rest = Object.keys(last?.input ?? {}).filter((key) => key !== first && !known.includes(key));
  return [first, ...rest];
}

function errorOf(schema: v.GenericSchema, value: unknown, where: string, issue: Issue): CodaError {
  const path = issue.path ?? [];
  const place = placeOf(where, path);
  if (isMissingKey(issue)) return new CodaError({ kind: 'argument', where: place, problem: 'missing' });
  const got = shown(path.length === 0 ? value : path.at(-1)?.value);
  return new CodaError({
    kind: 'argument',
    where: place,
    problem: issue.kind === 'validation' ? issue.message.replace(/: .*/, '').toLowerCase() : 'not a valid value',
    expected: issue.expected ?? expectedByType[issue.type],
    got,
    hint: didYouMean(nearestName(got.replaceAll('"', ''), optionsAt(schema, value, path))),
  });
}

function placeOf(where: string, path: Path): string {
  const place = path.reduce((text, { key }) => text + (typeof key === 'number' ? `[${key}]` : `.${String(key)}`), '');
  return place === '' ? where : `${where}: ${place.replace(/^\./, '')}`;
}

/** What a check without an `expected` of its own wants. */
const expectedByType: Readonly<Record<string, string>> = { integer: 'an integer', finite: 'a finite number' };

function isUnknownKey(issue: Issue): boolean {
  return issue.kind === 'schema' && issue.expected === 'never' && issue.path?.at(-1)?.origin === 'key';
}

function isMissingKey(issue: Issue): boolean {
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

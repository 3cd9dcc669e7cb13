/** The keys of a config, read off a JSON schema, and off the tables of docs/config.md: so that each can be held against the other. */

/** As much of JSON Schema (draft 7) as the configs use. */
export interface JsonSchema {
  $schema?: string;
  title?: string;
  description?: string;
  type?: string;
  const?: unknown;
  enum?: unknown[];
  default?: unknown;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  minItems?: number;
  maxItems?: number;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  items?: JsonSchema | JsonSchema[];
  oneOf?: JsonSchema[];
  /** A value or null. */
  anyOf?: JsonSchema[];
}

/** A row of a table. */
export interface ConfigKey {
  /** `head.layers[].out`, or `optimiser.beta1 (adam)` where only some kinds have it. */
  readonly key: string;
  readonly type: string;
  /** JSON; `required`; undefined where leaving it out means something that is no constant. */
  readonly default: string | undefined;
  /** Where the key stands in the schema. */
  readonly nodes: readonly JsonSchema[];
}

/** Every key below an object's schema, in its order. A network inside of a config is one key. */
export function configKeys(schema: JsonSchema, prefix = ''): ConfigKey[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, node]) => {
    const key = `${prefix}${name}`;
    const missing = schema.required?.includes(name) === true ? 'required' : undefined;
    const own = {
      key,
      type: typeOf(node),
      default: node.default === undefined ? missing : JSON.stringify(node.default),
      nodes: [node],
    };
    if (networkKinds(node) !== undefined) return [own];
    const inner = node.items ?? valueOf(node);
    const children = Array.isArray(inner) ? [] : configKeys(inner, node.items === undefined ? `${key}.` : `${key}[].`);
    return [own, ...children, ...variantKeys(node, key)];
  });
}

/** Of a value that is one of several kinds: `kind`, then each key once, with the kinds that have it behind where not all do. */
function variantKeys({ oneOf = [] }: JsonSchema, key: string): ConfigKey[] {
  const kindOf = (variant: JsonSchema): string => String(variant.properties?.['kind']?.const);
  const rows = new Map<string, ConfigKey & { kinds: string[] }>();
  for (const variant of oneOf) {
    for (const row of configKeys(variant, `${key}.`)) {
      if (row.key === `${key}.kind`) continue;
      const id = `${row.key} ${row.type} ${row.default}`;
      const same = rows.get(id);
      rows.set(id, {
        ...row,
        nodes: [...(same?.nodes ?? []), ...row.nodes],
        kinds: [...(same?.kinds ?? []), kindOf(variant)],
      });
    }
  }
  if (oneOf.length === 0) return [];
  const kind = {
    key: `${key}.kind`,
    type: oneOf.map((variant) => JSON.stringify(kindOf(variant))).join(', '),
    default: 'required',
    nodes: oneOf.map((variant) => variant.properties?.['kind'] as JsonSchema),
  };
  return [
    kind,
    ...[...rows.values()].map(({ kinds, ...row }) =>
      kinds.length === oneOf.length ? row : { ...row, key: `${row.key} (${kinds.join(', ')})` },
    ),
  ];
}

/** What may be there instead of null. */
function valueOf(node: JsonSchema): JsonSchema {
  return node.anyOf?.find(({ type }) => type !== 'null') ?? node;
}

/** The kinds of a schema of networks. */
function networkKinds(node: JsonSchema): string | undefined {
  const kinds = (node.oneOf ?? [node]).map(({ properties }) => properties?.['kind']?.const);
  return kinds.every((kind) => ['coda', 'resnet', 'hybrid'].includes(kind as string)) ? kinds.join(', ') : undefined;
}

function typeOf(node: JsonSchema): string {
  const kinds = networkKinds(node);
  if (kinds !== undefined) return `config: ${kinds}`;
  if (node.anyOf !== undefined) return node.anyOf.map(typeOf).join(' or ');
  if (node.const !== undefined) return JSON.stringify(node.const);
  if (node.enum !== undefined) return node.enum.map((value) => JSON.stringify(value)).join(', ');
  if (Array.isArray(node.items)) return `[${node.items.map(typeOf).join('; ')}]`;
  if (node.items !== undefined) {
    const length = node.minItems === undefined && node.maxItems === undefined ? '' : ` (${node.minItems ?? 0}…${node.maxItems ?? ''})`;
    return `list${length} of ${node.items.type === 'object' ? 'objects' : typeOf(node.items)}`;
  }
  if (node.oneOf !== undefined || node.type === 'object') return 'object';
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = node;
  const least = minimum ?? exclusiveMinimum;
  const most = maximum ?? exclusiveMaximum;
  if (least === undefined && most === undefined) return node.type ?? 'anything';
  if (node.type === 'integer') return `integer ${least}…${most}`;
  return `number ${least === undefined ? '' : exclusiveMinimum === undefined ? `≥ ${least}` : `> ${least}`}${most === undefined ? '' : `, ${exclusiveMaximum === undefined ? '≤' : '<'} ${most}`}`;
}

/** A row of docs/config.md: | `key` (kinds) | type | default | meaning | */
export interface DocumentedKey {
  readonly key: string;
  readonly type: string;
  readonly default: string;
  readonly meaning: string;
}

/** The rows of the table under a heading. */
export function documentedKeys(markdown: string, heading: string): DocumentedKey[] {
  const [, after] = markdown.split(`\n## ${heading}`);
  if (after === undefined) throw new Error(`no heading "## ${heading}"`);
  const section = after.split('\n## ')[0] as string;
  return section
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => {
      const [key = '', type = '', fallback = '', meaning = ''] = line
        .slice(1, -1)
        .split(' | ')
        .map((cell) => cell.replaceAll('`', '').trim());
      return { key, type, default: fallback, meaning };
    });
}

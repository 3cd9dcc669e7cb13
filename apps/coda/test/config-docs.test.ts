/** docs/config.md, its examples and the JSON schemas, held against the schemas that check configs. After a change of those: vitest -u. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { codaConfigSchema } from '@coda-nets/dau';
import { hybridConfigSchema } from '@coda-nets/hybrid';
import { resnetConfigSchema } from '@coda-nets/resnet';
import { syntheticDataset, trainConfigSchema, writeCifar10 } from '@coda-nets/train';
import { toJsonSchema } from '@valibot/to-json-schema';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { configKeys, documentedKeys, type JsonSchema } from './config-keys.ts';
import { coda } from './run-coda.ts';

const docs = (name: string): string => fileURLToPath(new URL(`../../../docs/${name}`, import.meta.url));

/** What valibot checks and JSON Schema has no word for: that a number is finite, which JSON's all are, and that values fit together. */
function schemaOf(schema: Parameters<typeof toJsonSchema>[0]): JsonSchema {
  const json = toJsonSchema(schema, { typeMode: 'input', ignoreActions: ['finite', 'raw_check', 'check'] }) as JsonSchema;
  delete json.$schema;
  return json;
}

const networks = {
  coda: { schema: schemaOf(codaConfigSchema), heading: '`coda`' },
  resnet: { schema: schemaOf(resnetConfigSchema), heading: '`resnet`' },
  hybrid: { schema: schemaOf(hybridConfigSchema), heading: '`hybrid`' },
};
const network: JsonSchema = { oneOf: Object.values(networks).map(({ schema }) => schema) };
const training = schemaOf(trainConfigSchema);
training.properties = { ...training.properties, network };

const sections = { ...networks, train: { schema: training, heading: 'Training' } };
let markdown = '';

beforeAll(async () => {
  markdown = await readFile(docs('config.md'), 'utf8');
});

describe.each(Object.entries(sections))('docs/config.md on %s', (name, { schema, heading }) => {
  it('has every key with its type, limits and default, in the order of the schema', () => {
    const expected = configKeys(schema).map(({ key, type, default: fallback }) => ({
      key,
      type,
      default: fallback ?? (expect.stringMatching(/^(?!required).+/) as string),
    }));
    const documented = documentedKeys(markdown, heading);
    expect(documented.map(({ key, type, default: fallback }) => ({ key, type, default: fallback }))).toEqual(expected);
    for (const { key, meaning } of documented) expect([key, meaning]).toEqual([key, expect.stringMatching(/\w/)]);
  });

  it('shows its example, which has every key', async () => {
    const text = await readFile(docs(`config/${name}.json`), 'utf8');
    expect(markdown).toContain(`\`\`\`json\n${text}\`\`\``);
    const missing = Object.keys(schema.properties ?? {}).filter((key) => !Object.hasOwn(JSON.parse(text) as object, key));
    expect(missing).toEqual(name === 'train' ? ['data', 'initFrom', 'stem'] : []);
  });
});

it.each(['network', 'train'])('docs/schema/%s.json is made from the schemas and the meanings in the tables', async (name) => {
  for (const { schema, heading } of Object.values(sections)) {
    const meanings = new Map(documentedKeys(markdown, heading).map(({ key, meaning }) => [key, meaning]));
    for (const { key, nodes } of configKeys(schema)) for (const node of nodes) node.description = meanings.get(key) ?? '';
  }
  const $schema = 'http://json-schema.org/draft-07/schema#';
  // The key by which a file names its schema is the file's, not the config's.
  const named = ({ properties, ...rest }: JsonSchema): JsonSchema => ({
    ...rest,
    properties: { $schema: { type: 'string' }, ...properties },
  });
  const whole: JsonSchema =
    name === 'network'
      ? { $schema, title: 'The config of a network', oneOf: network.oneOf?.map(named) ?? [] }
      : { $schema, title: 'The config of a training', ...named(training) };
  await expect(`${JSON.stringify(whole, null, 2)}\n`).toMatchFileSnapshot(docs(`schema/${name}.json`));
});

describe('the examples', () => {
  it.each(Object.keys(networks))('docs/config/%s.json is a network', async (kind) => {
    const { code, out } = await coda('info', docs(`config/${kind}.json`), '--json');
    expect([code, (JSON.parse(out) as { config: { kind: string } }).config.kind]).toEqual([0, kind]);
  });

  describe('of a training', () => {
    let folder = '';
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'coda-config-'));
      await writeCifar10(join(folder, 'data'), syntheticDataset({ classes: 10, perClass: 120, testPerClass: 1 }));
    }, 60_000);
    afterAll(() => rm(folder, { recursive: true, force: true }));

    it('docs/config/train.json trains', async () => {
      const run = await coda(
        'train',
        docs('config/train.json'),
        '--data',
        join(folder, 'data'),
        '--out',
        join(folder, 'run'),
        '--epochs',
        '1',
      );
      expect([run.code, run.out]).toEqual([0, expect.stringContaining('finished')]);
    });

    it('a network’s config is not taken for a training’s', async () => {
      const { code, err } = await coda('train', docs('config/coda.json'), '--data', join(folder, 'data'), '--out', join(folder, 'none'));
      expect([code, err]).toEqual([
        2,
        expect.stringMatching(/coda\.json: 11 mistakes\n {2}kind: unknown key; expected one of network, data, epochs/),
      ]);
    });
  });
});

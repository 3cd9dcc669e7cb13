/** `coda depth` from model files to its report: on two models that have a few toy images right, interrupted, gone on with, and in other parts. */
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decodeNpy, encodeNpy, ndArray, parseConfig } from '@coda-nets/core';
import { mpiLaunchers, runRanks } from '@coda-nets/tools/testkit';
import { syntheticDataset, writeCifar10 } from '@coda-nets/train';
import { toJsonSchema } from '@valibot/to-json-schema';
import { parseHTML } from 'linkedom';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { depthTables } from '../src/depth/depth-csv.ts';
import { depthCharts } from '../src/depth/depth-charts.ts';
import { depthResultsSchema, type DepthResults } from '../src/depth/depth-results.ts';
import { renderDepthReport } from '../src/depth/render-depth-report.ts';
import { storedParts } from '../src/depth/stored-parts.ts';
import { writeFittedModels } from './fitted-models.ts';
import { coda, codaInterruptedAt } from './run-coda.ts';

let folder = '';
let models: readonly string[] = [];
const call = (out: string, ...more: string[]): string[] => {
  const fixed = ['--cells', '2', '--grids', '2', '--removal', '1', '--methods', 'contributions,gradCam,occlusion9'];
  return ['depth', ...models, '--data', join(folder, 'data'), '--out', join(folder, out), ...fixed, ...more];
};
const resultsIn = async (out: string): Promise<DepthResults> => JSON.parse(await readFile(join(folder, out, 'results.json'), 'utf8'));

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coda-depth-'));
  await writeCifar10(join(folder, 'data'), syntheticDataset({ classes: 6, perClass: 1, testPerClass: 3 }));
  models = ['hybrid', 'plain'].map((name) => join(folder, `${name}.safetensors`));
  await writeFittedModels(
    syntheticDataset({ classes: 6, perClass: 1, testPerClass: 3 }).split('test'),
    models[0] as string,
    models[1] as string,
  );
}, 600_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

describe('coda depth', () => {
  let results: DepthResults;
  beforeAll(async () => {
    // interrupted as soon as the first method is through, then gone on with by the same call
    const stopped = await codaInterruptedAt(/grids of 2 × 2/, ...call('whole'));
    expect([stopped.code, stopped.out]).toEqual([
      1,
      expect.stringContaining('interrupted; what was finished is saved, go on with: coda depth'),
    ]);
    const { code, out, err } = await coda(...call('whole'));
    expect([code, err]).toEqual([0, expect.any(String)]);
    expect(out).toContain('hybrid, median localisation at layer2.0:');
    results = await resultsIn('whole');
  }, 600_000);

  it('has the same results from the shares of a job array, and of ranks', async () => {
    const known = async (out: string): Promise<readonly string[]> => (await readdir(join(folder, out, 'parts'))).toSorted();
    for (const i of [0, 1]) {
      const { code, out } = await coda(...call('shares', '--shard', `${i}/2`));
      expect(code).toBe(0);
      expect(out).toContain(`share ${i} of 2 is in ${join(folder, 'shares')}/parts`);
      expect(await readdir(join(folder, 'shares'))).toEqual(['parts']);
    }
    // nothing is left to measure
    const measured = await known('shares');
    expect((await coda(...call('shares'))).code).toBe(0);
    expect(await known('shares')).toEqual(expect.arrayContaining([...measured]));
    expect(await resultsIn('shares')).toEqual(results);
    const [launcher] = mpiLaunchers;
    if (launcher === undefined) return;
    const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
    const { code, err } = await runRanks(launcher, 2, [main, ...call('ranks', '--threads', '2')], { limit: 400 });
    expect({ code, err }).toMatchObject({ code: 0 });
    expect(await known('ranks')).toEqual(await known('shares'));
    expect(await resultsIn('ranks')).toEqual(results);
  }, 600_000);

  it('says so where fewer grids can be drawn than were asked for', async () => {
    const { code } = await codaInterruptedAt(/grids of 2 × 2 and not 50: no more images/, ...call('few', '--grids', '50'));
    expect(code).toBe(1);
  });

  it('measures all methods of all models on the same grids, which stand in the result', () => {
    expect(parseConfig(depthResultsSchema, results, 'results.json')).toEqual(results);
    expect(results).toMatchObject({ schemaVersion: 1, preset: 'coda2021', scoring: 'pool', smooth: 1, setting: 'whole' });
    expect(results.gridList.grids).toHaveLength(2);
    const [hybrid, plain] = results.models;
    expect([hybrid?.name, plain?.name]).toEqual(['hybrid', 'plain']);
    expect(hybrid?.methods.map(({ name, kind, preset }) => [name, kind, preset])).toEqual([
      ['contributions', 'one pass', 'coda2021'],
      ['gradCam', 'one pass', 'coda2021'],
      ['occlusion9', 'probing', 'coda2021'],
    ]);
    expect(hybrid?.methods[2]?.parameters).toMatchObject({ window: 8, stride: 2 });
    expect(hybrid?.methods[0]?.taps.map(({ tap, exact }) => [tap, exact])).toEqual([
      ['input', false],
      ['conv1', false],
      ['layer1.0', false],
      ['layer2.0', true],
      ['head.0', true],
    ]);
    for (const { exact, residual, pool, upsample } of hybrid?.methods[0]?.taps ?? []) {
      if (exact) expect(residual.max).toBeLessThan(1e-5);
      expect([pool?.values.length, upsample.values.length]).toEqual([8, 8]);
    }
    expect(hybrid?.methods[2]?.taps.map(({ tap }) => tap)).toEqual(['layer2.0']);
    expect(plain?.methods[2]?.taps.map(({ tap }) => tap)).toEqual(['layer3.0']);
    expect(hybrid?.methods[0]?.interpretableDepth).toMatchObject({ of: 5, threshold: 0.5, interval: { confidence: 0.95 } });
    expect(hybrid?.methods[2]?.interpretableDepth).toBeNull();
    expect(hybrid?.methods[0]?.removal.map(({ tap, order }) => `${tap} ${order}`)).toEqual([
      'input least',
      'input most',
      'layer2.0 least',
      'layer2.0 most',
    ]);
    expect(hybrid?.methods[0]?.removal[0]?.mean).toHaveLength(129);
  });

  it('computes nothing twice: the same call and another set of methods take what is there', async () => {
    const parts = async (): Promise<Record<string, number>> => {
      const names = await readdir(join(folder, 'whole/parts'));
      return Object.fromEntries(
        await Promise.all(names.map(async (name) => [name, (await stat(join(folder, 'whole/parts', name))).mtimeMs] as const)),
      );
    };
    const before = await parts();
    expect((await coda(...call('whole', '--methods', 'gradCam'))).code).toBe(0);
    expect(await parts()).toEqual(before);
    expect((await resultsIn('whole')).models[0]?.methods).toEqual([results.models[0]?.methods[1]]);
    // a method that is named twice is measured once
    expect((await coda(...call('whole', '--methods', 'gradCam,gradCam'))).code).toBe(0);
    expect((await resultsIn('whole')).models[0]?.methods).toHaveLength(1);
  });

  it('draws grids anew where the stored ones are damaged, and measures what has too few numbers', async () => {
    const parts = join(folder, 'whole/parts');
    for (const name of await readdir(parts)) {
      const { key, value } = JSON.parse(await readFile(join(parts, name), 'utf8'));
      if (key.part === 'grids') value.grids[0].images[1] = 9999;
      else if (key.part === 'grids of a method' && key.method === 'gradCam') value[0].localisation.upsample.pop();
      else if (key.part === 'removal') value.most[0].pop();
      else continue;
      await writeFile(join(parts, name), JSON.stringify({ key, value }));
    }
    expect((await coda(...call('whole', '--methods', 'gradCam'))).code).toBe(0);
    const again = await resultsIn('whole');
    expect(again.gridList).toEqual(results.gridList);
    expect(again.models[0]?.methods).toEqual([results.models[0]?.methods[1]]);
  });

  it('writes nothing over results of other models, of another version, or over what are none', async () => {
    const others = { ...results, models: results.models.map((model) => ({ ...model, name: 'other', sha256: '00' })) };
    const hint = 'Choose another --out, or delete that file.';
    for (const [there, text] of [
      [JSON.stringify(others), `results of other models; expected hybrid, plain, got other, other. ${hint}`],
      [
        JSON.stringify({ ...results, schemaVersion: 7 }),
        `written by another version of coda depth; expected schemaVersion 1, got 7. ${hint}`,
      ],
      ['{"schemaVersion": 1', `not results of coda depth. ${hint}`],
      ['{"schemaVersion": 1, "models": [null]}', `not results of coda depth. ${hint}`],
    ] as const) {
      await mkdir(join(folder, 'taken'), { recursive: true });
      await writeFile(join(folder, 'taken/results.json'), there);
      const { code, err } = await coda(...call('taken'));
      expect([code, err]).toEqual([expect.any(Number), expect.stringContaining(text)]);
      expect(code).toBeGreaterThan(0);
      expect(await readFile(join(folder, 'taken/results.json'), 'utf8')).toBe(there);
    }
  });

  it('gives the same on another engine and in one go', async () => {
    // the profile alone: eager removal of 129 points takes a minute
    expect((await coda(...call('eager', '--engine', 'wasm', '--methods', 'contributions', '--removal', '0'))).code).toBe(0);
    const other = await resultsIn('eager');
    expect(other.gridList).toEqual(results.gridList);
    for (const [m, model] of other.models.entries()) {
      for (const [t, tap] of (model.methods[0]?.taps ?? []).entries()) {
        const same = results.models[m]?.methods[0]?.taps[t];
        for (const [i, value] of tap.upsample.values.entries()) {
          // what the project promises of any two engines
          expect(Math.abs(value - (same?.upsample.values[i] as number))).toBeLessThan(1e-4);
        }
      }
    }
  }, 600_000);

  it('writes tables, figures and a page that needs nothing else', async () => {
    await coda(...call('whole'));
    const files = async (name = ''): Promise<string[]> => (await readdir(join(folder, 'whole', name))).toSorted();
    expect(await files()).toEqual(['figures', 'localisation.csv', 'parts', 'removal.csv', 'report.html', 'results.json', 'summary.csv']);
    expect(await files('figures')).toEqual([
      'depth-profile.png',
      'depth-profile.svg',
      ...[0, 1].flatMap((i) => ['best', 'median', 'worst'].map((rank) => `example-${i}-${rank}.png`)),
      'localisation-0.png',
      'localisation-0.svg',
      'localisation-1.png',
      'localisation-1.svg',
      'removal-0-input.png',
      'removal-0-input.svg',
      'removal-0-layer2.0.png',
      'removal-0-layer2.0.svg',
      'removal-1-input.png',
      'removal-1-input.svg',
    ]);
    expect(await sharp(join(folder, 'whole/figures/localisation-0.png')).metadata()).toMatchObject({ format: 'png', width: 1920 });
    const rows = (await readFile(join(folder, 'whole/localisation.csv'), 'utf8')).trim().split('\n');
    // header; 8 values for: 2 methods at 5 taps and one at 1, and of the plain one 2 at 5 and 1 at 1
    expect(rows).toHaveLength(1 + 8 * (11 + 11));
    expect(rows[1]).toMatch(/^hybrid,contributions,input,0,0,\d,[\d.e-]+,[\d.e-]+$/);
    const html = await readFile(join(folder, 'whole/report.html'), 'utf8');
    const { document } = parseHTML(html) as unknown as {
      document: { querySelectorAll(selector: string): Iterable<{ getAttribute(name: string): string }> };
    };
    expect([...document.querySelectorAll('script, link, iframe, object, embed, style + style')]).toEqual([]);
    expect(html).not.toMatch(/url\(|@import|\son\w+=|https?:\/\/(?!www\.w3\.org\/2000\/svg)/);
    expect([...document.querySelectorAll('img')].map((image) => image.getAttribute('src').slice(0, 22))).toEqual(
      Array(6).fill('data:image/png;base64,'),
    );
    expect([...document.querySelectorAll('figure.wide > .scroll > svg')]).toHaveLength(6);
    // what the axes and marks are, in the figures themselves
    for (const text of [
      'localisation, share in the class’s cell',
      'taps from the output',
      'uniform map, 1/4',
      'threshold 0.5',
      'not exact',
      'probability of the true class',
      'positions removed, % of all',
      'begin with the images that the network is surest of',
    ]) {
      expect(html).toContain(text);
    }
  }, 600_000);

  it('escapes names, in the page and in tables', async () => {
    const hostile = `"><script>alert('x')</script>`;
    const [first, ...rest] = results.models as [DepthResults['models'][number], ...DepthResults['models']];
    const named = { ...results, models: [{ ...first, name: hostile }, ...rest], classNames: results.classNames.map(() => hostile) };
    const html = await renderDepthReport({ results: named, charts: depthCharts(named), examples: [] });
    expect(html).toContain('&lt;script&gt;');
    expect(html).not.toContain('<script');
    expect(depthTables({ ...named, models: [{ ...first, name: '=1+"1",2' }] })['summary.csv']).toContain(`\n"'=1+""1"",2",contributions`);
  });

  it('sets names of taps upright where they would lie on each other', () => {
    const [model] = results.models as [DepthResults['models'][number]];
    const figures = (prefix: string): string[] => {
      const long = (name: string): string => `${prefix}${name}`;
      const taps = model.taps.map((tap) => ({ ...tap, name: long(tap.name) }));
      const methods = model.methods.map((method) => ({
        ...method,
        taps: method.taps.map((tap) => ({ ...tap, tap: long(tap.tap) })),
        removal: [],
      }));
      return depthCharts({ ...results, models: [{ ...model, taps, methods }] }).map(({ svg }) => svg);
    };
    for (const svg of figures('')) expect(svg).toMatch(/translate\([^)]*\)"[^<]*>input</);
    for (const svg of figures('backbone.stage.of.many.blocks.')) {
      expect(svg).toMatch(/rotate\(-90\)[^<]*>…[^<]*blocks\.input</);
    }
  });

  it('answers wrong calls with the nearest right one', async () => {
    const wrong = async (...more: string[]): Promise<[number, string]> => {
      const { code, err } = await coda(...call('wrong', ...more));
      return [code, err];
    };
    expect(await wrong('--methods', 'contribution')).toEqual([
      2,
      expect.stringMatching(/depth: --methods: no method of that name; .* Did you mean contributions\?/),
    ]);
    expect(await wrong('--probe-at', 'layer2.1')).toEqual([
      2,
      expect.stringMatching(/depth: --probe-at: hybrid has no such tap; .* Did you mean layer2\.0\?/),
    ]);
    expect(await wrong('--preset', 'coda2022')).toEqual([
      2,
      expect.stringContaining('Expected coda2021 or bcos2 or attr-eval or original'),
    ]);
    expect(await wrong('--methods', ' , ')).toEqual([2, expect.stringContaining('depth: --methods: no method is named')]);
    expect(await wrong('--grids', '0')).toEqual([2, expect.stringContaining('--grids')]);
    expect(await wrong('--cells', '1')).toEqual([2, expect.stringContaining('--cells')]);
    // 6 classes have images, and a grid of 3 × 3 needs more than 9
    expect(await wrong('--cells', '3')).toEqual([
      2,
      expect.stringMatching(/no 3 × 3 grid can be drawn; expected more than 9 classes .* got \d/),
    ]);
    const [first = ''] = models;
    const twice = await coda('depth', first, first, '--data', join(folder, 'data'), '--out', join(folder, 'wrong'));
    expect([twice.code, twice.err]).toEqual([2, expect.stringContaining('the same model is named twice')]);
  });
});

describe('coda explain', () => {
  it('takes every method, with a preset’s parameters, and says in the record what was done', async () => {
    const [first = ''] = models;
    const batch = join(folder, 'batch.npy');
    await writeFile(
      batch,
      encodeNpy(
        ndArray(
          'float32',
          [1, 32, 32, 3],
          Float32Array.from({ length: 3072 }, (_, i) => (i % 7) / 7),
        ),
      ),
    );
    for (const [name, preset, parameters] of [
      ['guidedBackprop', 'original', { sign: 'signed' }],
      ['occlusion9', 'coda2021', { window: 8, stride: 2 }],
      ['occlusion', 'original', { window: 8, stride: 2 }],
      ['inputXGradient', 'original', {}],
    ] as const) {
      const out = join(folder, 'explained');
      const { code, out: said } = await coda(
        'explain',
        first,
        batch,
        '--out',
        out,
        '--tap',
        'layer2.0',
        '--method',
        name,
        '--preset',
        preset,
      );
      expect(code).toBe(0);
      expect(said).toContain('layer2.0.npy  [N, h, w]: the map at layer2.0 as float32 numbers');
      const record = JSON.parse(await readFile(join(out, 'explanation.json'), 'utf8'));
      expect(record).toMatchObject({ method: name, preset, parameters });
      expect(record.inputs[0].taps).toMatchObject([
        { tap: 'layer2.0', exact: false, kind: name === 'inputXGradient' ? 'gradient × activation' : name },
      ]);
      expect(decodeNpy(await readFile(join(out, 'layer2.0.npy')), 'map').shape).toEqual([1, 16, 16]);
    }
    const wrong = await coda('explain', first, batch, '--out', join(folder, 'none'), '--method', 'gradcam');
    expect([wrong.code, wrong.err]).toEqual([
      2,
      expect.stringMatching(/explain: --method: no method of that name; .* Did you mean gradCam\?/),
    ]);
  }, 300_000);
});

it('a part that is damaged, or of something else, is computed anew', async () => {
  const parts = await storedParts(join(folder, 'parts'));
  let computed = 0;
  const compute = async (): Promise<number> => ++computed;
  expect([await parts.once({ a: 1 }, compute), await parts.once({ a: 1 }, compute), await parts.once({ a: 2 }, compute)]).toEqual([
    1, 1, 2,
  ]);
  expect(await parts.find({ a: 2 }, (value) => value === 3)).toBeUndefined();
  for (const name of await readdir(join(folder, 'parts'))) await writeFile(join(folder, 'parts', name), '{"key":{"a":1},"val');
  expect(await parts.find({ a: 1 })).toBeUndefined();
  expect(await parts.once({ a: 1 }, compute)).toBe(3);
});

it('docs/schema/depth-results.json is made from the schema', async () => {
  const schema = toJsonSchema(depthResultsSchema, { errorMode: 'ignore' });
  const text = `${JSON.stringify({ ...schema, title: 'results.json of coda depth' }, null, 2)}\n`;
  await expect(text).toMatchFileSnapshot(fileURLToPath(new URL('../../../docs/schema/depth-results.json', import.meta.url)));
});

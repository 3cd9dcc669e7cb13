/** The demo's command line; the demo itself takes minutes and the real data. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runDemo } from '../src/run-demo.ts';
import { trainPresets } from '../src/train-presets.ts';
import { heard } from './run-coda.ts';

let folder = '';

beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'coda demo-')), 'runs');
});

afterEach(() => rm(join(folder, '..'), { recursive: true, force: true }));

const demo = (...args: string[]) => heard(() => runDemo(args));

describe('the demo’s command line', () => {
  it('has a help', async () => {
    const { code, out } = await demo('--help');
    expect(code).toBe(0);
    expect(out).toMatch(/Usage: npm run demo -- \[options\][\s\S]+--out <dir>[\s\S]+runs\/demo[\s\S]+--again/);
  });

  it.each([
    [['--epochs', 'two'], /unknown option '--epochs'/],
    [['foo'], /too many arguments/],
    [['--agian'], /Did you mean --again\?/],
    [['--out'], /argument missing/],
  ])('refuses %s', async (args, message) => {
    const { code, err } = await demo(...args);
    expect([code, err]).toEqual([2, expect.stringMatching(message)]);
  });

  it('leaves a finished demo as it is and says what it found', async () => {
    await mkdir(folder);
    const files = {
      'config.json': JSON.stringify({ ...trainPresets['hybrid-cifar10-resnet20']?.config, epochs: 2 }),
      'metrics.jsonl': '{"type":"epoch","epoch":1}\n{"type":"epoch","epoch":2}\n',
      'metrics.json': JSON.stringify({
        testAccuracy: 0.8656,
        trainSeconds: 376,
        completenessResidual: 1.3e-7,
        onnxMaxAbsDiff: 4.8e-6,
      }),
    };
    for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
    const { code, out, err } = await demo('--out', folder);
    expect([code, err]).toEqual([0, '']);
    expect(out).toContain(`The demo in ${folder} is finished.\n  test accuracy          86.56 %   (training 6 min 16 s)\n`);
    expect(out).toContain('1.30e-7');
    expect(out).toContain('4.80e-6');
    expect(out).toContain(`Look at   '${join(folder, 'report.html')}' `);
    expect(out).toContain(`npm run demo -- --out '${folder}' --again\n`);
    expect((await readdir(folder)).sort()).toEqual(Object.keys(files).sort());
    for (const [name, text] of Object.entries(files)) expect(await readFile(join(folder, name), 'utf8')).toBe(text);
  });
});

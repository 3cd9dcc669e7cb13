/** What is exported runs in a browser as in Node, and so do the packages. Needs Chromium (Debian's package, or CHROMIUM); skipped where there is none. */
import { ndArray, type NamedArrays } from '@coda-nets/core';
import { openOnnx } from '@coda-nets/engine';
import { expectClose } from '@coda-nets/tools/testkit';
import { existsSync } from 'node:fs';
import { chromium, type Browser, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CodaPage } from './page.ts';
import { servePage, type ServedPage } from './serve-page.ts';
import { images, smallHybridFile, targets } from './small-hybrid.ts';

declare global {
  // what page.ts leaves in the page
  var codaPage: CodaPage;
}

/** Float32 sums of three implementations in different orders, over a network of nine layers. */
const TOLERANCE = { rtol: 1e-4, atol: 1e-4 } as const;
const executable = [process.env['CHROMIUM'], '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  (path) => path !== undefined && existsSync(path),
);

describe.skipIf(executable === undefined)(`in ${executable ?? 'Chromium, which is not here'}`, () => {
  let served: ServedPage;
  let browser: Browser;
  let page: Page;
  let expected: NamedArrays;
  let file: Uint8Array;

  beforeAll(async () => {
    file = smallHybridFile();
    served = await servePage(file);
    browser = await chromium.launch({
      executablePath: executable as string,
      args: ['--no-sandbox', '--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'],
    });
    page = await browser.newPage();
    const failed = new Promise<never>((_, reject) => page.on('pageerror', reject));
    await page.goto(served.url);
    await Promise.race([failed, page.waitForFunction(() => 'codaPage' in globalThis)]);
    const node = await openOnnx(file, 'small hybrid', { threads: 1 });
    const target = ndArray('int64', [targets.length], BigInt64Array.from(targets, BigInt));
    expected = await node.run({ image: images, target });
    await node.dispose();
  }, 60_000);

  afterAll(async () => {
    await browser?.close();
    await served?.close();
  });

  const expectAsInNode = (actual: Readonly<Record<string, readonly number[]>>): void => {
    expect(Object.keys(actual).toSorted()).toEqual(Object.keys(expected).toSorted());
    for (const [name, { data }] of Object.entries(expected)) expectClose(actual[name] as number[], data as Float32Array, TOLERANCE);
  };

  it('the exported file gives what it gives in Node, by onnxruntime-web on wasm', async () => {
    expectAsInNode(await page.evaluate(() => globalThis.codaPage.runFile('wasm')));
  });

  it('… and on webgpu', async (context) => {
    if (!(await page.evaluate(() => globalThis.codaPage.hasWebgpu()))) context.skip('the browser has no WebGPU adapter');
    expectAsInNode(await page.evaluate(() => globalThis.codaPage.runFile('webgpu')));
    // an adapter may be software, which compiles its shaders slowly
  }, 180_000);

  it('the packages compute the same logits and maps there', async () => {
    const { contributions_input: input, ...rest } = await page.evaluate(() => globalThis.codaPage.runPackages());
    expectAsInNode({ ...rest, contributions: input as readonly number[] });
  });

  it('the packages make the same file there, byte by byte', async () => {
    const made = await page.evaluate(() => globalThis.codaPage.makeFile());
    expect(Buffer.compare(Buffer.from(made), Buffer.from(file))).toBe(0);
  });
});

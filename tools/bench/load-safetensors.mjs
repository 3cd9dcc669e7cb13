#!/usr/bin/env node
/**
 * What it costs to load a safetensors file of ResNet-50's size (102 MB, 320 tensors): milliseconds by the clock and of the processor; memory claimed for
 * arrays and, of a whole file, the largest resident memory above that before, as multiples of what was read. Each row is a process of its own; the first
 * is Node's readFile, for comparison.
 *
 *     node tools/bootstrap.mjs build && node tools/bench/load-safetensors.mjs
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decodeSafetensors, ndArray } from '../../packages/core/dist/index.js';
import { openSafetensors, readFileBytes, writeSafetensors } from '../../packages/core/dist/node/index.js';

const maxBytes = 2 ** 30;

/** @type {Record<string, (path: string) => Promise<any>>} */
const ways = {
  readFile: async (path) => readFileSync(path),
  decodeSafetensors: async (path) => decodeSafetensors(await readFileBytes(path, { maxBytes }), path).tensors,
  readAll: (path) => opened(path, (file) => file.readAll()),
  'read, one tensor': (path) => opened(path, (file) => file.read('layer7.weight')),
};

/**
 * @param {string} path
 * @param {(file: import('../../packages/core/dist/index.js').SafetensorsFile) => Promise<unknown>} read
 */
async function opened(path, read) {
  const file = await openSafetensors(path);
  try {
    return await read(file);
  } finally {
    await file.close();
  }
}

/**
 * @param {string} way
 * @param {string} path
 */
async function measure(way, path) {
  const before = { ...process.memoryUsage(), cpu: process.cpuUsage(), clock: performance.now() };
  const result = await ways[way]?.(path);
  const clock = performance.now() - before.clock;
  const { user, system } = process.cpuUsage(before.cpu);
  const peak = process.resourceUsage().maxRSS * 1024 - before.rss;
  const claimed = process.memoryUsage().arrayBuffers - before.arrayBuffers;
  const bytes = way === 'readFile' ? result.length : arraysOf(result).reduce((n, { data }) => n + data.byteLength, 0);
  const figures = [bytes / 1e6, clock, (user + system) / 1000].map((x) => x.toFixed(0).padStart(6));
  // what the imports once took hides the peak of less
  const resident = bytes < 1e8 ? '' : `, ${(peak / bytes).toFixed(2)}× resident`;
  const times = `${figures[1]} ms by the clock ${figures[2]} ms of the processor`;
  console.log(`${way.padEnd(18)} ${figures[0]} MB ${times} ${(claimed / bytes).toFixed(2)}× claimed${resident}`);
}

/**
 * @param {import('../../packages/core/dist/index.js').NamedArrays | import('../../packages/core/dist/index.js').NdArray} result
 * @returns {import('../../packages/core/dist/index.js').NdArray[]}
 */
function arraysOf(result) {
  return result.data instanceof Float32Array ? [/** @type {any} */ (result)] : Object.values(result);
}

const [way, given] = process.argv.slice(2);
if (way !== undefined && given !== undefined) await measure(way, given);
else {
  const folder = mkdtempSync(join(tmpdir(), 'load-safetensors-'));
  try {
    const path = join(folder, 'model.safetensors');
    /** @type {Record<string, import('../../packages/core/dist/index.js').NdArray>} */
    const tensors = {};
    for (let i = 0; i < 160; i++) {
      tensors[`layer${i}.weight`] = ndArray('float32', [160_000], new Float32Array(160_000).fill(i));
      tensors[`layer${i}.bias`] = ndArray('float32', [256], new Float32Array(256).fill(i));
    }
    await writeSafetensors(path, tensors);
    for (let round = 0; round < 3; round++) {
      for (const each of Object.keys(ways))
        execFileSync(process.execPath, [fileURLToPath(import.meta.url), each, path], { stdio: 'inherit' });
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * Kills a random rank of a training at a random moment, again and again, and goes on with another number of ranks: the job must end by itself within seconds, no checkpoint
 * may be damaged, and the run must come to its end. Needs `npm run build` and a launcher of MPI. Not part of the tests, which do it once.
 *
 * node tools/kill-ranks.mjs [times = 10] [seed = 1] [launcher = mpirun.openmpi]
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Random } from '../packages/core/dist/index.js';
import { syntheticDataset, writeCifar10 } from '../packages/train/dist/index.js';
import { rankImages, rankTraining } from './testkit/rank-training.mjs';

const [times = 10, seed = 1] = process.argv.slice(2, 4).map(Number);
const [, , , , launcher = 'mpirun.openmpi'] = process.argv;
const main = fileURLToPath(new URL('../apps/coda/dist/main.js', import.meta.url));
/** Seconds in which a job must be over once a rank is dead; the time-out of waiting ranks is far above. */
const most = 60;
const env = { ...process.env, OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1', OMPI_MCA_rmaps_base_oversubscribe: '1' };
const random = Random.seeded(seed);
const folder = mkdtempSync(join(tmpdir(), 'coda-kill-'));
const config = { ...rankTraining, epochs: 1000, batch: 2, checkpointEverySteps: 1 };
await writeCifar10(join(folder, 'data'), syntheticDataset(rankImages));
writeFileSync(join(folder, 'config.json'), JSON.stringify(config));

const checkpoints = () => {
  const place = join(folder, 'run', 'checkpoints');
  return existsSync(place) ? readdirSync(place).filter((name) => /^\d+$/.test(name)) : [];
};

/** @param {number} ranks @param {string[]} more @param {boolean} atOnce */
async function run(ranks, more, atOnce) {
  const words = ['train', join(folder, 'config.json'), '--data', join(folder, 'data'), '--out', join(folder, 'run'), ...more];
  const child = spawn(launcher, ['-np', String(ranks), process.execPath, main, ...words], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (said += text));
  /** @type {Promise<number | null>} */
  const over = new Promise((resolve) => child.once('close', resolve));
  /** @type {() => number[]} */
  const pids = () => [...said.matchAll(/rank \d of \d \(.+, process (\d+)\)/g)].map(([, pid]) => Number(pid));
  while (pids().length < ranks) await sleep(20);
  // while it starts, or after some steps, each of which is saved
  const before = String(checkpoints());
  if (!atOnce) while (String(checkpoints()) === before && child.exitCode === null) await sleep(20);
  await sleep(3000 * random.uniform());
  const rank = random.below(ranks);
  process.kill(/** @type {number} */ (pids()[rank]), 'SIGKILL');
  const begin = performance.now();
  const code = await Promise.race([over, sleep(1000 * most).then(() => 'hangs')]);
  return { code, said, seconds: (performance.now() - begin) / 1000, rank };
}

let failed = 0;
for (let i = 0; i < times; i++) {
  const begun = existsSync(join(folder, 'run', 'config.json'));
  const ranks = /** @type {number} */ (i === 0 ? 4 : [2, 4][random.below(2)]);
  const { code, said, seconds, rank } = await run(ranks, begun ? ['--resume'] : [], i % 3 === 2);
  const isWrong = code === 0 || code === 'hangs' || /malformed|could not be read|mismatch/.test(said);
  if (isWrong) failed++;
  process.stdout.write(
    `${i + 1}: rank ${rank} of ${ranks} killed, job over after ${seconds.toFixed(1)} s with ${code}, checkpoints ${String(checkpoints())}${isWrong ? `: WRONG\n${said}` : ''}\n`,
  );
  // a launcher is gone a moment before the ranks it has ended
  await sleep(2000);
}
rmSync(folder, { recursive: true, force: true });
process.stdout.write(`${times} killed, ${failed} wrong\n`);
process.exitCode = failed === 0 ? 0 : 1;

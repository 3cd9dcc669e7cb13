/**
 * A rank of `coda bench mpi`: rank 0 prints one line of JSON. Arguments: `all-reduce`, rounds and numbers of floats; or `step`,
 * `sync` or `own` batch norms, and steps.
 */
import { openProcessGroup } from '@coda-nets/distributed';
import { onnxRuntimeEngine } from '@coda-nets/engine';
import { hybrid, hybridPreset } from '@coda-nets/hybrid';
import { syntheticDataset, train } from '@coda-nets/train';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [work, ...words] = process.argv.slice(2);
const group = await openProcessGroup({ required: true });
const BATCH = 16;

/** Seconds of the fastest of so many calls, for each length. */
async function allReduce(rounds: number, lengths: readonly number[]): Promise<object> {
  const seconds: number[] = [];
  for (const length of lengths) {
    const values = new Float32Array(length);
    let best = Infinity;
    for (let round = 0; round < rounds; round++) {
      await group.barrier('before a round');
      const begin = performance.now();
      await group.allReduce(values, 'sum', 'a round');
      best = Math.min(best, performance.now() - begin);
    }
    seconds.push(best / 1000);
  }
  return { seconds };
}

/** Of a hybrid's training step with a trained stem: seconds, and what of them was communication. The first steps warm up. */
async function steps(count: number, syncBatchNorm: boolean): Promise<object> {
  const network = hybrid({ ...hybridPreset('cifar10-resnet20'), stem: 'trained' });
  const out = await mkdtemp(join(tmpdir(), 'coda-bench-mpi-'));
  const images = group.size * BATCH * count;
  let begin = { time: 0, ...group.report() };
  let end = begin;
  const warm = Math.ceil(count / 4);
  await train({
    network,
    dataset: syntheticDataset({ classes: 10, perClass: Math.ceil(images / 10), size: 32 }),
    engine: await onnxRuntimeEngine({ threads: 1 }),
    config: { epochs: 1, batch: BATCH, learningRate: 1e-3, syncBatchNorm, alignmentImages: 0, checkpointEverySeconds: 1e9 },
    out,
    group,
    onEvent: (event) => {
      if (event.type !== 'step') return;
      if (event.step === warm) begin = { time: performance.now(), ...group.report() };
      if (event.step === count) end = { time: performance.now(), ...group.report() };
    },
  });
  await rm(out, { recursive: true, force: true });
  const time = (end.time - begin.time) / 1000;
  const per = count - warm;
  return {
    seconds: time / per,
    moved: (end.moved - begin.moved) / 1000 / per,
    waited: (end.waited - begin.waited) / 1000 / per,
    bytes: (end.bytes - begin.bytes) / per,
    calls: (end.calls - begin.calls) / per,
  };
}

try {
  const [first = 1, ...lengths] = words.map(Number);
  const result = work === 'step' ? await steps(Number(words[1]), words[0] === 'sync') : await allReduce(first, lengths);
  if (group.rank === 0) process.stdout.write(`${JSON.stringify(result)}\n`);
  await group.close();
} catch (error) {
  await group.abort(error);
}

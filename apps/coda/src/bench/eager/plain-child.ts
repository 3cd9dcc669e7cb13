/**
 * A process of its own in which tfjs-node is as its package has it: nothing of `@coda-nets/engine` is loaded, no kernel replaced. Answers `plain-twin.ts` in lines of
 * JSON. Not a module to import.
 */
import { encodeSafetensors, type NamedArrays } from '@coda-nets/core';
import { writeFileAtomic } from '@coda-nets/core/node';
import { importTfjsNode } from '@coda-nets/tensorflow-setup';
import { createInterface } from 'node:readline';
import { measureCalls } from '../interleave.ts';
import { eagerInputs, type EagerWork } from './eager-works.ts';
import { plainCoda, type PlainCodaConfig } from './plain-coda.ts';
import { plainResnet, type PlainResnetConfig } from './plain-resnet.ts';
import { plainTraining, type PlainStep } from './plain-training.ts';

// what the engine has set in the process that asks is not the package's: TensorFlow chooses by itself
process.env['TF_ENABLE_ONEDNN_OPTS'] = '-1';

const works = new Map<string, PlainStep>();
const work = (name: string): PlainStep => works.get(name) as PlainStep;

const handlers: Readonly<Record<string, (args: never) => Promise<unknown>>> = {
  hello: async () => {
    const { tensorflow, package: name, packageVersion } = await importTfjsNode();
    return { description: `TensorFlow ${tensorflow} through ${name} ${packageVersion}` };
  },
  prepare: async ({ name, seed, ...given }: { name: string; seed: number } & EagerWork) => {
    const { network, weights, images, labels } = eagerInputs(given, seed);
    const isCoda = network.config.kind === 'coda';
    const step = plainTraining({
      forward: isCoda
        ? plainCoda(network.config as unknown as PlainCodaConfig)
        : plainResnet(network.config as unknown as PlainResnetConfig),
      loss: isCoda ? 'sigmoid' : 'softmax',
      optimiser: isCoda ? 'adam' : 'nesterov',
      learningRate: given.learningRate,
      weights,
      statistics: Object.keys(weights).filter((weight) => network.weights[weight]?.role === 'statistic'),
      images,
      labels: labels.data,
      classes: network.classes,
    });
    works.set(name, step);
  },
  results: async ({ name, path }: { name: string; path: string }) => {
    const results: NamedArrays = await work(name).run('gradients');
    await writeFileAtomic(path, encodeSafetensors(results));
  },
  measure: ({ name, repeats }: { name: string; repeats: number }) => measureCalls(() => work(name).run(), repeats),
  release: async ({ name }: { name: string }) => {
    work(name).dispose();
    works.delete(name);
  },
};

// Ctrl-C is for who asks, who then closes our input
process.on('SIGINT', () => undefined);
for await (const line of createInterface({ input: process.stdin })) {
  const { op, args } = JSON.parse(line) as { op: string; args: never };
  const answer = await (handlers[op] as (args: never) => Promise<unknown>)(args).then(
    (result) => ({ result: result ?? null }),
    (error: unknown) => ({ error: String(error) }),
  );
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

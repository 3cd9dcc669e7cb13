/** `coda import` */
import { checkWeights, CodaError, nearestName, sizeOf, type NamedArrays } from '@coda-nets/core';
import { writeModel } from '@coda-nets/core/node';
import { codaPytorchLayers, codaPytorchLayersJson, importCodaPytorch, type CodaConfig } from '@coda-nets/dau';
import { basename } from 'node:path';
import type { Command } from 'commander';
import { buildNetwork } from '../build-network.ts';
import { classNamesOf } from '../class-names.ts';
import { defineCommand, ioOf, usageError, type CommonOptions } from '../define-command.ts';
import { readConfig } from '../read-json.ts';
import { readStateDict } from '../read-state-dict.ts';
import { refuseOverwriting } from '../refuse-overwriting.ts';

interface Options extends CommonOptions {
  readonly format: string;
  readonly config?: string;
  readonly out: string;
  readonly classNames?: string;
}

const formats = ['coda-pytorch'];

export function importCommand(): Command {
  return defineCommand(
    'import',
    'foreign weights as a model file',
    'coda import net.safetensors --format coda-pytorch --config net.json --out model.safetensors',
  )
    .argument('<state>', 'a state dict in a safetensors file')
    .requiredOption('--format <name>', `whose names and axis orders the state dict has: ${formats.join(', ')} (the authors’ CoDA networks)`)
    .requiredOption('--out <file>', 'the model file')
    .option('--config <file>', 'the network’s config (.json); without it the layers of the state dict are listed')
    .option('--class-names <file>', 'a name for each class: a JSON array (.json), a name a line, or cifar10 (default: their numbers)')
    .action(async (path: string, options: Options) => {
      const io = ioOf(options);
      checkFormat(options.format);
      await refuseOverwriting('import: --out', [options.out], [path, options.config, options.classNames]);
      const { tensors, sha256 } = await readStateDict(path);
      if (options.config === undefined) throw configNeeded(path, tensors);
      const network = buildNetwork(await readConfig(options.config), options.config);
      const { config } = network;
      if (config.kind !== 'coda') {
        throw new CodaError({
          kind: 'argument',
          where: `${options.config}: kind`,
          problem: 'no config of a CoDA network',
          expected: '"coda"',
          got: JSON.stringify(config.kind),
        });
      }
      const classNames = await classNamesOf(options.classNames, network.classes);
      const weights = importCodaPytorch(tensors, config as unknown as CodaConfig, path);
      checkWeights(network, weights, path);
      const [height, width] = network.inputShape;
      const provenance = { importedFrom: basename(path), format: options.format, sha256 };
      await writeModel(options.out, {
        config,
        preprocessing: { size: [height, width], layout: 'rgb', range: [0, 1] },
        classNames,
        weights,
        provenance,
      });
      const parameters = Object.values(weights).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
      io.say(
        `${options.out}: ${network.taps.length - 1} layers, ${parameters.toLocaleString('en')} parameters, ${network.classes} classes`,
      );
      io.say(`next: coda explain ${options.out} IMAGE --out DIR`);
      io.result({
        file: options.out,
        parameters,
        classes: network.classes,
        taps: network.taps.map(({ name }) => name),
        provenance,
      });
    });
}

function checkFormat(name: string): void {
  if (formats.includes(name)) return;
  const nearest = nearestName(name, formats);
  throw new CodaError({
    kind: 'argument',
    where: 'import: --format',
    problem: 'no format that can be imported',
    expected: formats.join(', '),
    got: name,
    hint: nearest === undefined ? undefined : `Did you mean ${nearest}?`,
  });
}

/** What of a config the state dict says, and what it cannot. */
function configNeeded(path: string, tensors: NamedArrays): CodaError {
  const layers = codaPytorchLayers(tensors);
  if (layers === undefined)
    return usageError('import: --config', `missing, and ${path} is no state dict of a CoDA network from which its layers could be read`);
  const encoding = layers[0]?.inputChannels === 6 ? 'rgb6' : 'none';
  return usageError(
    'import: --config',
    `missing. ${path} has "encoding": "${encoding}", "classes": ${layers.at(-1)?.out}, "layers": ${codaPytorchLayersJson(layers)}; ` +
      'stride and padding of each layer, inputShape, norm, temperature and logitBias are not in it',
    'a JSON file such as docs/config/coda.json',
  );
}

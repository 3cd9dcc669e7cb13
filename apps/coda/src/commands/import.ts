/** `coda import` */
import { checkWeights, CodaError, nearestName, sizeOf, type NamedArrays, type Network } from '@coda-nets/core';
import { writeModel } from '@coda-nets/core/node';
import { codaPytorchLayers, codaPytorchLayersJson, importCodaPytorch, type CodaConfig } from '@coda-nets/dau';
import { importStateDict, type ResnetOptions } from '@coda-nets/resnet';
import { basename } from 'node:path';
import type { Command } from 'commander';
import { buildNetwork, networkPresets } from '../build-network.ts';
import { classNamesOf } from '../class-names.ts';
import { codaCommand } from '../coda-command.ts';
import { defineCommand, ioOf, usageError, type CommonOptions } from '../define-command.ts';
import { pretrainedSet } from '../pretrained-set.ts';
import { quoted } from '../quoted.ts';
import { readConfig } from '../read-json.ts';
import { readStateDict } from '../read-state-dict.ts';
import { refuseOverwriting } from '../refuse-overwriting.ts';

interface Options extends CommonOptions {
  readonly format: string;
  readonly config?: string;
  readonly out: string;
  readonly classNames?: string;
  readonly weights?: string;
}

/** By format: the kind of its networks, and their weights from a state dict. */
const formats: Readonly<Record<string, Format>> = {
  'coda-pytorch': {
    kind: 'coda',
    network: 'CoDA network',
    read: (tensors, config, path) => importCodaPytorch(tensors, config as CodaConfig, path),
  },
  torchvision: {
    kind: 'resnet',
    network: 'ResNet',
    read: (tensors, config, path) => importStateDict(tensors, config as ResnetOptions, path),
  },
  timm: { kind: 'resnet', network: 'ResNet', read: (tensors, config, path) => importStateDict(tensors, config as ResnetOptions, path) },
};

interface Format {
  readonly kind: string;
  readonly network: string;
  readonly read: (tensors: NamedArrays, config: unknown, path: string) => NamedArrays;
}

export function importCommand(): Command {
  return defineCommand(
    'import',
    'foreign weights as a model file',
    'import net.safetensors --format coda-pytorch --config net.json --out model.safetensors',
  )
    .argument('<state>', 'a state dict in a safetensors file')
    .requiredOption(
      '--format <name>',
      'whose names and axis orders the state dict has: coda-pytorch (the authors’ CoDA networks), torchvision, timm (their ResNets)',
    )
    .requiredOption('--out <file>', 'the model file')
    .option('--config <config>', 'the network’s config (.json), or a preset; without it, what it has to say is listed')
    .option(
      '--weights <set>',
      'which published set these are, for preprocessing, source, licence and accuracy: IMAGENET1K_V1, IMAGENET1K_V2; of timm a1_in1k, tv_in1k, …',
    )
    .option('--class-names <file>', 'a name for each class: a JSON array (.json), a name a line, or cifar10 (default: their numbers)')
    .action(async (path: string, options: Options) => {
      const io = ioOf(options);
      const format = formatOf(options.format);
      const set = pretrainedSet(options.weights, options.format, options.config);
      await refuseOverwriting('import: --out', [options.out], [path, options.config, options.classNames]);
      const { tensors, sha256 } = await readStateDict(path);
      if (options.config === undefined) throw format.kind === 'coda' ? codaConfigNeeded(path, tensors) : resnetConfigNeeded();
      const network = await networkOf(options.config, format, set?.preprocessing.size);
      const { config } = network;
      const classNames = await classNamesOf(options.classNames, network.classes);
      const weights = format.read(tensors, config, path);
      checkWeights(network, weights, path);
      const [height, width] = network.inputShape;
      const provenance = { importedFrom: basename(path), format: options.format, sha256, ...set?.provenance };
      await writeModel(options.out, {
        config,
        preprocessing: { layout: 'rgb', range: [0, 1], ...set?.preprocessing, size: [height, width] },
        classNames,
        weights,
        provenance,
        ...(set !== undefined && { card: set.card }),
      });
      const parameters = Object.values(weights).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
      io.say(
        `${options.out}: ${network.taps.length - 1} layers, ${parameters.toLocaleString('en')} parameters, ${network.classes} classes`,
      );
      io.say(`next: ${codaCommand()} explain ${quoted(options.out)} IMAGE --out DIR`);
      io.result({
        file: options.out,
        parameters,
        classes: network.classes,
        taps: network.taps.map(({ name }) => name),
        provenance,
        card: set?.card,
      });
    });
}

function formatOf(name: string): Format {
  const format = Object.hasOwn(formats, name) ? formats[name] : undefined;
  if (format !== undefined) return format;
  const names = Object.keys(formats);
  const nearest = nearestName(name, names);
  throw new CodaError({
    kind: 'argument',
    where: 'import: --format',
    problem: 'no format that can be imported',
    expected: names.join(', '),
    got: name,
    hint: nearest === undefined ? undefined : `Did you mean ${nearest}?`,
  });
}

/** The network of a config file or preset, if it is one of the format's; for images of `size`, where a set of weights says it. */
async function networkOf(name: string, { kind, network: wanted }: Format, size?: readonly [number, number]): Promise<Network> {
  const preset = Object.hasOwn(networkPresets, name) ? networkPresets[name] : undefined;
  const config = preset ?? (await readConfig(name));
  const network = buildNetwork(size === undefined ? config : { ...config, inputShape: [...size, 3] }, name);
  if (network.config.kind === kind) return network;
  throw new CodaError({
    kind: 'argument',
    where: `${name}: kind`,
    problem: `no config of a ${wanted}`,
    expected: JSON.stringify(kind),
    got: JSON.stringify(network.config.kind),
  });
}

function resnetConfigNeeded(): CodaError {
  const presets = Object.keys(networkPresets).filter((name) => networkPresets[name]?.['kind'] === 'resnet');
  return usageError('import: --config', 'missing', `one of ${presets.join(', ')}, or a JSON file such as docs/config/resnet.json`);
}

/** What of a config the state dict says, and what it cannot. */
function codaConfigNeeded(path: string, tensors: NamedArrays): CodaError {
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

/** `coda info` */
import { CodaError, inferenceContext, nearestName, sizeOf, type JsonObject, type Model, type Network, type Tap } from '@coda-nets/core';
import { trace } from '@coda-nets/onnx';
import { existsSync } from 'node:fs';
import type * as tf from '@tensorflow/tfjs-core';
import type { Command } from 'commander';
import { cardLines } from '../card-lines.ts';
import { buildNetwork, networkPresets } from '../build-network.ts';
import { defineCommand, ioOf, type CommonOptions } from '../define-command.ts';
import { readModelFile } from '../open-model.ts';
import { readConfig } from '../read-json.ts';

export function infoCommand(): Command {
  return defineCommand(
    'info',
    'layers, taps, shapes, parameters and multiply-adds of a model or preset',
    'coda info runs/demo/hybrid.safetensors',
  )
    .argument('<model>', `a model file, a network config (.json), or a preset: ${Object.keys(networkPresets).join(', ')}`)
    .action(async (name: string, options: CommonOptions) => {
      const io = ioOf(options);
      const { config, provenance, card } = await configOf(name);
      const network = buildNetwork(config, name);
      const { taps, multiplyAdds } = measure(network);
      const parameters = count(network, 'parameter');
      const frozen = count(network, 'frozen');
      const statistics = count(network, 'statistic');
      io.say(
        `${name}: ${network.config.kind}, input [${network.inputShape.join(', ')}], ${network.classes} classes, b₀ = ${network.logitBias.toFixed(4)}`,
      );
      io.say(
        `parameters: ${parameters.toLocaleString('en')} trained, ${frozen.toLocaleString('en')} frozen, ${statistics.toLocaleString('en')} statistics`,
      );
      io.say(`multiply-adds: ${(multiplyAdds / 1e6).toFixed(1)} million an image`);
      const sees = taps.some(({ receptiveField }) => receptiveField !== undefined);
      io.say(`tap               map          channels  ${sees ? 'sees         ' : ''}contributions`);
      for (const { name: tap, height, width, channels, receptiveField: field, exact } of taps) {
        const seen = sees ? (field === undefined ? '–' : `${field}×${field}`).padEnd(13) : '';
        io.say(
          `${tap.padEnd(16)}  ${`${height}×${width}`.padEnd(11)}  ${String(channels).padEnd(8)}  ${seen}${exact ? 'exact' : 'gradient × activation'}`,
        );
      }
      for (const line of card === undefined ? [] : cardLines(card)) io.say(line);
      if (provenance !== undefined) io.say(`provenance: ${shownText(JSON.stringify(provenance))}`);
      io.result({
        config: network.config,
        inputShape: network.inputShape,
        classes: network.classes,
        logitBias: network.logitBias,
        parameters,
        frozen,
        statistics,
        multiplyAdds,
        taps,
        provenance,
        card,
      });
    });
}

async function configOf(name: string): Promise<Partial<Pick<Model, 'provenance' | 'card'>> & { config: JsonObject }> {
  if (Object.hasOwn(networkPresets, name)) return { config: networkPresets[name] as JsonObject };
  if (name.endsWith('.json')) return { config: await readConfig(name) };
  if (existsSync(name) || /[/\\.]/.test(name)) return readModelFile(name);
  const presets = Object.keys(networkPresets);
  const nearest = presets.find((preset) => preset.endsWith(`-${name}`)) ?? nearestName(name, presets);
  throw new CodaError({
    kind: 'argument',
    where: 'info',
    problem: `"${name}" is neither a file nor a preset`,
    expected: presets.join(', '),
    hint: nearest === undefined ? undefined : `Did you mean ${nearest}?`,
  });
}

function count(network: Network, role: string): number {
  return Object.values(network.weights)
    .filter((w) => w.role === role)
    .reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

/** Traces the network on one image and reads sizes off the graph; no number is computed. */
function measure(network: Network) {
  const sizes: Record<string, readonly number[]> = {};
  const constants = Object.fromEntries(
    Object.entries(network.weights).map(([name, { shape }]) => [name, { shape: [...shape], dtype: 'float32' as const }]),
  );
  const graph = trace(
    (tensors) => {
      const context = {
        ...inferenceContext,
        tap: <T extends tf.Tensor>(name: string, x: T): T => {
          sizes[name] = x.shape;
          return x;
        },
      };
      return { logits: network.forward(tensors, tensors['image'] as tf.Tensor4D, context).logits };
    },
    { inputs: { image: { shape: [1, ...network.inputShape], dtype: 'float32' }, ...constants } },
  );
  let multiplyAdds = 0;
  for (const { op, inputs, output } of graph.nodes) {
    const [left, right] = inputs.map((v) => (v?.shape ?? []) as readonly number[]);
    const outputs = sizeOf(output.shape as readonly number[]);
    if (op === 'Conv') multiplyAdds += outputs * sizeOf((right ?? []).slice(1));
    // m·n, m·k and k·n in any order of axes; a MatMul may be a stack of products, which have their order.
    if (op === 'Gemm') multiplyAdds += Math.sqrt(outputs * sizeOf(left ?? []) * sizeOf(right ?? []));
    if (op === 'MatMul') multiplyAdds += outputs * (left?.at(-1) ?? 0);
  }
  // Pixels of the image that a position sees: ResNets say it.
  const taps = network.taps.map(({ name, channels, stride, exact, receptiveField }: Tap & { readonly receptiveField?: number }) => {
    const [, height, width] = sizes[name] as readonly [number, number, number];
    return { name, height, width, channels, stride, receptiveField, exact };
  });
  return { taps, multiplyAdds: Math.round(multiplyAdds) };
}

const MOST_SHOWN = 2000;

/** Text of a file as a terminal may have it: no control or direction characters, and not without end. */
function shownText(text: string): string {
  const safe = text.slice(0, MOST_SHOWN).replaceAll(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, '\ufffd');
  return text.length > MOST_SHOWN ? `${safe}…` : safe;
}
